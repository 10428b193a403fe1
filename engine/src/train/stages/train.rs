//! The loop of one training stage: data, walk, optimiser, evaluation, and where it can be stopped.

mod attend;
mod error;
mod progress;
mod step;

use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;

use self::attend::Meanwhile;
pub use self::error::TrainError;
use self::progress::Told;
pub use self::progress::{Ended, Observer, Progress, Snapshot, StepReport};
use super::super::caching::{Batches, Caching};
use super::super::control::Control;
use super::super::optimiser::Optimiser;
use super::super::selection::Selection;
use super::super::step::StepGraph;
use super::{TrainSpec, prefetch_threads};
use crate::cache::Features;
use crate::data::{Loader, Source, Split, batches, epoch_order};
use crate::exec::{Profiler, Unwatched, Watcher};
use crate::graph::Graph;
use crate::memory::Meter;
use crate::tensor::Stream;
use crate::weights::Params;

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

/// Where a stage goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Done {
    /// Steps done.
    pub steps: u64,
    /// How many times the project's learning rate was asked for last.
    pub rate_scale: Option<f64>,
}

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
                    if let Some(features) = &features {
                        features.flush();
                    }
                    observe(Progress::Stopping, &snapshot).map_err(TrainError::Observer)?;
                    return Ok(Ended::Stopped);
                }
            }
            drop(pass);
            if let Some(features) = &features {
                features.flush();
            }
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
}
