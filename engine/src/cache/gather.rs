//! A batch as the loader's threads find it: what is in the cache, and what of the data is still to be walked.

use std::sync::atomic::AtomicBool;

use super::features::Features;
use crate::data::{Batch, LoadError};

/// Samples of one batch: those that were found, and those that were not, read from the source.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The values at the cut under their paths, and the columns that the rest of the walk reads.
    pub(super) found: Batch,
    /// The source's columns, and the values of those nodes that all of these samples have.
    pub(super) missing: Batch,
    /// Which nodes are to be computed for `missing`, by their places.
    pub(super) lacking: Vec<usize>,
    /// The indices asked for, in order.
    pub(super) wanted: Vec<usize>,
}

impl Features {
    /// Gathers a batch; on a loader's thread.
    pub(super) fn gather(&self, indices: &[usize], cancelled: &AtomicBool) -> Result<Gathered, LoadError> {
        // Another thread may find damage in what was there a moment ago: look again.
        for _ in 0..2 {
            let samples: Vec<u128> = indices.iter().map(|index| self.id(*index)).collect();
            self.shelves.iter().for_each(|shelf| shelf.forget_cut_short(&samples));
            let (hits, misses): (Vec<usize>, Vec<usize>) = indices
                .iter()
                .partition(|index| self.shelves.iter().all(|shelf| shelf.has(self.id(**index))));
            if let Some(found) = self.found(&hits, cancelled)? {
                return self.with_missing(found, &misses, indices, cancelled);
            }
        }
        self.with_missing(Batch::default(), indices, indices, cancelled)
    }

    /// Samples that are there; `None` when one of them is not any more.
    fn found(&self, hits: &[usize], cancelled: &AtomicBool) -> Result<Option<Batch>, LoadError> {
        if hits.is_empty() {
            return Ok(Some(Batch::default()));
        }
        let mut batch = if self.reads_source {
            let mut batch = Batch::read_unless(&*self.source, self.split, hits, cancelled)?;
            batch.columns.retain(|name, _| self.left.contains(name));
            if batch.is_empty() {
                return Ok(Some(batch));
            }
            batch
        } else {
            Batch { indices: hits.to_vec(), ..Batch::default() }
        };
        let samples: Vec<u128> = batch.indices.iter().map(|index| self.id(*index)).collect();
        for (name, shelf) in self.names.iter().zip(&self.shelves) {
            let Some(field) = shelf.gather(&samples) else { return Ok(None) };
            batch.columns.insert(name.clone(), field);
        }
        Ok(Some(batch))
    }

    fn with_missing(
        &self,
        found: Batch,
        misses: &[usize],
        wanted: &[usize],
        cancelled: &AtomicBool,
    ) -> Result<Gathered, LoadError> {
        let mut gathered = Gathered { found, wanted: wanted.to_vec(), ..Gathered::default() };
        if misses.is_empty() {
            return Ok(gathered);
        }
        gathered.missing = Batch::read_unless(&*self.source, self.split, misses, cancelled)?;
        let samples: Vec<u128> = gathered.missing.indices.iter().map(|index| self.id(*index)).collect();
        if samples.is_empty() {
            return Ok(gathered);
        }
        for place in 0..self.nodes() {
            let kept = &self.shelves[place];
            let all = samples.iter().all(|sample| kept.has(*sample));
            match if all { kept.gather(&samples) } else { None } {
                Some(field) => drop(gathered.missing.columns.insert(self.names[place].clone(), field)),
                None => gathered.lacking.push(place),
            }
        }
        Ok(gathered)
    }
}
