use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Mean cross-entropy of `logits [rows, classes]` against integer `labels [rows]`, with label smoothing as
/// PyTorch defines it: the target is `(1 − s)·one-hot + s/classes`. The result is `[1]`.
#[derive(Debug)]
pub struct CrossEntropy {
    /// Smoothing `s` in `[0, 1)`.
    pub label_smoothing: f64,
}

impl CrossEntropy {
    /// The smoothed target distribution, `[rows, classes]`.
    #[expect(clippy::cast_precision_loss, reason = "a class count is small")]
    fn target(&self, labels: &Value, logits: &Value) -> Value {
        let classes = logits.shape()[1];
        Value::one_hot(labels, classes, logits)
            .mul_scalar(1.0 - self.label_smoothing)
            .add_scalar(self.label_smoothing / classes as f64)
    }
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2, self.name(), inputs, || "needs logits and labels".to_owned())?;
        require(
            inputs[0].len() == 2 && inputs[1].len() == 1 && inputs[0][0] == inputs[1][0],
            self.name(),
            inputs,
            || "logits should be [rows, classes] and labels [rows]".to_owned(),
        )?;
        Ok(vec![1])
    }

    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (logits, labels) = (inputs[0].clone(), &inputs[1]);
        let rows = logits.shape()[0];
        let shifted = logits.clone().sub(logits.clone().max_axis(1));
        let log_sum = shifted.clone().exp().sum_axis(1).log();
        let target = self.target(labels, &logits);
        shifted.sub(log_sum).mul(target).sum_all().mul_scalar(-1.0 / rows as f64)
    }

    fn mixes_samples(&self) -> bool {
        true
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, true])
    }

    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let (logits, labels) = (kept.input(0), kept.input(1));
        let rows = logits.shape()[0];
        let dx = wanted[0].then(|| {
            let target = self.target(&labels, &logits);
            logits.softmax(1).sub(target).mul_scalar(1.0 / rows as f64).mul(dy.reshape(&[1, 1]))
        });
        vec![dx, None]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op_on;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        let device = Device::flex();
        let labels = Value::from_i64(vec![0, 4, 2], &[3], &device);
        for label_smoothing in [0.0, 0.1] {
            check_op_on(&CrossEntropy { label_smoothing }, &[&[3, 5]], std::slice::from_ref(&labels));
        }
    }

    #[test]
    fn uniform_logits_cost_the_logarithm_of_the_classes() {
        let device = Device::flex();
        let logits = Value::from_f32(vec![0.0; 8], &[2, 4], &device);
        let labels = Value::from_i64(vec![1, 3], &[2], &device);
        let loss = CrossEntropy { label_smoothing: 0.0 }.forward(&[logits, labels], &Context::inference());
        assert!((loss.to_scalar() - 4.0f64.ln()).abs() < 1e-6);
    }
}
