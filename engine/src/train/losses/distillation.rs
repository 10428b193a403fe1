use serde::{Deserialize, Serialize};

use super::super::step::{StepBuilder, StepError};
use super::{LossTerm, logits, one};
use crate::graph::NodeId;
use crate::ops::Distillation;

/// Divergence of a student's prediction from a teacher's (Hinton et al., 2015), both logits `[batch, classes]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillationTerm {
    /// The student's logits.
    #[serde(default = "logits")]
    pub student: String,
    /// The teacher's logits: another instance's output, or a column of the batch.
    pub teacher: String,
    /// Temperature of both.
    #[serde(default = "one")]
    pub temperature: f64,
    /// Factor in the sum.
    #[serde(default = "one")]
    pub weight: f64,
}

impl LossTerm for DistillationTerm {
    fn name(&self) -> &'static str {
        "distillation"
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn add(&self, step: &mut StepBuilder<'_>, name: &str) -> Result<NodeId, StepError> {
        let (student, teacher) = (step.named(&self.student)?, step.named(&self.teacher)?);
        Ok(step.op(name, Distillation { temperature: self.temperature }, &[student, teacher]))
    }

    fn complaint(&self) -> Option<String> {
        let right = self.temperature > 0.0 && self.temperature.is_finite();
        (!right).then(|| "should have a temperature above 0".to_owned())
    }
}
