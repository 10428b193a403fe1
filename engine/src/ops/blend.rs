use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// `(1 − share)·old + share·new` of two tensors of one shape: one step of a running mean.
#[derive(Debug)]
pub struct Blend {
    /// How much of the new, in `[0, 1]`.
    pub share: f64,
}

impl Op for Blend {
    fn name(&self) -> &'static str {
        "blend"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2 && inputs[0] == inputs[1], self.name(), inputs, || {
            "needs old and new of one shape".to_owned()
        })?;
        Ok(inputs[0].clone())
    }

    fn multiply_adds(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        2 * elements(output) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().mul_scalar(1.0 - self.share).add(inputs[1].clone().mul_scalar(self.share))
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, _kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        [1.0 - self.share, self.share]
            .into_iter()
            .zip(wanted)
            .map(|(factor, &want)| want.then(|| dy.clone().mul_scalar(factor)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Blend { share: 0.1 }, &[&[3, 4], &[3, 4]]);
        assert!(Blend { share: 0.1 }.shape(&[vec![3], vec![4]]).is_err());
    }
}
