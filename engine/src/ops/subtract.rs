use super::{Context, Keeps, Kept, Lies, Op, ShapeError, align, broadcast, require};
use crate::tensor::{Shape, Value};

/// Difference of two tensors, first minus second, with broadcasting. Backward keeps nothing.
#[derive(Debug)]
pub struct Subtract;

impl Op for Subtract {
    fn name(&self) -> &'static str {
        "subtract"
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
        align(inputs[0].clone(), rank).sub(align(inputs[1].clone(), rank))
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, input: usize, inputs: &[Shape], output: &Shape, _training: bool) -> Lies {
        if input == 0 && inputs[0] == *output { Lies::Same } else { Lies::New }
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let second = wanted[1].then(|| dy.clone().sum_to(&kept.input_shapes[1]).neg());
        vec![wanted[0].then(|| dy.sum_to(&kept.input_shapes[0])), second]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Subtract, &[&[2, 3, 4], &[2, 3, 4]]);
        check_op(&Subtract, &[&[1, 3, 4], &[2, 3, 4]]);
        check_op(&Subtract, &[&[4], &[2, 3, 4]]);
        check_op(&Subtract, &[&[2, 3, 4], &[3, 1]]);
        assert!(Subtract.shape(&[vec![2, 3], vec![4]]).is_err());
    }
}
