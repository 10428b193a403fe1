use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Its input, as a node of its own: where a value has several readers, what is put here reaches one of them only. A view.
#[derive(Debug)]
pub struct Identity;

impl Op for Identity {
    fn name(&self) -> &'static str {
        "identity"
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

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Same
    }

    fn vjp(&self, _kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![wanted[0].then_some(dy)]
    }

    fn view(&self, _inputs: &[Shape], _training: bool) -> Option<usize> {
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Identity, &[&[3, 4]]);
    }
}
