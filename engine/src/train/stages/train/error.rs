//! Why a stage failed.

use super::super::super::step::StepError;
use super::super::{EditError, GenerateError};
use crate::cache::CacheError;
use crate::data::LoadError;
use crate::exec::ExecError;

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The step could not be made.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A walk could not be performed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The data failed.
    #[error(transparent)]
    Data(#[from] LoadError),
    /// The loss is not a number any more.
    #[error(
        "the loss is {loss} at step {step}; lower the learning rate ({learning_rate}) or clip the gradient"
    )]
    NotFinite {
        /// The loss.
        loss: f64,
        /// The step.
        step: u64,
        /// The rate it was trained at.
        learning_rate: f64,
    },
    /// The training split is smaller than one step, or nothing of it could be read.
    #[error("no training sample could be read; {skipped} were skipped")]
    NoSamples {
        /// Skipped samples.
        skipped: usize,
    },
    /// A state that an adapter needs measured is not.
    #[error("`{state}` must be measured first; put a `Measure` stage before this one")]
    NotMeasured {
        /// The state.
        state: String,
    },
    /// A measuring stage whose model asks for no measurement.
    #[error("the stage `{stage}` has nothing to measure: no adapter in it needs any; take it out")]
    NothingToMeasure {
        /// The stage's name.
        stage: String,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// An edit could not be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A data set could not be written.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// What the observer did failed (writing a checkpoint).
    #[error("{0}")]
    Observer(String),
}
