use super::{Context, Keeps, Kept, Lies, Op, ShapeError, align, broadcast, require};
use crate::tensor::{Shape, Value};

/// Sum of two tensors, with broadcasting. Backward keeps nothing.
#[derive(Debug)]
pub struct Add;

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2, self.name(), inputs, || "needs two inputs".to_owned())?;
        broadcast(&inputs[0], &inputs[1]).ok_or_else(|| ShapeError {
            op: self.name(),
            inputs: inputs.to_vec(),
            why: "the shapes do not broadcast".to_owned(),
        })
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let rank = inputs[0].shape().len().max(inputs[1].shape().len());
        align(inputs[0].clone(), rank).add(align(inputs[1].clone(), rank))
    }

    fn gradient_lies(&self, input: usize, inputs: &[Shape], output: &Shape, _training: bool) -> Lies {
        if inputs[input] == *output { Lies::Same } else { Lies::New }
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        (0..2).map(|i| wanted[i].then(|| dy.clone().sum_to(&kept.input_shapes[i]))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Add, &[&[2, 3, 4], &[2, 3, 4]]);
        check_op(&Add, &[&[2, 3, 4], &[1, 3, 4]]);
        check_op(&Add, &[&[2, 3, 4], &[4]]);
    }
}
