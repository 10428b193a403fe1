//! Samples gathered into arrays, one a column.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use super::field::{LABELS, MASKS, kind};
use super::{Column, Field, Sample, SampleError, Source, Split};
use crate::device::panic_message;

/// Samples of one split, in the order asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Each column as `[batch, …sample]`; none when every sample was skipped.
    pub columns: BTreeMap<String, Field>,
    /// Each sample's index within its split.
    pub indices: Vec<usize>,
    /// Samples asked for that could not be read.
    pub skipped: Vec<Skipped>,
    /// Columns whose first two axes are one in the graph, `[batch, rows of a sample, …]`: a clip's frames, each a row of the
    /// spatial transformer.
    pub folded: BTreeSet<String>,
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
    /// A sample is not as its source says, or not as the samples it shares a batch with.
    #[error(
        "column `{column}` of sample {index} in split `{split}` should be {expected} and is {found}; its source is at fault"
    )]
    Column {
        /// The split read.
        split: Split,
        /// The sample's index.
        index: usize,
        /// The column.
        column: String,
        /// Type and extents that belong there.
        expected: String,
        /// Type and extents that are there.
        found: String,
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
    pub const fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether every sample was skipped, or none was asked for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The values of `labels`, one a sample of classified ones; empty when there is no such column of integers.
    #[must_use]
    pub fn labels(&self) -> &[i64] {
        self.columns.get(LABELS).and_then(Field::as_integers).unwrap_or_default()
    }

    /// The values of `masks`, `[batch, …]`; empty when there is no such column of floats.
    #[must_use]
    pub fn masks(&self) -> &[f32] {
        self.columns.get(MASKS).and_then(Field::as_floats).unwrap_or_default()
    }

    /// Consecutive parts of at most `rows` (at least 1) samples; all of `skipped` goes with the first.
    #[must_use]
    pub fn split(self, rows: usize) -> Vec<Self> {
        let (all, rows) = (self.len(), rows.max(1));
        if all <= rows {
            return vec![self];
        }
        let part = |field: &Field, begin: usize, end: usize| {
            let stride = field.values.len() / all;
            let shape = [&[end - begin], &field.shape[1..]].concat();
            Field { shape, values: field.values.part(begin * stride, end * stride) }
        };
        let mut parts: Vec<Self> = (0..all)
            .step_by(rows)
            .map(|begin| {
                let end = (begin + rows).min(all);
                let columns =
                    self.columns.iter().map(|(name, field)| (name.clone(), part(field, begin, end)));
                let indices = self.indices[begin..end].to_vec();
                Self { columns: columns.collect(), indices, skipped: Vec::new(), folded: self.folded.clone() }
            })
            .collect();
        parts[0].skipped = self.skipped;
        parts
    }

    /// Reads samples one after the other, on this thread. Files that cannot be read are skipped and listed.
    ///
    /// # Errors
    /// When an index is out of range, the source misbehaves, or the samples differ in their extents
    /// (see [`Source::group`]).
    pub fn read(source: &dyn Source, split: Split, indices: &[usize]) -> Result<Self, LoadError> {
        Self::read_unless(source, split, indices, &AtomicBool::new(false))
    }

    /// As [`Batch::read`], but gives up between two samples once `cancelled` is set.
    pub(crate) fn read_unless(
        source: &dyn Source,
        split: Split,
        indices: &[usize],
        cancelled: &AtomicBool,
    ) -> Result<Self, LoadError> {
        let promised = source.columns();
        let mut batch = Self::default();
        for &index in indices {
            if cancelled.load(Ordering::Relaxed) {
                return Err(LoadError::Stopped);
            }
            // A source is only read, never changed, so a panic leaves nothing half done in it.
            let read = catch_unwind(AssertUnwindSafe(|| source.sample(split, index)))
                .map_err(|panic| LoadError::Panicked { split, index, message: panic_message(&*panic) })?;
            match read {
                Ok(sample) => {
                    let wrong = |(column, expected, found)| LoadError::Column {
                        split,
                        index,
                        column,
                        expected,
                        found,
                    };
                    check(&promised, &sample).map_err(wrong)?;
                    batch.take(sample, indices.len()).map_err(wrong)?;
                    batch.indices.push(index);
                }
                Err(SampleError::Unreadable { reason, path }) => {
                    batch.skipped.push(Skipped { index, what: path.display().to_string(), why: reason });
                }
                Err(error @ SampleError::OutOfRange { .. }) => return Err(error.into()),
            }
        }
        Ok(batch)
    }

    /// Puts a sample behind the others, or says which column does not fit theirs. The first one makes room
    /// for `wanted` of its kind.
    fn take(&mut self, sample: Sample, wanted: usize) -> Result<(), Misfit> {
        let rows = self.len();
        for (name, field) in sample.columns {
            if rows == 0 {
                let shape = [&[0], &field.shape[..]].concat();
                let values = field.values.none_like(field.values.len().saturating_mul(wanted));
                self.columns.insert(name.clone(), Field { shape, values });
            }
            // The source's own list has been checked, so that every column is in every sample.
            let Some(own) = self.columns.get_mut(&name) else {
                return Err((name, NOTHING.to_owned(), field.to_string()));
            };
            if own.shape[1..] != field.shape[..] || !own.values.append(&field.values) {
                let expected =
                    format!("{} {:?} as in its batch", kind(own.as_integers().is_some()), &own.shape[1..]);
                return Err((name, expected, field.to_string()));
            }
            own.shape[0] = rows + 1;
        }
        Ok(())
    }
}

