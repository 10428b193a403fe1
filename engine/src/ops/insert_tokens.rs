use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Puts the same tokens into every sequence, behind the first `after` of its own: `x [batch, tokens, width]` and
/// `inserted [1, n, width]` to `[batch, tokens + n, width]`.
#[derive(Debug)]
pub struct InsertTokens {
    /// Tokens that stay in front.
    pub after: usize,
}

impl Op for InsertTokens {
    fn name(&self) -> &'static str {
        "insert tokens"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2 && inputs.iter().all(|s| s.len() == 3), self.name(), inputs, || {
            "needs x [batch, tokens, width] and tokens [1, n, width]".to_owned()
        })?;
        let (x, inserted) = (&inputs[0], &inputs[1]);
        require(inserted[0] == 1 && inserted[2] == x[2] && self.after <= x[1], self.name(), inputs, || {
            format!("tokens of width {} enter behind the first {} tokens", x[2], self.after)
        })?;
        Ok(vec![x[0], x[1] + inserted[1], x[2]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (x, inserted) = (inputs[0].clone(), inputs[1].clone());
        let (shape, count) = (x.shape(), inserted.shape()[1]);
        let inserted = inserted.expand(&[shape[0], count, shape[2]]);
        let mut parts = Vec::new();
        if self.after > 0 {
            parts.push(x.clone().narrow(1, 0, self.after));
        }
        parts.push(inserted);
        if self.after < shape[1] {
            parts.push(x.narrow(1, self.after, shape[1] - self.after));
        }
        Value::concat(parts, 1)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let count = kept.input_shapes[1][1];
        let inserted = wanted[1].then(|| dy.clone().narrow(1, self.after, count).sum_axis(0));
        vec![wanted[0].then(|| without(dy, self.after, count)), inserted]
    }
}

/// Takes tokens out of every sequence again: `[batch, tokens, width]` to `[batch, tokens − count, width]`.
#[derive(Debug)]
pub struct RemoveTokens {
    /// The first that goes.
    pub start: usize,
    /// How many go.
    pub count: usize,
}

impl Op for RemoveTokens {
    fn name(&self) -> &'static str {
        "remove tokens"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 1 && inputs[0].len() == 3 && self.start + self.count < inputs[0][1],
            self.name(),
            inputs,
            || format!("needs [batch, tokens, width] with more than {} tokens", self.start + self.count),
        )?;
        let x = &inputs[0];
        Ok(vec![x[0], x[1] - self.count, x[2]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        without(inputs[0].clone(), self.start, self.count)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::New
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let zeros = Value::full(&[shape[0], self.count, shape[2]], 0.0, dy.dtype().into(), &dy.device());
        let mut parts = Vec::new();
        if self.start > 0 {
            parts.push(dy.clone().narrow(1, 0, self.start));
        }
        parts.push(zeros);
        let rest = shape[1] - self.count - self.start;
        parts.push(dy.narrow(1, self.start, rest));
        vec![Some(Value::concat(parts, 1))]
    }
}

/// Sequences without `count` tokens from `start` on.
fn without(x: Value, start: usize, count: usize) -> Value {
    let end = start + count;
    let rest = x.shape()[1] - end;
    if start == 0 {
        return x.narrow(1, end, rest);
    }
    let front = x.clone().narrow(1, 0, start);
    if rest == 0 { front } else { Value::concat(vec![front, x.narrow(1, end, rest)], 1) }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;

    #[test]
    fn gradients() {
        for after in 0..4 {
            check_op(&InsertTokens { after }, &[&[2, 3, 4], &[1, 2, 4]]);
        }
        check_op(&RemoveTokens { start: 1, count: 2 }, &[&[2, 5, 3]]);
        check_op(&RemoveTokens { start: 0, count: 2 }, &[&[2, 5, 3]]);
    }

    #[test]
    fn what_was_inserted_is_removed() {
        let (x, tokens) = (random("x", &[2, 3, 4]), random("tokens", &[1, 2, 4]));
        let context = Context::inference();
        let y = InsertTokens { after: 1 }.forward(&[x.clone(), tokens], &context);
        let back = RemoveTokens { start: 1, count: 2 }.forward(&[y], &context);
        assert_eq!(back.to_f64(), x.to_f64());
        assert!(RemoveTokens { start: 1, count: 2 }.shape(&[vec![1, 3, 4]]).is_err());
    }
}
