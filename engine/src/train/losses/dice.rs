use serde::{Deserialize, Serialize};

use super::super::step::{StepBuilder, StepError};
use super::{LossTerm, logits, masks, one};
use crate::graph::NodeId;
use crate::ops::Dice;

/// Dice loss of a mask's logits `[batch, height, width]` against masks in 0…1, a mean over samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiceTerm {
    /// The logits.
    #[serde(default = "logits")]
    pub logits: String,
    /// The masks.
    #[serde(default = "masks")]
    pub masks: String,
    /// Added to both sums of the quotient.
    #[serde(default = "smoothing")]
    pub smoothing: f64,
    /// Factor in the sum.
    #[serde(default = "one")]
    pub weight: f64,
}

const fn smoothing() -> f64 {
    1e-5
}

impl LossTerm for DiceTerm {
    fn name(&self) -> &'static str {
        "dice"
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn add(&self, step: &mut StepBuilder<'_>, name: &str) -> Result<NodeId, StepError> {
        let (logits, masks) = (step.named(&self.logits)?, step.named(&self.masks)?);
        Ok(step.op(name, Dice { smoothing: self.smoothing }, &[logits, masks]))
    }

    fn complaint(&self) -> Option<String> {
        if !self.weight.is_finite() {
            return Some(format!("should have a finite weight, not {}", self.weight));
        }
        let right = self.smoothing > 0.0 && self.smoothing.is_finite();
        (!right).then(|| "should have a smoothing above 0".to_owned())
    }
}
