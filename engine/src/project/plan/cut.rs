//! What keeping the frozen part's values would cost and spare.

use serde::{Deserialize, Serialize};

use super::stage::{Cost, Costs, Peak};
use crate::graph::{GraphError, Schedule, cut};
use crate::plan::{Part, tally};

/// Bytes of values that wait to be written, at the most.
const WAITING: u64 = 64 << 20;

/// The cut of a stage: where its frozen part ends, and whether keeping that pays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CutPlan {
    /// The nodes whose values are kept.
    pub after: Vec<String>,
    /// Bytes of all of them for one sample.
    pub bytes_per_sample: u64,
    /// Bytes for all samples of the training split.
    pub bytes_total: u64,
    /// Multiply-adds of one sample that are spared.
    pub multiply_adds_per_sample: u64,
    /// Seconds of computing it once for every sample.
    pub build_secs: f64,
    /// Seconds of a step with everything in the cache.
    pub step_secs: f64,
    /// The stage's peak with a cache, that of filling it included.
    pub peak_bytes: u64,
    /// The epoch at whose end a run with the cache has taken less time than one without; none if that never comes.
    pub break_even_epoch: Option<u64>,
}

/// Prices the cut, and the stage that uses it; `None` when no frozen work precedes what trains.
pub(super) fn cut_plan(
    costs: &Costs<'_>,
    cost: &Cost,
    samples: usize,
) -> Result<Option<(CutPlan, Cost)>, GraphError> {
    let step = costs.step;
    let Some(found) = cut(&step.graph, &step.schedule, &costs.shapes(1)?) else { return Ok(None) };
    let Ok(schedule) = step.schedule_from(&found.after) else { return Ok(None) };
    let mut plan = CutPlan {
        after: found.after.iter().map(|id| step.graph.node(*id).path.clone()).collect(),
        bytes_per_sample: found.bytes_per_sample,
        bytes_total: found.bytes_per_sample * samples as u64,
        multiply_adds_per_sample: found.multiply_adds,
        ..CutPlan::default()
    };
    let mut cached = costs.of(&schedule, &found.after)?;
    let rows = costs.parts()[0];
    let filling = {
        let prefix = Schedule::forward(&step.graph, &found.after);
        let shapes = costs.shapes(rows)?;
        tally(&step.graph, &prefix, &shapes, Part::First).peak_bytes + cost.predicted.data_bytes
    };
    let spec = costs.spec.cache.clone().unwrap_or_default();
    cached.predicted.cache_bytes = plan.bytes_total.min(spec.memory_bytes) + plan.bytes_total.min(WAITING);
    let stands = cached.predicted.weights_bytes + cached.predicted.optimizer_bytes;
    let full = cached.predicted.peak_bytes + cached.predicted.cache_bytes;
    let filled = stands + filling + cached.predicted.cache_bytes;
    cached.predicted.peak_bytes = full.max(filled);
    if filled > full {
        cached.peak = Peak { phase: "filling the cache".to_owned(), node: None };
    }
    plan.step_secs = cached.predicted.step_secs;
    plan.peak_bytes = cached.predicted.peak_bytes;
    if let Some(calibration) = costs.calibration {
        let before = step.graph.upstream(found.after.iter().copied());
        let spared: f64 = cost
            .walks
            .iter()
            .map(|walk| {
                let nodes = walk.node_forward.iter().zip(&before).zip(&step.schedule.tracked);
                nodes
                    .filter(|((_, before), tracked)| **before && !**tracked)
                    .map(|((secs, _), _)| secs)
                    .sum::<f64>()
            })
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let (steps, values) = (
            samples as f64 / costs.spec.batch.max(1) as f64,
            (found.bytes_per_sample / 4) as f64 * samples as f64,
        );
        // Moving a value once takes about as long as adding one does.
        let moving = calibration.sum(1 << 20) / f64::from(1 << 20) * values;
        plan.build_secs = spared * steps + moving;
        let gain = spared * steps - moving;
        if gain > 0.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
            let epochs = (moving / gain).ceil() as u64;
            plan.break_even_epoch = Some(1 + epochs.max(1));
        }
    }
    Ok(Some((plan, cached)))
}
