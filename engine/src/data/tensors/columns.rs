//! Which tensors of the file are columns, and where each sample's values lie in them.

use std::ops::Range;

use safetensors::tensor::Dtype;

use super::stored::{Stored, Tensor};
use crate::data::field::{LABELS, PIXELS, volume};
use crate::data::{DataError, Field, Split};
use crate::tensor::elements;

/// The column of tokens.
const TOKENS: &str = "input_ids";
/// What the name of a tensor of extents ends in.
const EXTENTS: &str = ".extents";
/// What the name of a tensor of test samples begins with.
const TEST: &str = "test_";
/// More classes than any data set has: beyond it labels are not class numbers.
const MAX_CLASSES: i64 = 1 << 20;
/// What a column may be stored as.
const DTYPES: [Dtype; 3] = [Dtype::U8, Dtype::F32, Dtype::I64];

/// One column: the tensors of its training and test samples.
pub(super) struct FileColumn {
    pub(super) name: String,
    pub(super) train: Part,
    /// Absent when the file has no test samples.
    pub(super) test: Option<Part>,
}

impl FileColumn {
    /// The part that holds a split's samples.
    pub(super) fn part(&self, split: Split) -> &Part {
        match (&self.test, split) {
            (Some(test), Split::Test) => test,
            _ => &self.train,
        }
    }

    /// Training and test part.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.train).chain(&self.test)
    }

    /// Smallest and largest extent of each axis, over all samples.
    pub(super) fn bounds(&self) -> Vec<(usize, usize)> {
        self.parts().filter_map(Part::bounds).reduce(widen).unwrap_or_default()
    }
}

/// Bounds that hold both.
fn widen(mut bounds: Vec<(usize, usize)>, other: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    for ((low, high), (other_low, other_high)) in bounds.iter_mut().zip(other) {
        (*low, *high) = (other_low.min(*low), other_high.max(*high));
    }
    bounds
}

/// A tensor that holds one value of a column for each sample.
pub(super) struct Part {
    tensor: Tensor,
    layout: Layout,
    /// Samples.
    pub(super) count: usize,
}

/// Extents of the samples' values.
enum Layout {
    /// The same for all.
    Equal(Vec<usize>),
    /// Each its own.
    Ragged {
        /// Axes of each.
        rank: usize,
        /// `rank` extents a sample.
        extents: Vec<usize>,
        /// Where each sample's values begin in the tensor, and where the last one's end.
        starts: Vec<usize>,
    },
}

