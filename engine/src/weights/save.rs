//! Writing tensors: whole files under a temporary name, then renamed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value as Json;

use super::checkpoint::{format, io};
use super::{Params, Tensor, WeightsError};
use crate::graph::Graph;
use crate::tensor::Shape;

/// Writes f32 tensors as one safetensors file, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn write_tensors(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<(), WeightsError> {
    let bytes: Vec<(&String, &Tensor, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| (name, tensor, tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views: Vec<(&str, TensorView<'_>)> = bytes
        .iter()
        .map(|(name, tensor, data)| {
            TensorView::new(Dtype::F32, tensor.shape.clone(), data)
                .map(|view| (name.as_str(), view))
                .map_err(|error| format(&error, path))
        })
        .collect::<Result<_, _>>()?;
    // Hugging Face's loaders ask for this entry.
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let encoded = safetensors::serialize(views, Some(metadata)).map_err(|error| format(&error, path))?;
    write_atomically(path, &encoded).map_err(|error| io(error, path))
}

/// Writes a file under a temporary name beside it, flushes it to disk and renames it.
///
/// # Errors
/// When any of that fails.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let temporary = path.with_file_name(name);
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&temporary, path)
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
    let params_of = graph.params().map(|(_, path, leaf)| (path, &leaf.stored, leaf.placement));
    let states = graph.states().map(|(_, path, leaf)| (path, &leaf.stored, leaf.placement));
    let tensors = params_of
        .chain(states)
        .filter(|(_, _, placement)| placement.is_none())
        .filter_map(|(path, stored, _)| {
            let value = params.get(path)?;
            Some((stored.clone(), Tensor { shape: value.shape(), data: value.to_f32() }))
        })
        .collect();
    write_tensors(&tensors, &folder.join("model.safetensors"))?;
    let path = folder.join("config.json");
    let text = serde_json::to_string_pretty(config).map_err(|error| format(&error, &path))?;
    write_atomically(&path, text.as_bytes()).map_err(|error| io(error, &path))
}
