use super::dice::two_masks;
use super::{Context, Keeps, Kept, Op, ShapeError};
use crate::tensor::{Shape, Value, elements};

/// Mean binary cross-entropy of a mask's `logits [rows, …]` against `masks` of the same shape with values in 0…1, over all
/// elements: `log(1 + eˣ) − x·g`, computed without overflow. The result is `[1]`.
#[derive(Debug)]
pub struct BinaryCrossEntropy;

#[expect(clippy::cast_precision_loss, reason = "counts of elements in memory fit an f64")]
fn share(shape: &[usize]) -> f64 {
    1.0 / elements(shape) as f64
}

impl Op for BinaryCrossEntropy {
    fn name(&self) -> &'static str {
        "binary cross-entropy"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        two_masks(self.name(), inputs)
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        elements(&inputs[0]) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (x, g) = (inputs[0].clone(), inputs[1].clone());
        // log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|).
        let positive = x.clone().relu();
        let size = positive.clone().add(x.clone().neg().relu());
        let rest = size.neg().exp().add_scalar(1.0).log();
        positive.add(rest).sub(x.mul(g)).sum_all().mul_scalar(share(&inputs[0].shape()))
    }

    fn mixes_samples(&self) -> bool {
        true
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let dy = dy.mul_scalar(share(shape)).reshape(&vec![1; shape.len()]);
        let dlogits = wanted[0].then(|| kept.input(0).sigmoid().sub(kept.input(1)).mul(dy.clone()));
        let dmasks = wanted[1].then(|| kept.input(0).neg().mul(dy));
        vec![dlogits, dmasks]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&BinaryCrossEntropy, &[&[3, 4, 2], &[3, 4, 2]]);
        check_op(&BinaryCrossEntropy, &[&[2, 5], &[2, 5]]);
        assert!(BinaryCrossEntropy.shape(&[vec![2, 3], vec![3, 2]]).is_err());
    }

    #[test]
    fn is_the_plain_formula_and_stays_finite_far_out() {
        let value = |data: [f64; 4]| Value::from_f64(data.to_vec(), &[2, 2], &Device::flex());
        let (x, g) = ([0.3, -1.2, 2.0, 0.0], [1.0, 0.0, 0.25, 1.0]);
        let y = BinaryCrossEntropy.forward(&[value(x), value(g)], &Context::inference()).to_scalar();
        let p = |x: f64| 1.0 / (1.0 + (-x).exp());
        let cost = |(x, g): (f64, f64)| -(g * p(x).ln() + (1.0 - g) * (1.0 - p(x)).ln());
        let expected = x.into_iter().zip(g).map(cost).sum::<f64>() / 4.0;
        assert!((y - expected).abs() < 1e-13, "{y} {expected}");
        let far = [1e4, -1e4, 1e4, -1e4];
        let y = BinaryCrossEntropy.forward(&[value(far), value([1.0, 0.0, 0.0, 1.0])], &Context::inference());
        assert!((y.to_scalar() - 5e3).abs() < 1e-9, "{}", y.to_scalar());
    }
}
