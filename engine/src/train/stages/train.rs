//! The loop of one training stage: data, walk, optimiser, evaluation, and where it can be stopped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;

use super::super::caching::{Batches, Caching};
use super::super::control::{Ask, Control, Wish};
use super::super::evaluation::{Evaluation, evaluate};
use super::super::optimiser::Optimiser;
use super::super::selection::Selection;
use super::super::step::{StepError, StepGraph, clip_factor};
use super::{EditError, GenerateError, TrainSpec, prefetch_threads};
use crate::cache::{CacheError, Features, Totals};
use crate::data::{Batch, LoadError, Loader, Source, Split, batches, epoch_order};
use crate::exec::{ExecError, Inputs, NodeCost, Phases, Profiler, Unwatched, Walk, Watcher, upload_given};
use crate::graph::{Graph, Take};
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
    /// A state that an adapter needs measured is not.
    #[error("`{state}` must be measured first; put a `Measure` stage before this one")]
    NotMeasured {
        /// The state.
        state: String,
    },
    /// A measuring stage whose model asks for no measurement.
    #[error("the stage `{stage}` has nothing to measure: no adapter in it needs any; take it out")]
    NothingToMeasure {
        /// The stage's name.
        stage: String,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// An edit could not be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A data set could not be written.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// What the observer did failed (writing a checkpoint).
    #[error("{0}")]
    Observer(String),
}

/// One training stage, ready to run.
#[derive(Debug)]
pub struct Stage<'a> {
    /// Its number in the project.
    pub index: usize,
    /// How often it was repeated before.
    pub repetition: usize,
    /// What to do.
    pub spec: &'a TrainSpec,
    /// The model with its adapters.
    pub model: &'a Graph,
    /// The step over it.
    pub step: &'a StepGraph,
    /// What trains.
    pub selection: &'a Selection,
    /// Where samples come from.
    pub source: &'a Arc<dyn Source>,
    /// Where to compute.
    pub device: &'a Device,
    /// Seed of the run.
    pub seed: u64,
    /// What keeps the values of the frozen prefix, if the stage asks for it.
    pub caching: Option<&'a Caching>,
    /// Whether one of its steps is told of node by node: the [`PROFILED`]th, or the last of fewer.
    pub profiles: bool,
}

/// The step that is profiled. Those before it warm up: they make the optimiser's values and the buffers of threads.
pub const PROFILED: u64 = 3;

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
    /// Its terms by name, unweighted, where there are several.
    pub losses: BTreeMap<String, f64>,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// How many times the project's rate that is; none when nobody asked for another one.
    pub rate_scale: Option<f64>,
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
    /// The same since the stage's first step began.
    pub stage_peak_bytes: u64,
}

