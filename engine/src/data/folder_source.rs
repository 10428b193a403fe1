//! A source of classified files: where they lie, and what makes one column of each of them.

use std::fmt::Debug;
use std::path::Path;

use super::field::LABELS;
use super::folder::Catalogue;
use super::{Column, Field, Sample, SampleError, Source, Split};

/// What makes a column of floats of a file.
pub(super) trait Decoder: Debug + Send + Sync {
    /// The column's name.
    const COLUMN: &'static str;

    /// Its extents.
    fn shape(&self) -> Vec<usize>;

    /// All settings that its values depend on, as text.
    fn fingerprint(&self) -> String;

    /// The values of one file.
    ///
    /// # Errors
    /// When it is missing, damaged or of another kind.
    fn values(&self, path: &Path) -> Result<Vec<f32>, SampleError>;
}

/// Files in one folder a class.
#[derive(Debug)]
pub(super) struct FolderSource<D> {
    pub(super) catalogue: Catalogue,
    pub(super) decoder: D,
}

impl<D: Decoder> Source for FolderSource<D> {
    fn len(&self, split: Split) -> usize {
        self.catalogue.splits[split.position()].len()
    }

    fn classes(&self) -> &[String] {
        &self.catalogue.classes
    }

    fn sample_shape(&self) -> Vec<usize> {
        self.decoder.shape()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::floats(D::COLUMN, &self.decoder.shape()), Column::integers(LABELS, &[])]
    }

    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        self.catalogue.key(split, index, column)
    }

    fn fingerprint(&self, _split: Split, column: &str) -> Option<String> {
        Some(self.catalogue.fingerprint(column, &self.decoder.fingerprint()))
    }

    fn identity(&self, split: Split, index: usize) -> u128 {
        self.catalogue.identity(split, index)
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        SampleError::check_range(split, index, self.len(split))?;
        let item = &self.catalogue.splits[split.position()][index];
        let values = Field::floats(self.decoder.values(&item.path)?, &self.decoder.shape());
        Ok(Sample::labelled([(D::COLUMN, values)], item.label))
    }
}
