//! Taking a run's turns: each stage with the weights that the one before left, then the final test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::event::{EventBody, Loaded, NodeProfile};
use super::folder::RunFolder;
use super::outcome::{Outcome, RunError, RunSummary};
use super::run::{Run, overlay};
use crate::cache::Totals;
use crate::data::{Source, Split};
use crate::exec::NodeCost;
use crate::graph::{Graph, NodeKind};
use crate::memory::{Meter, live_bytes};
use crate::plan::kept_calibration;
use crate::project::{Built, Heat, Predicted, Turn, build_turn, generated, open_source_in, plan_built};
use crate::tensor::kernels::make_thread_buffers;
use crate::train::{
    Ask, Caching, Checkpoint, Done, EditSpec, Ended, Evaluation, Folded, GenerateSpec, MOST_CLASSES,
    MeasureSpec, Measuring, Optimiser, Progress, Snapshot, Stage, StageSpec, StageWeights, StepReport,
    TrainError, TrainSpec, Wish, evaluate, generate,
};
use crate::weights::{LoadReport, Params, Tensor, from_params, load, save_model};

/// A turn's model with its weights.
pub(super) struct Standing {
    turn: Turn,
    built: Built,
    params: Params,
    source: Arc<dyn Source>,
    /// Best top-1 on the validation split.
    best: Option<f64>,
    last_step: u64,
    /// What keeps the values of its frozen prefix.
    caching: Option<Caching>,
}

impl Run<'_, '_> {
    pub(super) fn take_turns(&mut self, mut from: Option<Checkpoint>) -> Result<RunSummary, RunError> {
        let mut first = 0;
        if let Some(checkpoint) = &from {
            (self.earlier_secs, self.total_steps) = (checkpoint.secs, checkpoint.total_steps);
            self.changed.extend(checkpoint.params.keys().cloned());
            let at = checkpoint.position;
            let place = self.turns.iter().position(|turn| turn.at(at.step) == at);
            first = place
                .ok_or_else(|| self.unfit("its checkpoint is of a stage that the project does not have"))?;
        }
        let mut meter = Meter::start();
        let mut before: Option<BTreeMap<String, Tensor>> = None;
        let mut last: Option<Standing> = None;
        for place in first..self.turns.len() {
            let turn = self.turns[place].clone();
            let source = open_source_in(self.project, self.base, &turn, self.folder.path())?;
            let built = build_turn(self.project, self.base, &turn, &turn.merged, source.as_ref())?;
            if place == first {
                // Before any weight is there.
                make_thread_buffers();
                self.process_bytes = live_bytes(&self.device);
                self.started(first, &built, source.as_ref(), from.as_ref());
            }
            let (params, report) = self.weights(&built, &turn, before.take().as_ref(), from.as_mut())?;
            let mut standing =
                Standing { turn, built, params, source, best: None, last_step: 0, caching: None };
            let ended = self.take_turn(&mut standing, &report, from.take(), &mut meter)?;
            if ended == Ended::Stopped {
                self.emit(EventBody::Stopped { steps: self.total_steps });
                return Ok(self.summary(Outcome::Stopped, None, standing.best, &mut meter));
            }
            if place + 1 < self.turns.len() {
                before = Some(standing.params.to_host());
            } else {
                // A stage that others follow leaves its weights alone.
                last = Some(standing);
            }
        }
        let Some(standing) = last else {
            return Err(self.unfit("this run has no stage left"));
        };
        self.finish(standing, &mut meter)
    }

    fn unfit(&self, why: &'static str) -> RunError {
        RunError::Unfit { why, path: self.folder.path().to_path_buf() }
    }

    /// What a step of a turn will cost, as far as that is known without measuring anything now.
    fn predicted(&self, turn: &Turn, built: &Built, source: &dyn Source) -> Foretold {
        let times = kept_calibration(&self.project.device);
        let mut plan = plan_built(turn, built, source, times.as_ref());
        if let Some(predicted) = &mut plan.predicted {
            predicted.stands_beside(self.process_bytes);
        }
        (plan.predicted.map(Box::new), plan.heat)
    }

