//! How the cache serves a stage: its step from the cut on, its evaluations from as much of it as they share.

use std::sync::Arc;

use burn::tensor::Device;

use super::stages::TrainError;
use super::step::{StepError, StepGraph};
use crate::cache::{CachePlace, Features, Gathered, Prefix, Session, Totals};
use crate::data::{Batch, Loader, Source, Split};
use crate::graph::{Graph, NodeId, Schedule};
use crate::weights::Params;

/// A stage's cache: where it cuts the step, and what was done so far.
#[derive(Debug)]
pub struct Caching {
    prefix: Prefix,
    /// Moves of the step from the cut on.
    pub(super) rest: Schedule,
    session: Arc<Session>,
}

impl Caching {
    /// The cache of a step over samples of a source.
    ///
    /// # Errors
    /// When there is nothing to keep, with the reason and what to do.
    pub fn new(step: &StepGraph, place: &CachePlace, source: &dyn Source) -> Result<Self, TrainError> {
        let prefix = Prefix::at_cut(&step.graph, &step.schedule, &place.binding, &source.columns())?;
        prefix.check(source)?;
        let rest = step.schedule_from(prefix.after()).map_err(StepError::from)?;
        Ok(Self { prefix, rest, session: Session::new(place) })
    }

    /// The nodes whose values are kept.
    #[must_use]
    pub fn after(&self) -> &[NodeId] {
        self.prefix.after()
    }

    /// Whether its folder is there: something was kept, by this run or another.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.session.folder().is_dir()
    }

    /// What was done so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.session.totals()
    }

    /// Why nothing is written any more, if something could not be.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.session.trouble()
    }

    /// What there is for the training split.
    ///
    /// # Errors
    /// When the cache's folder cannot be used.
    pub(super) fn training(
        &self,
        params: &Params,
        source: &Arc<dyn Source>,
    ) -> Result<Arc<Features>, TrainError> {
        Ok(Features::open(&self.prefix, &self.rest, params, source, Split::Train, &self.session)?)
    }

    /// What there is for an evaluation of the model alone; `None` when it shares nothing with the step.
    ///
    /// # Errors
    /// When the cache's folder cannot be used.
    pub fn evaluation(
        &self,
        model: &Graph,
        params: &Params,
        source: &Arc<dyn Source>,
        split: Split,
    ) -> Result<Option<Arc<Features>>, TrainError> {
        let Some(logits) = model.output("logits") else { return Ok(None) };
        let (prefix, session) = (&self.prefix, &self.session);
        Ok(Features::open_for_inference(prefix, model, &[logits], params, source, split, session)?)
    }
}

/// A pass over batches, from the source or from a cache.
pub(super) enum Batches {
    /// As the source has them.
    Read(Loader),
    /// With the values at the cut.
    Kept(Arc<Features>, Loader<Gathered>),
}

impl Batches {
    /// The next batch, and seconds that were spent on values that were missing, `rows` samples at a time.
    pub(super) fn next(
        &mut self,
        params: &mut Params,
        device: &Device,
        rows: usize,
    ) -> Result<Option<(Batch, f64)>, TrainError> {
        match self {
            Self::Read(loader) => Ok(loader.next().transpose()?.map(|batch| (batch, 0.0))),
            Self::Kept(features, loader) => match loader.next().transpose()? {
                None => Ok(None),
                Some(gathered) => Ok(Some(features.complete(gathered, params, device, rows)?)),
            },
        }
    }
}
