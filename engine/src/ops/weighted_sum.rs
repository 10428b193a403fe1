use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// `Σ wᵢ·xᵢ` of scalars `[1]` that are there; absent when none is. Backward keeps nothing.
#[derive(Debug)]
pub struct WeightedSum {
    /// A factor for each input.
    pub weights: Vec<f64>,
}

impl Op for WeightedSum {
    fn name(&self) -> &'static str {
        "weighted sum"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == self.weights.len() && inputs.iter().all(|shape| *shape == [1]);
        require(fits, self.name(), inputs, || format!("needs {} scalars [1]", self.weights.len()))?;
        Ok(vec![1])
    }

    fn forward(&self, inputs: &[Value], context: &Context) -> Value {
        let inputs: Vec<Option<Value>> = inputs.iter().cloned().map(Some).collect();
        match self.forward_present(&inputs, context) {
            Some(sum) => sum,
            None => unreachable!("the shape rule asks for one scalar or more"),
        }
    }

    fn forward_present(&self, inputs: &[Option<Value>], _context: &Context) -> Option<Value> {
        let terms = inputs.iter().zip(&self.weights).filter_map(|(x, w)| Some(x.clone()?.mul_scalar(*w)));
        terms.reduce(Value::add)
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let gradient = |(i, weight): (usize, &f64)| {
            (wanted[i] && kept.is_present(i)).then(|| dy.clone().mul_scalar(*weight))
        };
        self.weights.iter().enumerate().map(gradient).collect()
    }

    fn mixes_samples(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&WeightedSum { weights: vec![0.5, -2.0, 1.0] }, &[&[1], &[1], &[1]]);
    }

    #[test]
    fn absent_terms_add_nothing() {
        let op = WeightedSum { weights: vec![2.0, 3.0] };
        let x = Value::from_f32(vec![5.0], &[1], &Device::flex());
        let sum = op.forward_present(&[None, Some(x)], &Context::inference()).unwrap();
        assert_eq!(sum.to_f32(), [15.0]);
        assert!(op.forward_present(&[None, None], &Context::inference()).is_none());
    }
}