/// All columns of a file, the inputs first; every part holds as many samples as the inputs of its side.
pub(super) fn columns(stored: &Stored) -> Result<Vec<FileColumn>, DataError> {
    let inputs = Part::read(stored, "inputs", &DTYPES, None)?;
    let is_tokens = inputs.tensor.dtype == Dtype::I64;
    let labels = read_labels(stored, LABELS, "inputs", inputs.count)?;
    let test = if stored.has("test_inputs") || stored.has("test_labels") {
        let dtypes: &[Dtype] = if is_tokens { &[Dtype::I64] } else { &[Dtype::U8, Dtype::F32] };
        let test_inputs = Part::read(stored, "test_inputs", dtypes, None)?;
        let test_labels = read_labels(stored, "test_labels", "test_inputs", test_inputs.count)?;
        inputs.check_alike(stored, "inputs", &test_inputs)?;
        Some((test_inputs, test_labels))
    } else {
        None
    };
    let (count, test_count) = (inputs.count, test.as_ref().map(|(inputs, _)| inputs.count));
    let (test_inputs, test_labels) = test.unzip();
    let main = if is_tokens { TOKENS } else { PIXELS };
    let mut columns = vec![
        FileColumn { name: main.to_owned(), train: inputs, test: test_inputs },
        FileColumn { name: LABELS.to_owned(), train: labels, test: test_labels },
    ];
    for name in stored.names() {
        if let Some(column) = name.strip_suffix(EXTENTS) {
            if !stored.has(column) {
                return Err(stored
                    .wrong(format!("a tensor `{column}` beside `{name}`"), "none of that name; rename one"));
            }
            continue;
        }
        if ["inputs", LABELS].contains(&name.as_str()) || name.starts_with(TEST) {
            continue;
        }
        let test_name = format!("{TEST}{name}");
        // What has extents or a test part is meant as a column; anything else is one if it fits.
        let is_meant =
            stored.has(&format!("{name}{EXTENTS}")) || (test_count.is_some() && stored.has(&test_name));
        let leading = stored.shape(&name, &DTYPES).and_then(|shape| shape.first());
        if !is_meant && leading != Some(&count) {
            continue;
        }
        if name == main {
            let expected = format!("one column `{name}`, which is what `inputs` are");
            return Err(stored.wrong(expected, "a tensor of that name too; rename it"));
        }
        let train = Part::read(stored, &name, &DTYPES, Some(("inputs", count)))?;
        let test = match test_count {
            None => None,
            Some(_) if !stored.has(&test_name) => {
                let expected = format!("`{test_name}` for `test_inputs`, as `{name}` is for `inputs`");
                return Err(stored.wrong(expected, "none; add it, or take `test_inputs` away"));
            }
            Some(test_count) => {
                let dtypes = train.dtypes(&name);
                let part = Part::read(stored, &test_name, dtypes, Some(("test_inputs", test_count)))?;
                train.check_alike(stored, &name, &part)?;
                Some(part)
            }
        };
        columns.push(FileColumn { name, train, test });
    }
    Ok(columns)
}

/// Class numbers of `inputs_name`, one a sample.
fn read_labels(stored: &Stored, name: &str, inputs_name: &str, count: usize) -> Result<Part, DataError> {
    let tensor = stored.tensor(name, &[Dtype::I64])?;
    if tensor.shape != [count] {
        let expected = format!("`{name}` of shape [{count}], a label for each of `{inputs_name}`");
        return Err(stored.wrong(expected, format!("shape {:?}", tensor.shape)));
    }
    if stored.has(&format!("{name}{EXTENTS}")) {
        return Err(
            stored.wrong(format!("`{name}` as one number a sample"), format!("extents `{name}{EXTENTS}`"))
        );
    }
    if let Some(label) = stored.integers(&tensor, 0..count).find(|label| !(0..MAX_CLASSES).contains(label)) {
        return Err(
            stored.wrong(format!("`{name}` from 0, one number a class"), format!("the label {label}"))
        );
    }
    Ok(Part { tensor, layout: Layout::Equal(Vec::new()), count })
}

impl Part {
    /// Reads where the values of `name` lie. `wanted` names the inputs and says how many they are.
    fn read(
        stored: &Stored,
        name: &str,
        dtypes: &[Dtype],
        wanted: Option<(&str, usize)>,
    ) -> Result<Self, DataError> {
        let tensor = stored.tensor(name, dtypes)?;
        let extents_name = format!("{name}{EXTENTS}");
        let (layout, count) = if stored.has(&extents_name) {
            ragged(stored, name, &tensor, &extents_name, wanted)?
        } else {
            let [count, extents @ ..] = &tensor.shape[..] else {
                return Err(
                    stored.wrong(format!("`{name}` with samples along its first axis"), "a single value")
                );
            };
            check_count(stored, name, &tensor.shape, wanted)?;
            if volume(extents).is_none() {
                return Err(stored.wrong(
                    format!("`{name}` with samples whose extents can be counted"),
                    format!("extents {extents:?}"),
                ));
            }
            (Layout::Equal(extents.to_vec()), *count)
        };
        Ok(Self { tensor, layout, count })
    }

