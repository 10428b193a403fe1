//! Writing tensors: whole files under a temporary name, then renamed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, View};
use serde_json::Value as Json;

use super::load::check_finite;
use super::safetensors::SafetensorsFile;
use super::{Params, Tensor, WeightsError, io, unsound};
use crate::graph::{Fit, Graph};
use crate::tensor::Shape;

/// Writes f32 tensors as one safetensors file, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn write_tensors(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<(), WeightsError> {
    let floats = |tensor| StoredTensor::Floats(Cow::Borrowed(tensor));
    write_stored(&tensors.iter().map(|(name, tensor)| (name.clone(), floats(tensor))).collect(), path)
}

/// A tensor as a file holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum StoredTensor<'a> {
    /// In f32.
    Floats(Cow<'a, Tensor>),
    /// Bytes of one axis.
    Bytes(Vec<u8>),
}

impl From<Tensor> for Cow<'_, Tensor> {
    fn from(tensor: Tensor) -> Self {
        Cow::Owned(tensor)
    }
}

impl<'a> From<&'a Tensor> for Cow<'a, Tensor> {
    fn from(tensor: &'a Tensor) -> Self {
        Cow::Borrowed(tensor)
    }
}

/// Writes tensors as one safetensors file, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn write_stored(tensors: &BTreeMap<String, StoredTensor<'_>>, path: &Path) -> Result<(), WeightsError> {
    let shape = |tensor: &StoredTensor<'_>| match tensor {
        StoredTensor::Floats(tensor) => tensor.shape.clone(),
        StoredTensor::Bytes(bytes) => vec![bytes.len()],
    };
    let stored = tensors.iter().map(|(name, tensor)| (name, Stored { shape: shape(tensor), tensor }));
    write_views(stored, path)
}

/// Writes values that become bytes one after the other as one safetensors file, atomically.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn write_views<N: AsRef<str> + Ord + std::fmt::Display, V: View>(
    views: impl IntoIterator<Item = (N, V)>,
    path: &Path,
) -> Result<(), WeightsError> {
    // Hugging Face's loaders ask for this entry.
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let temporary = temporary(path);
    safetensors::serialize_to_file(views, Some(metadata), &temporary)
        .map_err(|error| unsound(&error, path))?;
    put_in_place(&temporary, path).map_err(|error| io(error, path))
}

/// A tensor that becomes bytes only while it is written, so that no second copy of all of them ever exists.
struct Stored<'a> {
    shape: Shape,
    tensor: &'a StoredTensor<'a>,
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match self.tensor {
            StoredTensor::Floats(_) => Dtype::F32,
            StoredTensor::Bytes(_) => Dtype::U8,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self.tensor {
            StoredTensor::Floats(tensor) => {
                Cow::Owned(tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect())
            }
            StoredTensor::Bytes(bytes) => Cow::Borrowed(bytes),
        }
    }

    fn data_len(&self) -> usize {
        match self.tensor {
            StoredTensor::Floats(tensor) => 4 * tensor.data.len(),
            StoredTensor::Bytes(bytes) => bytes.len(),
        }
    }
}

/// Writes a file under a temporary name beside it, flushes it to disk and renames it.
///
/// # Errors
/// When any of that fails.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write_atomically_by(path, &mut |file| file.write_all(bytes))
}

/// The same, piece by piece. What could not be written whole is removed, so that it takes no room.
///
/// # Errors
/// When any of that fails.
pub(crate) fn write_atomically_by(
    path: &Path,
    write: &mut dyn FnMut(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let temporary = temporary(path);
    let written = std::fs::File::create(&temporary).and_then(|file| {
        let mut file = std::io::BufWriter::new(file);
        write(&mut file)?;
        file.flush()
    });
    let placed = written.and_then(|()| put_in_place(&temporary, path));
    if placed.is_err() {
        // Where it cannot be removed, the first error says more.
        drop(std::fs::remove_file(&temporary));
    }
    placed
}

/// The name that a file has while it is written.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Flushes a written file to disk and gives it its own name.
fn put_in_place(temporary: &Path, path: &Path) -> std::io::Result<()> {
    std::fs::File::options().append(true).open(temporary)?.sync_all()?;
    std::fs::rename(temporary, path)
}

/// Reads every float tensor of one safetensors file; integer tensors are left out.
///
/// # Errors
/// When the file cannot be read or is not sound.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let file = SafetensorsFile::open(path)?;
    file.names()
        .filter(|name| file.is_float(name))
        .map(|name| Ok((name.to_owned(), file.read(name)?)))
        .collect()
}

/// Reads a safetensors file of weights: every tensor has a float dtype and finite values.
///
/// # Errors
/// When the file cannot be read, is not sound, or a tensor is not such.
pub fn read_weights(path: &Path) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let file = SafetensorsFile::open(path)?;
    let tensors =
        file.names().map(|name| Ok((name.to_owned(), file.read(name)?))).collect::<Result<_, _>>()?;
    check_finite(&tensors, path)?;
    Ok(tensors)
}

/// Reads every 64-bit integer tensor of one safetensors file, as shape and values.
///
/// # Errors
/// When the file cannot be read or is not sound.
pub fn read_integers(path: &Path) -> Result<BTreeMap<String, (Shape, Vec<i64>)>, WeightsError> {
    let file = SafetensorsFile::open(path)?;
    file.names()
        .filter(|name| file.is_integer(name))
        .map(|name| Ok((name.to_owned(), file.read_integers(name)?)))
        .collect()
}

/// Float and byte tensors of a file, by name.
type WeightsAndBytes = (BTreeMap<String, Tensor>, BTreeMap<String, Vec<u8>>);

/// Reads a safetensors file of weights as [`read_weights`] does, but for tensors of bytes, which it may hold as well.
///
/// # Errors
/// As [`read_weights`].
pub fn read_weights_and_bytes(path: &Path) -> Result<WeightsAndBytes, WeightsError> {
    let file = SafetensorsFile::open(path)?;
    let (mut tensors, mut bytes) = (BTreeMap::new(), BTreeMap::new());
    for name in file.names() {
        if file.is_bytes(name) {
            bytes.insert(name.to_owned(), file.read_bytes(name)?);
        } else {
            tensors.insert(name.to_owned(), file.read(name)?);
        }
    }
    check_finite(&tensors, path)?;
    Ok((tensors, bytes))
}

/// Writes a model folder: `config.json` and `model.safetensors` under the original names. Parameters that
/// adapters added are left out.
///
/// # Errors
/// When the folder cannot be written.
pub fn save_model(graph: &Graph, params: &Params, config: &Json, folder: &Path) -> Result<(), WeightsError> {
    std::fs::create_dir_all(folder).map_err(|error| io(error, folder))?;
    let params_of = graph.params().map(|(_, path, leaf)| (path, &leaf.stored, leaf.placement, leaf.fit));
    let states = graph.states().map(|(_, path, leaf)| (path, &leaf.stored, leaf.placement, Fit::Exact));
    let tensors = params_of
        .chain(states)
        .filter(|(_, _, placement, _)| placement.is_none())
        .filter_map(|(path, stored, _, fit)| {
            let value = params.get(path)?;
            let shape = if fit == Fit::Scalar { Shape::new() } else { value.shape() };
            Some((stored.clone(), Tensor { shape, data: value.to_f32() }))
        })
        .collect();
    write_tensors(&tensors, &folder.join("model.safetensors"))?;
    let path = folder.join("config.json");
    let text = serde_json::to_string_pretty(config).map_err(|error| unsound(&error, &path))?;
    write_atomically(&path, text.as_bytes()).map_err(|error| io(error, &path))
}
