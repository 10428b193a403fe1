//! Filling a graph's parameters, with a report of what happened to each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use burn::tensor::Device;
use serde::Serialize;

use super::fit::fit;
use super::{Checkpoint, Params, Tensor, WeightsError};
use crate::graph::{Graph, ParamLeaf};
use crate::tensor::{Shape, Value};

/// A checkpoint and how its names map to the graph's stored names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightSource {
    /// The folder.
    pub folder: PathBuf,
    /// Put in the place of `to` at the start of a stored name to get the file's name.
    pub from: String,
    /// See `from`.
    pub to: String,
    /// Stored names outside `to` are not expected in the file (a new head, a new temporal part).
    pub partial: bool,
}

impl WeightSource {
    /// The file's name of a stored tensor, if the file is to have it.
    #[must_use]
    pub fn file_name(&self, stored: &str) -> Option<String> {
        match stored.strip_prefix(&self.to) {
            Some(rest) => Some(format!("{}{rest}", self.from)),
            None if self.partial => None,
            None => Some(stored.to_owned()),
        }
    }
}

/// What loading did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Parameters taken as they are.
    pub copied: Vec<String>,
    /// Parameters made from a tensor of another shape.
    pub resized: Vec<Resize>,
    /// Parameters that the file does not have (they begin fresh).
    pub missing: Vec<Misfit>,
    /// Tensors of the file that nothing uses.
    pub unused: Vec<String>,
}

/// A parameter made from a tensor of another shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resize {
    /// The parameter.
    pub path: String,
    /// Shape in the file.
    pub from: Shape,
    /// Shape in the model.
    pub to: Shape,
}

/// A parameter that was not found, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misfit {
    /// The parameter.
    pub path: String,
    /// The name looked for.
    pub wanted: String,
    /// Shape in the file, when the name is there but the shape does not fit.
    pub found: Option<Shape>,
    /// The nearest unused name of the file.
    pub near: Option<String>,
}

impl LoadReport {
    /// One line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{} copied, {} resized, {} new, {} unused",
            self.copied.len(),
            self.resized.len(),
            self.missing.len(),
            self.unused.len()
        )
    }
}

/// Fills all parameters of a graph: from the checkpoint where one is given and has them, else by their
/// initialisers under `seed`.
///
/// # Errors
/// When the checkpoint cannot be read, or holds not one of the model's tensors.
pub fn load(
    graph: &Graph,
    source: Option<&WeightSource>,
    seed: u64,
    device: &Device,
) -> Result<(Params, LoadReport), WeightsError> {
    let Some(source) = source else {
        return Ok(fill(graph, &BTreeMap::new(), seed, device, |_, leaf| leaf.stored.clone()));
    };
    let checkpoint = Checkpoint::open(&source.folder)?;
    let wanted: BTreeSet<String> = graph
        .params()
        .filter(|(_, _, leaf)| leaf.placement.is_none())
        .filter_map(|(_, _, leaf)| source.file_name(&leaf.stored))
        .collect();
    let mut tensors = BTreeMap::new();
    checkpoint.read(
        |name| wanted.contains(name),
        |name, tensor| {
            tensors.insert(name.to_owned(), tensor);
        },
    )?;
    let first = wanted.iter().next();
    if let (true, Some(first)) = (tensors.is_empty(), first) {
        return Err(WeightsError::NothingMatches {
            wanted: wanted.len(),
            found: checkpoint.names().count(),
            first: first.clone(),
            folder: source.folder.clone(),
        });
    }
    let (params, mut report) = fill(graph, &tensors, seed, device, |_, leaf| {
        source.file_name(&leaf.stored).unwrap_or_else(|| leaf.stored.clone())
    });
    report.unused = checkpoint
        .names()
        .map(|(name, _)| name)
        .filter(|name| !wanted.contains(*name))
        .map(str::to_owned)
        .collect();
    let unused: Vec<&str> = report.unused.iter().map(String::as_str).collect();
    for misfit in &mut report.missing {
        misfit.near = crate::graph::nearest(&misfit.wanted, &unused, 1).pop();
    }
    Ok((params, report))
}

/// Fills all parameters of a graph from values of another graph by logical path: how a stage goes on from the
/// one before.
#[must_use]
pub fn from_params(
    graph: &Graph,
    values: &BTreeMap<String, Tensor>,
    seed: u64,
    device: &Device,
) -> (Params, LoadReport) {
    let (params, mut report) = fill(graph, values, seed, device, |path, _| path.to_owned());
    let known: BTreeSet<&str> = graph.params().map(|(_, path, _)| path).collect();
    report.unused = values.keys().filter(|path| !known.contains(path.as_str())).cloned().collect();
    (params, report)
}

fn fill(
    graph: &Graph,
    tensors: &BTreeMap<String, Tensor>,
    seed: u64,
    device: &Device,
    name_of: impl Fn(&str, &ParamLeaf) -> String,
) -> (Params, LoadReport) {
    let mut params = Params::new();
    let mut report = LoadReport::default();
    for (_, path, leaf) in graph.params() {
        let name = name_of(path, leaf);
        let tensor = tensors.get(&name);
        let fitted = tensor.and_then(|tensor| fit(tensor, &leaf.shape, leaf.fit));
        let data = match (tensor, fitted) {
            (Some(tensor), Some(data)) => {
                if tensor.shape == leaf.shape {
                    report.copied.push(path.to_owned());
                } else {
                    report.resized.push(Resize {
                        path: path.to_owned(),
                        from: tensor.shape.clone(),
                        to: leaf.shape.clone(),
                    });
                }
                data
            }
            (found, _) => {
                report.missing.push(Misfit {
                    path: path.to_owned(),
                    wanted: name,
                    found: found.map(|tensor| tensor.shape.clone()),
                    near: None,
                });
                leaf.init.values(path, &leaf.shape, seed)
            }
        };
        params.set(path, Value::from_f32(data, &leaf.shape, device));
    }
    (params, report)
}
