use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Adds to the last tokens of each sequence: `x [batch, tokens, width]` with `delta [batch, n, width]` added to its
/// last `n` tokens. The others keep their bits.
#[derive(Debug)]
pub struct AddLast;

impl Op for AddLast {
    fn name(&self) -> &'static str {
        "add to last tokens"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 2
                && inputs.iter().all(|shape| shape.len() == 3)
                && (inputs[0][0], inputs[0][2]) == (inputs[1][0], inputs[1][2])
                && inputs[1][1] <= inputs[0][1],
            self.name(),
            inputs,
            || "needs x [batch, tokens, width] and delta of fewer tokens".to_owned(),
        )?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (x, delta) = (inputs[0].clone(), inputs[1].clone());
        let (all, last) = (x.shape()[1], delta.shape()[1]);
        if all == last {
            return x.add(delta);
        }
        let part = x.clone().narrow(1, all - last, last).add(delta);
        x.assign(1, all - last, part)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Same
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let (all, last) = (kept.input_shapes[0][1], kept.input_shapes[1][1]);
        let part = wanted[1].then(|| dy.clone().narrow(1, all - last, last));
        vec![wanted[0].then_some(dy), part]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;

    #[test]
    fn gradients() {
        check_op(&AddLast, &[&[2, 5, 3], &[2, 4, 3]]);
        check_op(&AddLast, &[&[2, 5, 3], &[2, 5, 3]]);
    }

    #[test]
    fn leaves_the_first_tokens_alone() {
        let (x, delta) = (random("x", &[1, 3, 2]), random("delta", &[1, 2, 2]));
        let y = AddLast.forward(&[x.clone(), delta.clone()], &Context::inference()).to_f64();
        let (x, delta) = (x.to_f64(), delta.to_f64());
        assert_eq!(y[..2], x[..2]);
        assert!((2..6).all(|i| y[i] == x[i] + delta[i - 2]));
        assert!(AddLast.shape(&[vec![1, 2, 3], vec![1, 3, 3]]).is_err());
    }
}
