use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Mean squared difference of two values of one shape, over all elements: `[1]`.
#[derive(Debug)]
pub struct MeanSquaredError;

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(shape: &[usize]) -> f64 {
    elements(shape).max(1) as f64
}

impl Op for MeanSquaredError {
    fn name(&self) -> &'static str {
        "mean squared error"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 2 && inputs[0] == inputs[1];
        require(fits, self.name(), inputs, || "needs two values of one shape".to_owned())?;
        Ok(vec![1])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let factor = 1.0 / count(&inputs[0].shape());
        inputs[0].clone().sub(inputs[1].clone()).square().sum_all().mul_scalar(factor)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, true])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let factor = dy.mul_scalar(2.0 / count(shape)).reshape(&vec![1; shape.len()]);
        let gradient = kept.input(0).sub(kept.input(1)).mul(factor);
        vec![wanted[0].then(|| gradient.clone()), wanted[1].then(|| gradient.neg())]
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
        check_op(&MeanSquaredError, &[&[2, 3], &[2, 3]]);
    }
}
