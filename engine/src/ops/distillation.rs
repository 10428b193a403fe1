use super::symmetric_kl::{share, two_logits};
use super::{Context, Keeps, Kept, Op, ShapeError};
use crate::tensor::{Shape, Value, elements};

/// Distillation at a temperature `T` (Hinton et al., 2015): `T²·KL(softmax(t/T)‖softmax(s/T))`, a mean over the
/// rows, of student logits `s` and teacher logits `t`, both `[rows, classes]`, as a scalar `[1]`.
#[derive(Debug)]
pub struct Distillation {
    /// Above 1 it softens both predictions.
    pub temperature: f64,
}

impl Distillation {
    fn log(&self, logits: Value) -> Value {
        logits.mul_scalar(1.0 / self.temperature).log_softmax(1)
    }
}

impl Op for Distillation {
    fn name(&self) -> &'static str {
        "distillation"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        two_logits(self.name(), inputs)
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        elements(&inputs[0]) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let [student, teacher] = [0, 1].map(|i| self.log(inputs[i].clone()));
        let factor = self.temperature * self.temperature * share(&inputs[0].shape());
        teacher.clone().exp().mul(teacher.sub(student)).sum_all().mul_scalar(factor)
    }

    fn mixes_samples(&self) -> bool {
        true
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, true])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let [student, teacher] = [0, 1].map(|i| self.log(kept.input(i)));
        let dy = dy.mul_scalar(self.temperature * share(&kept.input_shapes[0])).reshape(&[1, 1]);
        let target = teacher.clone().exp();
        let dteacher = wanted[1].then(|| {
            let ratio = teacher.sub(student.clone());
            let mean = target.clone().mul(ratio.clone()).sum_axis(1);
            target.clone().mul(ratio.sub(mean)).mul(dy.clone())
        });
        let dstudent = wanted[0].then(|| student.exp().sub(target).mul(dy));
        vec![dstudent, dteacher]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;

    #[test]
    fn gradients() {
        for temperature in [1.0, 2.5] {
            check_op(&Distillation { temperature }, &[&[3, 5], &[3, 5]]);
        }
    }

    #[test]
    fn is_the_plain_formula_and_nought_for_the_same() {
        let (s, t) = (random("s", &[2, 3]), random("t", &[2, 3]));
        let op = Distillation { temperature: 2.0 };
        let y = op.forward(&[s.clone(), t.clone()], &Context::inference()).to_scalar();
        let softmax = |row: &[f64]| {
            let exp: Vec<f64> = row.iter().map(|x| (x / 2.0).exp()).collect();
            let sum: f64 = exp.iter().sum();
            exp.into_iter().map(|x| x / sum).collect::<Vec<_>>()
        };
        let (s, t) = (s.to_f64(), t.to_f64());
        let mut expected = 0.0;
        for row in 0..2 {
            let (s, t) = (softmax(&s[3 * row..][..3]), softmax(&t[3 * row..][..3]));
            expected += 4.0 * (0..3).map(|i| t[i] * (t[i] / s[i]).ln()).sum::<f64>() / 2.0;
        }
        assert!((y - expected).abs() < 1e-13, "{y} {expected}");
        let x = random("x", &[4, 6]);
        assert_eq!(op.forward(&[x.clone(), x], &Context::inference()).to_scalar().to_bits(), 0);
    }
}
