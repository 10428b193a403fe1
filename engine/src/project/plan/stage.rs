//! One stage's cost: bytes by cause, seconds by phase, where the peak is, what each node keeps and takes.

use serde::{Deserialize, Serialize};

use super::cut::{CutPlan, cut_plan};
use super::passes::Passes;
use super::walk::{evaluation, walked};
use crate::data::Source;
use crate::graph::{Graph, GraphError, NodeId, NodeKind, Schedule};
use crate::plan::{Calibration, Phase, StepBytes, StepShape, WalkSecs, walk_secs};
use crate::project::{Built, Turn};
use crate::tensor::{Shape, elements};
use crate::train::{StepGraph, TrainSpec, optimizer_secs};

/// A stage's cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StagePlan {
    /// Its name.
    pub name: String,
    /// Its kind: `train`, `measure`, `edit`, `generate` or `evaluate`.
    pub kind: String,
    /// Where its settings are in the project: `stages.1`.
    pub path: String,
    /// Weights that it trains; none where that is not known before the run.
    pub params_trainable: Option<u64>,
    /// Samples of an epoch.
    pub samples: usize,
    /// Its epochs, for a stage that trains.
    pub epochs: usize,
    /// Its step; the walk of a batch, for a stage that does not train.
    pub predicted: Option<Predicted>,
    /// Where the peak of a step is.
    pub peak: Option<Peak>,
    /// What could be kept of its frozen part.
    pub cut: Option<CutPlan>,
    /// Why nothing is predicted, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// What each node keeps and takes.
    #[serde(skip)]
    pub heat: Heat,
}

/// Predicted cost of a step. Seconds are 0 without a calibration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// Weights, states and constants.
    pub weights_bytes: u64,
    /// Gradients that wait for the optimiser, at their most.
    pub gradients_bytes: u64,
    /// The optimiser's own values.
    pub optimizer_bytes: u64,
    /// What lives between forward and backward.
    pub activations_bytes: u64,
    /// What the op at the peak needs for itself.
    pub workspace_bytes: u64,
    /// The batch in use and those that are read ahead.
    pub data_bytes: u64,
    /// Of it, the batch in use.
    #[serde(default)]
    pub batch_bytes: u64,
    /// Values of the frozen prefix that are held in memory.
    #[serde(default)]
    pub cache_bytes: u64,
    /// What the process holds beside all this: the program, the opened data, the graph.
    #[serde(default)]
    pub process_bytes: u64,
    /// The largest of the step's peak, an evaluation's and a checkpoint's, with everything that stands. The run's last test
    /// counts as an evaluation.
    pub peak_bytes: u64,
    /// Peaks of the step alone, above what stands before it.
    pub forward_peak_bytes: u64,
    /// In backward.
    pub backward_peak_bytes: u64,
    /// In the optimiser's part.
    pub optimizer_peak_bytes: u64,
    /// Multiply-adds of a step's forward.
    pub forward_multiply_adds: u64,
    /// Seconds of forward.
    pub forward_secs: f64,
    /// Of it, the part that nothing trained lies upstream of.
    pub frozen_forward_secs: f64,
    /// Seconds of backward.
    pub backward_secs: f64,
    /// Of it, what is computed again.
    pub again_secs: f64,
    /// Seconds of norm, clipping and update.
    pub optimizer_secs: f64,
    /// Seconds of the step.
    pub step_secs: f64,
    /// Samples a second.
    pub samples_per_sec: f64,
}

impl Predicted {
    /// Counts what the process holds beside the stage into its peak.
    pub fn stands_beside(&mut self, process_bytes: u64) {
        self.peak_bytes = self.peak_bytes - self.process_bytes + process_bytes;
        self.process_bytes = process_bytes;
    }
}

/// Where a run is largest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// `forward`, `backward`, `optimizer`, `evaluation`, `checkpoint`, `filling the cache` or `writing the data set`.
    pub phase: String,
    /// The node at work, in forward or backward.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// What each node of the model keeps and takes, by [`NodeId::index`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heat {
    /// Bytes that live between forward and backward.
    pub bytes: Vec<u64>,
    /// Seconds of forward and backward.
    pub secs: Vec<f64>,
}

impl StagePlan {
    fn of(turn: &Turn) -> Self {
        let (name, kind, path) = (turn.name(), turn.spec.kind().to_owned(), turn.path());
        Self { name, kind, path, ..Self::default() }
    }

