//! What a stage tells while it runs, and to whom.

use std::collections::BTreeMap;
use std::time::Instant;

use super::super::super::control::Ask;
use super::super::super::evaluation::Evaluation;
use super::super::super::optimiser::Optimiser;
use crate::cache::Totals;
use crate::exec::{NodeCost, Phases};
use crate::weights::Params;

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

/// When a cache was last told of, so that it is not told of more than about once a second.
#[derive(Default)]
pub(super) struct Told {
    last: Option<Instant>,
    built: u64,
}

impl Told {
    pub(super) fn due(&mut self, totals: Totals) -> Option<Totals> {
        let long_ago = self.last.is_none_or(|last| last.elapsed().as_secs() >= 1);
        if totals.built == self.built || !long_ago {
            return None;
        }
        (self.last, self.built) = (Some(Instant::now()), totals.built);
        Some(totals)
    }
}
