//! The samples that a stage goes over, and in what batches: no split is larger than it is.

use crate::data::{Source, Split};
use crate::project::Turn;
use crate::train::TrainSpec;

/// Batches that the loader holds beside the one in use.
const READ_AHEAD: usize = 4;

/// Samples of a pass over a split, batch by batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    /// Samples of the whole pass.
    pub samples: usize,
    /// Samples of its largest batch.
    pub batch: usize,
}

impl Pass {
    pub(super) fn new(samples: usize, batch: usize) -> Self {
        Self { samples, batch: batch.min(samples).max(1) }
    }

    /// Batches of the pass.
    pub(super) const fn batches(self) -> usize {
        self.samples.div_ceil(self.batch)
    }

    /// Batches that are read ahead while one is used.
    pub(super) fn ahead(self) -> u64 {
        READ_AHEAD.min(self.batches().saturating_sub(1)) as u64
    }
}

/// All passes of a stage that trains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passes {
    /// An epoch.
    pub training: Pass,
    /// An evaluation on the validation split; of no samples where there is none.
    pub validation: Pass,
    /// The test at the run's end; of no samples where it is another stage's.
    pub test: Pass,
}

impl Passes {
    pub(super) fn of(turn: &Turn, spec: &TrainSpec, source: &dyn Source) -> Self {
        let rows = spec.batch.div_ceil(spec.accumulate);
        let len = |split, wanted: bool| if wanted { source.len(split) } else { 0 };
        let samples = source.len(Split::Train).min(spec.samples.unwrap_or(usize::MAX));
        Self {
            training: Pass::new(samples, spec.batch),
            validation: Pass::new(len(Split::Validation, spec.evaluate_every > 0), rows),
            test: Pass::new(len(Split::Test, turn.last), rows),
        }
    }

    /// Samples of all of them, each counted once.
    pub(super) const fn samples(&self) -> u64 {
        (self.training.samples + self.validation.samples + self.test.samples) as u64
    }

    /// The most samples whose values are in use at one time: the test comes when training is over.
    pub(super) fn samples_at_once(&self) -> u64 {
        (self.training.samples + self.validation.samples).max(self.test.samples) as u64
    }

    /// Samples of each micro-batch of a step.
    pub(super) fn parts(&self, spec: &TrainSpec) -> Vec<usize> {
        let batch = self.training.batch;
        let rows = batch.div_ceil(spec.accumulate).max(1);
        (0..batch).step_by(rows).map(|begin| rows.min(batch - begin)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_batch_is_larger_than_its_split() {
        let pass = Pass::new(64, 1000);
        assert_eq!((pass.batch, pass.batches(), pass.ahead()), (64, 1, 0));
        let pass = Pass::new(100, 8);
        assert_eq!((pass.batch, pass.batches(), pass.ahead()), (8, 13, 4));
        let training = Pass::new(10, usize::MAX);
        let passes = Passes { training, ..Passes::default() };
        let spec = TrainSpec { batch: usize::MAX, accumulate: 4, ..TrainSpec::default() };
        assert_eq!(passes.parts(&spec), [3, 3, 3, 1]);
        assert_eq!(Pass::new(0, 8).batches(), 0);
    }
}
