use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// A further axis of extent 1 at place `axis`: `[batch, rows, columns]` becomes `[batch, 1, rows, columns]` with axis 1.
/// A view.
#[derive(Debug)]
pub struct Unsqueeze {
    /// Its place, at most the rank.
    pub axis: usize,
}

/// Takes an axis of extent 1 away again. A view.
#[derive(Debug)]
pub struct Squeeze {
    /// The axis.
    pub axis: usize,
}

impl Op for Unsqueeze {
    fn name(&self) -> &'static str {
        "unsqueeze"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 1 && self.axis <= inputs[0].len();
        require(fits, self.name(), inputs, || format!("needs one input of {} axes or more", self.axis))?;
        let mut shape = inputs[0].clone();
        shape.insert(self.axis, 1);
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let mut shape = inputs[0].shape();
        shape.insert(self.axis, 1);
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

impl Op for Squeeze {
    fn name(&self) -> &'static str {
        "squeeze"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 1 && inputs[0].len() > 1 && inputs[0].get(self.axis) == Some(&1);
        require(fits, self.name(), inputs, || format!("axis {} should have extent 1", self.axis))?;
        let mut shape = inputs[0].clone();
        shape.remove(self.axis);
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let mut shape = inputs[0].shape();
        shape.remove(self.axis);
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
        check_op(&Unsqueeze { axis: 1 }, &[&[2, 3, 4]]);
        check_op(&Unsqueeze { axis: 2 }, &[&[2, 3]]);
        check_op(&Squeeze { axis: 1 }, &[&[2, 1, 4]]);
    }

    #[test]
    fn only_an_axis_of_one_is_taken_away() {
        assert_eq!(Squeeze { axis: 1 }.shape(&[vec![2, 1, 4]]).unwrap(), [2, 4]);
        let error = Squeeze { axis: 0 }.shape(&[vec![2, 1, 4]]).unwrap_err();
        assert!(error.to_string().contains("axis 0 should have extent 1"), "{error}");
    }
}