/// What a stage tells while it runs.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A step is done.
    Step(&'a StepReport),
    /// What each node of the step that was told of last took and held, by [`crate::graph::NodeId::index`] in the
    /// step's graph.
    Profile(&'a [NodeCost]),
    /// An epoch is done, perhaps with an evaluation on the validation split.
    Epoch {
        /// Epochs done.
        epoch: usize,
        /// The evaluation, if this epoch has one.
        evaluation: Option<&'a Evaluation>,
    },
    /// Something was asked for at this step. Its checkpoint is the observer's to write.
    Asked(Ask),
    /// An evaluation that was asked for.
    Evaluated {
        /// Epochs done.
        epoch: usize,
        /// What it found.
        evaluation: &'a Evaluation,
    },
    /// What the stage's cache did so far: now and then while it is built, and at the end of each epoch.
    Cache(Totals),
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

/// What is told of progress; its error ends the stage.
pub type Observer<'a> = dyn FnMut(Progress<'_>, &Snapshot<'_>) -> Result<(), String> + 'a;

/// Where a stage goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Done {
    /// Steps done.
    pub steps: u64,
    /// How many times the project's learning rate was asked for last.
    pub rate_scale: Option<f64>,
}

/// What changes while a stage goes on, beside its weights.
struct Meanwhile {
    rate_scale: Option<f64>,
    /// What a cache holds of the validation split, once it was asked for.
    evaluated: Option<Held>,
}

/// The validation split's values at the cut, if the stage has a cache.
struct Held(Option<Arc<Features>>);

impl Stage<'_> {
    /// Samples of one epoch.
    #[must_use]
    pub fn epoch_samples(&self) -> usize {
        self.source.len(Split::Train).min(self.spec.samples.unwrap_or(usize::MAX))
    }

    /// Steps of each epoch. They differ only where batches are gathered from samples of several extents.
    fn epoch_steps(&self) -> Vec<u64> {
        let group = |index| self.source.group(Split::Train, index);
        let samples = self.source.len(Split::Train);
        if (1..samples).all(|index| group(index) == group(0)) {
            let steps = self.epoch_samples().div_ceil(self.spec.batch) as u64;
            return vec![steps; self.spec.epochs];
        }
        (0..self.spec.epochs).map(|epoch| self.batches(epoch).len() as u64).collect()
    }

    /// Steps of the stage.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.epoch_steps().iter().sum()
    }

    /// Seed of what is drawn in this repetition; the first one's is the run's own.
    fn drawn_from(&self) -> u64 {
        match self.repetition {
            0 => self.seed,
            later => {
                let mut draws = Stream::new(self.seed, "repetition").at(later as u64);
                (u64::from(draws.next_u32()) << 32) | u64::from(draws.next_u32())
            }
        }
    }

    /// Trains from what is done on to the stage's end.
    ///
    /// # Errors
    /// When the data, the walk or the observer fail, or the loss is no number.
    pub fn run(
        &self,
        params: &mut Params,
        optimiser: &mut Optimiser,
        done: Done,
        control: &Control,
        meter: &mut Meter,
        observe: &mut Observer<'_>,
    ) -> Result<Ended, TrainError> {
        let per_epoch = self.epoch_steps();
        let steps: u64 = per_epoch.iter().sum();
        if per_epoch.contains(&0) {
            return Err(TrainError::NoSamples { skipped: 0 });
        }
        meter.begin_stage(self.device);
        let features = self.caching.map(|caching| caching.training(params, self.source)).transpose()?;
        let mut meanwhile = Meanwhile { rate_scale: done.rate_scale, evaluated: None };
        let mut told = Told::default();
        let mut step = done.steps;
        let mut epoch_end = 0;
        for (epoch, &own) in per_epoch.iter().enumerate() {
            epoch_end += own;
            if step >= epoch_end {
                continue;
            }
            let offset = usize::try_from(step - (epoch_end - own)).unwrap_or(0);
            let mut pass = self.pass(epoch, offset, features.as_ref());
            loop {
                let begin = Instant::now();
                let Some((batch, computing)) = pass.next(params, self.device, self.rows())? else { break };
                let data_secs = begin.elapsed().as_secs_f64() - computing;
                let mut report =
                    StepReport { epoch, step: step + 1, steps, data_secs, ..StepReport::default() };
                report.rate_scale = meanwhile.rate_scale;
                report.phases.frozen_forward_secs = computing;
                let mut profiler = (self.profiles && report.step == PROFILED.min(steps))
                    .then(|| Profiler::new(&self.step.graph, self.device));
                let mut nobody = Unwatched;
                let watcher: &mut dyn Watcher = match &mut profiler {
                    Some(profiler) => profiler,
                    None => &mut nobody,
                };
                self.step(batch, params, optimiser, &mut report, watcher)?;
                step += 1;
                report.step_secs = begin.elapsed().as_secs_f64();
                let usage = meter.look(self.device);
                (report.live_bytes, report.peak_bytes) = (usage.live_bytes, usage.peak_bytes);
                report.stage_peak_bytes = meter.stage_peak_bytes();
                let snapshot = Snapshot { params, optimiser, step };
                observe(Progress::Step(&report), &snapshot).map_err(TrainError::Observer)?;
                if let Some(profiler) = profiler {
                    let costs = profiler.costs();
                    observe(Progress::Profile(&costs), &snapshot).map_err(TrainError::Observer)?;
                }
                if let Some(totals) = self.caching.and_then(|caching| told.due(caching.totals())) {
                    observe(Progress::Cache(totals), &snapshot).map_err(TrainError::Observer)?;
                }
                // After an epoch's last step its evaluation comes first: a resumed run begins behind it.
                let whole_epoch = step >= epoch_end;
                if !whole_epoch && self.attend(control, epoch, &snapshot, &mut meanwhile, observe)? {
                    features.as_ref().map_or(Ok(()), |features| features.flush())?;
                    observe(Progress::Stopping, &snapshot).map_err(TrainError::Observer)?;
                    return Ok(Ended::Stopped);
                }
            }
            drop(pass);
            features.as_ref().map_or(Ok(()), |features| features.flush())?;
            let wanted = self.spec.evaluate_every;
            let last = epoch + 1 == self.spec.epochs;
            let due = wanted > 0 && ((epoch + 1).is_multiple_of(wanted) || last);
            let evaluation = if due && self.source.len(Split::Validation) > 0 {
                let found = self.validate(params, &mut meanwhile)?;
                meter.look(self.device);
                found
            } else {
                None
            };
            let snapshot = Snapshot { params, optimiser, step };
            if let Some(caching) = self.caching {
                observe(Progress::Cache(caching.totals()), &snapshot).map_err(TrainError::Observer)?;
            }
            let progress = Progress::Epoch { epoch: epoch + 1, evaluation: evaluation.as_ref() };
            observe(progress, &snapshot).map_err(TrainError::Observer)?;
            if self.attend(control, epoch + 1, &snapshot, &mut meanwhile, observe)? && !last {
                observe(Progress::Stopping, &snapshot).map_err(TrainError::Observer)?;
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Finished)
    }

    fn validate(&self, params: &Params, meanwhile: &mut Meanwhile) -> Result<Option<Evaluation>, TrainError> {
        if let (None, Some(caching)) = (&meanwhile.evaluated, self.caching) {
            let split = Split::Validation;
            meanwhile.evaluated = Some(Held(caching.evaluation(self.model, params, self.source, split)?));
        }
        evaluate(
            self.model,
            params,
            self.source,
            Split::Validation,
            None,
            self.rows(),
            self.device,
            // Cut short, it would be missing in what chooses the best checkpoint.
            &Control::new(),
            meanwhile.evaluated.as_ref().and_then(|held| held.0.as_ref()),
        )
    }

    /// Does what was asked for and waits while a pause is wished, telling when it begins and ends; says whether to
    /// stop.
    fn attend(
        &self,
        control: &Control,
        epoch: usize,
        snapshot: &Snapshot<'_>,
        meanwhile: &mut Meanwhile,
        observe: &mut Observer<'_>,
    ) -> Result<bool, TrainError> {
        let mut paused = false;
        let stopping = loop {
            // Who wants to stop does not want to wait for an evaluation.
            if let Some(ask) = control.take().filter(|_| control.wish() != Wish::Stop) {
                observe(Progress::Asked(ask), snapshot).map_err(TrainError::Observer)?;
                match ask {
                    Ask::Rate { scale } => meanwhile.rate_scale = Some(scale),
                    Ask::Evaluate => {
                        if self.source.len(Split::Validation) > 0
                            && let Some(evaluation) = self.validate(snapshot.params, meanwhile)?
                        {
                            let progress = Progress::Evaluated { epoch, evaluation: &evaluation };
                            observe(progress, snapshot).map_err(TrainError::Observer)?;
                        }
                    }
                    Ask::Checkpoint => {}
                }
                continue;
            }
            // Read once: a pause that comes a moment later is told at the next step.
            match control.wish() {
                Wish::Run => break false,
                Wish::Stop => break true,
                Wish::Pause => {
                    if !paused {
                        observe(Progress::Paused, snapshot).map_err(TrainError::Observer)?;
                        paused = true;
                    }
                    control.wait_or_ask();
                }
            }
        };
        if paused {
            observe(Progress::Continued, snapshot).map_err(TrainError::Observer)?;
        }
        Ok(stopping)
    }

    /// Samples of an epoch's batches. The order depends on seed, stage, repetition and epoch only.
    fn batches(&self, epoch: usize) -> Vec<Vec<usize>> {
        let seed = Stream::new(self.drawn_from(), "stage").at(self.index as u64).next_u32();
        let mut order = epoch_order(u64::from(seed), epoch as u64, self.source.len(Split::Train));
        order.truncate(self.epoch_samples());
        batches(self.source.as_ref(), Split::Train, &order, self.spec.batch)
    }

    /// Samples of one walk.
    fn rows(&self) -> usize {
        self.spec.batch.div_ceil(self.spec.accumulate)
    }

    fn pass(&self, epoch: usize, skip_steps: usize, features: Option<&Arc<Features>>) -> Batches {
        let mut planned = self.batches(epoch);
        let planned = planned.split_off(skip_steps.min(planned.len()));
        let threads = prefetch_threads();
        match features {
            None => Batches::Read(Loader::new(Arc::clone(self.source), Split::Train, planned, threads, 4)),
            Some(features) => Batches::Kept(Arc::clone(features), features.loader(planned, threads, 4)),
        }
    }

    /// One optimiser step on a batch. `report` says which step of how many it is, and gets what it took.
    ///
    /// # Errors
    /// When the walk fails, the batch is empty or the loss is no number.
    pub fn step(
        &self,
        batch: Batch,
        params: &mut Params,
        optimiser: &mut Optimiser,
        report: &mut StepReport,
        watcher: &mut dyn Watcher,
    ) -> Result<(), TrainError> {
        report.skipped = batch.skipped.len();
        if let Some(skipped) = batch.skipped.first() {
            report.skipped_example = format!("{}: {}", skipped.what, skipped.why);
        }
        report.samples = batch.len();
        let rate_factor = self.spec.schedule.factor(report.step - 1, report.steps);
        report.learning_rate = self.spec.optimiser.learning_rate() * rate_factor;
        if let Some(scale) = report.rate_scale {
            report.learning_rate *= scale;
        }
        if report.samples == 0 {
            return Err(TrainError::NoSamples { skipped: report.skipped });
        }
        let mut gradients = Gradients::default();
        let parts = batch.split(report.samples.div_ceil(self.spec.accumulate));
        let (schedule, given) = match self.caching {
            None => (&self.step.schedule, &[][..]),
            Some(caching) => (&caching.rest, caching.after()),
        };
        let whole = parts.len() == 1;
        for (number, part) in parts.into_iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
            let share = part.len() as f64 / report.samples as f64;
            let walk = Walk {
                graph: &self.step.graph,
                schedule,
                seed: self.drawn_from(),
                // A micro-batch draws its own numbers: position (stage, step, part).
                step: ((self.index as u64) << 48) | (report.step << 8) | number as u64,
            };
            let inputs = upload_given(part, &self.step.graph, given, self.device);
            let rate = report.learning_rate;
            let mut sink = |params: &mut Params, path: &str, gradient: Value, take| {
                let gradient = if whole { gradient } else { gradient.mul_scalar(share) };
                match take {
                    Take::Step => {
                        gradients.squares.push(gradient.sum_of_squares());
                        optimiser.apply(params, path, gradient, rate);
                    }
                    _ => gradients.add(path, gradient),
                }
            };
            let outcome = walk.run_watched(params, &inputs, &mut sink, watcher)?;
            report.phases.frozen_forward_secs += outcome.phases.frozen_forward_secs;
            report.phases.trainable_forward_secs += outcome.phases.trainable_forward_secs;
            report.phases.backward_secs += outcome.phases.backward_secs;
            let scalar = |id| outcome.values.get(&id).map_or(f64::NAN, Value::to_scalar);
            report.loss += scalar(self.step.loss) * share;
            if self.step.terms.len() > 1 {
                for term in &self.step.terms {
                    // A term on a branch that was not run adds nothing.
                    let value = outcome.values.get(&term.node).map_or(0.0, Value::to_scalar);
                    *report.losses.entry(term.name.clone()).or_default() += value * share;
                }
            }
        }
        if !report.loss.is_finite() {
            return Err(TrainError::NotFinite {
                loss: report.loss,
                step: report.step,
                learning_rate: report.learning_rate,
            });
        }
        let begin = Instant::now();
        report.grad_norm = gradients.norm();
        let factor = self.spec.clip_norm.map_or(1.0, |limit| clip_factor(report.grad_norm, limit));
        for (path, gradient) in gradients.waiting {
            let gradient = if factor < 1.0 { gradient.mul_scalar(factor) } else { gradient };
            optimiser.apply(params, &path, gradient, report.learning_rate);
        }
        if let Some(after) = &self.step.after {
            let walk = Walk { graph: &self.step.graph, schedule: after, seed: self.seed, step: report.step };
            walk.run(params, &Inputs::new(), &mut |_, _, _, _| {})?;
        }
        report.optimizer_secs = begin.elapsed().as_secs_f64();
        Ok(())
    }
}

