//! A turn that trains.

use super::super::event::EventBody;
use super::super::folder::RunFolder;
use super::super::kept::runs_of;
use super::super::outcome::RunError;
use super::super::run::Run;
use super::Standing;
use crate::data::{Source, Split};
use crate::graph::Graph;
use crate::memory::Meter;
use crate::project::{Built, Turn};
use crate::train::{
    Ask, Caching, Checkpoint, Done, Ended, Folded, Optimiser, Progress, Stage, TrainError, TrainSpec,
};
use crate::weights::LoadReport;

impl Run<'_, '_> {
    pub(super) fn train(
        &mut self,
        spec: &TrainSpec,
        standing: &mut Standing,
        report: &LoadReport,
        from: Option<Checkpoint>,
        meter: &mut Meter,
    ) -> Result<Ended, RunError> {
        let Standing { turn, built, params, source, best, last_step } = standing;
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
        let caching = self.cache(spec, built, source.as_ref())?;
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
                Progress::Cache(totals) => {
                    self.cached(turn, totals, caching.as_ref().and_then(Caching::trouble));
                }
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
        if caching.is_some() {
            self.caching = caching;
        }
        Ok(ended)
    }

    /// The cache that a stage asks for.
    fn cache(
        &self,
        spec: &TrainSpec,
        built: &Built,
        source: &dyn Source,
    ) -> Result<Option<Caching>, TrainError> {
        let (Some(cache), Some(step)) = (&spec.cache, &built.step) else { return Ok(None) };
        let runs = runs_of(self.folder.path());
        let binding = built.binding(source, 1);
        let place = cache.place(self.base, runs, &self.project.device, binding);
        Caching::new(step, &place, source).map(Some)
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
}

/// Whether stages tell of one step node by node: `GRAFT_PROFILE=off` leaves it.
fn profiles() -> bool {
    std::env::var("GRAFT_PROFILE").map_or(true, |value| value != "off")
}

/// Leaves that a step changes by declared updates.
fn updated(graph: &Graph) -> Vec<String> {
    let updates = graph.demands().updates.iter().map(|update| graph.node(update.target));
    updates.map(|node| node.path.clone()).collect()
}
