use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// The first of its inputs that is there: where branches of which one was drawn come together. A view.
#[derive(Debug)]
pub struct FirstPresent;

impl Op for FirstPresent {
    fn name(&self) -> &'static str {
        "first present"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = !inputs.is_empty() && inputs.iter().all(|shape| *shape == inputs[0]);
        require(fits, self.name(), inputs, || "needs inputs of one shape".to_owned())?;
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
        let first = (0..wanted.len()).find(|i| kept.is_present(*i));
        (0..wanted.len()).map(|i| (first == Some(i) && wanted[i]).then(|| dy.clone())).collect()
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
    fn passes_the_first_and_gives_it_the_gradient() {
        let value = |x: f32| Value::from_f32(vec![x], &[1], &Device::flex());
        let inputs = [None, Some(value(3.0)), Some(value(4.0))];
        let found = FirstPresent.forward_present(&inputs, &Context::inference()).unwrap();
        assert_eq!(found.to_f32(), [3.0]);
        assert!(FirstPresent.forward_present(&[None, None], &Context::inference()).is_none());
        let kept = Kept { input_shapes: vec![vec![], vec![1], vec![1]], ..Kept::default() };
        let gradients = FirstPresent.vjp(&kept, value(7.0), &[true, true, true], &Context::inference());
        assert!(gradients[0].is_none() && gradients[2].is_none());
        assert_eq!(gradients[1].as_ref().unwrap().to_f32(), [7.0]);
    }
}
