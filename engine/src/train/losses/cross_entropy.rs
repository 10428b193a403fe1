use serde::{Deserialize, Serialize};

use super::super::step::{StepBuilder, StepError};
use super::{LossTerm, logits, one};
use crate::graph::NodeId;
use crate::ops::CrossEntropy;

/// Cross-entropy of logits `[batch, classes]` against class numbers `[batch]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropyTerm {
    /// The logits.
    #[serde(default = "logits")]
    pub logits: String,
    /// The class numbers.
    #[serde(default = "labels")]
    pub labels: String,
    /// Share of the target that is spread over all classes.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Factor in the sum.
    #[serde(default = "one")]
    pub weight: f64,
}

fn labels() -> String {
    "batch.labels".to_owned()
}

impl Default for CrossEntropyTerm {
    fn default() -> Self {
        Self { logits: logits(), labels: labels(), label_smoothing: 0.0, weight: 1.0 }
    }
}

impl LossTerm for CrossEntropyTerm {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn add(&self, step: &mut StepBuilder<'_>, name: &str) -> Result<NodeId, StepError> {
        let (logits, labels) = (step.named(&self.logits)?, step.named(&self.labels)?);
        Ok(step.op(name, CrossEntropy { label_smoothing: self.label_smoothing }, &[logits, labels]))
    }

    fn complaint(&self) -> Option<String> {
        let wrong = !(0.0..1.0).contains(&self.label_smoothing);
        wrong.then(|| "should have a label smoothing in [0, 1)".to_owned())
    }
}
