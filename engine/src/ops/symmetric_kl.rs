use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Symmetric Kullback–Leibler divergence of two predictions, a mean over the rows: `KL(p‖q) + KL(q‖p)` with
/// `p = softmax(a)` and `q = softmax(b)`, both `[rows, classes]`, as a scalar `[1]`. Exactly 0 when `a` and `b`
/// are the same bits, never negative.
#[derive(Debug)]
pub struct SymmetricKl;

/// Two logits of one shape `[rows, classes]`.
pub(super) fn two_logits(op: &'static str, inputs: &[Shape]) -> Result<Shape, ShapeError> {
    require(
        inputs.len() == 2 && inputs[0].len() == 2 && inputs[0] == inputs[1] && elements(&inputs[0]) > 0,
        op,
        inputs,
        || "needs two logits [rows, classes] of one shape".to_owned(),
    )?;
    Ok(vec![1])
}

/// `1/rows` of `[rows, …]`.
#[expect(clippy::cast_precision_loss, reason = "a batch is small")]
pub(super) fn share(shape: &[usize]) -> f64 {
    1.0 / shape[0] as f64
}

impl Op for SymmetricKl {
    fn name(&self) -> &'static str {
        "symmetric kl"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        two_logits(self.name(), inputs)
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        elements(&inputs[0]) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let [log_p, log_q] = [0, 1].map(|i| inputs[i].clone().log_softmax(1));
        let distance = log_p.clone().exp().sub(log_q.clone().exp());
        distance.mul(log_p.sub(log_q)).sum_all().mul_scalar(share(&inputs[0].shape()))
    }

    fn mixes_samples(&self) -> bool {
        true
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, true])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let [log_p, log_q] = [0, 1].map(|i| kept.input(i).log_softmax(1));
        let (p, q) = (log_p.clone().exp(), log_q.clone().exp());
        let ratio = log_p.sub(log_q);
        let dy = dy.mul_scalar(share(&kept.input_shapes[0])).reshape(&[1, 1]);
        let distance = p.clone().sub(q.clone());
        // d/da = p·(ratio − Σ p·ratio) + (p − q), and d/db the same with a and b exchanged.
        let towards = |p: Value| {
            let mean = p.clone().mul(ratio.clone()).sum_axis(1);
            p.mul(ratio.clone().sub(mean)).add(distance.clone()).mul(dy.clone())
        };
        let da = wanted[0].then(|| towards(p));
        let db = wanted[1].then(|| towards(q).neg());
        vec![da, db]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&SymmetricKl, &[&[3, 5], &[3, 5]]);
        assert!(SymmetricKl.shape(&[vec![3, 5], vec![2, 5]]).is_err());
    }

    #[test]
    fn is_the_plain_sum_and_nought_for_the_same() {
        let logits = |data: [f64; 2]| Value::from_f64(data.map(f64::ln).to_vec(), &[1, 2], &Device::flex());
        let kl = |p: [f64; 2], q: [f64; 2]| (0..2).map(|i| p[i] * (p[i] / q[i]).ln()).sum::<f64>();
        let (p, q) = ([0.25, 0.75], [0.5, 0.5]);
        let y = SymmetricKl.forward(&[logits(p), logits(q)], &Context::inference()).to_scalar();
        assert!((y - kl(p, q) - kl(q, p)).abs() < 1e-14);
        let x = random("x", &[4, 6]);
        let same = SymmetricKl.forward(&[x.clone(), x], &Context::inference()).to_scalar();
        assert_eq!(same.to_bits(), 0.0f64.to_bits());
    }
}
