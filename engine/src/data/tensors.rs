//! Arrays in one `.safetensors` file, held in memory in their stored form.

mod columns;
mod stored;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::columns::{FileColumn, columns};
use self::stored::Stored;
use super::field::{LABELS, PIXELS};
use super::view::sampled_frames;
use super::{
    Column, DataError, Field, FieldValues, Sample, SampleError, Source, Split, View, check_normalisation,
};
use crate::tensor::{Stream, elements, fnv1a};

/// One file with `inputs` `[N, …]` and `labels` i64 `[N]`, and optionally `test_inputs` and `test_labels`.
///
/// Inputs that are u8, scaled to 0…1, or f32, taken as they are, become the column `pixel_values`, to which
/// `mean` and `std` are applied. Those of clips are `[N, frames, channels, height, width]`, and a view with
/// other frames takes the middle one of equal parts. Inputs that are i64 become the column `input_ids`.
///
/// Every other tensor of f32, i64 or u8 whose first extent is N is a column under its own name (u8 as
/// integers, unless it is called `pixel_values`), and where there are `test_inputs`, `test_<name>` is its
/// test part. Tensors of other first extents are left alone.
///
/// Where extents vary from sample to sample, a column (`inputs` too) lies flat, all samples' values one
/// after the other, and `<name>.extents`, i64 `[N, axes]`, says each sample's extents. Samples share a batch
/// when they have the same extents in every column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TensorsSpec {
    /// The `.safetensors` file.
    pub file: PathBuf,
    /// Share of the training samples held out for validation, each drawn by its index; from 0 to below 1.
    pub validation: f32,
    /// The share is drawn from this, and so is a view's shuffling.
    pub seed: u64,
    /// Names of the classes in label order; the labels' numbers if empty.
    pub classes: Vec<String>,
    /// Subtracted; one for all, or one a channel (the third axis from the end).
    pub mean: Vec<f32>,
    /// Divides after that; one for all, or one a channel.
    pub std: Vec<f32>,
}

impl Default for TensorsSpec {
    fn default() -> Self {
        Self {
            file: PathBuf::from("data.safetensors"),
            validation: 0.1,
            seed: 0,
            classes: Vec::new(),
            mean: vec![0.0],
            std: vec![1.0],
        }
    }
}

pub(super) fn open(spec: &TensorsSpec, base: &Path, view: &View) -> Result<Box<dyn Source>, DataError> {
    if !(0.0..1.0).contains(&spec.validation) {
        return Err(DataError::setting("validation", spec.validation, "it must be from 0 to below 1"));
    }
    check_normalisation(&spec.mean, &spec.std)?;
    let path = base.join(&spec.file);
    let bytes = std::fs::read(&path).map_err(|source| DataError::read(source, &path))?;
    let source = Tensors::new(spec, Stored::new(bytes, path)?, view)?;
    if source.shape.len() == 4 { view.apply(source, spec.seed) } else { Ok(Box::new(source)) }
}

struct Tensors {
    stored: Stored,
    columns: Vec<FileColumn>,
    /// What each of them is to the outside, after the view.
    public: Vec<Column>,
    /// Rows of the training or test tensors in each split.
    members: [Vec<usize>; 3],
    /// Of `pixel_values`, or of the inputs; the largest extents, after the view.
    shape: Vec<usize>,
    /// Frames that the view wants of each clip, if other than all.
    frames: Option<usize>,
    /// One a channel or one for all, as (mean, std).
    normalisation: Vec<(f32, f32)>,
    classes: Vec<String>,
}

