use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// The first of its inputs that is there: joins branches of which one runs (see [`super::Gate`]). All inputs have
/// the same shape; the gradient goes to the one that was taken.
#[derive(Debug)]
pub struct FirstPresent;

impl Op for FirstPresent {
    fn name(&self) -> &'static str {
        "first present"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            !inputs.is_empty() && inputs.iter().all(|shape| *shape == inputs[0]),
            self.name(),
            inputs,
            || "needs one input or more, all of one shape".to_owned(),
        )?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone()
    }

    fn forward_present(&self, inputs: &[Option<Value>], _context: &Context) -> Option<Value> {
        inputs.iter().flatten().next().cloned()
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let taken = (0..wanted.len()).find(|&i| kept.is_present(i));
        (0..wanted.len()).map(|i| (taken == Some(i) && wanted[i]).then(|| dy.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, context, kept, random};
    use super::*;

    #[test]
    fn takes_the_first_and_gives_it_the_gradient() {
        check_op(&FirstPresent, &[&[2, 3]]);
        let (a, b, dy) = (random("a", &[2]), random("b", &[2]), random("dy", &[2]));
        let run = |inputs: [Option<&Value>; 3]| {
            let inputs = inputs.map(Option::<&Value>::cloned);
            let y = FirstPresent.forward_present(&inputs, &context()).map(|y| y.to_f64());
            let kept = kept(&FirstPresent, &inputs, &[true; 3], &context());
            let gradients = FirstPresent.vjp(&kept, dy.clone(), &[true; 3], &context());
            (y, gradients.iter().map(Option::is_some).collect::<Vec<_>>())
        };
        assert_eq!(run([Some(&a), Some(&b), None]), (Some(a.to_f64()), vec![true, false, false]));
        assert_eq!(run([None, Some(&b), Some(&a)]), (Some(b.to_f64()), vec![false, true, false]));
        assert_eq!(run([None, None, None]), (None, vec![false; 3]));
        assert!(FirstPresent.shape(&[vec![2], vec![3]]).is_err());
    }
}
