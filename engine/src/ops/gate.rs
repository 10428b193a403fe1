use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Lets `x` into a branch when the branch was drawn: of `x` and an integer `drawn [1]`, `x` if they agree, else
/// absent, and with it whatever lies behind. A view.
#[derive(Debug)]
pub struct Gate {
    /// The branch.
    pub branch: usize,
}

impl Op for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 2 && inputs[1] == [1];
        require(fits, self.name(), inputs, || "needs x and what was drawn [1]".to_owned())?;
        Ok(inputs[0].clone())
    }

    /// Only for a branch that was drawn.
    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone()
    }

    fn forward_present(&self, inputs: &[Option<Value>], _context: &Context) -> Option<Value> {
        let (x, drawn) = (inputs[0].clone()?, inputs[1].as_ref()?);
        (drawn.to_i64().first().and_then(|drawn| usize::try_from(*drawn).ok()) == Some(self.branch))
            .then_some(x)
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, _kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![wanted[0].then_some(dy), None]
    }

    fn view(&self, _inputs: &[Shape], _training: bool) -> Option<usize> {
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn only_the_drawn_branch_is_let_in() {
        let x = Some(Value::from_f32(vec![2.0], &[1], &Device::flex()));
        let drawn = Some(Value::from_i64(vec![1], &[1], &Device::flex()));
        let at = |branch| Gate { branch }.forward_present(&[x.clone(), drawn.clone()], &Context::inference());
        assert!(at(0).is_none() && at(2).is_none());
        assert_eq!(at(1).unwrap().to_f32(), [2.0]);
        assert!(Gate { branch: 1 }.forward_present(&[None, drawn.clone()], &Context::inference()).is_none());
    }
}
