use super::channel_mean::per_channel;
use super::{Context, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Turns the biased variance of a batch into the unbiased one: `variance·n/(n − 1)`, `n` being how many numbers of
/// `x [batch, channels, …]` each channel has (with one, as if it had two). Inputs: `variance [channels]`, and `x`,
/// read for its shape only.
#[derive(Debug)]
pub struct Unbias;

fn factor(x: &[usize]) -> f64 {
    let count = per_channel(x);
    count / (count - 1.0).max(1.0)
}

impl Op for Unbias {
    fn name(&self) -> &'static str {
        "unbias"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 2 && inputs[1].len() >= 2 && inputs[0][..] == inputs[1][1..2],
            self.name(),
            inputs,
            || "needs the variance [channels] and x [batch, channels, …]".to_owned(),
        )?;
        Ok(inputs[0].clone())
    }

    fn multiply_adds(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        crate::tensor::elements(output) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().mul_scalar(factor(&inputs[1].shape()))
    }

    fn reads(&self, input: usize, _training: bool) -> Reads {
        if input == 1 { Reads::Shape } else { Reads::Value }
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![wanted[0].then(|| dy.mul_scalar(factor(&kept.input_shapes[1]))), None]
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
        check_op(&Unbias, &[&[3], &[4, 3, 2]]);
        assert_eq!(factor(&[4, 3, 2]).to_bits(), (8.0f64 / 7.0).to_bits());
        assert_eq!(factor(&[1, 3]).to_bits(), 1.0f64.to_bits());
    }
}