    /// What the test part of this column may be stored as: of the same type, pixels as bytes or floats.
    fn dtypes(&self, name: &str) -> &'static [Dtype] {
        match self.tensor.dtype {
            Dtype::U8 | Dtype::F32 if name == PIXELS => &[Dtype::U8, Dtype::F32],
            Dtype::F32 => &[Dtype::F32],
            _ => &[Dtype::U8, Dtype::I64],
        }
    }

    /// Refuses a test part whose samples have other extents.
    fn check_alike(&self, stored: &Stored, name: &str, test: &Self) -> Result<(), DataError> {
        match (&self.layout, &test.layout) {
            (Layout::Equal(own), Layout::Equal(other)) if own != other => {
                let expected = format!("`{TEST}{name}` of shape [N, …] with samples {own:?} like `{name}`");
                Err(stored.wrong(expected, format!("samples {other:?}")))
            }
            (Layout::Ragged { rank: own, .. }, Layout::Ragged { rank: other, .. }) if own != other => {
                let expected = format!("`{TEST}{name}{EXTENTS}` of shape [N, {own}] like `{name}{EXTENTS}`");
                Err(stored.wrong(expected, format!("shape [N, {other}]")))
            }
            (Layout::Ragged { .. }, Layout::Equal(_)) => {
                Err(stored.wrong(format!("a tensor `{TEST}{name}{EXTENTS}` like `{name}{EXTENTS}`"), "none"))
            }
            (Layout::Equal(_), Layout::Ragged { .. }) => {
                Err(stored.wrong(format!("a tensor `{name}{EXTENTS}` like `{TEST}{name}{EXTENTS}`"), "none"))
            }
            _ => Ok(()),
        }
    }

    /// Shape of the tensor, for messages.
    pub(super) fn stored_shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    /// Whether the extents differ from sample to sample, or might.
    pub(super) const fn is_ragged(&self) -> bool {
        matches!(self.layout, Layout::Ragged { .. })
    }

    /// Whether the values are integers in a column called `name`: bytes are, unless they are pixels.
    pub(super) fn is_integers(&self, name: &str) -> bool {
        match self.tensor.dtype {
            Dtype::F32 => false,
            Dtype::U8 => name != PIXELS,
            _ => true,
        }
    }

    /// Extents of the value of sample `row`.
    pub(super) fn extents(&self, row: usize) -> &[usize] {
        match &self.layout {
            Layout::Equal(extents) => extents,
            Layout::Ragged { rank, extents, .. } => &extents[row * rank..(row + 1) * rank],
        }
    }

    /// Smallest and largest extent of each axis; `None` without samples.
    fn bounds(&self) -> Option<Vec<(usize, usize)>> {
        let own = |row| self.extents(row).iter().map(|extent| (*extent, *extent)).collect::<Vec<_>>();
        match self.layout {
            Layout::Equal(_) => Some(own(0)),
            Layout::Ragged { .. } => (0..self.count).map(own).reduce(widen),
        }
    }

    /// Where the values of sample `row` lie in the tensor.
    fn range(&self, row: usize) -> Range<usize> {
        match &self.layout {
            Layout::Equal(extents) => {
                let stride = elements(extents);
                row * stride..(row + 1) * stride
            }
            Layout::Ragged { starts, .. } => starts[row]..starts[row + 1],
        }
    }

    /// The value of sample `row` in a column called `name`; pixels that are bytes are scaled to 0…1.
    pub(super) fn field(&self, stored: &Stored, name: &str, row: usize) -> Field {
        let (shape, range) = (self.extents(row), self.range(row));
        match self.tensor.dtype {
            Dtype::F32 => Field::floats(stored.floats(&self.tensor, range).collect(), shape),
            Dtype::U8 if name == PIXELS => {
                let scaled = stored.bytes(&self.tensor, range).iter().map(|byte| f32::from(*byte) / 255.0);
                Field::floats(scaled.collect(), shape)
            }
            Dtype::U8 => {
                let values = stored.bytes(&self.tensor, range).iter().map(|byte| i64::from(*byte));
                Field::integers(values.collect(), shape)
            }
            _ => Field::integers(stored.integers(&self.tensor, range).collect(), shape),
        }
    }

    /// A hash of what the tensor holds and of how it is taken apart into samples of a column called `name`.
    pub(super) fn digest(&self, stored: &Stored, name: &str) -> String {
        let layout = match &self.layout {
            Layout::Equal(extents) => format!("equal {extents:?}"),
            Layout::Ragged { rank, extents, .. } => format!("ragged {rank} {extents:?}"),
        };
        let kind = format!("{:?} {} {layout}", self.tensor.dtype, name == PIXELS);
        let bytes = blake3::Hasher::new().update(stored.all(&self.tensor)).finalize();
        blake3::Hasher::new().update(bytes.as_bytes()).update(kind.as_bytes()).finalize().to_hex().to_string()
    }

    /// The single integer of sample `row`, if that is what the column has.
    pub(super) fn key(&self, stored: &Stored, name: &str, row: usize) -> Option<i64> {
        let is_key = self.is_integers(name) && matches!(&self.layout, Layout::Equal(own) if own.is_empty());
        match self.tensor.dtype {
            _ if !is_key || row >= self.count => None,
            Dtype::U8 => stored.bytes(&self.tensor, row..row + 1).first().copied().map(i64::from),
            _ => stored.integers(&self.tensor, row..row + 1).next(),
        }
    }
}

