//! Arrays in one `.safetensors` file, held in memory in their stored form.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, SafeTensors};
use serde::{Deserialize, Serialize};

use super::view::sampled_frames;
use super::{DataError, Sample, SampleError, Source, Split, View, check_normalisation};
use crate::tensor::{Stream, elements};

/// One file with `inputs` `[N, …]` and `labels` i64 `[N]`, and optionally `test_inputs` and `test_labels`.
///
/// Inputs are u8, scaled to 0…1, or f32, taken as they are; then `mean` and `std`. Inputs of clips are
/// `[N, frames, channels, height, width]`, and a view with other frames takes the middle one of equal parts.
/// Tokens (i64 inputs) are not read: samples are values here.
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

/// More classes than any data set has: beyond it labels are not class numbers.
const MAX_CLASSES: i64 = 1 << 20;

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

/// The file's bytes, and where its tensors lie in them.
struct Stored {
    bytes: Vec<u8>,
    /// Where the tensors begin, bytes.
    start: usize,
    metadata: Metadata,
    path: PathBuf,
}

/// One tensor of the file.
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Where its values lie in the file, bytes.
    range: Range<usize>,
}

impl Stored {
    fn new(bytes: Vec<u8>, path: PathBuf) -> Result<Self, DataError> {
        match SafeTensors::read_metadata(&bytes) {
            Ok((header, metadata)) => Ok(Self { start: header + 8, metadata, bytes, path }),
            Err(error) => {
                let expected = "an undamaged .safetensors file".to_owned();
                Err(DataError::Layout { expected, found: error.to_string(), path })
            }
        }
    }

    fn wrong(&self, expected: impl Into<String>, found: impl Into<String>) -> DataError {
        DataError::Layout { expected: expected.into(), found: found.into(), path: self.path.clone() }
    }

    fn has(&self, name: &str) -> bool {
        self.metadata.info(name).is_some()
    }

    /// The tensor `name`, when it has one of `dtypes`.
    fn tensor(&self, name: &str, dtypes: &[Dtype]) -> Result<Tensor, DataError> {
        let kinds = dtypes.iter().map(Dtype::to_string).collect::<Vec<_>>().join(" or ");
        let Some(info) = self.metadata.info(name) else {
            let mut names = self.metadata.offset_keys();
            names.sort();
            let found =
                if names.is_empty() { "no tensors".to_owned() } else { format!("only {}", names.join(", ")) };
            return Err(self.wrong(format!("a tensor `{name}` of {kinds}"), found));
        };
        if !dtypes.contains(&info.dtype) {
            return Err(self.wrong(format!("`{name}` of {kinds}"), info.dtype.to_string()));
        }
        let (begin, end) = info.data_offsets;
        Ok(Tensor {
            dtype: info.dtype,
            shape: info.shape.clone(),
            range: self.start + begin..self.start + end,
        })
    }

    /// Inputs and labels of the training or test samples, checked against each other.
    fn pair(&self, inputs_name: &str, labels_name: &str) -> Result<(Tensor, Vec<i64>), DataError> {
        let inputs = self.tensor(inputs_name, &[Dtype::U8, Dtype::F32])?;
        let labels = self.tensor(labels_name, &[Dtype::I64])?;
        let [count, ..] = inputs.shape[..] else {
            return Err(
                self.wrong(format!("`{inputs_name}` with samples along its first axis"), "a single value")
            );
        };
        if labels.shape != [count] {
            let expected = format!("`{labels_name}` of shape [{count}], a label for each of `{inputs_name}`");
            return Err(self.wrong(expected, format!("shape {:?}", labels.shape)));
        }
        let values: Vec<i64> = self.bytes[labels.range]
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| i64::from_le_bytes(*bytes))
            .collect();
        if let Some(label) = values.iter().find(|label| !(0..MAX_CLASSES).contains(*label)) {
            return Err(self
                .wrong(format!("`{labels_name}` from 0, one number a class"), format!("the label {label}")));
        }
        Ok((inputs, values))
    }
}

struct Tensors {
    stored: Stored,
    train: Tensor,
    train_labels: Vec<i64>,
    /// Absent when the file has no test samples.
    test: Option<(Tensor, Vec<i64>)>,
    /// Rows of the training or test tensor in each split.
    members: [Vec<usize>; 3],
    /// Of one sample, after the view.
    shape: Vec<usize>,
    /// The stored frames that the view takes, for clips.
    frames: Option<Vec<usize>>,
    /// One a channel or one for all, as (mean, std).
    normalisation: Vec<(f32, f32)>,
    classes: Vec<String>,
}

