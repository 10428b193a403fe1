use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Mean of `(a − b)²` over all elements of two tensors of one shape, as a scalar `[1]`.
#[derive(Debug)]
pub struct MeanSquaredError;

#[expect(clippy::cast_precision_loss, reason = "counts of elements in memory fit an f64")]
fn share(shape: &[usize]) -> f64 {
    1.0 / elements(shape) as f64
}

impl Op for MeanSquaredError {
    fn name(&self) -> &'static str {
        "mean squared error"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 2 && inputs[0] == inputs[1] && elements(&inputs[0]) > 0,
            self.name(),
            inputs,
            || "needs two inputs of one shape, not empty".to_owned(),
        )?;
        Ok(vec![1])
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        elements(&inputs[0]) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let error = inputs[0].clone().sub(inputs[1].clone());
        error.square().sum_all().mul_scalar(share(&inputs[0].shape()))
    }

    fn mixes_samples(&self) -> bool {
        true
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, true])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let dy = dy.mul_scalar(2.0 * share(shape)).reshape(&vec![1; shape.len()]);
        let da = kept.input(0).sub(kept.input(1)).mul(dy);
        let db = wanted[1].then(|| da.clone().neg());
        vec![wanted[0].then_some(da), db]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&MeanSquaredError, &[&[3, 4, 2], &[3, 4, 2]]);
        check_op(&MeanSquaredError, &[&[5], &[5]]);
        assert!(MeanSquaredError.shape(&[vec![3], vec![3, 1]]).is_err());
    }

    #[test]
    fn averages_over_all_elements() {
        let value = |data: [f64; 2]| Value::from_f64(data.to_vec(), &[1, 2], &Device::flex());
        let y = MeanSquaredError.forward(&[value([1.0, 5.0]), value([2.0, 2.0])], &Context::inference());
        assert_eq!(y.to_f64(), [5.0]);
    }
}
