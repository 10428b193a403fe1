//! Taking a run's turns: each stage with the weights that the one before left, then the final test.

mod edit;
mod finish;
mod generate;
mod measure;
mod telling;
mod train;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::EventBody;
use super::kept::kept_by;
use super::outcome::{Outcome, RunError, RunSummary};
use super::run::{Run, overlay};
use crate::data::Source;
use crate::memory::{Meter, live_bytes};
use crate::project::{Built, Turn, build_turn, open_source_in};
use crate::tensor::kernels::make_thread_buffers;
use crate::train::{Checkpoint, Ended, EvaluateSpec, StageSpec, StageWeights, evaluate};
use crate::weights::{LoadReport, Params, Tensor, from_params, load};

/// A turn's model with its weights.
pub(super) struct Standing {
    turn: Turn,
    built: Built,
    params: Params,
    source: Arc<dyn Source>,
    /// Best top-1 on the validation split.
    best: Option<f64>,
    last_step: u64,
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
        // A run that goes on has what one that was never stopped would have.
        self.caching = kept_by(self.project, self.base, &self.turns[..first], self.folder.path());
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
            let mut standing = Standing { turn, built, params, source, best: None, last_step: 0 };
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

    fn unfit(&self, why: &'static str) -> RunError {
        RunError::Unfit { why, path: self.folder.path().to_path_buf() }
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
            StageSpec::Evaluate(spec) => self.evaluate(&spec, standing, report),
            StageSpec::Repeat(_) => unreachable!("turns have no repetitions"),
        }
    }

    fn evaluate(
        &mut self,
        spec: &EvaluateSpec,
        standing: &mut Standing,
        report: &LoadReport,
    ) -> Result<Ended, RunError> {
        self.announce(&standing.turn, report, 0, 0, 1, None);
        let Standing { built, params, source, turn, .. } = standing;
        let (model, device, control, split) = (&built.graph, &self.device, self.control, spec.split);
        let features = match &self.caching {
            Some(caching) => caching.evaluation(model, params, source, split)?,
            None => None,
        };
        let features = features.as_ref();
        let (samples, batch) = (spec.samples, spec.batch);
        let found = evaluate(model, params, source, split, samples, batch, device, control, features)?;
        let Some(found) = found else { return Ok(Ended::Stopped) };
        self.evaluated(turn, 0, 0, split, &found, false);
        Ok(Ended::Finished)
    }
}
