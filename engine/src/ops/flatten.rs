use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Makes one axis of two neighbouring ones, `axis` and the next: `[batch, steps, places, width]` becomes
/// `[batch, steps·places, width]` with axis 1. A view.
#[derive(Debug)]
pub struct Flatten {
    /// The first of the two.
    pub axis: usize,
}

impl Op for Flatten {
    fn name(&self) -> &'static str {
        "flatten"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 1 && self.axis + 1 < inputs[0].len();
        require(fits, self.name(), inputs, || format!("needs axes {} and {}", self.axis, self.axis + 1))?;
        let mut shape = inputs[0].clone();
        let next = shape.remove(self.axis + 1);
        shape[self.axis] *= next;
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let mut shape = inputs[0].shape();
        let next = shape.remove(self.axis + 1);
        shape[self.axis] *= next;
        inputs[0].clone().reshape(&shape)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Same
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![wanted[0].then(|| dy.reshape(&kept.input_shapes[0]))]
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
        check_op(&Flatten { axis: 1 }, &[&[2, 3, 4, 5]]);
        check_op(&Flatten { axis: 0 }, &[&[2, 3]]);
    }

    #[test]
    fn joins_two_axes() {
        assert_eq!(Flatten { axis: 1 }.shape(&[vec![2, 3, 4, 5]]).unwrap(), [2, 12, 5]);
        let error = Flatten { axis: 1 }.shape(&[vec![2, 3]]).unwrap_err();
        assert!(error.to_string().contains("needs axes 1 and 2"), "{error}");
    }
}
