use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// `x·σ(1.702·x)`, the GELU approximation that CLIP was trained with (Hendrycks and Gimpel, 2016). Keeps its input only.
#[derive(Debug)]
pub struct QuickGelu;

/// Slope of the sigmoid.
const SLOPE: f64 = 1.702;

impl Op for QuickGelu {
    fn name(&self) -> &'static str {
        "quick gelu"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input".to_owned())?;
        Ok(inputs[0].clone())
    }

    fn multiply_adds(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        2 * elements(output) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().mul(inputs[0].clone().mul_scalar(SLOPE).sigmoid())
    }

    fn workspace(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        4 * elements(output) as u64
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true])
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn vjp_workspace(&self, _inputs: &[Shape], output: &Shape, _wanted: &[bool]) -> u64 {
        8 * elements(output) as u64
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let x = kept.input(0);
        let gate = x.clone().mul_scalar(SLOPE).sigmoid();
        // d/dx x·σ(c·x) = σ·(1 + c·x·(1 − σ)).
        let bend = gate.clone().neg().add_scalar(1.0).mul(x).mul_scalar(SLOPE).add_scalar(1.0);
        vec![Some(dy.mul(gate.mul(bend)))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&QuickGelu, &[&[4, 9]]);
    }
}
