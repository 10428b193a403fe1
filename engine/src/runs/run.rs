//! Performing a project: stages in order, events, checkpoints, the final test, the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;

use super::event::{Event, EventBody, Loaded};
use super::folder::RunFolder;
use super::outcome::{Outcome, RunError, RunOptions, RunSummary};
use super::report;
use crate::data::{Source, Split};
use crate::device;
use crate::memory::Meter;
use crate::project::{Built, Project, build_stage, open_source};
use crate::train::{
    Checkpoint, Control, Ended, Evaluation, Optimiser, Position, Progress, Stage, StageSpec, StageWeights,
    StepReport, TrainError, TrainSpec, Wish, evaluate,
};
use crate::weights::{LoadReport, Params, Tensor, from_params, load, save_model};

/// A stage that has ended, as what comes after it needs it.
struct Trained {
    built: Built,
    params: Params,
    source: Arc<dyn Source>,
    /// Best top-1 on the validation split.
    best: Option<f64>,
    last_step: u64,
}

/// Where events go.
pub(super) type Sink<'a> = dyn FnMut(&Event) + 'a;

/// Runs a project from its beginning in a fresh run folder. `base` is the folder of the project file.
///
/// # Errors
/// When anything fails; the run's log then ends with `failed`.
pub fn train(
    project: &Project,
    base: &Path,
    options: &RunOptions,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<RunSummary, RunError> {
    project.check()?;
    // What cannot work is told before a folder is made.
    let device = device::open_checked(&project.device)?;
    for stage in 0..project.stages.len() {
        let source = open_source(project, base, stage)?;
        build_stage(project, base, stage, source.as_ref())?;
    }
    let folder = RunFolder::create(&options.runs, project, base)?;
    Run::new(project, base, device, folder, control, sink).perform(None)
}

/// Goes on with a stopped or killed run, exactly where its last checkpoint was.
///
/// # Errors
/// When the folder holds no run, the run is finished, or anything fails.
pub fn resume(path: &Path, control: &Control, sink: &mut Sink<'_>) -> Result<RunSummary, RunError> {
    let (mut folder, project, base) = RunFolder::open(path)?;
    let finished = RunFolder::events(path)
        .is_ok_and(|events| events.iter().any(|e| matches!(e.body, EventBody::Finished { .. })));
    if finished {
        return Err(RunError::Unfit { why: "this run is finished", path: path.to_path_buf() });
    }
    let device = device::open_checked(&project.device)?;
    let checkpoint = Checkpoint::read(&folder.checkpoints(), "last")?;
    let position = checkpoint.as_ref().map(|c| c.position).unwrap_or_default();
    folder
        .rewind(position.stage, position.step)
        .map_err(|error| RunError::Log { error, path: path.to_path_buf() })?;
    Run::new(&project, &base, device, folder, control, sink).perform(checkpoint)
}

/// Evaluates a run's best checkpoint (or last, when none is best) on a split.
///
/// # Errors
/// When the folder holds no checkpoint or anything fails.
pub fn evaluate_run(path: &Path, split: Split) -> Result<Evaluation, RunError> {
    let (folder, project, base) = RunFolder::open(path)?;
    let device = device::open_checked(&project.device)?;
    let checkpoints = folder.checkpoints();
    let best = match Checkpoint::read(&checkpoints, "best")? {
        Some(best) => Some(best),
        None => Checkpoint::read(&checkpoints, "last")?,
    };
    let Some(checkpoint) = best else {
        return Err(RunError::Unfit { why: "this run has no checkpoint yet", path: path.to_path_buf() });
    };
    let stage = checkpoint.position.stage;
    let source = open_source(&project, &base, stage)?;
    let built = build_stage(&project, &base, stage, source.as_ref())?;
    let (mut params, _) = load(&built.graph, built.weights.as_ref(), project.seed, &device)?;
    overlay(&mut params, checkpoint.params, &device);
    let StageSpec::Train(spec) = &project.stages[stage];
    let control = Control::new();
    let result = evaluate(&built.graph, &params, &source, split, None, spec.batch, &device, &control)?;
    Ok(result.unwrap_or_default())
}

fn overlay(params: &mut Params, tensors: BTreeMap<String, Tensor>, device: &Device) {
    for (path, value) in Params::from_host(tensors, device).iter() {
        params.set(path, value.clone());
    }
}

struct Run<'a, 'b> {
    project: &'a Project,
    base: &'a Path,
    device: Device,
    folder: RunFolder,
    control: &'a Control,
    sink: &'a mut Sink<'b>,
    begin: Instant,
    /// Seconds of earlier sessions of this run.
    earlier_secs: f64,
    total_steps: u64,
    samples: u64,
    step_secs: f64,
    /// Paths that any stage so far has trained.
    trained: BTreeSet<String>,
    log_error: Option<std::io::Error>,
}

impl<'a, 'b> Run<'a, 'b> {
    fn new(
        project: &'a Project,
        base: &'a Path,
        device: Device,
        folder: RunFolder,
        control: &'a Control,
        sink: &'a mut Sink<'b>,
    ) -> Self {
        Self {
            project,
            base,
            device,
            folder,
            control,
            sink,
            begin: Instant::now(),
            earlier_secs: 0.0,
            total_steps: 0,
            samples: 0,
            step_secs: 0.0,
            trained: BTreeSet::new(),
            log_error: None,
        }
    }

    fn secs(&self) -> f64 {
        self.earlier_secs + self.begin.elapsed().as_secs_f64()
    }

    fn emit(&mut self, body: EventBody) {
        let event = Event { run: self.folder.id(), time: self.secs(), body };
        if let Err(error) = self.folder.append(&event) {
            self.log_error.get_or_insert(error);
        }
        (self.sink)(&event);
    }

    fn perform(mut self, from: Option<Checkpoint>) -> Result<RunSummary, RunError> {
        // A panic ends this run as failed, with its message, and nothing else.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.stages(from)));
        let result = result.unwrap_or_else(|panic| {
            Err(TrainError::Observer(format!("an operation failed: {}", device::panic_message(&*panic)))
                .into())
        });
        match result {
            Ok(summary) => {
                if let Err(error) = report::write(self.folder.path(), self.project) {
                    return Err(RunError::Log { error, path: self.folder.path().to_path_buf() });
                }
                Ok(summary)
            }
            Err(error) => {
                self.emit(EventBody::Failed { error: error.to_string() });
                // The report tells of the failure; if it cannot be written, the first error matters more.
                drop(report::write(self.folder.path(), self.project));
                Err(error)
            }
        }
    }

    fn stages(&mut self, mut from: Option<Checkpoint>) -> Result<RunSummary, RunError> {
        let first = from.as_ref().map(|c| c.position).unwrap_or_default();
        if let Some(checkpoint) = &from {
            (self.earlier_secs, self.total_steps) = (checkpoint.secs, checkpoint.total_steps);
            self.trained.extend(checkpoint.params.keys().cloned());
        }
        let mut meter = Meter::start();
        let mut before: Option<BTreeMap<String, Tensor>> = None;
        let mut last: Option<Trained> = None;
        for index in first.stage..self.project.stages.len() {
            let StageSpec::Train(spec) = &self.project.stages[index];
            let source = open_source(self.project, self.base, index)?;
            let built = build_stage(self.project, self.base, index, source.as_ref())?;
            if index == first.stage {
                self.started(&built, from.as_ref());
            }
            let (mut params, report) = self.weights(&built, spec, before.take().as_ref(), from.as_mut())?;
            let mut optimiser = Optimiser::new(spec.optimiser.clone());
            let mut best = None;
            let mut done = 0;
            if let Some(checkpoint) = from.take() {
                optimiser.restore(checkpoint.optimizer, &checkpoint.optimizer_steps, &self.device);
                best = checkpoint.best;
                done = checkpoint.position.step;
            }
            let stage = Stage {
                index,
                spec,
                model: &built.graph,
                selection: &built.selection,
                source: &source,
                device: &self.device.clone(),
                seed: self.project.seed,
            };
            self.emit(EventBody::Stage {
                stage: index,
                name: spec.name.clone(),
                trainable: built.selection.count,
                loaded: Loaded {
                    copied: report.copied.len(),
                    resized: report.resized.len(),
                    new: report.missing.len(),
                },
                epochs: spec.epochs,
                steps: stage.steps(),
            });
            self.trained.extend(built.selection.paths.iter().cloned());
            let last_step = stage.steps();
            let ended = self.run_stage(&stage, &mut params, &mut optimiser, done, &mut best, &mut meter)?;
            if ended == Ended::Stopped {
                self.emit(EventBody::Stopped { steps: self.total_steps });
                return Ok(self.summary(Outcome::Stopped, None, best, &mut meter));
            }
            if index + 1 < self.project.stages.len() {
                before = Some(params.to_host());
            }
            last = Some(Trained { built, params, source, best, last_step });
        }
        let Some(Trained { built, mut params, source, best, last_step }) = last else {
            return Err(RunError::Unfit {
                why: "this run has no stage left",
                path: self.folder.path().to_path_buf(),
            });
        };
        self.finish(&built, &mut params, &source, best, last_step, &mut meter)
    }

    fn started(&mut self, built: &Built, from: Option<&Checkpoint>) {
        let body = EventBody::Started {
            project: self.project.name.clone(),
            device: self.project.device.clone(),
            seed: self.project.seed,
            params_total: built.graph.parameter_count(),
            params_trainable: built.selection.count,
            stages: self.project.stages.len(),
            folder: self.folder.path().display().to_string(),
            resumed_at: from.map(|c| c.total_steps),
        };
        self.emit(body);
    }

    fn weights(
        &self,
        built: &Built,
        spec: &TrainSpec,
        before: Option<&BTreeMap<String, Tensor>>,
        from: Option<&mut Checkpoint>,
    ) -> Result<(Params, LoadReport), RunError> {
        let seed = self.project.seed;
        if let (Some(values), StageWeights::Previous) = (before, spec.weights) {
            return Ok(from_params(&built.graph, values, seed, &self.device));
        }
        let (mut params, report) = load(&built.graph, built.weights.as_ref(), seed, &self.device)?;
        if let Some(checkpoint) = from {
            overlay(&mut params, std::mem::take(&mut checkpoint.params), &self.device);
        }
        Ok((params, report))
    }

    fn run_stage(
        &mut self,
        stage: &Stage<'_>,
        params: &mut Params,
        optimiser: &mut Optimiser,
        done: u64,
        best: &mut Option<f64>,
        meter: &mut Meter,
    ) -> Result<Ended, RunError> {
        let control = self.control;
        let mut skipped = 0;
        let ended = stage.run(params, optimiser, done, control, meter, &mut |progress, snapshot| {
            match progress {
                Progress::Step(report) => {
                    skipped += report.skipped;
                    self.step(stage.index, report);
                    if report.skipped > 0 {
                        let example = report.skipped_example.clone();
                        self.emit(EventBody::Skipped { count: skipped, example });
                    }
                }
                Progress::Paused => self.emit(EventBody::Paused {}),
                Progress::Continued => self.emit(EventBody::Continued {}),
                Progress::Epoch { epoch, evaluation } => {
                    let mut is_best = false;
                    if let Some(evaluation) = evaluation {
                        is_best = best.is_none_or(|best| evaluation.top1() > best);
                        if is_best {
                            *best = Some(evaluation.top1());
                        }
                        self.evaluated(stage.index, epoch, snapshot.step, Split::Validation, evaluation);
                    }
                    self.save(stage.index, snapshot, *best, is_best)?;
                }
                Progress::Stopping => self.save(stage.index, snapshot, *best, false)?,
            }
            match self.log_error.take() {
                Some(error) => Err(format!("the run's log cannot be written: {error}")),
                None => Ok(()),
            }
        })?;
        Ok(ended)
    }

    fn step(&mut self, stage: usize, report: &StepReport) {
        self.total_steps += 1;
        self.samples += report.samples as u64;
        self.step_secs += report.step_secs;
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        let samples_per_sec = report.samples as f64 / report.step_secs;
        let phases = report.phases;
        self.emit(EventBody::Step {
            stage,
            epoch: report.epoch,
            step: report.step,
            loss: report.loss,
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
        });
    }

    fn evaluated(&mut self, stage: usize, epoch: usize, step: u64, split: Split, found: &Evaluation) {
        self.emit(EventBody::Eval {
            stage,
            epoch,
            step,
            split: split.name().to_owned(),
            loss: found.loss,
            metrics: found.metrics.clone(),
            samples: found.samples,
        });
    }

    fn save(
        &mut self,
        stage: usize,
        snapshot: &crate::train::Snapshot<'_>,
        best: Option<f64>,
        is_best: bool,
    ) -> Result<(), String> {
        let (optimizer, optimizer_steps) = snapshot.optimiser.to_host();
        let params = snapshot
            .params
            .iter()
            .filter(|(path, _)| self.trained.contains(*path))
            .map(|(path, value)| (path.to_owned(), Tensor { shape: value.shape(), data: value.to_f32() }))
            .collect();
        let checkpoint = Checkpoint {
            position: Position { stage, step: snapshot.step },
            params,
            optimizer,
            optimizer_steps,
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

    /// Tests the best weights of the last stage and writes the base model as a folder when it was trained.
    fn finish(
        &mut self,
        built: &Built,
        params: &mut Params,
        source: &Arc<dyn Source>,
        best: Option<f64>,
        last_step: u64,
        meter: &mut Meter,
    ) -> Result<RunSummary, RunError> {
        let index = self.project.stages.len() - 1;
        let StageSpec::Train(spec) = &self.project.stages[index];
        if let Some(checkpoint) = Checkpoint::read(&self.folder.checkpoints(), "best")?
            && checkpoint.position.stage == index
        {
            overlay(params, checkpoint.params, &self.device);
        }
        let batch = spec.batch.div_ceil(spec.accumulate);
        let test = if source.len(Split::Test) > 0 {
            evaluate(&built.graph, params, source, Split::Test, None, batch, &self.device, self.control)?
        } else {
            None
        };
        if let Some(test) = &test {
            self.evaluated(index, spec.epochs, last_step, Split::Test, test);
        } else if source.len(Split::Test) > 0 && self.control.wish() == Wish::Stop {
            // Everything is trained and saved; going on means to test.
            self.emit(EventBody::Stopped { steps: self.total_steps });
            return Ok(self.summary(Outcome::Stopped, None, best, meter));
        }
        let base_trained = built
            .graph
            .params()
            .any(|(_, path, leaf)| leaf.placement.is_none() && self.trained.contains(path));
        if base_trained && self.project.adapters.is_empty() {
            let folder = self.folder.path().join("model");
            save_model(&built.graph, params, &built.architecture.config(), &folder)?;
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

    fn summary(
        &self,
        outcome: Outcome,
        test: Option<Evaluation>,
        best_validation: Option<f64>,
        meter: &mut Meter,
    ) -> RunSummary {
        RunSummary {
            outcome,
            folder: self.folder.path().to_path_buf(),
            test,
            best_validation,
            secs: self.secs(),
            peak_bytes: meter.look(&self.device).peak_bytes,
        }
    }
}
