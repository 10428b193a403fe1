//! The loop of one training stage: data, walk, optimiser, evaluation, and where it can be stopped.

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;

use super::control::{Control, Wish};
use super::evaluate::{Evaluation, evaluate};
use super::optimiser::Optimiser;
use super::selection::Selection;
use super::spec::TrainSpec;
use super::step::{StepError, StepGraph, clip_factor};
use crate::data::{Batch, FieldValues, LoadError, Loader, Source, Split, batches, epoch_order};
use crate::exec::{ExecError, Inputs, Phases, Walk};
use crate::graph::Graph;
use crate::memory::Meter;
use crate::tensor::{Stream, Value};
use crate::weights::Params;

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The step could not be made.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A walk could not be performed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The data failed.
    #[error(transparent)]
    Data(#[from] LoadError),
    /// The loss is not a number any more.
    #[error(
        "the loss is {loss} at step {step}; lower the learning rate ({learning_rate}) or clip the gradient"
    )]
    NotFinite {
        /// The loss.
        loss: f64,
        /// The step.
        step: u64,
        /// The rate it was trained at.
        learning_rate: f64,
    },
    /// The training split is smaller than one step, or nothing of it could be read.
    #[error("no training sample could be read; {skipped} were skipped")]
    NoSamples {
        /// Skipped samples.
        skipped: usize,
    },
    /// What the observer did failed (writing a checkpoint).
    #[error("{0}")]
    Observer(String),
}

/// One training stage, ready to run.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Its number in the run.
    pub index: usize,
    /// What to do.
    pub spec: &'a TrainSpec,
    /// The model with its adapters.
    pub model: &'a Graph,
    /// What trains.
    pub selection: &'a Selection,
    /// Where samples come from.
    pub source: &'a Arc<dyn Source>,
    /// Where to compute.
    pub device: &'a Device,
    /// Seed of the run.
    pub seed: u64,
}

/// What one optimiser step did and took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Epoch, from 0.
    pub epoch: usize,
    /// Steps done in this stage, this one included.
    pub step: u64,
    /// Steps of the whole stage.
    pub steps: u64,
    /// Mean loss over the step's samples, before the update.
    pub loss: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Samples in the step.
    pub samples: usize,
    /// Samples left out because they could not be read.
    pub skipped: usize,
    /// One of them, with the reason.
    pub skipped_example: String,
    /// Waiting for data.
    pub data_secs: f64,
    /// Forward and backward.
    pub phases: Phases,
    /// Norm, clipping and update.
    pub optimizer_secs: f64,
    /// The whole step.
    pub step_secs: f64,
    /// Live bytes at its end.
    pub live_bytes: u64,
    /// Largest live value since the run's first step began.
    pub peak_bytes: u64,
}

/// What a stage tells while it runs.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A step is done.
    Step(&'a StepReport),
    /// An epoch is done, perhaps with an evaluation on the validation split.
    Epoch {
        /// Epochs done.
        epoch: usize,
        /// The evaluation, if this epoch has one.
        evaluation: Option<&'a Evaluation>,
    },
    /// The stage waits.
    Paused,
    /// It goes on after a pause.
    Continued,
    /// The stage was asked to stop, after a whole step.
    Stopping,
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All steps done.
    Finished,
    /// Stopped on request.
    Stopped,
}

/// What an observer may read when told of progress.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// Weights now.
    pub params: &'a Params,
    /// Optimiser state now.
    pub optimiser: &'a Optimiser,
    /// Steps done in this stage.
    pub step: u64,
}

