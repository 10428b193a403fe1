use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, kernels};

/// Logistic function `1/(1 + e⁻ˣ)`. Keeps its output only.
#[derive(Debug)]
pub struct Sigmoid;

impl Op for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input".to_owned())?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        kernels::sigmoid(&inputs[0]).unwrap_or_else(|| inputs[0].clone().sigmoid())
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps { inputs: Vec::new(), output: true, extras: false }
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let y = kept.output();
        vec![wanted[0].then(|| dy.mul(y.clone().sub(y.square())))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&Sigmoid, &[&[4, 9]]);
    }

    #[test]
    fn large_inputs_stay_finite() {
        let x = Value::from_f32(vec![-1000.0, 0.0, 1000.0], &[3], &Device::flex());
        assert_eq!(Sigmoid.forward(&[x], &Context::inference()).to_f32(), [0.0, 0.5, 1.0]);
    }
}
