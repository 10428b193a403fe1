//! Handwritten digits, each at a random place of a larger canvas.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::field::{LABELS, PIXELS};
use super::glyph::Scaler;
use super::idx::{self, Pictures};
use super::{
    Column, DataError, Field, Sample, SampleError, Source, Split, View, check_normalisation, positive,
};
use crate::tensor::Stream;

/// The column of a canvas's side, where there are several.
const SIZE: &str = "size";

/// Ten classes of handwritten digits on a canvas of `size` × `size` pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DigitsSpec {
    /// Where `train-images-idx3-ubyte.gz`, `train-labels-idx1-ubyte.gz` and the two `test-` files are (MNIST's
    /// own `t10k-` names work too, and so do files that are not gzipped).
    pub folder: PathBuf,
    /// Where the digits lie is drawn from this.
    pub seed: u64,
    /// Side of the canvas, pixels.
    pub size: usize,
    /// Side of the digit, pixels: areas are averaged on the way down, interpolated on the way up.
    pub digit: usize,
    /// Sides of further canvases, pixels: the canvas of each sample is drawn from `size` and these, and the digit is as
    /// large a part of it as `digit` is of `size`. The column `size` then tells which it is, and only samples of one size
    /// share a batch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<usize>,
    /// 1, or 3 equal ones.
    pub channels: usize,
    /// Differently placed copies of each training image in one epoch. The other splits have one.
    pub repeats: usize,
    /// Training images held out as the validation split, the last of each class.
    pub validation: usize,
    /// Subtracted from values in 0…1. With 0 the empty canvas stays exactly zero.
    pub mean: f32,
    /// Divides after that.
    pub std: f32,
}

impl Default for DigitsSpec {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("digits"),
            seed: 0,
            size: 32,
            digit: 16,
            sizes: Vec::new(),
            channels: 1,
            repeats: 1,
            validation: 500,
            mean: 0.0,
            std: 1.0,
        }
    }
}

pub(super) fn open(spec: &DigitsSpec, base: &Path, view: &View) -> Result<Box<dyn Source>, DataError> {
    view.check_still()?;
    check_canvas(spec.size, spec.digit, spec.channels)?;
    positive("repeats", spec.repeats)?;
    check_normalisation(&[spec.mean], &[spec.std])?;
    let canvases = canvases(spec)?;
    let folder = base.join(&spec.folder);
    let train = idx::read(&folder, &["train"])?;
    let test = idx::read(&folder, &["test", "t10k"])?;
    let (kept, held) = train.hold_out(spec.validation);
    if kept.is_empty() {
        let why = format!("`validation` holds out all {} training images; lower it", train.len());
        return Err(DataError::EmptyTrain { why });
    }
    Ok(Box::new(Digits {
        streams: Split::streams(spec.seed, "data.digits"),
        choices: Split::streams(spec.seed, "data.digits.size"),
        scalers: [&train, &test].map(|set| {
            canvases.iter().map(|canvas| Scaler::new(set.height, set.width, canvas.digit)).collect()
        }),
        canvases,
        members: [kept, held, (0..test.len()).collect()],
        classes: (0..10).map(|digit| digit.to_string()).collect(),
        spec: spec.clone(),
        train,
        test,
    }))
}

/// A square canvas and the digit on it, sides in pixels.
#[derive(Clone, Copy, Debug)]
struct Canvas {
    size: usize,
    digit: usize,
}

/// `size` and the further ones, in which a digit has the same share.
fn canvases(spec: &DigitsSpec) -> Result<Vec<Canvas>, DataError> {
    let mut canvases = vec![Canvas { size: spec.size, digit: spec.digit }];
    for &size in &spec.sizes {
        positive("sizes", size)?;
        if canvases.iter().any(|canvas| canvas.size == size) {
            return Err(DataError::setting("sizes", size, "each size must be named once, `size` included"));
        }
        let digit = ((spec.digit * size + spec.size / 2) / spec.size).clamp(1, size);
        canvases.push(Canvas { size, digit });
    }
    Ok(canvases)
}

/// Refuses canvases that the digit does not fit on.
pub(super) fn check_canvas(size: usize, digit: usize, channels: usize) -> Result<(), DataError> {
    positive("digit", digit)?;
    if size < digit {
        return Err(DataError::setting(
            "size",
            size,
            format!("it must be at least `digit`, which is {digit}"),
        ));
    }
    if ![1, 3].contains(&channels) {
        return Err(DataError::setting("channels", channels, "it must be 1 or 3"));
    }
    Ok(())
}

