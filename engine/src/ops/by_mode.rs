use super::{Context, Keeps, Kept, Lies, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Its first input in training mode, its second in inference mode; the other one is not read, so that what lies
/// behind it need not run.
#[derive(Debug)]
pub struct ByMode;

impl Op for ByMode {
    fn name(&self) -> &'static str {
        "by mode"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2 && inputs[0] == inputs[1], self.name(), inputs, || {
            "needs a value for training and one of the same shape for inference".to_owned()
        })?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], context: &Context) -> Value {
        inputs[usize::from(!context.training)].clone()
    }

    fn forward_present(&self, inputs: &[Option<Value>], context: &Context) -> Option<Value> {
        inputs.get(usize::from(!context.training))?.clone()
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn reads(&self, input: usize, training: bool) -> Reads {
        if (input == 0) == training { Reads::Value } else { Reads::Nothing }
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Same
    }

    fn vjp(&self, _kept: &Kept, dy: Value, wanted: &[bool], context: &Context) -> Vec<Option<Value>> {
        (0..2).map(|i| (wanted[i] && (i == 0) == context.training).then(|| dy.clone())).collect()
    }

    fn view(&self, _inputs: &[Shape], training: bool) -> Option<usize> {
        Some(usize::from(!training))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, context, random};
    use super::*;

    #[test]
    fn takes_the_one_of_its_mode() {
        check_op(&ByMode, &[&[2, 3], &[2, 3]]);
        let (a, b) = (random("a", &[2]), random("b", &[2]));
        let both = [Some(a.clone()), Some(b.clone())];
        let inference = Context::inference();
        assert_eq!(ByMode.forward_present(&both, &context()).unwrap().to_f64(), a.to_f64());
        assert_eq!(ByMode.forward_present(&both, &inference).unwrap().to_f64(), b.to_f64());
        assert!(ByMode.forward_present(&[None, Some(b)], &context()).is_none());
    }
}
