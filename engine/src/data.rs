//! Where samples come from: one file a source, what a stage asks of it, and the loader that reads ahead.
//!
//! A sample is a set of columns with names and types, whose extents may differ from sample to sample; those
//! of equal extents form a group, and only samples of one group share a batch.
//!
//! A sample is a function of (spec, split, index) and of nothing else: not of the epoch, the order of
//! reading or the number of threads. So a cached feature stays valid and a resumed run sees the same data. What
//! a sample depends on, a source tells by [`Source::fingerprint`] and [`Source::identity`]. No source draws another
//! view of a sample at each epoch.
//!
//! A new source is one file here, one variant of [`DataSpec`] and one line in [`DataSpec::open`].

mod audio_folder;
mod batch;
mod digits;
mod field;
mod folder;
mod folder_source;
mod frame_folder;
mod glyph;
mod idx;
mod image_folder;
mod loader;
mod log_mel;
mod moving_digits;
mod order;
mod picture;
mod sentences;
mod shapes;
mod sounds;
mod tensors;
mod view;
mod wav;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use audio_folder::AudioFolderSpec;
pub use batch::{Batch, LoadError, Skipped};
pub use digits::DigitsSpec;
pub use field::{Column, Field, FieldValues, Sample};
pub use folder::Fractions;
pub use frame_folder::FrameFolderSpec;
pub use image_folder::ImageFolderSpec;
pub use loader::Loader;
pub use log_mel::LogMelSpec;
pub use moving_digits::MovingDigitsSpec;
pub use order::{batches, epoch_order};
pub use picture::Fit;
pub use sentences::{SentenceTask, SentencesSpec};
pub use shapes::ShapesSpec;
pub use sounds::SoundsSpec;
pub use tensors::TensorsSpec;
pub use view::{FrameShuffle, View};

use crate::tensor::Stream;

/// A part of the data that is kept apart from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What the parameters are fitted to.
    Train,
    /// What chooses the best checkpoint.
    Validation,
    /// What the final numbers are measured on.
    Test,
}

impl Split {
    /// Every split, training first.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name in events and on the command line: `train`, `validation` or `test`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// Index into a table of one entry a split.
    pub(crate) const fn position(self) -> usize {
        match self {
            Self::Train => 0,
            Self::Validation => 1,
            Self::Test => 2,
        }
    }

