use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Mean over all places of each channel: `[batch, channels, …] → [batch, channels]`. Backward keeps nothing.
#[derive(Debug)]
pub struct GlobalMean;

impl Op for GlobalMean {
    fn name(&self) -> &'static str {
        "global mean"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && inputs[0].len() >= 3, self.name(), inputs, || {
            "needs x [batch, channels, …]".to_owned()
        })?;
        Ok(inputs[0][..2].to_vec())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        let places = elements(&shape[2..]);
        inputs[0].clone().reshape(&[shape[0], shape[1], places]).mean_axis(2).reshape(&shape[..2])
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let places = elements(&shape[2..]);
        let mut thin = shape[..2].to_vec();
        thin.resize(shape.len(), 1);
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let each = dy.mul_scalar(1.0 / places as f64);
        vec![Some(each.reshape(&thin).expand(shape))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&GlobalMean, &[&[2, 3, 2, 5]]);
    }
}
