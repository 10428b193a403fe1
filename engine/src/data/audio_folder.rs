//! Sounds in one folder a class.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::field::INPUT_VALUES;
use super::folder::{Catalogue, Layout};
use super::log_mel::LogMel;
use super::{
    Column, DataError, Field, Fractions, LogMelSpec, Sample, SampleError, Source, Split, View, field, wav,
};

/// `<folder>/<class>/<file>`: classes in alphabetical order, WAV files of 8, 16, 24 or 32-bit integers or 32-bit floats.
///
/// Several channels become their mean, and files of another rate than `log_mel` asks for are converted to it. Of each
/// sound the beginning is taken, as long as `log_mel.max_length` frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AudioFolderSpec {
    /// The folder with a sub-folder for each class.
    pub folder: PathBuf,
    /// A folder of the same form for validation, instead of a share of `folder`.
    pub validation_folder: Option<PathBuf>,
    /// A folder of the same form for the test, instead of a share of `folder`.
    pub test_folder: Option<PathBuf>,
    /// Shares of `folder` for splits that have no folder of their own.
    pub split: Fractions,
    /// The shares are drawn from this and the files' names.
    pub seed: u64,
    /// How sounds become `input_values`.
    pub log_mel: LogMelSpec,
}

impl Default for AudioFolderSpec {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("sounds"),
            validation_folder: None,
            test_folder: None,
            split: Fractions::default(),
            seed: 0,
            log_mel: LogMelSpec::default(),
        }
    }
}

pub(super) fn open(spec: &AudioFolderSpec, base: &Path, view: &View) -> Result<Box<dyn Source>, DataError> {
    view.check_still()?;
    let log_mel = LogMel::new(&spec.log_mel)?;
    let layout = Layout {
        folder: &spec.folder,
        validation_folder: spec.validation_folder.as_deref(),
        test_folder: spec.test_folder.as_deref(),
        split: spec.split,
        seed: spec.seed,
        samples: "sounds (.wav, .wave)",
        is_sample: |entry| !entry.is_folder && entry.has_extension(&wav::EXTENSIONS),
    };
    Ok(Box::new(AudioFolder { catalogue: layout.catalogue(base)?, log_mel }))
}

#[derive(Debug)]
struct AudioFolder {
    catalogue: Catalogue,
    log_mel: LogMel,
}

impl Source for AudioFolder {
    fn len(&self, split: Split) -> usize {
        self.catalogue.splits[split.position()].len()
    }

    fn classes(&self) -> &[String] {
        &self.catalogue.classes
    }

    fn sample_shape(&self) -> Vec<usize> {
        self.log_mel.shape().to_vec()
    }

    fn columns(&self) -> Vec<Column> {
        vec![Column::floats(INPUT_VALUES, &self.log_mel.shape()), Column::integers(field::LABELS, &[])]
    }

    fn key(&self, split: Split, index: usize, column: &str) -> Option<i64> {
        self.catalogue.key(split, index, column)
    }

    fn fingerprint(&self, _split: Split, column: &str) -> Option<String> {
        Some(self.catalogue.fingerprint(column, &format!("sound {:?}", self.log_mel.spec())))
    }

    fn identity(&self, split: Split, index: usize) -> u128 {
        self.catalogue.identity(split, index)
    }

    fn sample(&self, split: Split, index: usize) -> Result<Sample, SampleError> {
        SampleError::check_range(split, index, self.len(split))?;
        let item = &self.catalogue.splits[split.position()][index];
        let rate_hz = self.log_mel.spec().rate_hz;
        let waveform = wav::read(&item.path, rate_hz, self.log_mel.longest())?;
        if waveform.len() < self.log_mel.shortest() {
            let reason = format!(
                "it holds {} samples at {rate_hz} Hz, and one frame takes {}",
                waveform.len(),
                self.log_mel.shortest()
            );
            return Err(SampleError::Unreadable { reason, path: item.path.clone() });
        }
        let values = Field::floats(self.log_mel.values(&waveform), &self.log_mel.shape());
        Ok(Sample::labelled([(INPUT_VALUES, values)], item.label))
    }
}

#[cfg(test)]
mod tests;