impl Stage<'_> {
    /// Samples of one epoch.
    #[must_use]
    pub fn epoch_samples(&self) -> usize {
        self.source.len(Split::Train).min(self.spec.samples.unwrap_or(usize::MAX))
    }

    /// Steps of one epoch.
    #[must_use]
    pub fn steps_per_epoch(&self) -> u64 {
        self.epoch_samples().div_ceil(self.spec.batch) as u64
    }

    /// Steps of the stage.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps_per_epoch() * self.spec.epochs as u64
    }

    /// Trains from `done` steps on to the stage's end.
    ///
    /// # Errors
    /// When the data, the walk or the observer fail, or the loss is no number.
    pub fn run(
        &self,
        params: &mut Params,
        optimiser: &mut Optimiser,
        done: u64,
        control: &Control,
        meter: &mut Meter,
        observe: &mut dyn FnMut(Progress<'_>, &Snapshot<'_>) -> Result<(), String>,
    ) -> Result<Ended, TrainError> {
        let step_graph = StepGraph::new(self.model, &self.selection.nodes, self.spec.label_smoothing)?;
        let per_epoch = self.steps_per_epoch();
        if per_epoch == 0 {
            return Err(TrainError::NoSamples { skipped: 0 });
        }
        let mut step = done;
        let first_epoch = usize::try_from(done / per_epoch).unwrap_or(usize::MAX);
        for epoch in first_epoch..self.spec.epochs {
            let offset = usize::try_from(step - per_epoch * epoch as u64).unwrap_or(0);
            let mut loader = self.loader(epoch, offset);
            loop {
                let begin = Instant::now();
                let Some(batch) = loader.next().transpose()? else { break };
                let data_secs = begin.elapsed().as_secs_f64();
                let mut report = StepReport {
                    epoch,
                    step: step + 1,
                    steps: self.steps(),
                    data_secs,
                    ..StepReport::default()
                };
                self.step(&step_graph, batch, params, optimiser, &mut report)?;
                step += 1;
                report.step_secs = begin.elapsed().as_secs_f64();
                let usage = meter.look(self.device);
                (report.live_bytes, report.peak_bytes) = (usage.live_bytes, usage.peak_bytes);
                let snapshot = Snapshot { params, optimiser, step };
                observe(Progress::Step(&report), &snapshot).map_err(TrainError::Observer)?;
                // After an epoch's last step its evaluation comes first: a resumed run begins behind it.
                let whole_epoch = step >= per_epoch * (epoch as u64 + 1);
                if !whole_epoch && attend(control, &snapshot, observe)? {
                    observe(Progress::Stopping, &snapshot).map_err(TrainError::Observer)?;
                    return Ok(Ended::Stopped);
                }
            }
            drop(loader);
            let wanted = self.spec.evaluate_every;
            let last = epoch + 1 == self.spec.epochs;
            let due = wanted > 0 && ((epoch + 1).is_multiple_of(wanted) || last);
            let evaluation = if due && self.source.len(Split::Validation) > 0 {
                let found = evaluate(
                    self.model,
                    params,
                    self.source,
                    Split::Validation,
                    None,
                    self.spec.batch.div_ceil(self.spec.accumulate),
                    self.device,
                    // Cut short, it would be missing in what chooses the best checkpoint.
                    &Control::new(),
                )?;
                meter.look(self.device);
                found
            } else {
                None
            };
            let snapshot = Snapshot { params, optimiser, step };
            let progress = Progress::Epoch { epoch: epoch + 1, evaluation: evaluation.as_ref() };
            observe(progress, &snapshot).map_err(TrainError::Observer)?;
            if attend(control, &snapshot, observe)? && !last {
                observe(Progress::Stopping, &snapshot).map_err(TrainError::Observer)?;
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Finished)
    }

    /// Batches of an epoch from a step of it on. The order depends on seed, stage and epoch only.
    fn loader(&self, epoch: usize, skip_steps: usize) -> Loader {
        let seed = Stream::new(self.seed, "stage").at(self.index as u64).next_u32();
        let mut order = epoch_order(u64::from(seed), epoch as u64, self.source.len(Split::Train));
        order.truncate(self.epoch_samples());
        let mut batches = batches(self.source.as_ref(), Split::Train, &order, self.spec.batch);
        let batches = batches.split_off(skip_steps.min(batches.len()));
        Loader::new(Arc::clone(self.source), Split::Train, batches, prefetch_threads(), 4)
    }

    fn step(
        &self,
        step_graph: &StepGraph,
        batch: Batch,
        params: &mut Params,
        optimiser: &mut Optimiser,
        report: &mut StepReport,
    ) -> Result<(), TrainError> {
        report.skipped = batch.skipped.len();
        if let Some(skipped) = batch.skipped.first() {
            report.skipped_example = format!("{}: {}", skipped.what, skipped.why);
        }
        report.samples = batch.len();
        let rate_factor = self.spec.schedule.factor(report.step - 1, self.steps());
        report.learning_rate = self.spec.optimiser.learning_rate() * rate_factor;
        if report.samples == 0 {
            return Err(TrainError::NoSamples { skipped: report.skipped });
        }
        let mut gradients: Vec<(String, Value)> = Vec::with_capacity(self.selection.nodes.len());
        let micro = report.samples.div_ceil(self.spec.accumulate);
        let parts = batch.split(micro);
        let whole = parts.len() == 1;
        for (number, part) in parts.into_iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
            let share = part.len() as f64 / report.samples as f64;
            let walk = Walk {
                graph: &step_graph.graph,
                schedule: &step_graph.schedule,
                params,
                seed: self.seed,
                // A micro-batch draws its own numbers: position (stage, step, part).
                step: ((self.index as u64) << 48) | (report.step << 8) | number as u64,
                training: true,
            };
            let mut taken = 0;
            let outcome = walk.run(&upload(part, self.device), |path, gradient| {
                let gradient = if whole { gradient } else { gradient.mul_scalar(share) };
                if number == 0 {
                    gradients.push((path.to_owned(), gradient));
                } else if let Some((_, sum)) = gradients.get_mut(taken) {
                    // The walk hands gradients over in the same order every time.
                    *sum = sum.clone().add(gradient);
                }
                taken += 1;
            })?;
            report.phases.frozen_forward_secs += outcome.phases.frozen_forward_secs;
            report.phases.trainable_forward_secs += outcome.phases.trainable_forward_secs;
            report.phases.backward_secs += outcome.phases.backward_secs;
            let loss = outcome.values.get(&step_graph.loss).map_or(f64::NAN, Value::to_scalar);
            report.loss += loss * share;
        }
        if !report.loss.is_finite() {
            return Err(TrainError::NotFinite {
                loss: report.loss,
                step: report.step,
                learning_rate: report.learning_rate,
            });
        }
        let begin = Instant::now();
        report.grad_norm = global_norm(&gradients);
        let factor = self.spec.clip_norm.map_or(1.0, |limit| clip_factor(report.grad_norm, limit));
        for (path, gradient) in gradients {
            let gradient = if factor < 1.0 { gradient.mul_scalar(factor) } else { gradient };
            let Some(parameter) = params.take(&path) else { continue };
            params.set(&path, optimiser.step(&path, parameter, gradient, report.learning_rate));
        }
        report.optimizer_secs = begin.elapsed().as_secs_f64();
        Ok(())
    }
}