impl Tensors {
    fn new(spec: &TensorsSpec, stored: Stored, view: &View) -> Result<Self, DataError> {
        let (train, train_labels) = stored.pair("inputs", "labels")?;
        let test = if stored.has("test_inputs") || stored.has("test_labels") {
            Some(stored.pair("test_inputs", "test_labels")?)
        } else {
            None
        };
        let mut shape = train.shape[1..].to_vec();
        if let Some((test, _)) = &test
            && test.shape[1..] != shape[..]
        {
            let expected = format!("`test_inputs` of shape [N, …] with samples {shape:?} like `inputs`");
            return Err(stored.wrong(expected, format!("samples {:?}", &test.shape[1..])));
        }
        let drawn = Stream::new(spec.seed, "data.split");
        let (held, kept): (Vec<usize>, Vec<usize>) =
            (0..train_labels.len()).partition(|index| drawn.at(*index as u64).uniform() < spec.validation);
        if kept.is_empty() || elements(&shape) == 0 {
            let shape = &train.shape;
            let why =
                format!("`inputs` has shape {shape:?}, and `validation` takes {}; add samples", held.len());
            return Err(DataError::EmptyTrain { why });
        }
        let tested = (0..test.as_ref().map_or(0, |(_, labels)| labels.len())).collect();
        let frames = if shape.len() == 4 {
            let available = shape[0];
            shape[0] = view.frames.unwrap_or(available);
            Some(sampled_frames(available, shape[0]).collect())
        } else {
            view.check_still()?;
            None
        };
        let labels = train_labels.iter().chain(test.iter().flat_map(|(_, labels)| labels));
        let classes = class_names(spec, labels.max().copied().unwrap_or(0))?;
        let normalisation = normalisation(spec, &shape)?;
        let members = [kept, held, tested];
        Ok(Self { stored, train, train_labels, test, members, shape, frames, normalisation, classes })
    }

    /// One stored sample as values, before normalisation and sampling of frames.
    fn values(&self, tensor: &Tensor, row: usize) -> Vec<f32> {
        let stored = &self.stored.bytes[tensor.range.clone()];
        let stride = stored.len() / tensor.shape[0];
        let row = &stored[row * stride..(row + 1) * stride];
        if tensor.dtype == Dtype::U8 {
            row.iter().map(|byte| f32::from(*byte) / 255.0).collect()
        } else {
            row.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        }
    }
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
fn normalisation(spec: &TensorsSpec, shape: &[usize]) -> Result<Vec<(f32, f32)>, DataError> {
    let channels = shape.len().checked_sub(3).map(|axis| shape[axis]);
    for (field, values) in [("mean", &spec.mean), ("std", &spec.std)] {
        if values.len() != 1 && Some(values.len()) != channels {
            let rule = match channels {
                Some(channels) => {
                    format!("it needs 1 value, or one for each of the {channels} channels")
                }
                None => format!("it needs 1 value: samples of shape {shape:?} have no channels"),
            };
            return Err(DataError::setting(field, format!("{values:?}"), rule));
        }
    }
    let count = spec.mean.len().max(spec.std.len());
    // A single value stands for every channel.
    let nth = |values: &[f32], channel: usize| values[channel % values.len()];
    Ok((0..count).map(|channel| (nth(&spec.mean, channel), nth(&spec.std, channel))).collect())
}

impl fmt::Debug for Tensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tensors")
            .field("path", &self.stored.path)
            .field("shape", &self.shape)
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

    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        SampleError::check_range(split, index, self.len(split))?;
        let row = self.members[split.position()][index];
        let (tensor, labels) = match (&self.test, split) {
            (Some((tensor, labels)), Split::Test) => (tensor, labels),
            _ => (&self.train, &self.train_labels),
        };
        let mut pixels = self.values(tensor, row);
        if let Some(frames) = &self.frames {
            let area = elements(&self.shape[1..]);
            pixels =
                frames.iter().flat_map(|frame| &pixels[frame * area..(frame + 1) * area]).copied().collect();
        }
        // With one pair for all, the whole sample is one plane.
        let plane = if self.normalisation.len() == 1 {
            pixels.len()
        } else {
            elements(&self.shape[self.shape.len() - 2..])
        };
        for (pixels, (mean, std)) in pixels.chunks_mut(plane).zip(self.normalisation.iter().cycle()) {
            for pixel in pixels {
                *pixel = (*pixel - mean) / std;
            }
        }
        Ok(Sample { pixels, label: labels[row] })
    }
}

#[cfg(test)]
mod tests;