    /// One random stream a split, named `<purpose>.<split>`.
    pub(crate) fn streams(seed: u64, purpose: &str) -> [Stream; 3] {
        Self::ALL.map(|split| Stream::new(seed, &format!("{purpose}.{split}")))
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An opened source of samples. What it gives depends on (spec, view, split, index) only.
pub trait Source: Send + Sync + fmt::Debug {
    /// Number of samples in a split.
    fn len(&self, split: Split) -> usize;

    /// Whether a split holds nothing.
    fn is_empty(&self, split: Split) -> bool {
        self.len(split) == 0
    }

    /// Names of the classes, in label order.
    fn classes(&self) -> &[String];

    /// Extents of a sample's `pixel_values`, or of the source's main column where there is none:
    /// `[channels, height, width]` or `[frames, channels, height, width]` (a file of tensors may hold
    /// others). The largest ones where they vary.
    fn sample_shape(&self) -> Vec<usize>;

    /// What a sample consists of: by default `pixel_values` of [`Source::sample_shape`] and scalar `labels`.
    fn columns(&self) -> Vec<Column> {
        vec![Column::floats(field::PIXELS, &self.sample_shape()), Column::integers(field::LABELS, &[])]
    }

    /// Samples of one group have equal extents in every column and may share a batch.
    fn group(&self, split: Split, index: usize) -> u64 {
        let _ = (split, index);
        0
    }

    /// A scalar integer column of a sample, without decoding the rest; `None` when there is no such column,
    /// no such sample, or no way to tell.
    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        let _ = (split, index, column);
        None
    }

    /// All that the values of a column in a split depend on, beside the sample's own [`Source::identity`]: settings and
    /// what was read from files, as text. Wherever two sources say the same, they must give the same values, in this
    /// process and in any later one. By default a source does not tell, and nothing of it is cached.
    fn fingerprint(&self, split: Split, column: &str) -> Option<String> {
        let _ = (split, column);
        None
    }

    /// What tells a sample from all others of its split, under equal [`Source::fingerprint`]s: its index, or what the
    /// file that it is read from shows of itself (name, size, time of change).
    fn identity(&self, split: Split, index: usize) -> u128 {
        let _ = split;
        index as u128
    }

    /// Reads or computes one sample.
    ///
    /// # Errors
    /// When its file cannot be read, or `index` is not below [`Source::len`].
    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError>;
}

/// Why one sample could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// Its file is missing, damaged or of another kind. The loader skips and counts it.
    #[error("could not be read ({reason}), mend or remove it: {}", path.display())]
    Unreadable {
        /// What the reader said.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// There is no such sample.
    #[error("there is no sample {index} in split `{split}`, which holds {len}; ask for one below that")]
    OutOfRange {
        /// The split asked for.
        split: Split,
        /// The index asked for.
        index: usize,
        /// Number of samples in the split.
        len: usize,
    },
}

impl SampleError {
    /// `Ok` when `index` lies in a split of `len` samples.
    fn check_range(split: Split, index: usize, len: usize) -> Result<(), Self> {
        if index < len { Ok(()) } else { Err(Self::OutOfRange { split, index, len }) }
    }
}

/// Why a source could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder could not be read.
    #[error("could not be read ({source}), check that it is there and that you may read it: {}", path.display())]
    Read {
        /// What the system said.
        source: std::io::Error,
        /// The file or folder.
        path: PathBuf,
    },
    /// A file or folder does not hold what the source needs.
    #[error("expected {expected}, found {found}: {}", path.display())]
    Layout {
        /// What has to be there.
        expected: String,
        /// What is there.
        found: String,
        /// The file or folder.
        path: PathBuf,
    },
    /// A field of the spec or of the view has a value that cannot work.
    #[error("`{field}` is {value}; {rule}")]
    Setting {
        /// The field's name.
        field: &'static str,
        /// What it was set to.
        value: String,
        /// What it has to be.
        rule: String,
    },
    /// No sample is left to train on.
    #[error("the train split is empty: {why}")]
    EmptyTrain {
        /// How it came to be empty, and what to do.
        why: String,
    },
}

impl DataError {
    fn setting(field: &'static str, value: impl fmt::Display, rule: impl Into<String>) -> Self {
        Self::Setting { field, value: value.to_string(), rule: rule.into() }
    }

    fn read(source: std::io::Error, path: &Path) -> Self {
        Self::Read { source, path: path.to_owned() }
    }
}

/// A project's data: which source, and how it is read. Each struct's fields all have defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum DataSpec {
    /// Clips of a moving digit, whose class is in the motion only.
    MovingDigits(MovingDigitsSpec),
    /// Handwritten digits, each at a random place of a larger canvas.
    Digits(DigitsSpec),
    /// Pictures in one folder a class.
    ImageFolder(ImageFolderSpec),
    /// Clips, as folders of frames or GIF files, in one folder a class.
    FrameFolder(FrameFolderSpec),
    /// Synthesised sounds: tones, chirps, bursts of noise, pairs of clicks.
    Sounds(SoundsSpec),
    /// Sounds in one folder a class.
    AudioFolder(AudioFolderSpec),
    /// Synthesised sequences of tokens, most of whose classes are in the order only.
    Sentences(SentencesSpec),
    /// Drawn shapes, a phrase that names one, and its mask.
    Shapes(ShapesSpec),
    /// Arrays in one `.safetensors` file.
    Tensors(TensorsSpec),
}