/// Threads that decode and draw samples: the trainer itself needs the cores more.
pub(super) fn prefetch_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).clamp(1, 8))
}

/// The columns of a batch on a device.
pub(super) fn upload(batch: Batch, device: &Device) -> Inputs {
    let columns = batch.columns.into_iter().map(|(name, field)| {
        let value = match field.values {
            FieldValues::Floats(values) => Value::from_f32(values, &field.shape, device),
            FieldValues::Integers(values) => Value::from_i64(values, &field.shape, device),
        };
        (name, value)
    });
    columns.collect()
}

/// Root of the sum of all squares, read from the device once.
fn global_norm(gradients: &[(String, Value)]) -> f64 {
    if gradients.is_empty() {
        return 0.0;
    }
    let squares = gradients.iter().map(|(_, g)| g.clone().square().sum_all()).collect();
    Value::concat(squares, 0).to_f64().iter().sum::<f64>().sqrt()
}

/// Waits while a pause is wished, telling when it begins and ends; says whether to stop.
fn attend(
    control: &Control,
    snapshot: &Snapshot<'_>,
    observe: &mut dyn FnMut(Progress<'_>, &Snapshot<'_>) -> Result<(), String>,
) -> Result<bool, TrainError> {
    // Read once: a pause that comes a moment later is told at the next step.
    match control.wish() {
        Wish::Run => Ok(false),
        Wish::Stop => Ok(true),
        Wish::Pause => {
            observe(Progress::Paused, snapshot).map_err(TrainError::Observer)?;
            let stopping = control.wait();
            observe(Progress::Continued, snapshot).map_err(TrainError::Observer)?;
            Ok(stopping)
        }
    }
}
