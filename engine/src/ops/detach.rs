use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Passes its input on and no gradient back. A view.
#[derive(Debug)]
pub struct Detach;

impl Op for Detach {
    fn name(&self) -> &'static str {
        "detach"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input".to_owned())?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone()
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, _kept: &Kept, _dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![None]
    }

    fn view(&self, _inputs: &[Shape], _training: bool) -> Option<usize> {
        Some(0)
    }

    fn passes_gradient(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;

    #[test]
    fn passes_values_and_no_gradient() {
        check_op(&Detach, &[&[2, 3]]);
        let x = random("x", &[2, 3]);
        assert_eq!(Detach.forward(std::slice::from_ref(&x), &Context::inference()).to_f64(), x.to_f64());
        assert!(!Detach.passes_gradient());
        assert!(Detach.vjp(&Kept::default(), x, &[true], &Context::inference())[0].is_none());
    }
}
