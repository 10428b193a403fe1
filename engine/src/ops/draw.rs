use super::{Context, Element, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Draws one of several branches for this step: an integer `[1]` in `0..branches`, each as likely. In inference
/// mode it is 0. Its input gives the device only; its values are not read.
#[derive(Debug)]
pub struct Draw {
    /// How many branches, one or more.
    pub branches: usize,
}

impl Op for Draw {
    fn name(&self) -> &'static str {
        "draw"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input, for its device".to_owned())?;
        require(self.branches > 0, self.name(), inputs, || "needs a branch to draw".to_owned())?;
        Ok(vec![1])
    }

    fn forward(&self, inputs: &[Value], context: &Context) -> Value {
        let drawn = if context.training { context.stream.at(context.step).below(self.branches) } else { 0 };
        Value::from_i64(vec![i64::try_from(drawn).unwrap_or(0)], &[1], &inputs[0].device())
    }

    fn element(&self) -> Element {
        Element::Integer
    }

    fn reads(&self, _input: usize, _training: bool) -> Reads {
        Reads::Shape
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, _kept: &Kept, _dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![None]
    }

    fn draws(&self) -> bool {
        true
    }

    fn passes_gradient(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Stream;
    use burn::tensor::Device;

    #[test]
    fn draws_every_branch_and_the_same_one_again() {
        let x = Value::from_f32(vec![0.0; 2], &[2], &Device::flex());
        let op = Draw { branches: 3 };
        assert_eq!(op.shape(&[vec![2]]), Ok(vec![1]));
        let drawn = |step: u64| {
            let context = Context { stream: Stream::new(5, "branch"), step, training: true };
            let y = op.forward(std::slice::from_ref(&x), &context);
            assert_eq!(y.shape(), [1]);
            usize::try_from(y.to_i64()[0]).unwrap()
        };
        let mut counts = [0; 3];
        for step in 0..600 {
            assert_eq!(drawn(step), drawn(step));
            counts[drawn(step)] += 1;
        }
        assert!(counts.iter().all(|&count| count > 150), "{counts:?}");
        assert_eq!(op.forward(&[x], &Context::inference()).to_i64(), [0]);
        assert!(Draw { branches: 0 }.shape(&[vec![2]]).is_err());
    }
}