    fn started(&mut self, first: usize, built: &Built, source: &dyn Source, from: Option<&Checkpoint>) {
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

    fn weights(
        &mut self,
        built: &Built,
        turn: &Turn,
        before: Option<&BTreeMap<String, Tensor>>,
        from: Option<&mut Checkpoint>,
    ) -> Result<(Params, LoadReport), RunError> {
        let seed = self.project.seed;
        if let (Some(values), StageWeights::Previous) = (before, turn.spec.weights()) {
            let (params, report) = from_params(built.walked(), values, seed, &self.device);
            // Made from another shape, they are not what a checkpoint could find in the model's own file.
            self.changed.extend(report.resized.iter().map(|resize| resize.path.clone()));
            return Ok((params, report));
        }
        let (mut params, report) = load(built.walked(), built.weights.as_ref(), seed, &self.device)?;
        if let Some(source) = &built.weights {
            report.require(&source.folder, |misfit| misfit.expected)?;
        }
        if let Some(checkpoint) = from {
            overlay(&mut params, std::mem::take(&mut checkpoint.params), &self.device);
        }
        Ok((params, report))
    }

    fn take_turn(
        &mut self,
        standing: &mut Standing,
        report: &LoadReport,
        from: Option<Checkpoint>,
        meter: &mut Meter,
    ) -> Result<Ended, RunError> {
        match standing.turn.spec.clone() {
            StageSpec::Train(spec) => self.train(&spec, standing, report, from, meter),
            StageSpec::Measure(spec) => self.measure(&spec, standing, report, from),
            StageSpec::Edit(spec) => self.edit(&spec, standing, report, from.as_ref()),
            StageSpec::Generate(spec) => self.generate(&spec, standing, report),
            StageSpec::Evaluate(spec) => {
                self.announce(&standing.turn, report, 0, 0, 1, None);
                let Standing { built, params, source, turn, .. } = standing;
                let control = self.control;
                let (split, samples, batch) = (spec.split, spec.samples, spec.batch);
                let found = evaluate(
                    &built.graph,
                    params,
                    source,
                    split,
                    samples,
                    batch,
                    &self.device,
                    control,
                    None,
                )?;
                let Some(found) = found else { return Ok(Ended::Stopped) };
                self.evaluated(turn, 0, 0, split, &found, false);
                Ok(Ended::Finished)
            }
            StageSpec::Repeat(_) => unreachable!("turns have no repetitions"),
        }
    }

    fn announce(
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

    fn done(&mut self, turn: &Turn, changed: Vec<String>, samples: u64) {
        self.emit(EventBody::Done { stage: turn.stage, repetition: turn.repetition, changed, samples });
    }

    fn train(
        &mut self,
        spec: &TrainSpec,
        standing: &mut Standing,
        report: &LoadReport,
        from: Option<Checkpoint>,
        meter: &mut Meter,
    ) -> Result<Ended, RunError> {
        let Standing { turn, built, params, source, best, last_step, caching } = standing;
        for measure in &built.graph.demands().measures {
            let state = &built.graph.node(measure.state).path;
            if !self.changed.contains(state) {
                return Err(TrainError::NotMeasured { state: state.clone() }.into());
            }
        }
        let Some(step) = &built.step else { unreachable!("a stage that trains has a step") };
        let mut optimiser = Optimiser::new(spec.optimiser.clone());
        let mut done = Done::default();
        if let Some(checkpoint) = from {
            optimiser.restore(checkpoint.optimizer, &checkpoint.optimizer_steps, &self.device);
            *best = checkpoint.best;
            done.steps = checkpoint.position.step;
            done.rate_scale = self.asked_rate(turn);
        }
        let device = self.device.clone();
        *caching = self.caching(spec, built, source.as_ref())?;
        let stage = Stage {
            index: turn.stage,
            repetition: turn.repetition,
            spec,
            model: &built.graph,
            step,
            selection: &built.selection,
            source,
            device: &device,
            seed: self.project.seed,
            caching: caching.as_ref(),
            // Further repetitions cost about the same, and the log stays short.
            profiles: turn.repetition == 0 && profiles(),
        };
        *last_step = stage.steps();
        let (predicted, heat) = self.predicted(turn, built, source.as_ref());
        self.announce(turn, report, built.selection.count, spec.epochs, *last_step, predicted);
        self.changed.extend(built.selection.paths.iter().cloned());
        self.changed.extend(updated(&step.graph));
        let control = self.control;
        let mut skipped = 0;
        let ended = stage.run(params, &mut optimiser, done, control, meter, &mut |progress, snapshot| {
            match progress {
                Progress::Step(report) => {
                    skipped += report.skipped;
                    self.step(turn, report);
                    if report.skipped > 0 {
                        let example = report.skipped_example.clone();
                        self.emit(EventBody::Skipped { count: skipped, example });
                    }
                }
                Progress::Profile(costs) => self.profiled(turn, snapshot.step, &step.graph, costs, &heat),
                Progress::Cache(totals) => self.cached(turn, totals),
                Progress::Asked(ask) => {
                    let (stage, repetition, step) = (turn.stage, turn.repetition, snapshot.step);
                    self.emit(EventBody::Asked { stage, repetition, step, ask });
                    if ask == Ask::Checkpoint {
                        self.save(turn, snapshot, Folded::default(), *best, false)?;
                    }
                }
                Progress::Evaluated { epoch, evaluation } => {
                    self.evaluated(turn, epoch, snapshot.step, Split::Validation, evaluation, false);
                }
                Progress::Paused => self.emit(EventBody::Paused {}),
                Progress::Continued => self.emit(EventBody::Continued {}),
                Progress::Epoch { epoch, evaluation } => {
                    let mut is_best = false;
                    if let Some(evaluation) = evaluation {
                        is_best = best.is_none_or(|best| evaluation.score() > best);
                        if is_best {
                            *best = Some(evaluation.score());
                        }
                        self.evaluated(turn, epoch, snapshot.step, Split::Validation, evaluation, false);
                    }
                    self.save(turn, snapshot, Folded::default(), *best, is_best)?;
                }
                Progress::Stopping => self.save(turn, snapshot, Folded::default(), *best, false)?,
            }
            match self.log_error.take() {
                Some(error) => Err(format!("the run's log cannot be written: {error}")),
                None => Ok(()),
            }
        })?;
        Ok(ended)
    }

    fn measure(
        &mut self,
        spec: &MeasureSpec,
        standing: &mut Standing,
        report: &LoadReport,
        from: Option<Checkpoint>,
    ) -> Result<Ended, RunError> {
        let Standing { turn, built, params, source, last_step, .. } = standing;
        let device = self.device.clone();
        let measuring = Measuring { spec, model: &built.graph, source, device: &device };
        let steps = measuring.steps();
        *last_step = steps;
        self.announce(turn, report, 0, 1, steps, None);
        let mut folded = from.map(|checkpoint| checkpoint.folded).unwrap_or_default();
        let done_before = steps > 0 && folded.batches == steps;
        let (ended, filled) = measuring.run(params, &mut folded, self.control)?;
        if done_before {
            return Ok(ended);
        }
        let samples = folded.samples;
        let step = folded.batches;
        self.changed.extend(filled.iter().cloned());
        // What was folded so far goes on from here; a finished measurement is in its states.
        let optimiser = Optimiser::new(crate::train::OptimiserSpec::default());
        let snapshot = Snapshot { params, optimiser: &optimiser, step };
        self.save(turn, &snapshot, folded, None, false).map_err(TrainError::Observer)?;
        if ended == Ended::Finished {
            self.done(turn, filled.into_iter().collect(), samples);
        }
        Ok(ended)
    }

    fn edit(
        &mut self,
        spec: &EditSpec,
        standing: &mut Standing,
        report: &LoadReport,
        from: Option<&Checkpoint>,
    ) -> Result<Ended, RunError> {
        self.announce(&standing.turn, report, 0, 0, 1, None);
        let present = standing.turn.present(self.project);
        let Standing { turn, built, params, source, last_step, .. } = standing;
        *last_step = 1;
        // A checkpoint of this stage is of what it left.
        let done_before = from.is_some_and(|checkpoint| checkpoint.position.step > 0);
        let mut changed = BTreeSet::new();
        if !done_before {
            let edited = spec.apply(&built.graph, params, &present, self.project.seed);
            changed = edited.map_err(TrainError::from)?;
            self.changed.extend(changed.iter().cloned());
        }
        let gone = turn.merged_after(self.project);
        let turn = turn.clone();
        *built = build_turn(self.project, self.base, &turn, &gone, source.as_ref())?;
        let names: BTreeSet<&str> = built.graph.nodes().iter().map(|node| node.path.as_str()).collect();
        let kept: Vec<String> = params.iter().map(|(path, _)| path.to_owned()).collect();
        for path in kept.iter().filter(|path| !names.contains(path.as_str())) {
            drop(params.take(path));
            self.changed.remove(path);
        }
        if !done_before {
            let optimiser = Optimiser::new(crate::train::OptimiserSpec::default());
            let snapshot = Snapshot { params: &standing.params, optimiser: &optimiser, step: 1 };
            self.save(&turn, &snapshot, Folded::default(), None, false).map_err(TrainError::Observer)?;
            self.done(&turn, changed.into_iter().collect(), 0);
        }
        Ok(Ended::Finished)
    }

    fn generate(
        &mut self,
        spec: &GenerateSpec,
        standing: &mut Standing,
        report: &LoadReport,
    ) -> Result<Ended, RunError> {
        self.announce(&standing.turn, report, 0, 0, 1, None);
        let Standing { turn, built, params, source, .. } = standing;
        let path = generated(self.folder.path(), &spec.name);
        let samples = generate(spec, &built.graph, params, source, &self.device, self.control, &path)?;
        let Some(samples) = samples else { return Ok(Ended::Stopped) };
        let shown = path.strip_prefix(self.folder.path()).unwrap_or(&path).display().to_string();
        let turn = turn.clone();
        self.done(&turn, vec![shown], samples as u64);
        Ok(Ended::Finished)
    }

    /// The cache that a stage asks for.
    fn caching(
        &self,
        spec: &TrainSpec,
        built: &Built,
        source: &dyn Source,
    ) -> Result<Option<Caching>, TrainError> {
        let (Some(cache), Some(step)) = (&spec.cache, &built.step) else { return Ok(None) };
        // A run folder stands beside the others.
        let runs = self.folder.path().parent().unwrap_or(self.folder.path());
        let binding = built.binding(source, 1);
        let place = cache.place(self.base, runs, &self.project.device, binding);
        Caching::new(step, &place, source).map(Some)
    }

    fn cached(&mut self, turn: &Turn, totals: Totals) {
        let Totals { built, hits, bytes, secs } = totals;
        let (stage, repetition) = (turn.stage, turn.repetition);
        self.emit(EventBody::Cache { stage, repetition, built, hits, bytes, secs });
    }

    fn profiled(&mut self, turn: &Turn, step: u64, graph: &Graph, costs: &[NodeCost], heat: &Heat) {
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

    fn step(&mut self, turn: &Turn, report: &StepReport) {
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

    fn evaluated(
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

    /// How many times its learning rate a stage was asked to use, by the log of the session before.
    fn asked_rate(&self, turn: &Turn) -> Option<f64> {
        let events = RunFolder::events(self.folder.path()).unwrap_or_default();
        events.iter().rev().find_map(|event| match &event.body {
            EventBody::Asked { stage, repetition, ask: Ask::Rate { scale }, .. }
                if (*stage, *repetition) == (turn.stage, turn.repetition) =>
            {
                Some(*scale)
            }
            _ => None,
        })
    }

    fn save(
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

    /// Tests the last stage's weights, the best ones where it trained, and writes the base model as a folder when
    /// it was changed and nothing stands beside it.
    fn finish(&mut self, standing: Standing, meter: &mut Meter) -> Result<RunSummary, RunError> {
        let Standing { turn, built, mut params, source, best, last_step, caching } = standing;
        let train = turn.spec.as_train();
        if train.is_some()
            && let Some(checkpoint) = Checkpoint::read(&self.folder.checkpoints(), "best")?
            && turn.at(0) == turn_of(&checkpoint)
        {
            overlay(&mut params, checkpoint.params, &self.device);
        }
        let batch = train.map_or(32, |spec| spec.batch.div_ceil(spec.accumulate));
        let has_test = source.len(Split::Test) > 0 && built.graph.output("logits").is_some();
        let tested_already = matches!(&turn.spec, StageSpec::Evaluate(spec) if spec.split == Split::Test);
        let test = if has_test && !tested_already {
            let (graph, device) = (&built.graph, &self.device);
            let features = match &caching {
                Some(caching) => caching.evaluation(graph, &params, &source, Split::Test)?,
                None => None,
            };
            let features = features.as_ref();
            evaluate(graph, &params, &source, Split::Test, None, batch, device, self.control, features)?
        } else {
            None
        };
        if let Some(caching) = &caching {
            self.cached(&turn, caching.totals());
        }
        if let Some(test) = &test {
            self.evaluated(&turn, train.map_or(0, |spec| spec.epochs), last_step, Split::Test, test, true);
        } else if has_test && !tested_already && self.control.wish() == Wish::Stop {
            // Everything is trained and saved; going on means to test.
            self.emit(EventBody::Stopped { steps: self.total_steps });
            return Ok(self.summary(Outcome::Stopped, None, best, meter));
        }
        let base_changed = built
            .graph
            .params()
            .any(|(_, path, leaf)| leaf.placement.is_none() && self.changed.contains(path));
        let alone = built.graph.params().all(|(_, _, leaf)| leaf.placement.is_none());
        if base_changed && alone {
            let folder = self.folder.path().join("model");
            save_model(&built.graph, &params, &built.architecture.config(), &folder)?;
        }
        let summary = self.summary(Outcome::Finished, test, best, meter);
        #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^52")]
        let samples_per_sec = if self.step_secs > 0.0 { self.samples as f64 / self.step_secs } else { 0.0 };
        self.emit(EventBody::Finished {
            secs: summary.secs,
            steps: self.total_steps,
            metrics: summary.test.as_ref().map(|t| t.metrics.clone()).unwrap_or_default(),
            peak_bytes: summary.peak_bytes,
            samples_per_sec,
        });
        Ok(summary)
    }
}

/// What a stage's step is predicted to cost, in all and node by node.
type Foretold = (Option<Box<Predicted>>, Heat);

/// Further digits would only make the log longer.
fn to_nanosecond(secs: f64) -> f64 {
    (secs * 1e9).round() / 1e9
}

/// Whether stages tell of one step node by node: `GRAFT_PROFILE=off` leaves it.
fn profiles() -> bool {
    std::env::var("GRAFT_PROFILE").map_or(true, |value| value != "off")
}

fn turn_of(checkpoint: &Checkpoint) -> crate::train::Position {
    crate::train::Position { step: 0, ..checkpoint.position }
}

/// Leaves that a step changes by declared updates.
fn updated(graph: &Graph) -> Vec<String> {
    let updates = graph.demands().updates.iter().map(|update| graph.node(update.target));
    updates.map(|node| node.path.clone()).collect()
}
