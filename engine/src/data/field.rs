//! What a sample consists of: columns with names, types and extents.

use std::collections::BTreeMap;
use std::fmt;

use crate::tensor::elements;

/// The column of pictures and clips, normalised floats.
pub(super) const PIXELS: &str = "pixel_values";
/// The column of sounds, normalised energies over time and frequency.
pub(super) const INPUT_VALUES: &str = "input_values";
/// The column of masks: for each pixel how much it belongs to what is asked for, 0…1.
pub(super) const MASKS: &str = "masks";
/// The column of class numbers.
pub(super) const LABELS: &str = "labels";

/// Values of one column: of one sample, or of a batch (then with the batch as leading axis).
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Extents, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Values in row-major order of `shape`.
    pub values: FieldValues,
}

/// The values of a [`Field`], by type.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValues {
    /// Floats: pixels, coordinates, targets.
    Floats(Vec<f32>),
    /// Integers: class numbers, tokens, task numbers.
    Integers(Vec<i64>),
}

impl FieldValues {
    /// Number of values.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Integers(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of the same type, none of them, with room for `capacity`.
    pub(crate) fn none_like(&self, capacity: usize) -> Self {
        match self {
            Self::Floats(_) => Self::Floats(Vec::with_capacity(capacity)),
            Self::Integers(_) => Self::Integers(Vec::with_capacity(capacity)),
        }
    }

    /// Takes values of the same type behind its own; says whether they were of it.
    pub(crate) fn append(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Floats(own), Self::Floats(more)) => own.extend_from_slice(more),
            (Self::Integers(own), Self::Integers(more)) => own.extend_from_slice(more),
            _ => return false,
        }
        true
    }

    /// Takes a part of values of the same type behind its own; says whether they were of it.
    pub(crate) fn append_part(&mut self, other: &Self, begin: usize, end: usize) -> bool {
        match (self, other) {
            (Self::Floats(own), Self::Floats(more)) => own.extend_from_slice(&more[begin..end]),
            (Self::Integers(own), Self::Integers(more)) => own.extend_from_slice(&more[begin..end]),
            _ => return false,
        }
        true
    }

    /// The values from `begin` to before `end`.
    pub(crate) fn part(&self, begin: usize, end: usize) -> Self {
        match self {
            Self::Floats(values) => Self::Floats(values[begin..end].to_vec()),
            Self::Integers(values) => Self::Integers(values[begin..end].to_vec()),
        }
    }
}

impl Field {
    /// Floats in row-major order of `shape`.
    #[must_use]
    pub fn floats(values: Vec<f32>, shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), values: FieldValues::Floats(values) }
    }

    /// Integers in row-major order of `shape`.
    #[must_use]
    pub fn integers(values: Vec<i64>, shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), values: FieldValues::Integers(values) }
    }

    /// The values, if they are floats.
    #[must_use]
    pub fn as_floats(&self) -> Option<&[f32]> {
        match &self.values {
            FieldValues::Floats(values) => Some(values),
            FieldValues::Integers(_) => None,
        }
    }

    /// The values, if they are integers.
    #[must_use]
    pub fn as_integers(&self) -> Option<&[i64]> {
        match &self.values {
            FieldValues::Integers(values) => Some(values),
            FieldValues::Floats(_) => None,
        }
    }

    /// Whether there are as many values as the shape says.
    pub(super) fn is_whole(&self) -> bool {
        volume(&self.shape).is_some() && self.values.len() == elements(&self.shape)
    }
}

/// Type and extents: `floats [3, 32, 32]`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(kind(self.as_integers().is_some()))?;
        write!(f, " {:?}", self.shape)?;
        if self.is_whole() { Ok(()) } else { write!(f, " with {} values", self.values.len()) }
    }
}

/// One sample: its columns by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// `pixel_values` and `labels` (a scalar, of shape `[]`) for classified pictures and clips; a source
    /// may have others, and says which in [`Source::columns`](super::Source::columns).
    pub columns: BTreeMap<String, Field>,
}

impl Sample {
    /// A picture or clip `[…shape]` with its class.
    #[must_use]
    pub fn classified(pixels: Vec<f32>, shape: &[usize], label: i64) -> Self {
        Self::labelled([(PIXELS, Field::floats(pixels, shape))], label)
    }

