//! Samples gathered into one array.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Sample, SampleError, Source, Split};
use crate::device::panic_message;
use crate::tensor::elements;

/// Samples of one split, in the order asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Values in row-major order of `shape`.
    pub pixels: Vec<f32>,
    /// `[batch, …sample]`; `batch` counts the samples that were read, and can be 0 when all were skipped.
    pub shape: Vec<usize>,
    /// One label a sample.
    pub labels: Vec<i64>,
    /// Each sample's index within its split.
    pub indices: Vec<usize>,
    /// Samples asked for that could not be read.
    pub skipped: Vec<Skipped>,
}

/// A sample that is not in its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its index within the split.
    pub index: usize,
    /// What could not be read: a file.
    pub what: String,
    /// Why, as the reader said.
    pub why: String,
}

/// Why a batch could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The source asked for is not what it says: an index without a sample.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// A sample has another number of values than the source's shape.
    #[error(
        "sample {index} of split `{split}` has {found} values where {expected} belong; its source is at fault"
    )]
    Extent {
        /// The split read.
        split: Split,
        /// The sample's index.
        index: usize,
        /// Values in the source's shape.
        expected: usize,
        /// Values in the sample.
        found: usize,
    },
    /// The source panicked.
    #[error(
        "reading sample {index} of split `{split}` broke off ({message}); leave it out, or mend its source"
    )]
    Panicked {
        /// The split read.
        split: Split,
        /// The sample's index.
        index: usize,
        /// What the panic said.
        message: String,
    },
    /// The threads that read ahead are gone.
    #[error("the threads that load data have stopped; start the run again from its last checkpoint")]
    Stopped,
}

impl Batch {
    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether every sample was skipped, or none was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Reads samples one after the other, on this thread. Files that cannot be read are skipped and listed.
    ///
    /// # Errors
    /// When an index is out of range, or the source misbehaves.
    pub fn read(source: &dyn Source, split: Split, indices: &[usize]) -> Result<Self, LoadError> {
        Self::read_unless(source, split, indices, &AtomicBool::new(false))
    }

    /// As [`Batch::read`], but gives up between two samples once `cancelled` is set.
    pub(super) fn read_unless(
        source: &dyn Source,
        split: Split,
        indices: &[usize],
        cancelled: &AtomicBool,
    ) -> Result<Self, LoadError> {
        let sample_shape = source.sample_shape();
        let expected = elements(&sample_shape);
        let mut batch = Self { pixels: Vec::with_capacity(indices.len() * expected), ..Self::default() };
        for &index in indices {
            if cancelled.load(Ordering::Relaxed) {
                return Err(LoadError::Stopped);
            }
            // A source is only read, never changed, so a panic leaves nothing half done in it.
            let read = catch_unwind(AssertUnwindSafe(|| source.sample(split, index)))
                .map_err(|panic| LoadError::Panicked { split, index, message: panic_message(&*panic) })?;
            match read {
                Ok(Sample { pixels, label }) if pixels.len() == expected => {
                    batch.pixels.extend_from_slice(&pixels);
                    batch.labels.push(label);
                    batch.indices.push(index);
                }
                Ok(Sample { pixels, .. }) => {
                    return Err(LoadError::Extent { split, index, expected, found: pixels.len() });
                }
                Err(SampleError::Unreadable { reason, path }) => {
                    batch.skipped.push(Skipped { index, what: path.display().to_string(), why: reason });
                }
                Err(error @ SampleError::OutOfRange { .. }) => return Err(error.into()),
            }
        }
        batch.shape = [&[batch.labels.len()], &sample_shape[..]].concat();
        Ok(batch)
    }
}
