//! One stage's step, under the counting allocator and the clock.

use std::sync::Arc;

use burn::tensor::Device;

use super::draw::Drawn;
use crate::data::{Batch, Split};
use crate::exec::Watcher;
use crate::graph::{Graph, Move, NodeId};
use crate::memory::{heap, reset_peak};
use crate::plan::Level;
use crate::train::{Optimiser, Stage, StepReport, TrainError, TrainSpec};
use crate::weights::load;

/// What one step was seen to hold and take.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Bytes at the boundary of forward and backward, and at the peak of each phase, above the level before the step.
    pub boundary: u64,
    pub forward_peak: u64,
    pub backward_peak: u64,
    pub optimizer_peak: u64,
    /// Bytes around each move of the last micro-batch.
    pub levels: Vec<Level>,
    /// Seconds of a step by phase: the lower quartile of the timed steps, since what else a machine does only adds.
    pub forward_secs: f64,
    pub backward_secs: f64,
    pub optimizer_secs: f64,
}

impl Seen {
    pub(super) fn peak(&self) -> u64 {
        self.forward_peak.max(self.backward_peak).max(self.optimizer_peak)
    }

    pub(super) fn step_secs(&self) -> f64 {
        self.forward_secs + self.backward_secs + self.optimizer_secs
    }
}

/// Reads the allocator around each move.
struct Meter {
    before: u64,
    in_backward: bool,
    moves: Vec<(Move, Level)>,
    seen: Seen,
}

impl Meter {
    fn new(before: u64) -> Self {
        reset_peak();
        Self { before, in_backward: false, moves: Vec::new(), seen: Seen::default() }
    }

    fn above(&self, bytes: u64) -> u64 {
        bytes.saturating_sub(self.before)
    }
}

impl Watcher for Meter {
    fn begin(&mut self, step: Move) {
        let backward = matches!(step, Move::Vjp(_) | Move::Recompute { .. });
        if backward && !std::mem::replace(&mut self.in_backward, true) {
            self.seen.boundary = self.seen.boundary.max(self.above(heap().live_bytes));
        }
        // What stood before is of the phase as well.
        let peak = self.above(heap().peak_bytes);
        let slot = if self.in_backward { &mut self.seen.backward_peak } else { &mut self.seen.forward_peak };
        *slot = (*slot).max(peak);
        reset_peak();
    }

    fn end(&mut self, step: Move) {
        let usage = heap();
        let level =
            Level { peak_bytes: self.above(usage.peak_bytes), live_bytes: self.above(usage.live_bytes) };
        let slot = if self.in_backward { &mut self.seen.backward_peak } else { &mut self.seen.forward_peak };
        *slot = (*slot).max(level.peak_bytes);
        self.moves.push((step, level));
    }

    fn walked(&mut self) {
        self.in_backward = false;
        self.seen.levels = self.moves.drain(..).map(|(_, level)| level).collect();
        reset_peak();
    }
}

/// Takes `steps` steps to be timed after two that warm up and one under the meter.
pub(super) fn measure(
    drawn: &Drawn,
    spec: &TrainSpec,
    device: &Device,
    steps: usize,
) -> Result<Seen, TrainError> {
    let Some(step) = &drawn.built.step else { unreachable!("the bench draws stages that train") };
    let loaded = load(&step.graph, None, 1, device);
    let Ok((mut params, _)) = loaded else { unreachable!("nothing is read from files") };
    let mut optimiser = Optimiser::new(spec.optimiser.clone());
    let source = Arc::clone(&drawn.source);
    let stage = Stage {
        index: 0,
        repetition: 0,
        spec,
        model: &drawn.built.graph,
        step,
        selection: &drawn.built.selection,
        caching: None,
        profiles: false,
        source: &source,
        device,
        seed: 1,
    };
    let indices: Vec<usize> = (0..spec.batch).collect();
    let mut numbers: Vec<StepReport> = Vec::new();
    let mut seen = Seen::default();
    for number in 0..steps + 3 {
        let before = heap().live_bytes;
        let batch = Batch::read(source.as_ref(), Split::Train, &indices)?;
        let mut report =
            StepReport { step: number as u64 + 1, steps: steps as u64 + 3, ..StepReport::default() };
        if number == 2 {
            let mut meter = Meter::new(before);
            stage.step(batch, &mut params, &mut optimiser, &mut report, &mut meter)?;
            seen = std::mem::take(&mut meter.seen);
            seen.optimizer_peak = meter.above(heap().peak_bytes);
        } else {
            stage.step(batch, &mut params, &mut optimiser, &mut report, &mut crate::exec::Unwatched)?;
        }
        if number > 2 {
            numbers.push(report);
        }
    }
    let usual = |of: &dyn Fn(&StepReport) -> f64| {
        let mut values: Vec<f64> = numbers.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 4).copied().unwrap_or_default()
    };
    seen.forward_secs = usual(&|r| r.phases.frozen_forward_secs + r.phases.trainable_forward_secs);
    seen.backward_secs = usual(&|r| r.phases.backward_secs);
    seen.optimizer_secs = usual(&|r| r.optimizer_secs);
    Ok(seen)
}

/// The node of a move, if it has one.
pub(super) const fn node(step: Move) -> Option<NodeId> {
    match step {
        Move::Run { node, .. } | Move::Recompute { node, .. } | Move::Vjp(node) => Some(node),
        _ => None,
    }
}

/// `forward spatial.blocks.0.heads (attention)`.
pub(super) fn name(graph: &Graph, step: Move) -> String {
    let what = match step {
        Move::Run { .. } => "forward",
        Move::Recompute { .. } => "again",
        Move::Vjp(_) => "backward",
        _ => "between",
    };
    let Some(id) = node(step) else { return what.to_owned() };
    let node = graph.node(id);
    let op = match &node.kind {
        crate::graph::NodeKind::Op(op) => op.name(),
        _ => "leaf",
    };
    format!("{what} {} ({op})", node.path)
}
