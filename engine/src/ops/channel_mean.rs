use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Mean of each channel over the batch and all positions: `x [batch, channels, …] → [channels]`.
#[derive(Debug)]
pub struct ChannelMean;

/// `[channels]` of an input `[batch, channels, …]`.
pub(super) fn channels(op: &'static str, inputs: &[Shape]) -> Result<Shape, ShapeError> {
    require(inputs.first().is_some_and(|x| x.len() >= 2 && elements(x) > 0), op, inputs, || {
        "needs x [batch, channels, …] with at least one element".to_owned()
    })?;
    Ok(vec![inputs[0][1]])
}

/// How many numbers of `x [batch, channels, …]` each channel has.
#[expect(clippy::cast_precision_loss, reason = "counts of elements in memory fit an f64")]
pub(super) fn per_channel(x: &[usize]) -> f64 {
    (elements(x) / x[1]) as f64
}

/// Sum of each channel of `x [batch, channels, …]`, in a fixed order.
pub(super) fn sum_channels(x: Value) -> Value {
    let shape = x.shape();
    let (batch, channels) = (shape[0], shape[1]);
    x.reshape(&[batch, channels, elements(&shape[2..])]).sum_axis(2).sum_axis(0).reshape(&[channels])
}

/// `[channels]` as `[1, channels, 1, …]`, which broadcasts over a tensor of `rank` axes.
pub(super) fn over_channels(value: Value, rank: usize) -> Value {
    let mut shape = vec![1; rank];
    shape[1] = value.shape()[0];
    value.reshape(&shape)
}

impl Op for ChannelMean {
    fn name(&self) -> &'static str {
        "channel mean"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input".to_owned())?;
        channels(self.name(), inputs)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let count = per_channel(&inputs[0].shape());
        sum_channels(inputs[0].clone()).mul_scalar(1.0 / count)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Repeated
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let dx = wanted[0]
            .then(|| over_channels(dy.mul_scalar(1.0 / per_channel(shape)), shape.len()).expand(shape));
        vec![dx]
    }

    fn mixes_samples(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;

    #[test]
    fn gradients() {
        check_op(&ChannelMean, &[&[4, 3, 5, 2]]);
        check_op(&ChannelMean, &[&[4, 3]]);
        assert!(ChannelMean.mixes_samples());
        assert!(ChannelMean.shape(&[vec![4]]).is_err());
    }

    #[test]
    fn averages_over_batch_and_positions() {
        let x = random("x", &[2, 3, 2]);
        let mean = ChannelMean.forward(std::slice::from_ref(&x), &Context::inference()).to_f64();
        let x = x.to_f64();
        for (c, mean) in mean.iter().enumerate() {
            let expected = (x[2 * c] + x[2 * c + 1] + x[6 + 2 * c] + x[6 + 2 * c + 1]) / 4.0;
            assert!((mean - expected).abs() < 1e-15);
        }
    }
}
