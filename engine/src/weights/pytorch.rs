//! One file that `torch.save` wrote: a pickle of names and shapes beside the values. The pickle is read as data; no
//! code that it names is ever run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{bf16, f16};
use pytorch_reader::{DType, PytorchError, PytorchReader, Tensor as Lazy};

use super::shards::open;
use super::{Tensor, WeightsError, io, no_weight, refused, unsound};

/// Under which of its keys a training script's file keeps the weights.
const WRAPPERS: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// An opened file: names, dtypes and shapes; values on request.
#[derive(Debug)]
pub(super) struct PytorchFile {
    path: PathBuf,
    tensors: BTreeMap<String, Lazy>,
}

impl PytorchFile {
    /// Opens a file of any of `torch.save`'s layouts.
    ///
    /// # Errors
    /// When it is none, or when a tensor is no plain one (sparse, quantised) or reaches beyond its storage.
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        // Says what is no file.
        drop(open(path)?);
        let mut reader = PytorchReader::new(path).map_err(|error| told(error, path))?;
        for key in WRAPPERS {
            let below = format!("{key}.");
            if reader.tensors().keys().any(|name| name.starts_with(&below))
                // A name may as well begin with the word itself: then there is no such key.
                && let Ok(inner) = PytorchReader::with_top_level_key(path, key)
                && !inner.is_empty()
            {
                reader = inner;
                break;
            }
        }
        Ok(Self { path: path.to_path_buf(), tensors: reader.into_tensors().into_iter().collect() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(Lazy::shape)
    }

    /// Whether a tensor's dtype is one that weights have.
    pub(super) fn is_float(&self, name: &str) -> bool {
        let floats = [DType::F32, DType::F64, DType::F16, DType::BF16];
        self.tensors.get(name).is_some_and(|lazy| floats.contains(&lazy.dtype()))
    }

    /// Reads a tensor of any float dtype as f32, row-major whatever its strides.
    #[expect(clippy::cast_possible_truncation, reason = "weights are used in f32")]
    pub(super) fn read(&self, name: &str) -> Result<Tensor, WeightsError> {
        let lazy = self
            .tensors
            .get(name)
            .ok_or_else(|| refused(name, "is not in the file".to_owned(), &self.path))?;
        let convert: fn(&[u8]) -> Vec<f32> = match lazy.dtype() {
            DType::F32 => |bytes| values(bytes, f32::from_ne_bytes),
            DType::F64 => |bytes| values(bytes, |b| f64::from_ne_bytes(b) as f32),
            DType::F16 => |bytes| values(bytes, |b| f16::from_ne_bytes(b).to_f32()),
            DType::BF16 => |bytes| values(bytes, |b| bf16::from_ne_bytes(b).to_f32()),
            other => return Err(no_weight(name, &other, &self.path)),
        };
        let bytes = lazy.read().map_err(|error| {
            refused(name, format!("cannot be read ({})", short(&error.to_string())), &self.path)
        })?;
        Ok(Tensor { shape: lazy.shape().to_vec(), data: convert(&bytes) })
    }
}

/// Reads every float tensor of one file that `torch.save` wrote; tensors of other types are left out.
///
/// # Errors
/// When it is none, or not sound.
pub fn read_pytorch(path: &Path) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let file = PytorchFile::open(path)?;
    let floats = file.names().filter(|name| file.is_float(name));
    floats.map(|name| Ok((name.to_owned(), file.read(name)?))).collect()
}

fn values<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
}

fn told(error: PytorchError, path: &Path) -> WeightsError {
    match error {
        PytorchError::Io(error) if error.raw_os_error().is_some() => io(error, path),
        other => unsound(&short(&other.to_string()), path),
    }
}

/// The reader's messages may quote what it found, however long that is.
fn short(message: &str) -> String {
    const LONGEST: usize = 300;
    let mut text: String = message.chars().take(LONGEST).collect();
    if text.len() < message.len() {
        text.push('…');
    }
    text
}
