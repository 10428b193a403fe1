use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements, kernels};

/// Sigmoid linear unit `x/(1 + e⁻ˣ)` (swish). Keeps its input only.
#[derive(Debug)]
pub struct Silu;

impl Op for Silu {
    fn name(&self) -> &'static str {
        "silu"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input".to_owned())?;
        Ok(inputs[0].clone())
    }

    fn multiply_adds(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        elements(output) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        kernels::silu(&inputs[0]).unwrap_or_else(|| inputs[0].clone().mul(inputs[0].clone().sigmoid()))
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true])
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let dx = wanted[0].then(|| {
            let x = kept.input(0);
            if let Some(dx) = kernels::silu_vjp(&x, &dy) {
                return dx;
            }
            let s = x.clone().sigmoid();
            // s·(1 + x·(1 − s))
            let slope = s.clone().neg().add_scalar(1.0).mul(x).add_scalar(1.0).mul(s);
            dy.mul(slope)
        });
        vec![dx]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Silu, &[&[4, 9]]);
    }
}
