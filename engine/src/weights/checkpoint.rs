//! A checkpoint folder: `model.safetensors`, or shards with their index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use super::WeightsError;
use crate::tensor::Shape;

/// A host tensor as read from a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Extents.
    pub shape: Shape,
    /// Values, row-major.
    pub data: Vec<f32>,
}

/// An opened checkpoint: names and shapes at once, values shard by shard on request.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    /// Tensor name → (shard, shape).
    tensors: BTreeMap<String, (PathBuf, Shape)>,
}

impl Checkpoint {
    /// Opens a model folder.
    ///
    /// # Errors
    /// When it holds no weights or they are not sound.
    pub fn open(folder: &Path) -> Result<Self, WeightsError> {
        let single = folder.join("model.safetensors");
        let index = folder.join("model.safetensors.index.json");
        let shards: Vec<PathBuf> = if single.is_file() {
            vec![single]
        } else if index.is_file() {
            shards_of(&index)?.into_iter().map(|name| folder.join(name)).collect()
        } else {
            return Err(WeightsError::Missing { folder: folder.to_path_buf() });
        };
        let mut tensors = BTreeMap::new();
        for shard in shards {
            for (name, shape) in header(&shard)? {
                tensors.insert(name, (shard.clone(), shape));
            }
        }
        Ok(Self { folder: folder.to_path_buf(), tensors })
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

    /// All names with their shapes.
    pub fn names(&self) -> impl Iterator<Item = (&str, &Shape)> {
        self.tensors.iter().map(|(name, (_, shape))| (name.as_str(), shape))
    }

    /// Reads the tensors that `wanted` names, each shard once, handing each over as it comes.
    ///
    /// # Errors
    /// When a file cannot be read or a tensor's dtype is no weight.
    pub fn read(
        &self,
        wanted: impl Fn(&str) -> bool,
        mut take: impl FnMut(&str, Tensor),
    ) -> Result<(), WeightsError> {
        let mut shards: Vec<&PathBuf> = self.tensors.values().map(|(shard, _)| shard).collect();
        shards.sort();
        shards.dedup();
        for shard in shards {
            let bytes = std::fs::read(shard).map_err(|error| io(error, shard))?;
            let file = SafeTensors::deserialize(&bytes).map_err(|error| format(&error, shard))?;
            for (name, view) in file.tensors() {
                if wanted(&name) {
                    let data = floats(view.dtype(), view.data()).ok_or_else(|| WeightsError::Dtype {
                        name: name.clone(),
                        dtype: std::format!("{:?}", view.dtype()),
                        path: shard.clone(),
                    })?;
                    take(&name, Tensor { shape: view.shape().to_vec(), data });
                }
            }
        }
        Ok(())
    }
}

pub(super) fn io(error: std::io::Error, path: &Path) -> WeightsError {
    WeightsError::Io { error, path: path.to_path_buf() }
}

pub(super) fn format(error: &impl std::fmt::Display, path: &Path) -> WeightsError {
    WeightsError::Format { why: error.to_string(), path: path.to_path_buf() }
}

fn shards_of(index: &Path) -> Result<Vec<String>, WeightsError> {
    let text = std::fs::read_to_string(index).map_err(|error| io(error, index))?;
    let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| format(&error, index))?;
    let map = json
        .get("weight_map")
        .and_then(serde_json::Value::as_object)
        .ok_or_else(|| format(&"the index has no `weight_map`", index))?;
    let mut names: Vec<String> = map.values().filter_map(|file| file.as_str().map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    // A shard is a file beside its index; a path that leads elsewhere is refused.
    if let Some(name) = names.iter().find(|name| name.contains(['/', '\\'])) {
        return Err(format(&std::format!("the shard name `{name}` is not a plain file name"), index));
    }
    Ok(names)
}

/// Names and shapes from the header alone.
fn header(path: &Path) -> Result<Vec<(String, Shape)>, WeightsError> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).map_err(|error| io(error, path))?;
    let length = file.metadata().map_err(|error| io(error, path))?.len();
    let mut size = [0u8; 8];
    file.read_exact(&mut size).map_err(|_| format(&"it ends before its header", path))?;
    let size = u64::from_le_bytes(size);
    if size > length.saturating_sub(8) || size > 100_000_000 {
        return Err(format(&"its header is longer than the file", path));
    }
    let mut text = vec![0u8; usize::try_from(size).unwrap_or(0)];
    file.read_exact(&mut text).map_err(|error| io(error, path))?;
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|error| format(&error, path))?;
    let object = json.as_object().ok_or_else(|| format(&"its header is no object", path))?;
    object
        .iter()
        .filter(|(name, _)| *name != "__metadata__")
        .map(|(name, entry)| {
            let shape = entry
                .get("shape")
                .and_then(serde_json::Value::as_array)
                .and_then(|axes| {
                    axes.iter().map(|a| a.as_u64().and_then(|a| usize::try_from(a).ok())).collect()
                })
                .ok_or_else(|| format(&std::format!("`{name}` has no shape"), path))?;
            Ok((name.clone(), shape))
        })
        .collect()
}

/// Floats of any stored float dtype as f32.
pub(super) fn floats(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    #[expect(clippy::cast_possible_truncation, reason = "weights are used in f32")]
    match dtype {
        Dtype::F32 => Some(chunks(bytes, f32::from_le_bytes)),
        Dtype::F64 => Some(chunks(bytes, |b| f64::from_le_bytes(b) as f32)),
        Dtype::F16 => Some(chunks(bytes, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Some(chunks(bytes, |b| bf16::from_le_bytes(b).to_f32())),
        _ => None,
    }
}

fn chunks<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
}
