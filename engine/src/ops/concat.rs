use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Joins tensors along one axis.
#[derive(Debug)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let agree = inputs.iter().all(|s| {
            s.len() == inputs[0].len()
                && self.axis < s.len()
                && s.iter().zip(&inputs[0]).enumerate().all(|(i, (a, b))| i == self.axis || a == b)
        });
        require(!inputs.is_empty() && agree, self.name(), inputs, || {
            format!("all but axis {} should agree", self.axis)
        })?;
        let mut shape = inputs[0].clone();
        shape[self.axis] = inputs.iter().map(|s| s[self.axis]).sum();
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        Value::concat(inputs.to_vec(), self.axis)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Same
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let mut start = 0;
        kept.input_shapes
            .iter()
            .zip(wanted)
            .map(|(shape, &want)| {
                let length = shape[self.axis];
                start += length;
                want.then(|| dy.clone().narrow(self.axis, start - length, length))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Concat { axis: 1 }, &[&[2, 3], &[2, 1], &[2, 4]]);
    }
}
