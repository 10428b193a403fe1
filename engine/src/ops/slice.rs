use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// A part of one axis, of activations or of weights (query rows of a fused matrix): `length` indices from `start`
/// on. A view.
#[derive(Debug)]
pub struct Slice {
    /// The axis, counted from the end: 1 is the last one, the rank is the first.
    pub axis_from_end: usize,
    /// First index.
    pub start: usize,
    /// How many, one or more.
    pub length: usize,
}

/// The axis that is `from_end` axes from the end, if the shape has it.
pub(super) fn axis(shape: &[usize], from_end: usize) -> Option<usize> {
    shape.len().checked_sub(from_end).filter(|&axis| axis < shape.len())
}

/// As [`axis`], for a shape that the shape rule let through.
pub(super) fn known_axis(shape: &[usize], from_end: usize) -> usize {
    axis(shape, from_end).unwrap_or(0)
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input".to_owned())?;
        let axis = axis(&inputs[0], self.axis_from_end);
        let end = self.start + self.length;
        require(
            self.length > 0 && axis.is_some_and(|axis| end <= inputs[0][axis]),
            self.name(),
            inputs,
            || format!("takes {}..{end} of axis {} from the end", self.start, self.axis_from_end),
        )?;
        let mut shape = inputs[0].clone();
        shape[known_axis(&inputs[0], self.axis_from_end)] = self.length;
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let axis = known_axis(&inputs[0].shape(), self.axis_from_end);
        inputs[0].clone().narrow(axis, self.start, self.length)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let dx = wanted[0].then(|| {
            let zeros = Value::full(shape, 0.0, dy.dtype().into(), &dy.device());
            zeros.assign(known_axis(shape, self.axis_from_end), self.start, dy)
        });
        vec![dx]
    }

    fn view(&self, _inputs: &[Shape], _training: bool) -> Option<usize> {
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        for axis_from_end in 1..=3 {
            check_op(&Slice { axis_from_end, start: 1, length: 2 }, &[&[3, 4, 5]]);
        }
        check_op(&Slice { axis_from_end: 1, start: 0, length: 5 }, &[&[3, 5]]);
        // Rows of a weight.
        check_op(&Slice { axis_from_end: 2, start: 2, length: 2 }, &[&[6, 3]]);
        check_op(&Slice { axis_from_end: 1, start: 3, length: 1 }, &[&[4]]);
    }

    #[test]
    fn takes_rows_of_a_weight() {
        let weight = Value::from_f64((0..6).map(f64::from).collect(), &[3, 2], &Device::flex());
        let op = Slice { axis_from_end: 2, start: 1, length: 2 };
        assert_eq!(op.forward(&[weight], &Context::inference()).to_f64(), [2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn says_what_does_not_fit() {
        let error = Slice { axis_from_end: 1, start: 3, length: 2 }.shape(&[vec![2, 4]]).unwrap_err();
        assert!(error.to_string().contains("takes 3..5 of axis 1 from the end"), "{error}");
        assert!(Slice { axis_from_end: 0, start: 0, length: 1 }.shape(&[vec![2, 4]]).is_err());
        assert!(Slice { axis_from_end: 3, start: 0, length: 1 }.shape(&[vec![2, 4]]).is_err());
    }
}
