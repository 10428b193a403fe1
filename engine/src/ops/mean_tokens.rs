use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Mean over the tokens from `skip` on: `[batch, tokens, width] → [batch, width]`.
#[derive(Debug)]
pub struct MeanTokens {
    /// Leading tokens left out (1 leaves out the class token).
    pub skip: usize,
}

impl Op for MeanTokens {
    fn name(&self) -> &'static str {
        "mean of tokens"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 1 && inputs[0].len() == 3 && self.skip < inputs[0][1],
            self.name(),
            inputs,
            || format!("needs [batch, tokens, width] with more than {} tokens", self.skip),
        )?;
        Ok(vec![inputs[0][0], inputs[0][2]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        inputs[0]
            .clone()
            .narrow(1, self.skip, shape[1] - self.skip)
            .mean_axis(1)
            .reshape(&[shape[0], shape[2]])
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        if self.skip == 0 { Lies::Repeated } else { Lies::New }
    }

    #[expect(clippy::cast_precision_loss, reason = "a token count is small")]
    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let [batch, tokens, width] = kept.input_shapes[0][..] else {
            unreachable!("checked by the shape rule")
        };
        let counted = tokens - self.skip;
        let (dtype, device) = (dy.dtype().into(), dy.device());
        let share =
            dy.mul_scalar(1.0 / counted as f64).reshape(&[batch, 1, width]).expand(&[batch, counted, width]);
        if self.skip == 0 {
            return vec![Some(share)];
        }
        let zeros = Value::full(&[batch, self.skip, width], 0.0, dtype, &device);
        vec![Some(Value::concat(vec![zeros, share], 1))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&MeanTokens { skip: 0 }, &[&[2, 3, 4]]);
        check_op(&MeanTokens { skip: 1 }, &[&[2, 3, 4]]);
    }
}