    pub(super) fn unknown(turn: &Turn, why: &str) -> Self {
        Self { why_not: Some(why.to_owned()), ..Self::of(turn) }
    }

    /// Counts what the process holds beside the stage into every peak.
    pub fn stands_beside(&mut self, process_bytes: u64) {
        let before = self.predicted.as_ref().map_or(0, |predicted| predicted.process_bytes);
        if let Some(predicted) = &mut self.predicted {
            predicted.stands_beside(process_bytes);
        }
        if let Some(cut) = &mut self.cut {
            cut.peak_bytes = cut.peak_bytes - before + process_bytes;
        }
    }
}

/// Shapes of all values for a batch of `rows` samples.
pub(super) fn bind(
    built: &Built,
    graph: &Graph,
    source: &dyn Source,
    rows: usize,
) -> Result<Vec<Shape>, GraphError> {
    graph.shapes(&built.binding(source, rows))
}

/// Plans a built turn.
#[must_use]
pub fn plan_built(
    turn: &Turn,
    built: &Built,
    source: &dyn Source,
    calibration: Option<&Calibration>,
) -> StagePlan {
    let mut found = StagePlan { params_trainable: Some(built.selection.count), ..StagePlan::of(turn) };
    let (Some(spec), Some(step)) = (turn.spec.as_train(), &built.step) else {
        match walked(&turn.spec, built, source, calibration) {
            Ok(Some((predicted, peak, samples))) => {
                (found.predicted, found.peak, found.samples) = (Some(predicted), Some(peak), samples);
            }
            Ok(None) => {}
            Err(why) => found.why_not = Some(why),
        }
        return found;
    };
    let costs = Costs { passes: Passes::of(turn, spec, source), spec, built, step, source, calibration };
    (found.samples, found.epochs) = (costs.passes.training.samples, spec.epochs);
    match costs.of(&step.schedule, &[]) {
        Ok(mut cost) => {
            if let Some((plan, cached)) = cut_plan(&costs, &cost).unwrap_or_default() {
                // A stage with a cache runs from the cut on, once every sample is there.
                if spec.cache.is_some() {
                    (cost.predicted, cost.peak, cost.heat) = (cached.predicted, cached.peak, cached.heat);
                }
                found.cut = Some(plan);
            }
            found.predicted = Some(cost.predicted);
            found.peak = Some(cost.peak);
            found.heat = cost.heat;
        }
        Err(error) => found.why_not = Some(format!("the extents of a batch are not known: {error}")),
    }
    found
}

/// What the cost of a stage's step depends on, its schedule excepted.
pub(super) struct Costs<'a> {
    pub passes: Passes,
    pub spec: &'a TrainSpec,
    pub built: &'a Built,
    pub step: &'a StepGraph,
    pub source: &'a dyn Source,
    pub calibration: Option<&'a Calibration>,
}

/// The cost of one schedule.
pub(super) struct Cost {
    pub predicted: Predicted,
    pub peak: Peak,
    pub heat: Heat,
    /// Seconds of the micro-batches' walks, with how many of a step are alike.
    pub walks: Vec<(usize, WalkSecs)>,
}

