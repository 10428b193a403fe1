use super::channel_mean::{channels, over_channels, per_channel, sum_channels};
use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Biased variance of each channel over the batch and all positions, around a mean that is given:
/// `x [batch, channels, …]` and `mean [channels]` give `[channels]`, the mean of `(x − mean)²`.
#[derive(Debug)]
pub struct ChannelVariance;

impl Op for ChannelVariance {
    fn name(&self) -> &'static str {
        "channel variance"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2, self.name(), inputs, || "needs x and its mean".to_owned())?;
        let shape = channels(self.name(), inputs)?;
        require(inputs[1] == shape, self.name(), inputs, || format!("the mean should be {shape:?}"))?;
        Ok(shape)
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        crate::tensor::elements(&inputs[0]) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        let deviation = inputs[0].clone().sub(over_channels(inputs[1].clone(), shape.len()));
        sum_channels(deviation.square()).mul_scalar(1.0 / per_channel(&shape))
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, true])
    }

    fn workspace(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        // The deviation and its square.
        8 * elements(&inputs[0]) as u64
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let deviation = kept.input(0).sub(over_channels(kept.input(1), shape.len()));
        let factor = dy.mul_scalar(2.0 / per_channel(shape));
        // Nought but for rounding where the mean is that of x; any other mean has a gradient.
        let dmean = wanted[1].then(|| sum_channels(deviation.clone()).mul(factor.clone()).neg());
        let dx = wanted[0].then(|| deviation.mul(over_channels(factor, shape.len())));
        vec![dx, dmean]
    }

    fn mixes_samples(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&ChannelVariance, &[&[4, 3, 5, 2], &[3]]);
        check_op(&ChannelVariance, &[&[4, 3], &[3]]);
        assert!(ChannelVariance.mixes_samples());
        let error = ChannelVariance.shape(&[vec![4, 3], vec![4]]).unwrap_err();
        assert!(error.to_string().contains("the mean should be [3]"));
    }
}
