use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Dice loss of a mask's `logits [rows, …]` against `masks` of the same shape with values in 0…1, a mean over the rows:
/// `1 − (2·Σp·g + ε) / (Σp + Σg + ε)` with `p = sigmoid(logits)` and sums over all but the rows. The result is `[1]`.
#[derive(Debug)]
pub struct Dice {
    /// Added to both sums, so that two empty masks agree.
    pub smoothing: f64,
}

/// Two masks of one shape `[rows, …]`, not empty.
pub(super) fn two_masks(op: &'static str, inputs: &[Shape]) -> Result<Shape, ShapeError> {
    require(
        inputs.len() == 2 && inputs[0].len() > 1 && inputs[0] == inputs[1] && elements(&inputs[0]) > 0,
        op,
        inputs,
        || "needs logits and masks of one shape [rows, …]".to_owned(),
    )?;
    Ok(vec![1])
}

/// `[rows, …]` as `[rows, pixels]`.
fn flat(value: Value) -> Value {
    let shape = value.shape();
    let pixels = shape[1..].iter().product();
    value.reshape(&[shape[0], pixels])
}

impl Dice {
    /// Probabilities, masks (both `[rows, pixels]`), and the two sums `[rows, 1]`.
    fn parts(&self, logits: Value, masks: Value) -> [Value; 4] {
        let (p, g) = (flat(logits).sigmoid(), flat(masks));
        let both = p.clone().mul(g.clone()).sum_axis(1).mul_scalar(2.0).add_scalar(self.smoothing);
        let either = p.clone().add(g.clone()).sum_axis(1).add_scalar(self.smoothing);
        [p, g, both, either]
    }
}

impl Op for Dice {
    fn name(&self) -> &'static str {
        "dice"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        two_masks(self.name(), inputs)
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        elements(&inputs[0]) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let [_, _, both, either] = self.parts(inputs[0].clone(), inputs[1].clone());
        let share = super::symmetric_kl::share(&inputs[0].shape());
        both.div(either).sum_all().mul_scalar(-share).add_scalar(1.0)
    }

    fn mixes_samples(&self) -> bool {
        true
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, true])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = kept.input_shapes[0].clone();
        let [p, g, both, either] = self.parts(kept.input(0), kept.input(1));
        let dy = dy.mul_scalar(-super::symmetric_kl::share(&shape)).reshape(&[1, 1]);
        // Of the quotient n/d by what both sums hold of the other mask: 2·other/d − n/d².
        let quotient = both.div(either.clone().square());
        let slope = |other: Value| {
            let first = other.mul_scalar(2.0).div(either.clone());
            first.sub(quotient.clone()).mul(dy.clone())
        };
        let dmasks = wanted[1].then(|| slope(p.clone()).reshape(&shape));
        let dlogits = wanted[0].then(|| {
            let inner = p.clone().mul(p.neg().add_scalar(1.0));
            slope(g).mul(inner).reshape(&shape)
        });
        vec![dlogits, dmasks]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&Dice { smoothing: 1e-5 }, &[&[3, 4, 2], &[3, 4, 2]]);
        check_op(&Dice { smoothing: 1.0 }, &[&[2, 5], &[2, 5]]);
        assert!(Dice { smoothing: 1.0 }.shape(&[vec![3], vec![3]]).is_err());
    }

    #[test]
    fn is_nought_for_the_mask_itself_and_the_plain_formula_elsewhere() {
        let op = Dice { smoothing: 1e-5 };
        let value = |data: &[f64]| Value::from_f64(data.to_vec(), &[2, 2, 2], &Device::flex());
        let masks = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        let sure = masks.map(|mask| if mask > 0.5 { 60.0 } else { -60.0 });
        let y = op.forward(&[value(&sure), value(&masks)], &Context::inference()).to_scalar();
        assert!(y.abs() < 1e-12, "{y}");
        let logits = random("logits", &[2, 2, 2]);
        let y = op.forward(&[logits.clone(), value(&masks)], &Context::inference()).to_scalar();
        let p: Vec<f64> = logits.to_f64().iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
        let row = |row: usize| {
            let pairs = || p[4 * row..4 * row + 4].iter().zip(&masks[4 * row..]);
            let both: f64 = pairs().map(|(p, g)| 2.0 * p * g).sum();
            let either: f64 = pairs().map(|(p, g)| p + g).sum();
            1.0 - (both + 1e-5) / (either + 1e-5)
        };
        assert!((y - f64::midpoint(row(0), row(1))).abs() < 1e-12, "{y}");
    }
}
