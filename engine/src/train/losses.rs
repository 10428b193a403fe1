//! Terms of a loss, one file each. A term reads outputs, inner nodes and columns by name and gives one scalar.

mod binary_cross_entropy;
mod cross_entropy;
mod dice;
mod distillation;
mod mean_squared_error;
mod symmetric_kl;

use serde::{Deserialize, Serialize};

pub use binary_cross_entropy::BinaryCrossEntropyTerm;
pub use cross_entropy::CrossEntropyTerm;
pub use dice::DiceTerm;
pub use distillation::DistillationTerm;
pub use mean_squared_error::MeanSquaredErrorTerm;
pub use symmetric_kl::SymmetricKlTerm;

use super::step::{StepBuilder, StepError};
use crate::graph::NodeId;

/// A term of the loss in a project file. The registry: one line a term.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LossSpec {
    /// Cross-entropy of logits against class numbers.
    CrossEntropy(CrossEntropyTerm),
    /// Symmetric Kullback–Leibler divergence of two predictions.
    SymmetricKl(SymmetricKlTerm),
    /// A student's prediction against a teacher's.
    Distillation(DistillationTerm),
    /// Mean squared difference of two values.
    MeanSquaredError(MeanSquaredErrorTerm),
    /// Overlap of a predicted mask with the true one.
    Dice(DiceTerm),
    /// Cross-entropy of each pixel of a predicted mask.
    BinaryCrossEntropy(BinaryCrossEntropyTerm),
}

/// What a term answers. Names are outputs (`logits`, `second.logits`), paths of nodes, or columns of the batch
/// (`batch.labels`).
pub trait LossTerm {
    /// What reports call it.
    fn name(&self) -> &'static str;

    /// Its factor in the sum.
    fn weight(&self) -> f64;

    /// Adds the term's nodes to the step; the scalar is called `name`.
    ///
    /// # Errors
    /// When a name stands for nothing.
    fn add(&self, step: &mut StepBuilder<'_>, name: &str) -> Result<NodeId, StepError>;

    /// What is wrong with its settings.
    fn complaint(&self) -> Option<String> {
        (!self.weight().is_finite()).then(|| format!("should have a finite weight, not {}", self.weight()))
    }
}

impl LossSpec {
    /// The term behind the spec.
    #[must_use]
    pub fn term(&self) -> &dyn LossTerm {
        match self {
            Self::CrossEntropy(term) => term,
            Self::SymmetricKl(term) => term,
            Self::Distillation(term) => term,
            Self::MeanSquaredError(term) => term,
            Self::Dice(term) => term,
            Self::BinaryCrossEntropy(term) => term,
        }
    }

    pub(super) fn complaint(&self) -> Option<String> {
        self.term().complaint()
    }
}

const fn one() -> f64 {
    1.0
}

fn logits() -> String {
    "logits".to_owned()
}

fn masks() -> String {
    "batch.masks".to_owned()
}
