use super::{Context, Kept, Op, ShapeError, require, vjp_by_tape};
use crate::tensor::{Shape, Value, kernels};

/// Gated feed-forward activation: of `[.., 2·width]`, `silu(first half) · second half`.
/// Keeps its input only.
#[derive(Debug)]
pub struct SwiGlu;

impl Op for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1, self.name(), inputs, || "needs one input".to_owned())?;
        let mut shape = inputs[0].clone();
        let last = shape.last_mut().filter(|extent| **extent % 2 == 0).ok_or_else(|| ShapeError {
            op: "swiglu",
            inputs: inputs.to_vec(),
            why: "the last axis should be even".to_owned(),
        })?;
        *last /= 2;
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        if let Some(output) = kernels::swiglu(&inputs[0]) {
            return output;
        }
        let shape = inputs[0].shape();
        let axis = shape.len() - 1;
        let half = shape[axis] / 2;
        let gate = inputs[0].clone().narrow(axis, 0, half);
        let value = inputs[0].clone().narrow(axis, half, half);
        gate.clone().mul(gate.sigmoid()).mul(value)
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], context: &Context) -> Vec<Option<Value>> {
        match kernels::swiglu_vjp(&kept.input(0), &dy) {
            Some(dx) => vec![Some(dx)],
            None => vjp_by_tape(self, kept, dy, wanted, context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&SwiGlu, &[&[3, 8]]);
    }
}
