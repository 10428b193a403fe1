use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Puts one learned token before each sequence: `x [batch, tokens, width]`, `token [1, 1, width]`.
#[derive(Debug)]
pub struct PrependToken;

impl Op for PrependToken {
    fn name(&self) -> &'static str {
        "prepend token"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2 && inputs[0].len() == 3, self.name(), inputs, || {
            "needs [batch, tokens, width] and a token".to_owned()
        })?;
        let x = &inputs[0];
        require(inputs[1][..] == [1, 1, x[2]], self.name(), inputs, || {
            format!("the token should be [1, 1, {}]", x[2])
        })?;
        Ok(vec![x[0], x[1] + 1, x[2]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        let token = inputs[1].clone().expand(&[shape[0], 1, shape[2]]);
        Value::concat(vec![token, inputs[0].clone()], 1)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        if input == 0 { Lies::Same } else { Lies::New }
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let tokens = kept.input_shapes[0][1];
        vec![
            wanted[0].then(|| dy.clone().narrow(1, 1, tokens)),
            wanted[1].then(|| dy.narrow(1, 0, 1).sum_axis(0)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&PrependToken, &[&[2, 3, 4], &[1, 1, 4]]);
    }
}
