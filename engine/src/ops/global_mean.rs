use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Mean over all positions: `[batch, channels, height, width] → [batch, channels]`.
#[derive(Debug)]
pub struct GlobalMean;

impl Op for GlobalMean {
    fn name(&self) -> &'static str {
        "global mean"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 1 && inputs[0].len() == 4 && !inputs[0][2..].contains(&0),
            self.name(),
            inputs,
            || "needs [batch, channels, height, width] with at least one pixel".to_owned(),
        )?;
        Ok(inputs[0][..2].to_vec())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        let flat = [shape[0], shape[1], shape[2] * shape[3]];
        inputs[0].clone().reshape(&flat).mean_axis(2).reshape(&shape[..2])
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Repeated
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of pixels is small")]
    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let factor = 1.0 / (shape[2] * shape[3]) as f64;
        let dx = wanted[0].then(|| dy.mul_scalar(factor).reshape(&[shape[0], shape[1], 1, 1]).expand(shape));
        vec![dx]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&GlobalMean, &[&[2, 3, 4, 5]]);
        check_op(&GlobalMean, &[&[2, 3, 1, 1]]);
        assert!(GlobalMean.shape(&[vec![2, 3, 4]]).is_err());
    }
}
