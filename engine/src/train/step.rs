//! The step as one graph: the model, its loss, and the walk's schedule.

use crate::graph::{Builder, Extent, Graph, GraphError, NodeId, Schedule, ScheduleError};
use crate::ops::CrossEntropy;

/// A model graph with its loss and what a training walk over it does.
#[derive(Debug)]
pub struct StepGraph {
    /// Model and loss.
    pub graph: Graph,
    /// The scalar that is minimised.
    pub loss: NodeId,
    /// Class scores `[batch, classes]`.
    pub logits: NodeId,
    /// Moves of one walk.
    pub schedule: Schedule,
}

/// Why a step could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The model has no head.
    #[error("the model has no classifier head, so there is nothing to train against labels")]
    NoHead,
    /// The graph is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Nothing that is trained reaches the loss.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
}

impl StepGraph {
    /// Adds a cross-entropy loss to a model and plans the walk for the tracked parameters.
    ///
    /// # Errors
    /// When the model has no head or nothing tracked reaches the loss.
    pub fn new(model: &Graph, tracked: &[NodeId], label_smoothing: f64) -> Result<Self, StepError> {
        let logits = model.output("logits").ok_or(StepError::NoHead)?;
        let mut builder = Builder::extend(model, "step", "Step");
        let labels = builder.input("labels", vec![Extent::named("batch")]);
        let loss = builder.op("loss", CrossEntropy { label_smoothing }, &[logits, labels]);
        builder.output("loss", loss);
        let graph = builder.finish()?;
        let schedule = Schedule::training(&graph, &[logits], loss, tracked)?;
        Ok(Self { graph, loss, logits, schedule })
    }
}

/// Factor that brings a gradient of this global norm down to `limit`, as PyTorch computes it.
#[must_use]
pub fn clip_factor(norm: f64, limit: f64) -> f64 {
    (limit / (norm + 1e-6)).min(1.0)
}
