use super::{Context, Keeps, Kept, Op, ShapeError, align, broadcast, require};
use crate::tensor::{Shape, Value};

/// Difference of two tensors, with broadcasting. Backward keeps nothing.
#[derive(Debug)]
pub struct Subtract;

impl Op for Subtract {
    fn name(&self) -> &'static str {
        "subtract"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let shape = if let [a, b] = inputs { broadcast(a, b) } else { None };
        require(shape.is_some(), self.name(), inputs, || "needs two inputs that broadcast".to_owned())?;
        Ok(shape.unwrap_or_default())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let rank = inputs[0].shape().len().max(inputs[1].shape().len());
        align(inputs[0].clone(), rank).sub(align(inputs[1].clone(), rank))
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let part = |i: usize| dy.clone().sum_to(&kept.input_shapes[i]);
        vec![wanted[0].then(|| part(0)), wanted[1].then(|| part(1).neg())]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Subtract, &[&[2, 3, 4], &[2, 3, 4]]);
        check_op(&Subtract, &[&[2, 3, 4], &[4]]);
    }
}