    /// Columns of one sample with its class.
    pub(super) fn labelled<'a>(columns: impl IntoIterator<Item = (&'a str, Field)>, label: i64) -> Self {
        let label = (LABELS, Field::integers(vec![label], &[]));
        let columns = columns.into_iter().chain([label]);
        Self { columns: columns.map(|(name, field)| (name.to_owned(), field)).collect() }
    }

    /// The values of `pixel_values`; empty when there is no such column.
    #[must_use]
    pub fn pixels(&self) -> &[f32] {
        self.columns.get(PIXELS).and_then(Field::as_floats).unwrap_or_default()
    }

    /// The value of `labels`, when that is one integer.
    #[must_use]
    pub fn label(&self) -> Option<i64> {
        match self.columns.get(LABELS).and_then(Field::as_integers) {
            Some([label]) => Some(*label),
            _ => None,
        }
    }
}

/// What a source says of one of its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, which the model's graph asks for.
    pub name: String,
    /// Whether its values are integers; else they are floats.
    pub integers: bool,
    /// Extents of a sample's value; `None` where they vary from sample to sample.
    pub extents: Vec<Option<usize>>,
}

impl Column {
    /// Floats of the same extents in every sample.
    #[must_use]
    pub fn floats(name: &str, shape: &[usize]) -> Self {
        Self { name: name.to_owned(), integers: false, extents: shape.iter().copied().map(Some).collect() }
    }

    /// Integers of the same extents in every sample.
    #[must_use]
    pub fn integers(name: &str, shape: &[usize]) -> Self {
        Self { integers: true, ..Self::floats(name, shape) }
    }

    /// Whether a sample has a single integer here, as a class or a task is.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.integers && self.extents.is_empty()
    }

    /// Whether this is what a sample's `field` is: type, number of axes, and extents where they are fixed.
    pub(super) fn fits(&self, field: &Field) -> bool {
        self.integers == field.as_integers().is_some()
            && self.extents.len() == field.shape.len()
            && self.extents.iter().zip(&field.shape).all(|(own, found)| own.is_none_or(|own| own == *found))
    }
}

/// Type and extents, a star where they vary: `integers [*]`.
impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extent = |extent: &Option<usize>| extent.map_or_else(|| "*".to_owned(), |own| own.to_string());
        let extents: Vec<String> = self.extents.iter().map(extent).collect();
        write!(f, "{} [{}]", kind(self.integers), extents.join(", "))
    }
}

pub(super) const fn kind(integers: bool) -> &'static str {
    if integers { "integers" } else { "floats" }
}

/// The product of extents with zeros taken as ones, which bounds every stride: `None` when it is more than
/// can be counted, so that no product over these extents can overflow.
pub(super) fn volume(extents: &[usize]) -> Option<usize> {
    extents.iter().try_fold(1usize, |product, extent| product.checked_mul((*extent).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classified_samples_have_pixels_and_a_scalar_label() {
        let sample = Sample::classified(vec![1.0, 2.0], &[1, 1, 2], 3);
        assert_eq!((sample.pixels(), sample.label()), (&[1.0, 2.0][..], Some(3)));
        assert_eq!(sample.columns["labels"].shape, [0; 0]);
        assert_eq!((Sample::default().pixels(), Sample::default().label()), (&[][..], None));
    }

    #[test]
    fn columns_fit_by_type_and_by_fixed_extents() {
        let column = Column { name: "boxes".into(), integers: false, extents: vec![None, Some(4)] };
        assert_eq!(column.to_string(), "floats [*, 4]");
        assert!(column.fits(&Field::floats(vec![0.0; 8], &[2, 4])));
        assert!(column.fits(&Field::floats(Vec::new(), &[0, 4])));
        assert!(!column.fits(&Field::floats(vec![0.0; 6], &[2, 3])));
        assert!(!column.fits(&Field::floats(vec![0.0; 4], &[4])));
        assert!(!column.fits(&Field::integers(vec![0; 8], &[2, 4])));
        assert!(Column::integers("task", &[]).is_key() && !Column::integers("ids", &[3]).is_key());
    }

    #[test]
    fn extents_that_cannot_be_counted_are_not_whole() {
        let huge = usize::MAX / 2;
        assert!(!Field::floats(Vec::new(), &[0, huge, 3]).is_whole());
        assert_eq!(volume(&[0, huge]), Some(huge));
        assert_eq!(Field::integers(vec![1], &[2]).to_string(), "integers [2] with 1 values");
    }
}
