use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// `(1 − share)·old + share·new`: how a running value takes in a new one. Backward keeps nothing.
#[derive(Debug)]
pub struct Blend {
    /// Share of the new value.
    pub share: f64,
}

impl Op for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 2 && inputs[0] == inputs[1];
        require(fits, self.name(), inputs, || "needs two values of one shape".to_owned())?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().mul_scalar(1.0 - self.share).add(inputs[1].clone().mul_scalar(self.share))
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, _kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let part = |i: usize, factor: f64| wanted[i].then(|| dy.clone().mul_scalar(factor));
        vec![part(0, 1.0 - self.share), part(1, self.share)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Blend { share: 0.3 }, &[&[2, 3], &[2, 3]]);
    }
}