struct Digits {
    spec: DigitsSpec,
    train: Pictures,
    test: Pictures,
    canvases: Vec<Canvas>,
    /// For the training and the test pictures, one a canvas.
    scalers: [Vec<Scaler>; 2],
    /// Which canvas a sample has.
    choices: [Stream; 3],
    /// Pictures of each split.
    members: [Vec<usize>; 3],
    streams: [Stream; 3],
    classes: Vec<String>,
}

impl Digits {
    /// Which picture a sample shows, of which set, and what scales those.
    fn picture(&self, split: Split, index: usize) -> (&Pictures, &[Scaler], usize) {
        let members = &self.members[split.position()];
        let picture = members[index % members.len()];
        match split {
            Split::Test => (&self.test, &self.scalers[1], picture),
            Split::Train | Split::Validation => (&self.train, &self.scalers[0], picture),
        }
    }

    /// The number of a sample's canvas.
    fn canvas(&self, split: Split, index: usize) -> usize {
        match self.canvases.len() {
            1 => 0,
            count => self.choices[split.position()].at(index as u64).below(count),
        }
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digits").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl Source for Digits {
    fn len(&self, split: Split) -> usize {
        let copies = if split == Split::Train { self.spec.repeats } else { 1 };
        self.members[split.position()].len().saturating_mul(copies)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn sample_shape(&self) -> Vec<usize> {
        let largest = self.canvases.iter().map(|canvas| canvas.size).max().unwrap_or(self.spec.size);
        vec![self.spec.channels, largest, largest]
    }

    fn columns(&self) -> Vec<Column> {
        let side = if self.canvases.len() > 1 { None } else { Some(self.spec.size) };
        let extents = vec![Some(self.spec.channels), side, side];
        let pixels = Column { name: PIXELS.to_owned(), integers: false, extents };
        let mut columns = vec![pixels, Column::integers(LABELS, &[])];
        columns.extend(side.is_none().then(|| Column::integers(SIZE, &[])));
        columns
    }

    fn group(&self, split: Split, index: usize) -> u64 {
        self.canvas(split, index) as u64
    }

    #[expect(clippy::cast_possible_wrap, reason = "a picture's side is small")]
    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        if index >= self.len(split) {
            return None;
        }
        match column {
            LABELS => {
                let (set, _, picture) = self.picture(split, index);
                Some(i64::from(set.label(picture)))
            }
            SIZE if self.canvases.len() > 1 => Some(self.canvases[self.canvas(split, index)].size as i64),
            _ => None,
        }
    }

    fn fingerprint(&self, split: Split, column: &str) -> Option<String> {
        let DigitsSpec { seed, size, digit, channels, validation, mean, std, .. } = &self.spec;
        let set = if split == Split::Test { &self.test } else { &self.train };
        // `validation` says which picture an index shows; how many copies there are says nothing of each.
        let shown = format!("digits {} without {validation}", set.digest());
        Some(match column {
            PIXELS | SIZE if self.canvases.len() > 1 => {
                format!("{shown} {column} {:?}", (seed, size, digit, &self.spec.sizes, channels, mean, std))
            }
            PIXELS => format!("{shown} {:?}", (seed, size, digit, channels, mean, std)),
            _ => shown,
        })
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_wrap,
        reason = "positions and sides on a canvas of a few thousand pixels at most"
    )]
    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        SampleError::check_range(split, index, self.len(split))?;
        let (set, scalers, picture) = self.picture(split, index);
        let number = self.canvas(split, index);
        let Canvas { size, digit } = self.canvases[number];
        let mut draws = self.streams[split.position()].at(index as u64);
        let room = size - digit + 1;
        let (x, y) = (draws.below(room), draws.below(room));
        let mut pixels = vec![0.0; size * size];
        scalers[number].glyph(set.pixels(picture)).place(&mut pixels, size, x as f32, y as f32);
        for pixel in &mut pixels {
            *pixel = (*pixel - self.spec.mean) / self.spec.std;
        }
        let label = i64::from(set.label(picture));
        let shape = [self.spec.channels, size, size];
        let mut sample = Sample::classified(pixels.repeat(self.spec.channels), &shape, label);
        if self.canvases.len() > 1 {
            sample.columns.insert(SIZE.to_owned(), Field::integers(vec![size as i64], &[]));
        }
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataSpec;
    use crate::data::idx::tests::bundled;

    fn open(spec: DigitsSpec) -> Result<Box<dyn Source>, DataError> {
        DataSpec::Digits(spec).open(&bundled(), &View::default())
    }

    fn spec() -> DigitsSpec {
        DigitsSpec { folder: PathBuf::new(), ..Default::default() }
    }

