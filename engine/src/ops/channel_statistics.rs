use super::{Context, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Mean of each channel over batch and places: `x [batch, channels, …] → [channels]`.
#[derive(Debug)]
pub struct ChannelMean;

/// Variance of each channel over batch and places, without Bessel's correction: of `x [batch, channels, …]` and
/// its means `[channels]` → `[channels]`.
#[derive(Debug)]
pub struct ChannelVariance;

/// Bessel's correction of a variance `[channels]` of `x [batch, channels, …]`, which is read for its extents:
/// `variance·n/(n − 1)`, as PyTorch keeps it in running statistics. One sample's variance stays what it is.
#[derive(Debug)]
pub struct Unbias;

/// `[channels]` as something that broadcasts over `x`.
pub(super) fn by_channel(value: Value, x: &[usize]) -> Value {
    let mut shape = vec![1; x.len()];
    shape[1] = x[1];
    value.reshape(&shape)
}

/// Sum over everything but channels: `[batch, channels, …] → [channels]`.
pub(super) fn sum_by_channel(x: Value) -> Value {
    let shape = x.shape();
    let (batch, channels) = (shape[0], shape[1]);
    let places = elements(&shape[2..]);
    x.reshape(&[batch, channels, places]).sum_axis(2).sum_axis(0).reshape(&[channels])
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(x: &[usize]) -> f64 {
    (elements(x) / x[1]).max(1) as f64
}

fn has_channels(shape: &[usize]) -> bool {
    shape.len() >= 2
}

impl Op for ChannelMean {
    fn name(&self) -> &'static str {
        "channel mean"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && has_channels(&inputs[0]), self.name(), inputs, || {
            "needs x [batch, channels, …]".to_owned()
        })?;
        Ok(vec![inputs[0][1]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let count = count(&inputs[0].shape());
        sum_by_channel(inputs[0].clone()).mul_scalar(1.0 / count)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        vec![Some(by_channel(dy.mul_scalar(1.0 / count(shape)), shape).expand(shape))]
    }

    fn mixes_samples(&self) -> bool {
        true
    }
}

impl Op for ChannelVariance {
    fn name(&self) -> &'static str {
        "channel variance"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 2 && has_channels(&inputs[0]) && inputs[1] == [inputs[0][1]];
        require(fits, self.name(), inputs, || {
            "needs x [batch, channels, …] and means [channels]".to_owned()
        })?;
        Ok(vec![inputs[0][1]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        let centred = inputs[0].clone().sub(by_channel(inputs[1].clone(), &shape));
        sum_by_channel(centred.square()).mul_scalar(1.0 / count(&shape))
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, true])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let centred = kept.input(0).sub(by_channel(kept.input(1), shape));
        let towards_x = centred.mul(by_channel(dy.mul_scalar(2.0 / count(shape)), shape));
        let towards_mean = wanted[1].then(|| sum_by_channel(towards_x.clone()).neg());
        vec![wanted[0].then_some(towards_x), towards_mean]
    }

    fn mixes_samples(&self) -> bool {
        true
    }
}

impl Op for Unbias {
    fn name(&self) -> &'static str {
        "unbias"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 2 && has_channels(&inputs[1]) && inputs[0] == [inputs[1][1]];
        require(fits, self.name(), inputs, || {
            "needs variances [channels] and x [batch, channels, …]".to_owned()
        })?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().mul_scalar(correction(&inputs[1].shape()))
    }

    fn reads(&self, input: usize, _training: bool) -> Reads {
        if input == 0 { Reads::Value } else { Reads::Shape }
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![Some(dy.mul_scalar(correction(&kept.input_shapes[1]))), None]
    }
}

fn correction(x: &[usize]) -> f64 {
    let count = count(x);
    count / (count - 1.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, check_op_on};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&ChannelMean, &[&[3, 2, 4]]);
        check_op(&ChannelMean, &[&[3, 2]]);
        check_op(&ChannelVariance, &[&[3, 2, 2, 2], &[2]]);
        let x = Value::from_f32(vec![0.0; 12], &[3, 2, 2], &Device::flex());
        check_op_on(&Unbias, &[&[2]], &[x]);
    }

    #[test]
    fn golden() {
        let x = Value::from_f64(vec![1.0, 10.0, 3.0, 30.0], &[2, 2], &Device::flex());
        let context = Context::inference();
        let mean = ChannelMean.forward(std::slice::from_ref(&x), &context);
        assert_eq!(mean.to_f64(), [2.0, 20.0]);
        let variance = ChannelVariance.forward(&[x.clone(), mean], &context);
        assert_eq!(variance.to_f64(), [1.0, 100.0]);
        assert_eq!(Unbias.forward(&[variance, x], &context).to_f64(), [2.0, 200.0]);
    }
}
