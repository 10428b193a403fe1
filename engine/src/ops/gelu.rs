use super::{Context, GeluForm, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements, kernels};

/// Gaussian error linear unit, in the exact form `x·Φ(x)` or the tanh approximation. Keeps its input only.
#[derive(Debug)]
pub struct Gelu {
    /// Which of the two forms the checkpoint was trained with.
    pub form: GeluForm,
}

/// √(2/π).
const ROOT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;
/// Cubic coefficient of the tanh form.
const CUBIC: f64 = 0.044_715;

/// `(1 + inner)/2` and the derivative of the whole, in plain ops.
fn halves(x: &Value, form: GeluForm) -> (Value, Value) {
    match form {
        GeluForm::Exact => {
            let phi =
                x.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5);
            let density = x.clone().square().mul_scalar(-0.5).exp().mul_scalar(0.5 * ROOT_2_OVER_PI);
            (phi.clone(), phi.add(x.clone().mul(density)))
        }
        GeluForm::Tanh => {
            let square = x.clone().square();
            let inner = square
                .clone()
                .mul_scalar(CUBIC)
                .add_scalar(1.0)
                .mul(x.clone())
                .mul_scalar(ROOT_2_OVER_PI)
                .tanh();
            let phi = inner.clone().add_scalar(1.0).mul_scalar(0.5);
            let slope = square.mul_scalar(3.0 * CUBIC).add_scalar(1.0).mul_scalar(ROOT_2_OVER_PI);
            let sech = inner.square().neg().add_scalar(1.0);
            (phi.clone(), phi.add(x.clone().mul(sech).mul(slope).mul_scalar(0.5)))
        }
    }
}

impl Op for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input".to_owned())?;
        Ok(inputs[0].clone())
    }

    fn multiply_adds(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        8 * elements(output) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        kernels::gelu(&inputs[0], self.form)
            .unwrap_or_else(|| inputs[0].clone().mul(halves(&inputs[0], self.form).0))
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true])
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::InPlace
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let x = kept.input(0);
        let dx = kernels::gelu_vjp(&x, dy, self.form).unwrap_or_else(|dy| dy.mul(halves(&x, self.form).1));
        vec![Some(dx)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Gelu { form: GeluForm::Exact }, &[&[4, 9]]);
        check_op(&Gelu { form: GeluForm::Tanh }, &[&[4, 9]]);
    }
}
