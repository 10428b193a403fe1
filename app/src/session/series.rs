//! What a run has told so far, as plots and panels read it.

use std::collections::BTreeMap;
use std::ops::Range;

use graft_engine::project::Predicted;
use graft_engine::runs::{Event, EventBody, StageProfile, Tests};
use graft_engine::train::{Ask, Prediction, headline};

pub use crate::pyramid::StepPoint;
use crate::pyramid::{Channel, Pyramid, Stair};

/// One evaluation.
#[derive(Clone, Copy, Debug)]
pub struct EvalPoint {
    /// Steps over all stages.
    pub x: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// What evaluations are compared by, in per cent.
    pub score: f64,
    /// On the test split rather than the validation split.
    pub test: bool,
}

/// What the latest evaluation took for what.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    /// The listed stage whose evaluation it is, where that is known.
    pub stage: Option<usize>,
    /// Which split.
    pub split: String,
    /// Steps over all stages.
    pub x: f64,
    /// How often a sample of each class (row) was taken for each class (column).
    pub confusion: Vec<Vec<u64>>,
    /// Some samples with what the model took them for.
    pub predictions: Vec<Prediction>,
}

/// A stage of the run.
#[derive(Clone, Debug)]
pub struct StageMark {
    /// Its place in the run, repetitions counted.
    pub index: usize,
    /// Its place in the project's list, or that of its repetition; none where the project is not known.
    pub listed: Option<usize>,
    /// Its name.
    pub name: String,
    /// Steps over all stages where it began.
    pub x: f64,
    /// Its steps.
    pub steps: u64,
    /// Its epochs.
    pub epochs: usize,
    /// Weights that it trains.
    pub trainable: u64,
    /// What it was predicted to cost.
    pub predicted: Option<Predicted>,
}

/// Where the run is now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position {
    /// Stage index.
    pub stage: usize,
    /// Epoch, from 0.
    pub epoch: usize,
    /// Steps done in the stage.
    pub step: u64,
    /// Steps of all stages.
    pub total: u64,
    /// Seconds since the run began.
    pub secs: f64,
    /// Samples a second.
    pub samples_per_sec: f64,
    /// Learning rate.
    pub rate: f64,
}

/// A line of the log.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Seconds since the run began.
    pub secs: f64,
    /// What happened.
    pub text: String,
    /// Whether it is bad news.
    pub bad: bool,
}

/// What a run has told so far.
#[derive(Clone, Debug)]
pub struct Series {
    /// Optimiser steps.
    pub steps: Vec<StepPoint>,
    /// Evaluations.
    pub evals: Vec<EvalPoint>,
    /// Stages begun.
    pub stages: Vec<StageMark>,
    /// The log.
    pub log: Vec<LogLine>,
    /// Stages in all.
    pub stage_count: usize,
    /// The run's name.
    pub run: String,
    /// Its folder.
    pub folder: String,
    /// Largest live bytes since the first step began.
    pub peak_bytes: u64,
    /// Where it is.
    pub position: Position,
    /// What evaluations are compared by: `top-1`, or `Dice` of masks.
    pub metric: &'static str,
    /// That on the test split in per cent, when finished.
    pub test_score: Option<f64>,
    /// All tests of the model as it was trained last.
    tests: Tests,
    /// Names of the classes, where there are few.
    pub class_names: Vec<String>,
    /// What the latest evaluation that tells it took for what.
    pub classes: Option<Classes>,
    /// What was asked for, with the steps over all stages.
    pub asked: Vec<(f64, Ask)>,
    /// When the run began, in seconds since the program began; before it where that is negative.
    pub(super) began: Option<f64>,
    /// Lines that the log ever had.
    pub(super) told: u64,
    /// Places of the run's turns in its project's list.
    pub(super) listed: Vec<usize>,
    /// The steps in buckets, for drawing.
    pub(super) pyramid: Pyramid,
    /// Weight of the past in the smoothed loss.
    pub(super) smoothing: f64,
    /// Steps told of node by node that nobody has taken yet.
    pub(super) profiles: Vec<StageProfile>,
}

/// Weight of the past in the smoothed loss.
const SMOOTHING: f64 = 0.9;
/// Log lines that are kept.
const LOG: usize = 2000;

