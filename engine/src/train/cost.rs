//! What the optimiser's part of a step is predicted to take.

use super::TrainSpec;
use crate::graph::{Graph, Move, Schedule, Take};
use crate::plan::Calibration;
use crate::tensor::elements;

/// Seconds of updates, by where in the step they fall.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OptimizerSecs {
    /// Of parameters that step as soon as their gradient is complete.
    pub within_backward: f64,
    /// Of those that wait: norm, clipping and update.
    pub after: f64,
}

/// Adds the updates of a step up.
#[must_use]
pub fn optimizer_secs(
    graph: &Graph,
    schedule: &Schedule,
    spec: &TrainSpec,
    calibration: &Calibration,
) -> OptimizerSecs {
    let mut found = OptimizerSecs::default();
    for step in &schedule.moves {
        let Move::Gradient(leaf, take) = step else { continue };
        let crate::graph::NodeKind::Param(param) = &graph.node(*leaf).kind else { continue };
        let count = elements(&param.shape);
        let update = spec.optimiser.predicted_secs(count, calibration);
        match take {
            Take::Step => found.within_backward += update,
            Take::Hold | Take::Accumulate => found.after += update + calibration.square(count),
            Take::Fold => {}
        }
    }
    found
}
