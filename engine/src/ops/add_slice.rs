use super::slice::axis;
use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// `value` with `part` added to neighbouring entries of one axis; the others keep their bits. Backward keeps
/// nothing.
#[derive(Debug)]
pub struct AddSlice {
    /// The axis, counted from the end: 1 is the last.
    pub axis_from_end: usize,
    /// The first entry that is added to.
    pub start: usize,
}

impl Op for AddSlice {
    fn name(&self) -> &'static str {
        "add slice"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = || {
            let [value, part] = inputs else { return false };
            let Some(place) = axis(value, self.axis_from_end, 0) else { return false };
            let mut wanted = value.clone();
            wanted[place] = part.get(place).copied().unwrap_or(0);
            wanted == *part && self.start + part[place] <= value[place]
        };
        require(fits(), self.name(), inputs, || {
            format!("the second should be a part of the first from entry {} on", self.start)
        })?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (value, part) = (inputs[0].clone(), inputs[1].clone());
        let shape = value.shape();
        let axis = shape.len() - self.axis_from_end;
        let length = part.shape()[axis];
        let end = self.start + length;
        let sum = value.clone().narrow(axis, self.start, length).add(part);
        let mut parts = Vec::new();
        if self.start > 0 {
            parts.push(value.clone().narrow(axis, 0, self.start));
        }
        parts.push(sum);
        if end < shape[axis] {
            parts.push(value.narrow(axis, end, shape[axis] - end));
        }
        Value::concat(parts, axis)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let part = &kept.input_shapes[1];
        let axis = part.len() - self.axis_from_end;
        let of_part = wanted[1].then(|| dy.clone().narrow(axis, self.start, part[axis]));
        vec![wanted[0].then_some(dy), of_part]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&AddSlice { axis_from_end: 1, start: 1 }, &[&[2, 3, 4], &[2, 3, 2]]);
        check_op(&AddSlice { axis_from_end: 2, start: 0 }, &[&[3, 4], &[2, 4]]);
        check_op(&AddSlice { axis_from_end: 1, start: 0 }, &[&[3, 4], &[3, 4]]);
        assert!(AddSlice { axis_from_end: 1, start: 3 }.shape(&[vec![3, 4], vec![3, 2]]).is_err());
    }
}
