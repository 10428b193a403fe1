//! What keeping the frozen part's values would cost and spare.

use serde::{Deserialize, Serialize};

use super::stage::{Cost, Costs, Peak, count_of};
use crate::cache::FULL;
use crate::graph::{GraphError, Schedule, cut};
use crate::plan::{Part, tally};

/// Bytes beside each value that is kept: where it lies, its extents, its place in a file. An estimate from the sizes of
/// these types, which matters only where the values themselves are small.
const BESIDE: u64 = 240;

/// The cut of a stage: where its frozen part ends, and whether keeping that pays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CutPlan {
    /// The nodes whose values are kept.
    pub after: Vec<String>,
    /// Bytes of all of them for one sample.
    pub bytes_per_sample: u64,
    /// Bytes for all samples that the stage reads: of the training split, and of those that it is evaluated and tested on.
    pub bytes_total: u64,
    /// Multiply-adds of one sample that are spared.
    pub multiply_adds_per_sample: u64,
    /// Seconds of computing it once for every sample.
    pub build_secs: f64,
    /// Seconds of a step with everything in the cache.
    pub step_secs: f64,
    /// Seconds of a step in the first epoch, with nothing in it yet.
    #[serde(default)]
    pub first_step_secs: f64,
    /// The stage's peak with a cache, that of filling it included.
    pub peak_bytes: u64,
    /// The epoch at whose end a run with the cache has taken less time than one without; none if that never comes.
    pub break_even_epoch: Option<u64>,
}

/// Prices the cut, and the stage that uses it; `None` when no frozen work precedes what trains.
pub(super) fn cut_plan(costs: &Costs<'_>, cost: &Cost) -> Result<Option<(CutPlan, Cost)>, GraphError> {
    let step_of = costs.step;
    let Some(found) = cut(&step_of.graph, &step_of.schedule, &costs.shapes(1)?) else { return Ok(None) };
    let Ok(schedule) = step_of.schedule_from(&found.after) else { return Ok(None) };
    let mut plan = CutPlan {
        after: found.after.iter().map(|id| step_of.graph.node(*id).path.clone()).collect(),
        bytes_per_sample: found.bytes_per_sample,
        bytes_total: found.bytes_per_sample * costs.passes.samples(),
        multiply_adds_per_sample: found.multiply_adds,
        ..CutPlan::default()
    };
    let mut cached = costs.of(&schedule, &found.after)?;
    let spec = costs.spec.cache.clone().unwrap_or_default();
    let at_once = costs.passes.samples_at_once();
    let bytes = found.bytes_per_sample * at_once;
    let held = bytes.min(spec.memory_bytes);
    // Those beyond it wait until a file is full.
    let waiting = (bytes - held).min(FULL);
    // Beside the nodes' values stands at least a label.
    let beside = BESIDE * at_once * (found.after.len() as u64 + 1);
    let own = &mut cached.predicted;
    own.cache_bytes = held + waiting + beside;
    // Once everything is there, batches of kept values are read ahead, and nothing waits.
    let full = own.peak_bytes + held + beside;
    // Before that the data's own are, and steps take turns with walks of the prefix and with putting its values away.
    let step = own.forward_peak_bytes.max(own.backward_peak_bytes).max(own.optimizer_peak_bytes);
    let prefix = Schedule::forward(&step_of.graph, &found.after);
    let shapes = costs.shapes(costs.passes.parts(costs.spec)[0])?;
    let walk = tally(&step_of.graph, &prefix, &shapes, Part::First).peak_bytes + cost.predicted.batch_bytes;
    let storing = 2 * costs.passes.training.batch as u64 * found.bytes_per_sample;
    let ahead = cost.predicted.data_bytes - cost.predicted.batch_bytes;
    let filling =
        own.weights_bytes + own.optimizer_bytes + own.cache_bytes + ahead + step.max(walk).max(storing);
    own.peak_bytes = full.max(filling);
    if filling > full {
        cached.peak = Peak { phase: "filling the cache".to_owned(), node: None };
    }
    plan.step_secs = cached.predicted.step_secs;
    plan.peak_bytes = cached.predicted.peak_bytes;
    if let Some(calibration) = costs.calibration {
        let before = step_of.graph.upstream(found.after.iter().copied());
        let spared: f64 = cost
            .walks
            .iter()
            .map(|(count, walk)| {
                let nodes = walk.node_forward.iter().zip(&before).zip(&step_of.schedule.tracked);
                let once: f64 = nodes
                    .filter(|((_, before), tracked)| **before && !**tracked)
                    .map(|((secs, _), _)| secs)
                    .sum();
                count_of(*count) * once
            })
            .sum();
        let training = costs.passes.training;
        let steps = count_of(training.samples) / count_of(training.batch);
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let values = (found.bytes_per_sample / 4) as f64 * count_of(training.samples);
        // Moving a value once takes about as long as adding one does.
        let moving = calibration.sum(1 << 20) / f64::from(1 << 20) * values;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let all = costs.passes.samples() as f64 / count_of(training.samples.max(1));
        plan.build_secs = (spared * steps + moving) * all;
        plan.first_step_secs = plan.step_secs + spared + moving / steps.max(1.0);
        let gain = spared * steps - moving;
        if gain > 0.0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
            let epochs = (moving / gain).ceil() as u64;
            plan.break_even_epoch = Some(1 + epochs.max(1));
        }
    }
    Ok(Some((plan, cached)))
}
