//! Sounds in one folder a class.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::field::INPUT_VALUES;
use super::folder::Layout;
use super::folder_source::{Decoder, FolderSource};
use super::log_mel::LogMel;
use super::{DataError, Fractions, LogMelSpec, SampleError, Source, View, wav};

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
    Ok(Box::new(FolderSource { catalogue: layout.catalogue(base)?, decoder: log_mel }))
}

impl Decoder for LogMel {
    const COLUMN: &'static str = INPUT_VALUES;

    fn shape(&self) -> Vec<usize> {
        Self::shape(self).to_vec()
    }

    fn fingerprint(&self) -> String {
        format!("sound {:?}", self.spec())
    }

    fn values(&self, path: &Path) -> Result<Vec<f32>, SampleError> {
        let rate_hz = self.spec().rate_hz;
        let waveform = wav::read(path, rate_hz, self.longest())?;
        if waveform.len() < self.shortest() {
            let reason = format!(
                "it holds {} samples at {rate_hz} Hz, and one frame takes {}",
                waveform.len(),
                self.shortest()
            );
            return Err(SampleError::Unreadable { reason, path: path.to_path_buf() });
        }
        Ok(Self::values(self, &waveform))
    }
}

#[cfg(test)]
mod tests;
