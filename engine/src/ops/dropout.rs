use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Inverted dropout: in training mode each element is zeroed with `probability`, the rest divided by
/// `1 − probability`. Keeps nothing: the mask is drawn again from the node's counter-based stream.
#[derive(Debug)]
pub struct Dropout {
    /// Chance of an element to be dropped, in `[0, 1)`.
    pub probability: f64,
}

impl Dropout {
    fn mask(&self, like: &Value, context: &Context) -> Value {
        self.mask_of(&like.shape(), like, context)
    }

    /// Factors of this shape, of the number type and on the device of `like`: 0, or `1/(1 − probability)`.
    pub(super) fn mask_of(&self, shape: &[usize], like: &Value, context: &Context) -> Value {
        let mut draws = context.stream.at(context.step);
        #[expect(clippy::cast_possible_truncation, reason = "a mask value needs no f64")]
        let (keep, threshold) = ((1.0 / (1.0 - self.probability)) as f32, self.probability as f32);
        let data =
            (0..elements(shape)).map(|_| if draws.uniform() < threshold { 0.0 } else { keep }).collect();
        Value::from_f32(data, shape, &like.device()).cast(like.dtype().into())
    }

    pub(super) fn acts(&self, context: &Context) -> bool {
        context.training && self.probability > 0.0
    }
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input".to_owned())?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], context: &Context) -> Value {
        let x = inputs[0].clone();
        if !self.acts(context) {
            return x;
        }
        let mask = self.mask(&x, context);
        x.mul(mask)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, training: bool) -> Lies {
        if training && self.probability > 0.0 { Lies::InPlace } else { Lies::Same }
    }

    fn vjp_workspace(&self, _inputs: &[Shape], output: &Shape, _wanted: &[bool]) -> u64 {
        if self.probability > 0.0 { 4 * elements(output) as u64 } else { 0 }
    }

    fn vjp(&self, _kept: &Kept, dy: Value, _wanted: &[bool], context: &Context) -> Vec<Option<Value>> {
        if !self.acts(context) {
            return vec![Some(dy)];
        }
        let mask = self.mask(&dy, context);
        vec![Some(dy.mul(mask))]
    }

    fn view(&self, _inputs: &[Shape], training: bool) -> Option<usize> {
        // Where it does not act it hands its input on.
        (!training || self.probability == 0.0).then_some(0)
    }

    fn draws(&self) -> bool {
        self.probability > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;
    use crate::tensor::Stream;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&Dropout { probability: 0.3 }, &[&[6, 9]]);
    }

    #[test]
    fn keeps_the_mean_and_acts_only_in_training() {
        let x = Value::from_f32(vec![1.0; 10_000], &[100, 100], &Device::flex());
        let op = Dropout { probability: 0.25 };
        let training = Context { stream: Stream::new(1, "d"), step: 5, training: true };
        let y = op.forward(std::slice::from_ref(&x), &training).to_f32();
        let mean = y.iter().sum::<f32>() / 10_000.0;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert_eq!(op.forward(std::slice::from_ref(&x), &Context::inference()).to_f32(), x.to_f32());
        assert_eq!(op.forward(&[x], &training).to_f32(), y);
    }
}
