//! What a turn tells of itself: events, and the checkpoint with its own.

use super::super::event::{EventBody, Loaded, NodeProfile};
use super::super::run::Run;
use crate::cache::Totals;
use crate::data::{Source, Split};
use crate::exec::NodeCost;
use crate::graph::{Graph, NodeKind};
use crate::plan::kept_calibration;
use crate::project::{Built, Heat, Predicted, Turn, plan_built};
use crate::train::{Checkpoint, Evaluation, Folded, MOST_CLASSES, Snapshot, StepReport};
use crate::weights::{LoadReport, Tensor};

impl Run<'_, '_> {
    pub(super) fn started(
        &mut self,
        first: usize,
        built: &Built,
        source: &dyn Source,
        from: Option<&Checkpoint>,
    ) {
        let body = EventBody::Started {
            project: self.project.name.clone(),
            device: self.project.device.clone(),
            seed: self.project.seed,
            params_total: built.graph.parameter_count(),
            params_trainable: built.selection.count,
            stages: self.turns.len(),
            folder: self.folder.path().display().to_string(),
            predicted: self.predicted(&self.turns[first], built, source).0,
            classes: Some(source.classes())
                .filter(|classes| classes.len() <= MOST_CLASSES)
                .map_or_else(Vec::new, <[String]>::to_vec),
            resumed_at: from.map(|c| c.total_steps),
        };
        self.emit(body);
    }

    /// What a step of a turn will cost, as far as that is known without measuring anything now.
    pub(super) fn predicted(&self, turn: &Turn, built: &Built, source: &dyn Source) -> Foretold {
        let times = kept_calibration(&self.project.device);
        let mut plan = plan_built(turn, built, source, times.as_ref());
        plan.stands_beside(self.process_bytes);
        (plan.predicted.map(Box::new), plan.heat)
    }

    pub(super) fn announce(
        &mut self,
        turn: &Turn,
        report: &LoadReport,
        trainable: u64,
        epochs: usize,
        steps: u64,
        predicted: Option<Box<Predicted>>,
    ) {
        self.emit(EventBody::Stage {
            stage: turn.stage,
            repetition: turn.repetition,
            turn: self.turns.iter().position(|other| other.at(0) == turn.at(0)).unwrap_or(0),
            name: turn.name(),
            kind: turn.spec.kind().to_owned(),
            trainable,
            loaded: Loaded {
                copied: report.copied.len(),
                resized: report.resized.len(),
                new: report.missing.len(),
            },
            epochs,
            steps,
            predicted,
        });
    }

    pub(super) fn done(&mut self, turn: &Turn, changed: Vec<String>, samples: u64) {
        self.emit(EventBody::Done { stage: turn.stage, repetition: turn.repetition, changed, samples });
    }

    pub(super) fn step(&mut self, turn: &Turn, report: &StepReport) {
        self.total_steps += 1;
        self.samples += report.samples as u64;
        self.step_secs += report.step_secs;
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        let samples_per_sec = report.samples as f64 / report.step_secs;
        let phases = report.phases;
        self.emit(EventBody::Step {
            stage: turn.stage,
            repetition: turn.repetition,
            epoch: report.epoch,
            step: report.step,
            loss: report.loss,
            losses: report.losses.clone(),
            lr: report.learning_rate,
            grad_norm: report.grad_norm,
            samples_per_sec,
            data_secs: report.data_secs,
            forward_secs: phases.frozen_forward_secs + phases.trainable_forward_secs,
            frozen_forward_secs: phases.frozen_forward_secs,
            backward_secs: phases.backward_secs,
            optimizer_secs: report.optimizer_secs,
            live_bytes: report.live_bytes,
            peak_bytes: report.peak_bytes,
            stage_peak_bytes: report.stage_peak_bytes,
        });
    }

    pub(super) fn profiled(
        &mut self,
        turn: &Turn,
        step: u64,
        graph: &Graph,
        costs: &[NodeCost],
        heat: &Heat,
    ) {
        let nodes = graph.nodes().iter().enumerate().zip(costs);
        let ops = nodes.filter(|((_, node), _)| matches!(node.kind, NodeKind::Op(_)));
        let nodes = ops
            .map(|((index, node), cost)| NodeProfile {
                path: node.path.clone(),
                forward_secs: to_nanosecond(cost.forward_secs),
                backward_secs: to_nanosecond(cost.backward_secs),
                bytes: cost.bytes,
                predicted_secs: heat.secs.get(index).map(|secs| to_nanosecond(*secs)),
                predicted_bytes: heat.bytes.get(index).copied(),
            })
            .collect();
        self.emit(EventBody::Profile { stage: turn.stage, repetition: turn.repetition, step, nodes });
    }

    pub(super) fn cached(&mut self, turn: &Turn, totals: Totals, trouble: Option<String>) {
        let Totals { built, hits, bytes, secs } = totals;
        let (stage, repetition) = (turn.stage, turn.repetition);
        self.emit(EventBody::Cache { stage, repetition, built, hits, bytes, secs, trouble });
    }

    pub(super) fn evaluated(
        &mut self,
        turn: &Turn,
        epoch: usize,
        step: u64,
        split: Split,
        found: &Evaluation,
        closing: bool,
    ) {
        self.emit(EventBody::Eval {
            stage: turn.stage,
            repetition: turn.repetition,
            epoch,
            step,
            split: split.name().to_owned(),
            closing,
            loss: found.loss,
            metrics: found.metrics.clone(),
            samples: found.samples,
            confusion: found.confusion.clone(),
            predictions: found.predictions.clone(),
        });
    }

    pub(super) fn save(
        &mut self,
        turn: &Turn,
        snapshot: &Snapshot<'_>,
        folded: Folded,
        best: Option<f64>,
        is_best: bool,
    ) -> Result<(), String> {
        let (optimizer, optimizer_steps) = snapshot.optimiser.to_host();
        let params = snapshot
            .params
            .iter()
            .filter(|(path, _)| self.changed.contains(*path))
            .map(|(path, value)| (path.to_owned(), Tensor { shape: value.shape(), data: value.to_f32() }))
            .collect();
        let checkpoint = Checkpoint {
            position: turn.at(snapshot.step),
            params,
            optimizer,
            optimizer_steps,
            folded,
            best,
            total_steps: self.total_steps,
            secs: self.secs(),
        };
        let path = checkpoint
            .write(&self.folder.checkpoints(), is_best)
            .map_err(|error| format!("the checkpoint cannot be written: {error}"))?;
        let path = path.strip_prefix(self.folder.path()).unwrap_or(&path).display().to_string();
        self.emit(EventBody::Checkpoint { path, step: snapshot.step, best: is_best });
        Ok(())
    }
}

/// What a stage's step is predicted to cost, in all and node by node.
type Foretold = (Option<Box<Predicted>>, Heat);

/// Further digits would only make the log longer.
fn to_nanosecond(secs: f64) -> f64 {
    (secs * 1e9).round() / 1e9
}
