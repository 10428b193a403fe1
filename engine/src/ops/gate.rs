use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Opens for one drawn branch: passes `x` on when the integer `drawn [1]` (see [`super::Draw`]) is `branch`; else
/// its output is absent, and so is what lies behind it.
#[derive(Debug)]
pub struct Gate {
    /// The branch that lies behind.
    pub branch: usize,
}

impl Op for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2 && inputs[1][..] == [1], self.name(), inputs, || {
            "needs x and the drawn branch [1]".to_owned()
        })?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone()
    }

    fn forward_present(&self, inputs: &[Option<Value>], _context: &Context) -> Option<Value> {
        let [Some(x), Some(drawn)] = inputs else { return None };
        let open = drawn.to_i64().first().is_some_and(|&drawn| usize::try_from(drawn) == Ok(self.branch));
        open.then(|| x.clone())
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Same
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
    use super::super::check::{check_op_on, context, random};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn opens_for_its_branch_only() {
        let drawn = Value::from_i64(vec![1], &[1], &Device::flex());
        check_op_on(&Gate { branch: 1 }, &[&[2, 3]], std::slice::from_ref(&drawn));
        let x = random("x", &[2, 3]);
        let run = |branch, x: Option<&Value>| {
            Gate { branch }.forward_present(&[x.cloned(), Some(drawn.clone())], &context())
        };
        assert_eq!(run(1, Some(&x)).unwrap().to_f64(), x.to_f64());
        assert!(run(0, Some(&x)).is_none());
        assert!(run(1, None).is_none());
    }
}
