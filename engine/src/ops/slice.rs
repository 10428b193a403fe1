use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// `length` neighbouring entries of one axis from `start` on: a part of a fused value or weight.
#[derive(Debug)]
pub struct Slice {
    /// The axis, counted from the end: 1 is the last.
    pub axis_from_end: usize,
    /// The first entry.
    pub start: usize,
    /// How many.
    pub length: usize,
}

/// The axis of a shape that is `from_end` from its end, if `end` entries fit into it.
pub(super) fn axis(shape: &[usize], from_end: usize, end: usize) -> Option<usize> {
    let axis = shape.len().checked_sub(from_end).filter(|_| from_end > 0)?;
    (end <= shape[axis]).then_some(axis)
}

/// A tensor of `shape` that is zero but for `part`, which lies at `start` of one axis.
pub(super) fn padded(part: Value, shape: &[usize], axis: usize, start: usize) -> Value {
    let end = start + part.shape()[axis];
    let zeros = |extent: usize| {
        let mut shape = shape.to_vec();
        shape[axis] = extent;
        Value::full(&shape, 0.0, part.dtype().into(), &part.device())
    };
    let mut parts = Vec::new();
    if start > 0 {
        parts.push(zeros(start));
    }
    parts.push(part.clone());
    if end < shape[axis] {
        parts.push(zeros(shape[axis] - end));
    }
    if parts.len() == 1 { part } else { Value::concat(parts, axis) }
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let end = self.start + self.length;
        let axis = inputs.first().and_then(|shape| axis(shape, self.axis_from_end, end));
        require(inputs.len() == 1 && axis.is_some(), self.name(), inputs, || {
            format!("needs {end} entries on axis {} from the end", self.axis_from_end)
        })?;
        let mut shape = inputs[0].clone();
        if let Some(axis) = axis {
            shape[axis] = self.length;
        }
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let axis = inputs[0].shape().len() - self.axis_from_end;
        inputs[0].clone().narrow(axis, self.start, self.length)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        vec![Some(padded(dy, shape, shape.len() - self.axis_from_end, self.start))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Slice { axis_from_end: 1, start: 1, length: 2 }, &[&[2, 3, 4]]);
        check_op(&Slice { axis_from_end: 2, start: 0, length: 2 }, &[&[3, 4]]);
        check_op(&Slice { axis_from_end: 1, start: 0, length: 4 }, &[&[3, 4]]);
        let too_far = Slice { axis_from_end: 1, start: 3, length: 2 };
        assert!(too_far.shape(&[vec![3, 4]]).unwrap_err().to_string().contains("needs 5 entries"));
    }
}
