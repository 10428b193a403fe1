//! Writing tensors: whole files under a temporary name, then renamed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors, View};
use serde_json::Value as Json;

use super::checkpoint::{format, io};
use super::{Params, Tensor, WeightsError};
use crate::graph::{Fit, Graph};
use crate::tensor::Shape;

/// Writes f32 tensors as one safetensors file, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn write_tensors(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<(), WeightsError> {
    // Hugging Face's loaders ask for this entry.
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let temporary = temporary(path);
    let stored = tensors.iter().map(|(name, tensor)| (name, Stored(tensor)));
    safetensors::serialize_to_file(stored, Some(metadata), &temporary)
        .map_err(|error| format(&error, path))?;
    put_in_place(&temporary, path).map_err(|error| io(error, path))
}

/// A tensor that becomes bytes only while it is written, so that no second copy of all of them ever exists.
struct Stored<'a>(&'a Tensor);

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        4 * self.0.data.len()
    }
}

/// Writes a file under a temporary name beside it, flushes it to disk and renames it.
///
/// # Errors
/// When any of that fails.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = temporary(path);
    std::fs::File::create(&temporary)?.write_all(bytes)?;
    put_in_place(&temporary, path)
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
    let bytes = std::fs::read(path).map_err(|error| io(error, path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format(&error, path))?;
    Ok(file
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| {
            let data = super::checkpoint::floats(view.dtype(), view.data())?;
            Some((name, Tensor { shape: view.shape().to_vec(), data }))
        })
        .collect())
}

/// Reads every 64-bit integer tensor of one safetensors file, as shape and values.
///
/// # Errors
/// When the file cannot be read or is not sound.
pub fn read_integers(path: &Path) -> Result<BTreeMap<String, (Shape, Vec<i64>)>, WeightsError> {
    let bytes = std::fs::read(path).map_err(|error| io(error, path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| format(&error, path))?;
    let integers = file.tensors().into_iter().filter(|(_, view)| view.dtype() == Dtype::I64);
    Ok(integers
        .map(|(name, view)| {
            let values =
                view.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
            (name, (view.shape().to_vec(), values))
        })
        .collect())
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
    let text = serde_json::to_string_pretty(config).map_err(|error| format(&error, &path))?;
    write_atomically(&path, text.as_bytes()).map_err(|error| io(error, &path))
}