/// Gradients of one step: those that wait for the optimiser, in the order in which they came, and the squares of
/// those that did not.
#[derive(Default)]
struct Gradients {
    waiting: Vec<(String, Value)>,
    places: HashMap<String, usize>,
    squares: Vec<Value>,
}

impl Gradients {
    /// A part of the batch may lack a gradient that another has: its branch got no rows.
    fn add(&mut self, path: &str, gradient: Value) {
        if let Some(&place) = self.places.get(path) {
            let sum = &mut self.waiting[place].1;
            *sum = sum.clone().add(gradient);
        } else {
            self.places.insert(path.to_owned(), self.waiting.len());
            self.waiting.push((path.to_owned(), gradient));
        }
    }

    /// Root of the sum of all squares, read from the device once.
    fn norm(&mut self) -> f64 {
        let waiting = self.waiting.iter().map(|(_, gradient)| gradient.sum_of_squares());
        let squares: Vec<Value> = self.squares.drain(..).chain(waiting).collect();
        if squares.is_empty() {
            return 0.0;
        }
        Value::concat(squares, 0).to_f64().iter().sum::<f64>().sqrt()
    }
}

/// When a cache was last told of, so that it is not told of more than about once a second.
#[derive(Default)]
struct Told {
    last: Option<Instant>,
    built: u64,
}

impl Told {
    fn due(&mut self, totals: Totals) -> Option<Totals> {
        let long_ago = self.last.is_none_or(|last| last.elapsed().as_secs() >= 1);
        if totals.built == self.built || !long_ago {
            return None;
        }
        (self.last, self.built) = (Some(Instant::now()), totals.built);
        Some(totals)
    }
}