impl Costs<'_> {
    pub(super) fn shapes(&self, rows: usize) -> Result<Vec<Shape>, GraphError> {
        bind(self.built, &self.step.graph, self.source, rows)
    }

    /// The cost of a walk whose values at `given` come with the batch.
    pub(super) fn of(&self, schedule: &Schedule, given: &[NodeId]) -> Result<Cost, GraphError> {
        let graph = &self.step.graph;
        let parts = self.passes.parts(self.spec);
        let first = self.shapes(parts[0])?;
        let last = self.shapes(*parts.last().unwrap_or(&1))?;
        let whole = if parts.len() > 1 { self.shapes(self.passes.training.batch)? } else { first.clone() };
        let later = match parts.len() {
            1 => None,
            2 => Some(&last[..]),
            _ => Some(&first[..]),
        };
        let shape = StepShape { graph, schedule, shapes: &first, later, whole: &whole, given };
        let (bytes, tally) = shape.bytes();
        let mut heat = Heat { bytes: tally.kept, ..Heat::default() };
        let mut predicted = self.standing(&bytes);
        predicted.forward_multiply_adds = tally.forward_multiply_adds * parts.len() as u64;
        let mut walks = Vec::new();
        if let Some(calibration) = self.calibration {
            // Only the last part may be smaller than the others.
            let alike = parts.iter().filter(|rows| **rows == parts[0]).count();
            for (count, shapes) in [(alike, &first), (parts.len() - alike, &last)] {
                if count > 0 {
                    walks.push((count, walk_secs(graph, schedule, shapes, calibration)));
                }
            }
            let updates = optimizer_secs(graph, schedule, self.spec, calibration);
            let sum = |secs: &dyn Fn(&WalkSecs) -> f64| -> f64 {
                walks.iter().map(|(count, walk)| count_of(*count) * secs(walk)).sum()
            };
            predicted.frozen_forward_secs = sum(&|walk| walk.frozen_forward);
            predicted.forward_secs = sum(&WalkSecs::forward);
            predicted.backward_secs = sum(&|walk| walk.backward) + updates.within_backward;
            predicted.again_secs = sum(&|walk| walk.again);
            predicted.optimizer_secs = updates.after;
            predicted.step_secs = predicted.forward_secs + predicted.backward_secs + predicted.optimizer_secs;
            if predicted.step_secs > 0.0 {
                predicted.samples_per_sec = count_of(self.passes.training.batch) / predicted.step_secs;
            }
            heat.secs = vec![0.0; graph.nodes().len()];
            for (count, walk) in &walks {
                for (sum, (forward, backward)) in
                    heat.secs.iter_mut().zip(walk.node_forward.iter().zip(&walk.node_backward))
                {
                    *sum += count_of(*count) * (forward + backward);
                }
            }
        }
        let peak = self.peak(&bytes, &mut predicted);
        Ok(Cost { predicted, peak, heat, walks })
    }

    /// Bytes by cause.
    fn standing(&self, bytes: &StepBytes) -> Predicted {
        let graph = &self.step.graph;
        let trained: u64 = self.built.selection.count;
        Predicted {
            weights_bytes: leaves_bytes(graph),
            gradients_bytes: bytes.gradients,
            optimizer_bytes: 4 * trained * self.spec.optimiser.state_values() as u64,
            activations_bytes: bytes.kept,
            workspace_bytes: bytes.workspace,
            data_bytes: bytes.batch * (1 + self.passes.training.ahead()),
            batch_bytes: bytes.batch,
            forward_peak_bytes: bytes.forward_peak,
            backward_peak_bytes: bytes.backward_peak,
            optimizer_peak_bytes: bytes.optimizer_peak,
            ..Predicted::default()
        }
    }

    /// The largest moment of the stage.
    fn peak(&self, bytes: &StepBytes, predicted: &mut Predicted) -> Peak {
        let stands = predicted.weights_bytes + predicted.optimizer_bytes;
        let ahead = predicted.data_bytes - bytes.batch;
        // Weights that are trained and the optimiser's values are copied to be written.
        let checkpoint = stands + 4 * self.built.selection.count + predicted.optimizer_bytes;
        let passes = [self.passes.validation, self.passes.test];
        let evaluations = passes.map(|pass| evaluation(self.built, &self.built.graph, self.source, pass));
        let evaluation = stands + evaluations[0].max(evaluations[1]);
        let step = stands + ahead + bytes.peak;
        predicted.peak_bytes = step.max(checkpoint).max(evaluation);
        let path = |id: NodeId| self.step.graph.node(id).path.clone();
        if step >= checkpoint.max(evaluation) {
            let node = bytes.peak_at.filter(|_| bytes.peak_phase != Phase::Optimizer).map(path);
            Peak { phase: bytes.peak_phase.name().to_owned(), node }
        } else if evaluation >= checkpoint {
            Peak { phase: "evaluation".to_owned(), node: None }
        } else {
            Peak { phase: "checkpoint".to_owned(), node: None }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) const fn count_of(count: usize) -> f64 {
    count as f64
}

/// Bytes of all weights, states and constants.
pub(super) fn leaves_bytes(graph: &Graph) -> u64 {
    let sizes = graph.nodes().iter().map(|node| match &node.kind {
        NodeKind::Param(leaf) => elements(&leaf.shape),
        NodeKind::State(leaf) => elements(&leaf.shape),
        NodeKind::Const(leaf) => elements(&leaf.shape),
        NodeKind::Input(_) | NodeKind::Op(_) => 0,
    });
    4 * sizes.map(|size| size as u64).sum::<u64>()
}