impl Tensors {
    fn new(spec: &TensorsSpec, stored: Stored, view: &View) -> Result<Self, DataError> {
        let columns = columns(&stored)?;
        // The inputs come first.
        let inputs = &columns[0];
        let drawn = Stream::new(spec.seed, "data.split");
        let (held, kept): (Vec<usize>, Vec<usize>) =
            (0..inputs.train.count).partition(|index| drawn.at(*index as u64).uniform() < spec.validation);
        check_filled(&stored, inputs, kept.len(), held.len())?;
        let bounds: Vec<Vec<(usize, usize)>> = columns.iter().map(FileColumn::bounds).collect();
        let mut public: Vec<Column> = columns
            .iter()
            .zip(&bounds)
            .map(|(column, bounds)| Column {
                name: column.name.clone(),
                integers: column.train.is_integers(&column.name),
                extents: bounds.iter().map(|(low, high)| (low == high).then_some(*high)).collect(),
            })
            .collect();
        let is_pixels = |column: &Column| column.name == PIXELS && !column.integers;
        let pixels = public.iter().position(is_pixels);
        let main = pixels.unwrap_or(0);
        let mut shape: Vec<usize> = bounds[main].iter().map(|(_, high)| *high).collect();
        let frames = if pixels.is_some() && shape.len() == 4 {
            if let Some(frames) = view.frames {
                shape[0] = frames;
                public[main].extents[0] = Some(frames);
            }
            view.frames
        } else {
            view.check_still()?;
            None
        };
        let labels = columns.iter().filter(|column| column.name == LABELS).flat_map(FileColumn::parts);
        let largest = labels
            .flat_map(|part| (0..part.count).filter_map(|row| part.key(&stored, LABELS, row)))
            .max()
            .unwrap_or(0);
        let classes = class_names(spec, largest)?;
        let normalisation = match pixels {
            Some(pixels) => normalisation(spec, &public[pixels])?,
            None => no_normalisation(spec)?,
        };
        let tested = (0..inputs.test.as_ref().map_or(0, |part| part.count)).collect();
        let members = [kept, held, tested];
        Ok(Self { stored, columns, public, members, shape, frames, normalisation, classes })
    }

    /// A column's extents for one sample, after the view.
    fn extents(&self, column: &FileColumn, split: Split, row: usize) -> Vec<usize> {
        let mut extents = column.part(split).extents(row).to_vec();
        if column.name == PIXELS
            && let (Some(frames), Some(first)) = (self.frames, extents.first_mut())
        {
            *first = frames;
        }
        extents
    }

    /// Takes the view's frames, and normalises.
    fn prepare(&self, field: &mut Field) {
        let FieldValues::Floats(pixels) = &mut field.values else { return };
        if pixels.is_empty() {
            return;
        }
        if let Some(wanted) = self.frames {
            let area = elements(&field.shape[1..]);
            *pixels = sampled_frames(field.shape[0], wanted)
                .flat_map(|frame| &pixels[frame * area..(frame + 1) * area])
                .copied()
                .collect();
            field.shape[0] = wanted;
        }
        // With one pair for all, the whole sample is one plane.
        let plane = if self.normalisation.len() == 1 {
            pixels.len()
        } else {
            elements(&field.shape[field.shape.len() - 2..])
        };
        for (pixels, (mean, std)) in pixels.chunks_mut(plane).zip(self.normalisation.iter().cycle()) {
            for pixel in pixels {
                *pixel = (*pixel - mean) / std;
            }
        }
    }
}

/// Refuses inputs that leave nothing to train on, and samples without a value.
fn check_filled(stored: &Stored, inputs: &FileColumn, kept: usize, held: usize) -> Result<(), DataError> {
    if kept == 0 || (!inputs.train.is_ragged() && elements(inputs.train.extents(0)) == 0) {
        let shape = inputs.train.stored_shape();
        let why = format!("`inputs` has shape {shape:?}, and `validation` takes {held}; add samples");
        return Err(DataError::EmptyTrain { why });
    }
    for (name, part) in ["inputs", "test_inputs"].into_iter().zip(inputs.parts()) {
        if let Some(row) = (0..part.count).find(|row| elements(part.extents(*row)) == 0) {
            let found = format!("extents {:?} for sample {row}", part.extents(row));
            return Err(stored.wrong(format!("`{name}` with at least one value a sample"), found));
        }
    }
    Ok(())
}

