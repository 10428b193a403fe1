use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Takes one token of each sequence: `[batch, tokens, width] → [batch, width]`.
#[derive(Debug)]
pub struct SelectToken {
    /// Which; 0 is the class token.
    pub index: usize,
}

impl Op for SelectToken {
    fn name(&self) -> &'static str {
        "select token"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 1 && inputs[0].len() == 3 && self.index < inputs[0][1],
            self.name(),
            inputs,
            || format!("needs [batch, tokens, width] with more than {} tokens", self.index),
        )?;
        Ok(vec![inputs[0][0], inputs[0][2]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        inputs[0].clone().narrow(1, self.index, 1).reshape(&[shape[0], shape[2]])
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let [batch, tokens, width] = kept.input_shapes[0][..] else {
            unreachable!("checked by the shape rule")
        };
        let (dtype, device) = (dy.dtype().into(), dy.device());
        let zeros = |count: usize| Value::full(&[batch, count, width], 0.0, dtype, &device);
        let mut parts = Vec::new();
        if self.index > 0 {
            parts.push(zeros(self.index));
        }
        parts.push(dy.reshape(&[batch, 1, width]));
        if self.index + 1 < tokens {
            parts.push(zeros(tokens - self.index - 1));
        }
        vec![Some(Value::concat(parts, 1))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        for index in 0..3 {
            check_op(&SelectToken { index }, &[&[2, 3, 4]]);
        }
    }
}
