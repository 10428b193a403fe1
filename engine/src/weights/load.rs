//! Filling a graph's parameters, with a report of what happened to each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use burn::tensor::Device;
use serde::Serialize;

use super::fit::fit;
use super::{Checkpoint, Params, Tensor, WeightsError};
use crate::graph::{Beginning, Fit, Graph, Init, NodeKind};
use crate::ops::{largest_places, rows_and_columns};
use crate::tensor::{Shape, Value, elements};

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
        return Ok(fill(graph, &BTreeMap::new(), seed, device, |tensor| vec![tensor.stored[0].to_owned()]));
    };
    let checkpoint = Checkpoint::open(&source.folder)?;
    let wanted: BTreeSet<String> = tensors_of(graph)
        .filter(|tensor| tensor.placement.is_none())
        .flat_map(|tensor| tensor.stored)
        .filter_map(|stored| source.file_name(stored))
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
    let (params, mut report) = fill(graph, &tensors, seed, device, |tensor| {
        let name = |stored: &&str| source.file_name(stored).unwrap_or_else(|| (*stored).to_owned());
        tensor.stored.iter().map(name).collect()
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
    let (params, mut report) = fill(graph, values, seed, device, |tensor| vec![tensor.path.to_owned()]);
    let known: BTreeSet<&str> = tensors_of(graph).map(|tensor| tensor.path).collect();
    report.unused = values.keys().filter(|path| !known.contains(path.as_str())).cloned().collect();
    (params, report)
}

/// A parameter or state, as loading sees it.
struct Wanted<'a> {
    path: &'a str,
    shape: &'a Shape,
    /// The names under which files may store it.
    stored: Vec<&'a str>,
    placement: Option<usize>,
    init: Init,
    fit: Fit,
}

/// Every parameter and every state with values of its own.
fn tensors_of(graph: &Graph) -> impl Iterator<Item = Wanted<'_>> {
    let params = graph.params().map(|(_, path, leaf)| Wanted {
        path,
        shape: &leaf.shape,
        stored: std::iter::once(&leaf.stored)
            .chain(leaf.aliases.iter().map(|alias| &alias.stored))
            .map(String::as_str)
            .collect(),
        placement: leaf.placement,
        init: leaf.init,
        fit: leaf.fit,
    });
    let states = graph.states().map(|(_, path, leaf)| Wanted {
        path,
        shape: &leaf.shape,
        stored: vec![&leaf.stored],
        placement: leaf.placement,
        // A copy is made below; this stands in for it.
        init: if let Beginning::Values(init) = leaf.begins { init } else { Init::Zeros },
        fit: Fit::Exact,
    });
    params.chain(states)
}

/// `names_of` gives the names to look for; the first that is there is taken.
fn fill(
    graph: &Graph,
    tensors: &BTreeMap<String, Tensor>,
    seed: u64,
    device: &Device,
    names_of: impl Fn(&Wanted<'_>) -> Vec<String>,
) -> (Params, LoadReport) {
    let mut params = Params::new();
    let mut report = LoadReport::default();
    for wanted in tensors_of(graph) {
        let (path, shape) = (wanted.path, wanted.shape);
        let names = names_of(&wanted);
        let tensor = names.iter().find_map(|name| tensors.get(name));
        let fitted = tensor.and_then(|tensor| fit(tensor, shape, wanted.fit));
        let data = match (tensor, fitted) {
            (Some(tensor), Some(data)) => {
                if tensor.shape == *shape || wanted.fit == Fit::Scalar {
                    report.copied.push(path.to_owned());
                } else {
                    report.resized.push(Resize {
                        path: path.to_owned(),
                        from: tensor.shape.clone(),
                        to: shape.clone(),
                    });
                }
                data
            }
            (found, _) => {
                report.missing.push(Misfit {
                    path: path.to_owned(),
                    wanted: names.first().cloned().unwrap_or_default(),
                    found: found.map(|tensor| tensor.shape.clone()),
                    near: None,
                });
                wanted.init.values(path, shape, seed)
            }
        };
        params.set(path, Value::from_f32(data, shape, device));
    }
    copy_states(graph, &mut params, &mut report);
    for node in graph.nodes() {
        if let NodeKind::Const(leaf) = &node.kind {
            params.set(&node.path, Value::from_f32(leaf.values.to_vec(), &leaf.shape, device));
        }
    }
    (params, report)
}

/// States that begin as a parameter says, unless they were found.
fn copy_states(graph: &Graph, params: &mut Params, report: &mut LoadReport) {
    for (_, path, leaf) in graph.states() {
        let (of, is_copy) = match leaf.begins {
            Beginning::CopyOf(of) => (of, true),
            Beginning::LargestOf(of) => (of, false),
            Beginning::Values(_) => continue,
        };
        let Some(place) = report.missing.iter().position(|misfit| misfit.path == path) else { continue };
        report.missing.remove(place);
        let Some(value) = params.get(&graph.node(of).path).cloned() else { continue };
        if is_copy {
            params.set(path, value);
            continue;
        }
        let columns = elements(&value.shape()[1..]);
        let places = largest_places(&value.to_f32(), leaf.shape[1]);
        params.set(path, Value::from_f32(rows_and_columns(&places, columns), &leaf.shape, &value.device()));
    }
}
