use super::{Context, Keeps, Kept, Op, ShapeError, align, broadcast, require};
use crate::tensor::{Shape, Value, elements};

/// Elementwise product of two tensors, with broadcasting (layer scale, gates).
#[derive(Debug)]
pub struct Multiply;

impl Op for Multiply {
    fn name(&self) -> &'static str {
        "multiply"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2, self.name(), inputs, || "needs two inputs".to_owned())?;
        broadcast(&inputs[0], &inputs[1]).ok_or_else(|| ShapeError {
            op: self.name(),
            inputs: inputs.to_vec(),
            why: "the shapes do not broadcast".to_owned(),
        })
    }

    fn multiply_adds(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        elements(output) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let rank = inputs[0].shape().len().max(inputs[1].shape().len());
        align(inputs[0].clone(), rank).mul(align(inputs[1].clone(), rank))
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[1], wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let rank = dy.shape().len();
        (0..2)
            .map(|i| {
                wanted[i]
                    .then(|| dy.clone().mul(align(kept.input(1 - i), rank)).sum_to(&kept.input_shapes[i]))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Multiply, &[&[2, 3, 4], &[2, 3, 4]]);
        check_op(&Multiply, &[&[2, 3, 4], &[4]]);
    }
}