impl Default for Series {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            evals: Vec::new(),
            stages: Vec::new(),
            log: Vec::new(),
            stage_count: 0,
            run: String::new(),
            folder: String::new(),
            peak_bytes: 0,
            position: Position::default(),
            metric: "top-1",
            test_score: None,
            tests: Tests::default(),
            class_names: Vec::new(),
            classes: None,
            asked: Vec::new(),
            began: None,
            told: 0,
            listed: Vec::new(),
            pyramid: Pyramid::default(),
            smoothing: SMOOTHING,
            profiles: Vec::new(),
        }
    }
}

impl Series {
    /// The weight of the past in the smoothed loss.
    #[must_use]
    pub const fn smoothing(&self) -> f64 {
        self.smoothing
    }

    /// Smooths the loss with this weight of the past.
    pub fn smooth(&mut self, smoothing: f64) {
        if (self.smoothing - smoothing).abs() < 1e-12 {
            return;
        }
        self.smoothing = smoothing;
        let mut before = None;
        for point in &mut self.steps {
            point.smooth = smoothed(before, point.loss, smoothing);
            before = Some(point.smooth);
        }
        self.pyramid.refresh(&self.steps, Channel::Smooth);
    }

    /// The steps of this range with at most two points a bucket, its lowest and its highest.
    #[must_use]
    pub fn thin(&self, range: Range<usize>, buckets: usize, channel: Channel) -> Vec<[f64; 2]> {
        self.pyramid.thin(&self.steps, range, buckets, channel)
    }

    /// Mean phases of the steps of this range.
    #[must_use]
    pub fn stairs(&self, range: Range<usize>, buckets: usize) -> Vec<Stair> {
        self.pyramid.stairs(&self.steps, range, buckets)
    }

    /// The highest value of all steps.
    #[must_use]
    pub fn highest(&self, channel: Channel) -> Option<f64> {
        self.pyramid.highest(&self.steps, channel)
    }

    /// Nothing yet of the same run, drawn as this one.
    pub(super) fn anew(&self) -> Self {
        Self { smoothing: self.smoothing, listed: self.listed.clone(), ..Self::default() }
    }

    /// What these metrics are compared by, in per cent.
    fn score_of(&mut self, metrics: &BTreeMap<String, f64>) -> Option<f64> {
        let (metric, score) = headline(metrics)?;
        self.metric = metric;
        Some(100.0 * score)
    }

