use serde::{Deserialize, Serialize};

use super::super::step::{StepBuilder, StepError};
use super::{LossTerm, logits, masks, one};
use crate::graph::NodeId;
use crate::ops::BinaryCrossEntropy;

/// Binary cross-entropy of a mask's logits `[batch, height, width]` against masks in 0…1, a mean over pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossEntropyTerm {
    /// The logits.
    #[serde(default = "logits")]
    pub logits: String,
    /// The masks.
    #[serde(default = "masks")]
    pub masks: String,
    /// Factor in the sum.
    #[serde(default = "one")]
    pub weight: f64,
}

impl LossTerm for BinaryCrossEntropyTerm {
    fn name(&self) -> &'static str {
        "binary_cross_entropy"
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn add(&self, step: &mut StepBuilder<'_>, name: &str) -> Result<NodeId, StepError> {
        let (logits, masks) = (step.named(&self.logits)?, step.named(&self.masks)?);
        Ok(step.op(name, BinaryCrossEntropy, &[logits, masks]))
    }
}