fn check_count(
    stored: &Stored,
    name: &str,
    shape: &[usize],
    wanted: Option<(&str, usize)>,
) -> Result<(), DataError> {
    match wanted {
        Some((inputs, count)) if shape.first() != Some(&count) => {
            let expected = format!("`{name}` of shape [{count}, …], one for each of `{inputs}`");
            Err(stored.wrong(expected, format!("shape {shape:?}")))
        }
        _ => Ok(()),
    }
}

/// Reads the extents of a ragged column and holds them against the values that are there. What is allocated
/// is as large as the tensor of extents, which lies in the file.
fn ragged(
    stored: &Stored,
    name: &str,
    tensor: &Tensor,
    extents_name: &str,
    wanted: Option<(&str, usize)>,
) -> Result<(Layout, usize), DataError> {
    let [available] = tensor.shape[..] else {
        let expected =
            format!("`{name}` with one axis, all samples' values, since there is `{extents_name}`");
        return Err(stored.wrong(expected, format!("shape {:?}", tensor.shape)));
    };
    let table = stored.tensor(extents_name, &[Dtype::I64])?;
    let (count, rank) = match table.shape[..] {
        [count, rank] if rank > 0 => (count, rank),
        _ => {
            let expected = format!("`{extents_name}` of shape [N, axes of a sample]");
            return Err(stored.wrong(expected, format!("shape {:?}", table.shape)));
        }
    };
    check_count(stored, extents_name, &table.shape, wanted)?;
    let mut extents = Vec::with_capacity(count * rank);
    for extent in stored.integers(&table, 0..count * rank) {
        extents.push(usize::try_from(extent).map_err(|_| {
            let row = extents.len() / rank;
            let found = format!("{extent} for sample {row}");
            stored.wrong(format!("`{extents_name}` with no extent below 0"), found)
        })?);
    }
    let mut starts = Vec::with_capacity(count + 1);
    let mut end = 0usize;
    starts.push(end);
    for (row, own) in extents.chunks(rank).enumerate() {
        let next = volume(own).and_then(|_| end.checked_add(elements(own)));
        let Some(next) = next.filter(|next| *next <= available) else {
            let expected = format!("`{extents_name}` that covers the {available} values of `{name}`");
            return Err(stored.wrong(expected, format!("{own:?} for sample {row}, which goes beyond them")));
        };
        end = next;
        starts.push(end);
    }
    if end != available {
        let expected = format!("`{extents_name}` that covers the {available} values of `{name}`");
        return Err(stored.wrong(expected, format!("extents for {end} values")));
    }
    Ok((Layout::Ragged { rank, extents, starts }, count))
}
