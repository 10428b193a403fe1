use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// `max(x, 0)`. Keeps its output, whose sign says where the gradient passes.
#[derive(Debug)]
pub struct Relu;

impl Op for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input".to_owned())?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().relu()
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps { inputs: Vec::new(), output: true, extras: false }
    }

    fn vjp_workspace(&self, _inputs: &[Shape], output: &Shape, _wanted: &[bool]) -> u64 {
        // Whether it passes, a byte an element.
        crate::tensor::elements(output) as u64
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![Some(dy.mul(kept.output().positive_mask()))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Relu, &[&[4, 9]]);
    }
}
