use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Weighted sum of scalars `[1]`, `Σ wᵢ·xᵢ` over those that are there: how loss terms make one loss. Absent when
/// all of them are.
#[derive(Debug)]
pub struct WeightedSum {
    /// The weight of each input.
    pub weights: Vec<f64>,
}

impl WeightedSum {
    fn sum(&self, inputs: &[Option<Value>]) -> Option<Value> {
        self.weights
            .iter()
            .zip(inputs)
            .filter_map(|(&weight, x)| Some(x.clone()?.mul_scalar(weight)))
            .reduce(Value::add)
    }
}

impl Op for WeightedSum {
    fn name(&self) -> &'static str {
        "weighted sum"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            !inputs.is_empty()
                && inputs.len() == self.weights.len()
                && inputs.iter().all(|shape| shape[..] == [1]),
            self.name(),
            inputs,
            || format!("needs one scalar [1] for each of {} weights", self.weights.len()),
        )?;
        Ok(vec![1])
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        inputs.len() as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let present: Vec<_> = inputs.iter().cloned().map(Some).collect();
        self.sum(&present).unwrap_or_else(|| inputs[0].zeros_like())
    }

    fn forward_present(&self, inputs: &[Option<Value>], _context: &Context) -> Option<Value> {
        self.sum(inputs)
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        self.weights
            .iter()
            .enumerate()
            .map(|(i, &weight)| (wanted[i] && kept.is_present(i)).then(|| dy.clone().mul_scalar(weight)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, context, kept, random};
    use super::*;

    #[test]
    fn gradients() {
        check_op(&WeightedSum { weights: vec![1.0, -0.5, 2.0] }, &[&[1], &[1], &[1]]);
    }

    #[test]
    fn sums_what_is_there() {
        let op = WeightedSum { weights: vec![1.0, 0.5] };
        let x = random("x", &[1]);
        let inputs = [None, Some(x.clone())];
        let y = op.forward_present(&inputs, &context()).unwrap();
        assert_eq!(y.to_scalar(), 0.5 * x.to_scalar());
        let wanted = [true, true];
        let gradients = op.vjp(&kept(&op, &inputs, &wanted, &context()), x, &wanted, &context());
        assert!(gradients[0].is_none() && gradients[1].is_some());
        assert!(op.forward_present(&[None, None], &context()).is_none());
        assert!(op.shape(&[vec![1]]).is_err());
    }
}
