//! How a run is asked for, what it comes to, and why it could not.

use std::path::PathBuf;

use crate::device::DeviceError;
use crate::project::{BuildError, ProjectError};
use crate::train::{CheckpointError, Evaluation, TrainError};
use crate::weights::WeightsError;

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The project is wrong.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A stage cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Weights cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log cannot be written.
    #[error("the run's log cannot be written ({error}): {}", path.display())]
    Log {
        /// What the system said.
        error: std::io::Error,
        /// The run folder.
        path: PathBuf,
    },
    /// There is nothing to evaluate or resume.
    #[error("{why}: {}", path.display())]
    Unfit {
        /// Why.
        why: &'static str,
        /// The run folder.
        path: PathBuf,
    },
}

/// How to run a project.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where run folders go.
    pub runs: PathBuf,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All stages done.
    Finished,
    /// Stopped on request, saved.
    Stopped,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// How it ended.
    pub outcome: Outcome,
    /// Its folder.
    pub folder: PathBuf,
    /// Metrics on the test split, when finished.
    pub test: Option<Evaluation>,
    /// Best top-1 on the validation split in the last stage.
    pub best_validation: Option<f64>,
    /// Seconds in all.
    pub secs: f64,
    /// Largest live value since the first step began.
    pub peak_bytes: u64,
}