    /// Takes an event in.
    #[expect(clippy::cast_precision_loss, reason = "steps and bytes fit a plot's axis")]
    pub fn take(&mut self, event: &Event) {
        self.tests.take(&event.body);
        self.position.secs = event.time;
        match &event.body {
            EventBody::Started { project, device, seed, stages, folder, resumed_at, classes, .. } => {
                self.class_names.clone_from(classes);
                self.run.clone_from(&event.run);
                self.folder.clone_from(folder);
                self.stage_count = *stages;
                self.position.total = resumed_at.unwrap_or(0);
                self.note(format!("{project} on {device}, seed {seed}, {stages} stages, in {folder}"));
            }
            EventBody::Stage { stage, turn, name, trainable, loaded, epochs, steps, predicted, .. } => {
                self.stages.push(StageMark {
                    index: *turn,
                    listed: self.listed.get(*turn).copied(),
                    name: name.clone(),
                    x: self.position.total as f64,
                    steps: *steps,
                    epochs: *epochs,
                    trainable: *trainable,
                    predicted: predicted.as_deref().cloned(),
                });
                self.position.stage = *stage;
                self.position.epoch = 0;
                self.position.step = 0;
                self.note(format!(
                    "stage {}, {name}: {} weights train, {steps} steps; {} tensors taken, {} resized, {} new",
                    stage + 1,
                    crate::format::whole(*trainable),
                    loaded.copied,
                    loaded.resized,
                    loaded.new
                ));
            }
            EventBody::Step { .. } => self.step(&event.body),
            EventBody::Eval {
                stage, epoch, split, loss, metrics, samples, confusion, predictions, ..
            } => {
                let score = self.score_of(metrics).unwrap_or(f64::NAN);
                let x = self.position.total as f64;
                self.evals.push(EvalPoint { x, loss: *loss, score, test: split == "test" });
                if !confusion.is_empty() || !predictions.is_empty() {
                    self.classes = Some(Classes {
                        stage: self.stage().and_then(|stage| stage.listed),
                        split: split.clone(),
                        x,
                        confusion: confusion.clone(),
                        predictions: predictions.clone(),
                    });
                }
                self.note(format!(
                    "stage {}, after epoch {epoch}: {split} loss {loss:.4}, {} {score:.1} % of {samples}",
                    stage + 1,
                    self.metric
                ));
            }
            EventBody::Cache { stage, built, hits, bytes, secs, trouble, .. } => {
                if let Some(trouble) = trouble {
                    let text = format!("what memory has no room for is computed again: {trouble}");
                    if !self.log.iter().any(|line| line.text == text) {
                        self.warn(text);
                    }
                }
                self.note(format!(
                    "stage {}: cache of {} MiB, {built} samples computed in {}, {hits} found",
                    stage + 1,
                    bytes >> 20,
                    crate::format::duration(*secs)
                ));
            }
            EventBody::Profile { stage, step, nodes, .. } => {
                self.note(format!("stage {}: {} nodes measured in step {step}", stage + 1, nodes.len()));
                self.profiles.extend(StageProfile::of(event));
            }
            EventBody::Done { stage, changed, samples, .. } => {
                let first = changed.first().map_or_else(String::new, |first| format!(", the first {first}"));
                let seen = if *samples > 0 { format!(" after {samples} samples") } else { String::new() };
                self.note(format!("stage {}: {} changed{first}{seen}", stage + 1, changed.len()));
            }
            EventBody::Asked { stage, step, ask, .. } => {
                self.asked.push((self.position.total as f64, *ask));
                self.note(format!("stage {}, after step {step}: asked for {}", stage + 1, ask.words()));
            }
            EventBody::Checkpoint { path, step, best } => {
                let best = if *best { ", the best so far" } else { "" };
                self.note(format!("saved {path} at step {step}{best}"));
            }
            EventBody::Skipped { count, example } => {
                self.warn(format!("{count} samples skipped, one of them: {example}"));
            }
            EventBody::Paused {} => self.note("paused".to_owned()),
            EventBody::Continued {} => self.note("going on".to_owned()),
            EventBody::Stopped { steps } => self.note(format!("stopped after {steps} steps, saved")),
            EventBody::Finished { secs, steps, metrics, peak_bytes, .. } => {
                self.peak_bytes = self.peak_bytes.max(*peak_bytes);
                // Stages that test tell it before the end.
                let tested = self.tests.main().map(|test| test.metrics.clone()).unwrap_or_default();
                self.test_score = self.score_of(&tested).or_else(|| self.score_of(metrics));
                let metric = self.metric;
                let test =
                    self.test_score.map_or_else(String::new, |score| format!(", test {metric} {score:.1} %"));
                self.note(format!("finished {steps} steps in {}{test}", crate::format::duration(*secs)));
            }
            EventBody::Failed { error } => self.warn(error.clone()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "steps and bytes fit a plot's axis")]
    fn step(&mut self, body: &EventBody) {
        let EventBody::Step {
            epoch,
            step,
            loss,
            lr,
            grad_norm,
            samples_per_sec,
            data_secs,
            forward_secs,
            frozen_forward_secs,
            backward_secs,
            optimizer_secs,
            live_bytes,
            peak_bytes,
            stage_peak_bytes,
            ..
        } = body
        else {
            return;
        };
        self.position.total += 1;
        self.position.epoch = *epoch;
        self.position.step = *step;
        self.position.samples_per_sec = *samples_per_sec;
        self.position.rate = *lr;
        self.peak_bytes = self.peak_bytes.max(*peak_bytes);
        let smooth = smoothed(self.steps.last().map(|last| last.smooth), *loss, self.smoothing);
        let trainable_forward = (forward_secs - frozen_forward_secs).max(0.0);
        let phases = [*data_secs, *frozen_forward_secs, trainable_forward, *backward_secs, *optimizer_secs];
        self.steps.push(StepPoint {
            x: self.position.total as f64,
            loss: *loss,
            smooth,
            phases: phases.map(|secs| 1e3 * secs),
            live: *live_bytes as f64 / 1_048_576.0,
            // A prediction is of a stage; so is what stands beside it.
            peak: *stage_peak_bytes as f64 / 1_048_576.0,
            rate: *lr,
            norm: *grad_norm,
            pace: *samples_per_sec,
        });
        self.pyramid.push(&self.steps);
    }

    fn note(&mut self, text: String) {
        self.push(LogLine { secs: self.position.secs, text, bad: false });
    }

    pub(super) fn warn(&mut self, text: String) {
        self.push(LogLine { secs: self.position.secs, text, bad: true });
    }

    fn push(&mut self, line: LogLine) {
        if self.log.len() >= LOG {
            self.log.remove(0);
        }
        self.log.push(line);
        self.told += 1;
    }

    /// When the run began on the program's clock, as far as is known.
    #[must_use]
    pub fn began(&self) -> f64 {
        self.began.unwrap_or_default()
    }

    /// How many lines its log ever had, those that are no longer kept included.
    #[must_use]
    pub const fn told(&self) -> u64 {
        self.told
    }

    /// An event of `time` seconds after the run's beginning was told at `now` on the program's clock, or before: events
    /// wait until they are read, so that the earliest of all beginnings is the right one.
    pub(super) fn anchor(&mut self, now: f64, time: f64) {
        let began = now - time;
        self.began = Some(self.began.map_or(began, |known| known.min(began)));
    }

    /// The stage that goes on.
    #[must_use]
    pub fn stage(&self) -> Option<&StageMark> {
        self.stages.last()
    }

    /// Seconds of one step, the mean of the latest.
    #[must_use]
    pub fn step_secs(&self) -> Option<f64> {
        let latest = self.steps.len().saturating_sub(20);
        // A stage's first steps are not like the stage before.
        let begin = self.stage().map_or(0.0, |stage| stage.x);
        let times: Vec<f64> = self.steps[latest..]
            .iter()
            .filter(|point| point.x > begin)
            .map(|point| point.phases.iter().sum::<f64>() / 1e3)
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "at most twenty")]
        let count = times.len() as f64;
        (!times.is_empty()).then(|| times.iter().sum::<f64>() / count)
    }

    /// Seconds until the stage's last step, at the present pace.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn stage_left(&self) -> Option<f64> {
        let stage = self.stage()?;
        Some(stage.steps.saturating_sub(self.position.step) as f64 * self.step_secs()?)
    }
}