impl DataSpec {
    /// Opens the source: checks every setting, reads what has to be in memory, lists files, but
    /// decodes no picture yet. Relative paths resolve from `base`.
    ///
    /// # Errors
    /// When a setting cannot work, files are missing or of another form, or nothing is left to train on.
    pub fn open(&self, base: &Path, view: &View) -> Result<Box<dyn Source>, DataError> {
        view.check()?;
        let source = match self {
            Self::MovingDigits(spec) => moving_digits::open(spec, base, view),
            Self::Digits(spec) => digits::open(spec, base, view),
            Self::ImageFolder(spec) => image_folder::open(spec, base, view),
            Self::FrameFolder(spec) => frame_folder::open(spec, base, view),
            Self::Sounds(spec) => sounds::open(spec, view),
            Self::AudioFolder(spec) => audio_folder::open(spec, base, view),
            Self::Sentences(spec) => sentences::open(spec, view),
            Self::Shapes(spec) => shapes::open(spec, view),
            Self::Tensors(spec) => tensors::open(spec, base, view),
        }?;
        view.choose(source)
    }
}

/// A content hash of some parts, as [`Source::identity`] gives it.
fn identity_of(parts: &[&[u8]]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let hash = hasher.finalize();
    u128::from_le_bytes(std::array::from_fn(|place| hash.as_bytes()[place]))
}

/// Refuses a number that is zero.
fn positive(field: &'static str, value: usize) -> Result<(), DataError> {
    if value == 0 { Err(DataError::setting(field, value, "it must be at least 1")) } else { Ok(()) }
}

/// Refuses a mean or standard deviation that would give values that are not finite.
fn check_normalisation(means: &[f32], stds: &[f32]) -> Result<(), DataError> {
    if let Some(mean) = means.iter().find(|mean| !mean.is_finite()) {
        return Err(DataError::setting("mean", mean, "it must be a finite number"));
    }
    if let Some(std) = stds.iter().find(|std| !(std.is_finite() && **std > 0.0)) {
        return Err(DataError::setting("std", std, "it must be finite and above 0"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_have_lower_case_names() {
        for (split, name) in Split::ALL.into_iter().zip(["\"train\"", "\"validation\"", "\"test\""]) {
            assert_eq!(serde_json::to_string(&split).unwrap(), name);
            assert_eq!(serde_json::from_str::<Split>(name).unwrap(), split);
            assert_eq!(Split::ALL[split.position()], split);
        }
    }

    #[test]
    fn specs_read_from_ron_with_defaults_and_refuse_unknown_fields() {
        let options = ron::Options::default()
            .with_default_extension(ron::extensions::Extensions::UNWRAP_VARIANT_NEWTYPES)
            .with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
        let spec: DataSpec = options.from_str("MovingDigits(folder: \"digits\", frames: 8)").unwrap();
        let expected = MovingDigitsSpec { folder: "digits".into(), frames: 8, ..Default::default() };
        assert_eq!(spec, DataSpec::MovingDigits(expected));
        for name in [
            "MovingDigits",
            "Digits",
            "ImageFolder",
            "FrameFolder",
            "Sounds",
            "AudioFolder",
            "Sentences",
            "Shapes",
            "Tensors",
        ] {
            let spec: DataSpec = options.from_str(&format!("{name}()")).unwrap();
            let written = options.to_string(&spec).unwrap();
            assert_eq!(options.from_str::<DataSpec>(&written).unwrap(), spec, "{written}");
            let error = options.from_str::<DataSpec>(&format!("{name}(sise: 3)")).unwrap_err();
            assert!(error.to_string().contains("sise"), "{error}");
        }
        let view: View = options.from_str("(frames: 8, shuffle: Groups(2), only: [(\"task\", 3)])").unwrap();
        let only = vec![("task".to_owned(), 3)];
        assert_eq!(view, View { frames: Some(8), shuffle: FrameShuffle::Groups(2), only });
        assert_eq!(options.from_str::<View>("()").unwrap(), View::default());
    }

    #[test]
    fn errors_say_what_and_where_with_the_path_last() {
        let error = DataSpec::Digits(DigitsSpec { folder: "nowhere".into(), ..Default::default() })
            .open(Path::new("/base"), &View::default())
            .unwrap_err()
            .to_string();
        assert!(error.ends_with(": /base/nowhere"), "{error}");
        let error = DataSpec::Digits(DigitsSpec { std: 0.0, ..Default::default() })
            .open(Path::new("/base"), &View::default())
            .unwrap_err()
            .to_string();
        assert_eq!(error, "`std` is 0; it must be finite and above 0");
    }
}
