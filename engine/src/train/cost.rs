//! What the optimiser's part of a step is predicted to take.

use super::TrainSpec;
use crate::graph::{Graph, Move, NodeKind, Schedule, Take};
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
    let gradients = || {
        schedule.moves.iter().filter_map(|step| {
            let Move::Gradient(leaf, take) = step else { return None };
            let NodeKind::Param(param) = &graph.node(*leaf).kind else { return None };
            Some((elements(&param.shape), take))
        })
    };
    // A parameter comes by once a step: whether its values are still in the processor's caches is up to all of them.
    let all: usize = gradients().map(|(count, _)| count).sum();
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = |count: usize| count as f64 / all.max(1) as f64;
    let (of_all, squares) = (spec.optimiser.predicted_secs(all, calibration), calibration.square(all));
    for (count, take) in gradients() {
        let update = (share(count) * of_all).max(spec.optimiser.predicted_secs(count, calibration));
        match take {
            Take::Step => found.within_backward += update,
            Take::Hold | Take::Accumulate => {
                found.after += update + (share(count) * squares).max(calibration.square(count));
            }
            Take::Fold => {}
        }
    }
    found
}