fn smoothed(before: Option<f64>, value: f64, smoothing: f64) -> f64 {
    before.map_or(value, |before| smoothing * before + (1.0 - smoothing) * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(body: EventBody) -> Event {
        Event { run: "r".to_owned(), time: 1.0, body }
    }

    fn step(step: u64) -> Event {
        event(EventBody::Step {
            stage: 0,
            repetition: 0,
            epoch: 0,
            step,
            loss: 2.0,
            losses: std::collections::BTreeMap::new(),
            lr: 1e-3,
            grad_norm: 1.0,
            samples_per_sec: 10.0,
            data_secs: 0.1,
            forward_secs: 0.3,
            frozen_forward_secs: 0.2,
            backward_secs: 0.2,
            optimizer_secs: 0.1,
            live_bytes: 1 << 20,
            peak_bytes: 2 << 20,
            stage_peak_bytes: 2 << 20,
        })
    }

    #[test]
    fn steps_make_points_with_phases_that_add_up_and_a_time_left() {
        let mut series = Series::default();
        let stage = EventBody::Stage {
            stage: 0,
            repetition: 0,
            turn: 0,
            name: "one".to_owned(),
            kind: "train".to_owned(),
            trainable: 5,
            loaded: graft_engine::runs::Loaded::default(),
            epochs: 1,
            steps: 10,
            predicted: None,
        };
        series.take(&event(stage));
        assert_eq!(series.stage_left(), None);
        series.take(&step(1));
        series.take(&step(2));
        let point = series.steps[1];
        assert!((point.phases.iter().sum::<f64>() - 700.0).abs() < 1e-9);
        assert!((point.phases[2] - 100.0).abs() < 1e-9, "trainable forward is what is left of forward");
        assert!((series.stage_left().unwrap() - 8.0 * 0.7).abs() < 1e-9);
        assert_eq!(series.peak_bytes, 2 << 20);
    }
}
