//! What a stage does between its steps: evaluations, and what is asked of it while it goes on.

use std::sync::Arc;

use super::super::super::control::{Ask, Control, Wish};
use super::super::super::evaluation::{Evaluation, evaluate};
use super::{Observer, Progress, Snapshot, Stage, TrainError};
use crate::cache::Features;
use crate::data::Split;
use crate::weights::Params;

/// What changes while a stage goes on, beside its weights.
pub(super) struct Meanwhile {
    pub(super) rate_scale: Option<f64>,
    /// What a cache holds of the validation split, once it was asked for.
    pub(super) evaluated: Option<Held>,
}

/// The validation split's values at the cut, if the stage has a cache.
pub(super) struct Held(Option<Arc<Features>>);

impl Stage<'_> {
    pub(super) fn validate(
        &self,
        params: &Params,
        meanwhile: &mut Meanwhile,
    ) -> Result<Option<Evaluation>, TrainError> {
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
    pub(super) fn attend(
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
}