fn class_names(spec: &TensorsSpec, largest: i64) -> Result<Vec<String>, DataError> {
    if spec.classes.is_empty() {
        return Ok((0..=largest).map(|label| label.to_string()).collect());
    }
    if usize::try_from(largest).is_ok_and(|largest| largest < spec.classes.len()) {
        return Ok(spec.classes.clone());
    }
    let rule = format!("the labels go up to {largest}, so name {} classes, or none", largest + 1);
    Err(DataError::setting("classes", format!("{:?}", spec.classes), rule))
}

/// Mean and standard deviation for each channel, or one pair for all.
fn normalisation(spec: &TensorsSpec, pixels: &Column) -> Result<Vec<(f32, f32)>, DataError> {
    let channels = pixels.extents.len().checked_sub(3).and_then(|axis| pixels.extents[axis]);
    for (field, values) in [("mean", &spec.mean), ("std", &spec.std)] {
        if values.len() != 1 && Some(values.len()) != channels {
            let rule = match channels {
                Some(channels) => {
                    format!("it needs 1 value, or one for each of the {channels} channels")
                }
                None => format!("it needs 1 value: samples of {pixels} have no fixed number of channels"),
            };
            return Err(DataError::setting(field, format!("{values:?}"), rule));
        }
    }
    let count = spec.mean.len().max(spec.std.len());
    // A single value stands for every channel.
    let nth = |values: &[f32], channel: usize| values[channel % values.len()];
    Ok((0..count).map(|channel| (nth(&spec.mean, channel), nth(&spec.std, channel))).collect())
}

/// Refuses to normalise where there is nothing to normalise.
fn no_normalisation(spec: &TensorsSpec) -> Result<Vec<(f32, f32)>, DataError> {
    let default = TensorsSpec::default();
    for (field, values, neutral) in [("mean", &spec.mean, default.mean), ("std", &spec.std, default.std)] {
        if *values != neutral {
            let rule = format!("there is no column `{PIXELS}` of floats that it applies to: leave it out");
            return Err(DataError::setting(field, format!("{values:?}"), rule));
        }
    }
    Ok(vec![(0.0, 1.0)])
}

impl fmt::Debug for Tensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tensors")
            .field("path", &self.stored.path)
            .field("columns", &self.public)
            .finish_non_exhaustive()
    }
}

impl Source for Tensors {
    fn len(&self, split: Split) -> usize {
        self.members[split.position()].len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn sample_shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn columns(&self) -> Vec<Column> {
        self.public.clone()
    }

    fn group(&self, split: Split, index: usize) -> u64 {
        let Some(&row) = self.members[split.position()].get(index) else { return 0 };
        if self.columns.iter().all(|column| !column.part(split).is_ragged()) {
            return 0;
        }
        let mut bytes = Vec::new();
        for column in &self.columns {
            let extents = self.extents(column, split, row);
            for number in std::iter::once(extents.len()).chain(extents) {
                bytes.extend_from_slice(&(number as u64).to_le_bytes());
            }
        }
        fnv1a(&bytes)
    }

    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        let row = *self.members[split.position()].get(index)?;
        let column = self.columns.iter().find(|other| other.name == column)?;
        column.part(split).key(&self.stored, &column.name, row)
    }

    fn fingerprint(&self, split: Split, column: &str) -> Option<String> {
        let found = self.columns.iter().find(|other| other.name == column)?;
        let stored = found.part(split).digest(&self.stored, &found.name);
        let prepared = (column == PIXELS).then_some((self.frames, &self.normalisation));
        Some(format!("tensor {stored} {prepared:?}"))
    }

    fn identity(&self, split: Split, index: usize) -> u128 {
        self.members[split.position()].get(index).map_or(u128::MAX, |row| *row as u128)
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        SampleError::check_range(split, index, self.len(split))?;
        let row = self.members[split.position()][index];
        let column = |column: &FileColumn| {
            let mut field = column.part(split).field(&self.stored, &column.name, row);
            if column.name == PIXELS {
                self.prepare(&mut field);
            }
            (column.name.clone(), field)
        };
        Ok(Sample { columns: self.columns.iter().map(column).collect() })
    }
}

#[cfg(test)]
mod tests;