    #[test]
    fn several_sizes_take_batches_of_their_own() {
        let sizes = || DigitsSpec { size: 20, digit: 10, sizes: vec![32], ..spec() };
        let source = open(sizes()).unwrap();
        assert_eq!(source.sample_shape(), [1, 32, 32]);
        let drawn: Vec<i64> =
            (0..200).map(|index| source.key(Split::Train, index, "size").unwrap()).collect();
        let small = drawn.iter().filter(|side| **side == 20).count();
        assert!((60..140).contains(&small), "{small}");
        for index in 0..20 {
            let sample = source.sample(Split::Train, index).unwrap();
            let side = usize::try_from(drawn[index]).unwrap();
            assert_eq!(sample.columns["pixel_values"].shape, [1, side, side]);
            assert_eq!(sample.columns["size"].as_integers(), Some(&drawn[index..=index]));
            let inked = sample.pixels().iter().filter(|pixel| **pixel > 0.0).count();
            assert!(inked > 0 && inked <= (side / 2 + 1).pow(2), "{inked} of {side}");
            assert_eq!(source.group(Split::Train, index), u64::from(side == 32));
        }
        let order: Vec<usize> = (0..200).collect();
        for batch in crate::data::batches(source.as_ref(), Split::Train, &order, 16) {
            let read = crate::data::Batch::read(source.as_ref(), Split::Train, &batch).unwrap();
            assert_eq!(read.len(), batch.len());
        }
        let view = View { only: vec![("size".to_owned(), 32)], ..View::default() };
        let large = DataSpec::Digits(sizes()).open(&bundled(), &view).unwrap();
        assert_eq!(large.sample(Split::Train, 0).unwrap().columns["pixel_values"].shape, [1, 32, 32]);
        let message = open(DigitsSpec { sizes: vec![32], ..spec() }).unwrap_err().to_string();
        assert!(message.contains("`sizes` is 32"), "{message}");
        // One size alone has no such column.
        assert_eq!(open(spec()).unwrap().key(Split::Train, 0, "size"), None);
    }

    #[test]
    fn samples_are_deterministic_and_copies_lie_elsewhere() {
        let source = open(DigitsSpec { repeats: 3, channels: 3, ..spec() }).unwrap();
        assert_eq!(Split::ALL.map(|split| source.len(split)), [16_500, 500, 1000]);
        assert_eq!(source.sample_shape(), [3, 32, 32]);
        let first = source.sample(Split::Train, 7).unwrap();
        assert_eq!(first, source.sample(Split::Train, 7).unwrap());
        let copy = source.sample(Split::Train, 7 + 5500).unwrap();
        assert_eq!(first.label(), copy.label());
        assert_eq!(source.key(Split::Train, 7, "labels"), first.label());
        assert_eq!(source.key(Split::Train, 16_500, "labels"), None);
        assert_ne!(first.pixels(), copy.pixels());
        let mass = |sample: &Sample| sample.pixels().iter().sum::<f32>();
        assert!((mass(&first) - mass(&copy)).abs() < 1e-2, "the same digit, only moved");
        assert_eq!(first.pixels()[..1024], first.pixels()[2048..]);
        assert!(first.pixels().iter().all(|pixel| (0.0..=1.0).contains(pixel)));
        assert!(source.sample(Split::Test, 1000).is_err());
    }

    #[test]
    fn values_are_normalised() {
        let plain = open(spec()).unwrap().sample(Split::Test, 0).unwrap();
        let scaled =
            open(DigitsSpec { mean: 0.5, std: 0.25, ..spec() }).unwrap().sample(Split::Test, 0).unwrap();
        for (a, b) in plain.pixels().iter().zip(scaled.pixels()) {
            assert!(((a - 0.5) / 0.25 - b).abs() < 1e-6);
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (spec, field) in [
            (DigitsSpec { size: 8, ..spec() }, "`size` is 8"),
            (DigitsSpec { digit: 0, ..spec() }, "`digit` is 0"),
            (DigitsSpec { channels: 2, ..spec() }, "`channels` is 2"),
            (DigitsSpec { repeats: 0, ..spec() }, "`repeats` is 0"),
            (DigitsSpec { validation: 6000, ..spec() }, "train split is empty"),
        ] {
            let message = open(spec).unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
        let view = View { frames: Some(8), ..View::default() };
        let message = DataSpec::Digits(spec()).open(&bundled(), &view).unwrap_err().to_string();
        assert!(message.contains("`frames` is 8") && message.contains("no clips"), "{message}");
    }
}
