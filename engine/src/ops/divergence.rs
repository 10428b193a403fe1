use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// `KL(p_a‖p_b) + KL(p_b‖p_a)` of two predictions, logits `[rows, classes]`, averaged over rows: `[1]`.
/// It is `Σ (p_a − p_b)·(log p_a − log p_b)`, and 0 where both are the same bits.
#[derive(Debug)]
pub struct SymmetricKl;

/// `T²·KL(softmax(teacher/T)‖softmax(student/T))` (Hinton et al., 2015), inputs student and teacher, logits
/// `[rows, classes]`, averaged over rows: `[1]`.
#[derive(Debug)]
pub struct Distillation {
    /// Temperature of both predictions.
    pub temperature: f64,
}

/// `log softmax` over the last of two axes, without overflow.
fn log_softmax(logits: Value) -> Value {
    let largest = logits.clone().max_axis(1);
    let shifted = logits.sub(largest);
    let total = shifted.clone().exp().sum_axis(1).log();
    shifted.sub(total)
}

/// From the gradient of `log p` and of `p` to that of the logits.
fn through_softmax(p: &Value, of_log: Value, of_p: Value) -> Value {
    let weighted = of_p.mul(p.clone());
    let inner = weighted.clone().sub(p.clone().mul(weighted.sum_axis(1)));
    let outer = of_log.clone().sub(p.clone().mul(of_log.sum_axis(1)));
    inner.add(outer)
}

#[expect(clippy::cast_precision_loss, reason = "a batch is small")]
fn rows(shape: &[usize]) -> f64 {
    shape[0].max(1) as f64
}

fn two_predictions(op: &'static str, inputs: &[Shape]) -> Result<Shape, ShapeError> {
    let fits = inputs.len() == 2 && inputs[0].len() == 2 && inputs[0] == inputs[1];
    require(fits, op, inputs, || "needs two predictions [rows, classes]".to_owned())?;
    Ok(vec![1])
}

impl Op for SymmetricKl {
    fn name(&self) -> &'static str {
        "symmetric KL"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        two_predictions(self.name(), inputs)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let count = rows(&inputs[0].shape());
        let (a, b) = (log_softmax(inputs[0].clone()), log_softmax(inputs[1].clone()));
        let apart = a.clone().exp().sub(b.clone().exp());
        apart.mul(a.sub(b)).sum_all().mul_scalar(1.0 / count)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, true])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let factor = dy.mul_scalar(1.0 / rows(&kept.input_shapes[0])).reshape(&[1, 1]);
        let (a, b) = (log_softmax(kept.input(0)), log_softmax(kept.input(1)));
        let (p, q) = (a.clone().exp(), b.clone().exp());
        let gradient = |p: &Value, other: &Value, log: &Value, log_other: &Value| {
            let of_log = p.clone().sub(other.clone());
            let of_p = log.clone().sub(log_other.clone());
            through_softmax(p, of_log, of_p).mul(factor.clone())
        };
        vec![wanted[0].then(|| gradient(&p, &q, &a, &b)), wanted[1].then(|| gradient(&q, &p, &b, &a))]
    }

    fn mixes_samples(&self) -> bool {
        true
    }
}

impl Op for Distillation {
    fn name(&self) -> &'static str {
        "distillation"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        two_predictions(self.name(), inputs)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let factor = self.temperature * self.temperature / rows(&inputs[0].shape());
        let cooled = |i: usize| log_softmax(inputs[i].clone().mul_scalar(1.0 / self.temperature));
        let (student, teacher) = (cooled(0), cooled(1));
        teacher.clone().exp().mul(teacher.sub(student)).sum_all().mul_scalar(factor)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, true])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let factor = dy.mul_scalar(self.temperature / rows(&kept.input_shapes[0])).reshape(&[1, 1]);
        let cooled = |i: usize| log_softmax(kept.input(i).mul_scalar(1.0 / self.temperature));
        let (student, teacher) = (cooled(0), cooled(1));
        let p = teacher.clone().exp();
        vec![
            wanted[0].then(|| student.clone().exp().sub(p.clone()).mul(factor.clone())),
            wanted[1].then(|| {
                let of_p = teacher.sub(student.clone());
                through_softmax(&p, p.clone(), of_p).mul(factor.clone())
            }),
        ]
    }

    fn mixes_samples(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&SymmetricKl, &[&[3, 4], &[3, 4]]);
        check_op(&Distillation { temperature: 2.0 }, &[&[3, 4], &[3, 4]]);
    }

    #[test]
    fn equal_predictions_do_not_diverge() {
        let x = Value::from_f32(vec![0.3, -2.0, 7.0, 1.0], &[2, 2], &Device::flex());
        let both = [x.clone(), x];
        assert_eq!(SymmetricKl.forward(&both, &Context::inference()).to_f32(), [0.0]);
        assert_eq!(Distillation { temperature: 3.0 }.forward(&both, &Context::inference()).to_f32(), [0.0]);
    }

    /// Probabilities (1/2, 1/2) and (3/4, 1/4): KL is ½ln(2/3) + ½ln 2 one way, ¾ln(3/2) + ¼ln(1/2) the other.
    #[test]
    fn golden() {
        let device = Device::flex();
        let a = Value::from_f64(vec![0.0, 0.0], &[1, 2], &device);
        let b = Value::from_f64(vec![3.0f64.ln(), 0.0], &[1, 2], &device);
        let one = 0.5 * (2.0f64 / 3.0).ln() + 0.5 * 2.0f64.ln();
        let other = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        let both = SymmetricKl.forward(&[a.clone(), b.clone()], &Context::inference()).to_scalar();
        assert!((both - one - other).abs() < 1e-12);
        let taught = Distillation { temperature: 1.0 }.forward(&[a, b], &Context::inference()).to_scalar();
        assert!((taught - other).abs() < 1e-12);
    }
}
