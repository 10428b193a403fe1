//! A scalar that reads every element of its input with another weight.

use graft_engine::ops::{Context, Op, ShapeError};
use graft_engine::tensor::{Shape, Value, elements};

/// `Σ sin(i + 1)·xᵢ`, of shape `[1]`.
#[derive(Debug)]
pub(super) struct Probe;

impl Op for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn shape(&self, _inputs: &[Shape]) -> Result<Shape, ShapeError> {
        Ok(vec![1])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        #[expect(clippy::cast_precision_loss, reason = "outputs are few")]
        let weights = (0..elements(&shape)).map(|i| (i as f64 + 1.0).sin()).collect();
        let weights = Value::from_f64(weights, &shape, &inputs[0].device()).cast(inputs[0].dtype().into());
        inputs[0].clone().mul(weights).sum_all()
    }
}
