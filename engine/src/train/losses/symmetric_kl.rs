use serde::{Deserialize, Serialize};

use super::super::step::{StepBuilder, StepError};
use super::{LossTerm, one};
use crate::graph::NodeId;
use crate::ops::SymmetricKl;

/// Symmetric Kullback–Leibler divergence of two predictions, both logits `[batch, classes]`: what two passes of a
/// model should agree on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SymmetricKlTerm {
    /// One prediction.
    pub a: String,
    /// The other.
    pub b: String,
    /// Factor in the sum.
    #[serde(default = "one")]
    pub weight: f64,
}

impl LossTerm for SymmetricKlTerm {
    fn name(&self) -> &'static str {
        "symmetric_kl"
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn add(&self, step: &mut StepBuilder<'_>, name: &str) -> Result<NodeId, StepError> {
        let (a, b) = (step.named(&self.a)?, step.named(&self.b)?);
        Ok(step.op(name, SymmetricKl, &[a, b]))
    }
}
