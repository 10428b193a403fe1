//! A checkpoint folder, in whichever format: one file, or shards with their index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::flax::FlaxFile;
use super::pytorch::PytorchFile;
use super::safetensors::SafetensorsFile;
use super::shards::shards_of;
use super::{WeightsError, refused};
use crate::tensor::Shape;

/// A host tensor as read from a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Extents.
    pub shape: Shape,
    /// Values, row-major.
    pub data: Vec<f32>,
}

/// What a folder is looked through for, in this order.
const NAMES: [&str; 7] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.pt",
    "model.pth",
    FLAX,
];

/// As Flax's training loops name what they save.
const FLAX: &str = "checkpoint";

/// An opened checkpoint: names and shapes at once, values of one tensor at a time on request.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    files: Vec<WeightsFile>,
    /// Tensor name → place in `files`.
    tensors: BTreeMap<String, usize>,
}

/// One file of tensors.
#[derive(Debug)]
enum WeightsFile {
    Safetensors(SafetensorsFile),
    Pytorch(PytorchFile),
    Flax(FlaxFile),
}

impl WeightsFile {
    fn open(path: &Path) -> Result<Self, WeightsError> {
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            SafetensorsFile::open(path).map(Self::Safetensors)
        } else if path.file_name().is_some_and(|name| name == FLAX) {
            FlaxFile::open(path).map(Self::Flax)
        } else {
            PytorchFile::open(path).map(Self::Pytorch)
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Safetensors(file) => file.path(),
            Self::Pytorch(file) => file.path(),
            Self::Flax(file) => file.path(),
        }
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Safetensors(file) => Box::new(file.names()),
            Self::Pytorch(file) => Box::new(file.names()),
            Self::Flax(file) => Box::new(file.names()),
        }
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        match self {
            Self::Safetensors(file) => file.shape(name),
            Self::Pytorch(file) => file.shape(name),
            Self::Flax(file) => file.shape(name),
        }
    }

    fn is_float(&self, name: &str) -> bool {
        match self {
            Self::Safetensors(file) => file.is_float(name),
            Self::Pytorch(file) => file.is_float(name),
            Self::Flax(file) => file.is_float(name),
        }
    }

    fn read(&self, name: &str) -> Result<Tensor, WeightsError> {
        match self {
            Self::Safetensors(file) => file.read(name),
            Self::Pytorch(file) => file.read(name),
            Self::Flax(file) => file.read(name),
        }
    }
}

impl Checkpoint {
    /// Opens a model folder; of several formats the first of `model.safetensors`, `pytorch_model.bin`, `model.pt`,
    /// `model.pth` and `checkpoint` is taken, the first two alone or in shards.
    ///
    /// # Errors
    /// When it holds no weights, a file is not sound, or shards and index do not agree.
    pub fn open(folder: &Path) -> Result<Self, WeightsError> {
        let found = NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        let Some(found) = found else {
            return Err(WeightsError::Missing { folder: folder.to_path_buf() });
        };
        let is_index = found.extension().is_some_and(|extension| extension == "json");
        let index = if is_index { shards_of(&found)? } else { BTreeMap::new() };
        let mut paths: Vec<PathBuf> = index.values().map(|name| folder.join(name)).collect();
        paths.sort();
        paths.dedup();
        if !is_index {
            paths.push(found.clone());
        }
        let files = paths.iter().map(|path| WeightsFile::open(path)).collect::<Result<Vec<_>, _>>()?;
        let mut tensors: BTreeMap<String, usize> = BTreeMap::new();
        for (place, file) in files.iter().enumerate() {
            for name in file.names() {
                if let Some(other) = tensors.insert(name.to_owned(), place) {
                    let other = files[other].path().file_name().unwrap_or_default().to_string_lossy();
                    return Err(refused(name, format!("is in {other} as well"), file.path()));
                }
            }
        }
        for (name, shard) in &index {
            let there = tensors.get(name).map(|place| files[*place].path());
            if there.is_none_or(|path| path.file_name().is_none_or(|found| *found != **shard)) {
                return Err(refused(name, format!("should be in {shard}, which lacks it"), &found));
            }
        }
        Ok(Self { folder: folder.to_path_buf(), files, tensors })
    }

    /// One that holds nothing: a model that begins fresh.
    #[must_use]
    pub fn none(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), files: Vec::new(), tensors: BTreeMap::new() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a tensor of this name is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Whether a tensor is there and of a type that weights have.
    #[must_use]
    pub fn is_float(&self, name: &str) -> bool {
        self.tensors.get(name).is_some_and(|place| self.files[*place].is_float(name))
    }

    /// A tensor's extents.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.files[*self.tensors.get(name)?].shape(name)
    }

    /// The file that holds a tensor.
    #[must_use]
    pub fn file_of(&self, name: &str) -> &Path {
        self.tensors.get(name).map_or(&*self.folder, |place| self.files[*place].path())
    }

    /// All names in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Reads one tensor.
    ///
    /// # Errors
    /// When it is not there, its file cannot be read, or its dtype is no weight.
    pub fn read(&self, name: &str) -> Result<Tensor, WeightsError> {
        match self.tensors.get(name) {
            Some(place) => self.files[*place].read(name),
            None => Err(refused(name, "is not in the checkpoint".to_owned(), &self.folder)),
        }
    }
}
