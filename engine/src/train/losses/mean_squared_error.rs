use serde::{Deserialize, Serialize};

use super::super::step::{StepBuilder, StepError};
use super::{LossTerm, one};
use crate::graph::NodeId;
use crate::ops::MeanSquaredError;

/// Mean squared difference of two values of one shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanSquaredErrorTerm {
    /// One value.
    pub a: String,
    /// The other.
    pub b: String,
    /// Factor in the sum.
    #[serde(default = "one")]
    pub weight: f64,
}

impl LossTerm for MeanSquaredErrorTerm {
    fn name(&self) -> &'static str {
        "mean_squared_error"
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn add(&self, step: &mut StepBuilder<'_>, name: &str) -> Result<NodeId, StepError> {
        let (a, b) = (step.named(&self.a)?, step.named(&self.b)?);
        Ok(step.op(name, MeanSquaredError, &[a, b]))
    }
}