/// A column, what should be there, and what is.
type Misfit = (String, String, String);

const NOTHING: &str = "absent";

/// Compares a sample with what its source promises.
fn check(promised: &[Column], sample: &Sample) -> Result<(), Misfit> {
    for column in promised {
        let field = sample.columns.get(&column.name);
        if !field.is_some_and(|field| column.fits(field) && field.is_whole()) {
            let found = field.map_or_else(|| NOTHING.to_owned(), ToString::to_string);
            return Err((column.name.clone(), column.to_string(), found));
        }
    }
    let extra = sample.columns.iter().find(|(name, _)| promised.iter().all(|column| column.name != **name));
    extra.map_or(Ok(()), |(name, field)| Err((name.clone(), NOTHING.to_owned(), field.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: usize) -> Batch {
        let pixels = Field::floats((0..rows * 2).map(|value| value as f32).collect(), &[rows, 1, 2]);
        let labels = Field::integers((0..rows as i64).collect(), &[rows]);
        let boxes = Field::floats(Vec::new(), &[rows, 0, 4]);
        let columns = [("pixel_values", pixels), ("labels", labels), ("boxes", boxes)];
        Batch {
            columns: columns.into_iter().map(|(name, field)| (name.to_owned(), field)).collect(),
            indices: (10..10 + rows).collect(),
            skipped: vec![Skipped { index: 3, what: "a.png".into(), why: "cut short".into() }],
            folded: BTreeSet::from(["boxes".to_owned()]),
        }
    }

    #[test]
    fn parts_are_consecutive_and_the_first_has_what_was_skipped() {
        assert_eq!(batch(4).split(4), [batch(4)]);
        assert_eq!(batch(0).split(2), [batch(0)]);
        let parts = batch(5).split(2);
        assert_eq!(parts.iter().map(Batch::len).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(parts.iter().map(|part| part.skipped.len()).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(parts[1].columns["pixel_values"], Field::floats(vec![4.0, 5.0, 6.0, 7.0], &[2, 1, 2]));
        assert_eq!((parts[2].labels(), &parts[2].indices[..]), (&[4][..], &[14][..]));
        assert_eq!(parts[2].columns["boxes"].shape, [1, 0, 4]);
        assert_eq!(batch(3).split(0).len(), 3);
    }

    /// A source that promises pixels and labels, and gives what each test wants.
    #[derive(Debug)]
    struct Given(Vec<Sample>);

    impl Source for Given {
        fn len(&self, _split: Split) -> usize {
            self.0.len()
        }
        fn classes(&self) -> &[String] {
            &[]
        }
        fn sample_shape(&self) -> Vec<usize> {
            vec![2]
        }
        fn columns(&self) -> Vec<Column> {
            let pixels = Column { name: "pixel_values".into(), integers: false, extents: vec![None] };
            vec![pixels, Column::integers("labels", &[])]
        }
        fn sample(&self, _split: Split, index: usize) -> Result<Sample, SampleError> {
            Ok(self.0[index].clone())
        }
    }

    #[test]
    fn samples_that_are_not_as_promised_or_not_alike_are_errors() {
        let good = || Sample::classified(vec![1.0, 2.0], &[2], 0);
        let changed = |name: &str, field: Option<Field>| {
            let mut sample = good();
            match field {
                Some(field) => sample.columns.insert(name.to_owned(), field),
                None => sample.columns.remove(name),
            };
            sample
        };
        for (sample, expected) in [
            (
                changed("labels", None),
                "`labels` of sample 1 in split `test` should be integers [] and is absent",
            ),
            (
                changed("task", Some(Field::integers(vec![1], &[]))),
                "`task` of sample 1 in split `test` should be absent",
            ),
            (changed("labels", Some(Field::floats(vec![1.0], &[]))), "integers [] and is floats []"),
            (
                changed("pixel_values", Some(Field::floats(vec![1.0], &[1, 1]))),
                "floats [*] and is floats [1, 1]",
            ),
            (changed("pixel_values", Some(Field::floats(vec![1.0], &[2]))), "is floats [2] with 1 values"),
            (
                changed("pixel_values", Some(Field::floats(vec![1.0], &[1]))),
                "floats [2] as in its batch and is",
            ),
        ] {
            let source = Given(vec![good(), sample]);
            let message = Batch::read(&source, Split::Test, &[0, 1]).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let source = Given(vec![good(), good()]);
        let read = Batch::read(&source, Split::Test, &[1, 0]).unwrap();
        assert_eq!(read.columns["pixel_values"], Field::floats(vec![1.0, 2.0, 1.0, 2.0], &[2, 2]));
    }
}
