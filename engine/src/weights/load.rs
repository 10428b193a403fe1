//! Filling a graph's parameters, one tensor at a time, with a report of what happened to each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::fit::{Manner, fit, manner};
use super::{Checkpoint, LoadReport, Misfit, Params, Resize, Tensor, WeightsError};
use crate::graph::{Beginning, Fit, Graph, Init, NodeId, NodeKind, RegionKind, StateLeaf, is_below};
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

/// Fills all parameters of a graph: from the checkpoint where one is given and has them, else by their
/// initialisers under `seed`. Beside the parameters, one tensor of the file is in memory at a time.
///
/// # Errors
/// When the checkpoint cannot be read, holds not one of the model's tensors or next to nothing of it, or when a
/// tensor that is used is no float or holds NaN or infinity.
pub fn load(
    graph: &Graph,
    source: Option<&WeightSource>,
    seed: u64,
    device: &Device,
) -> Result<(Params, LoadReport), WeightsError> {
    let Some(source) = source else {
        let (found, mut report) = find(graph, |_| None, |tensor| vec![tensor.stored[0].to_owned()]);
        let params = fill(graph, found, &mut report, seed, device, |_| Ok(Tensor::default()))?;
        return Ok((params, report));
    };
    let checkpoint = Checkpoint::open(&source.folder)?;
    let (found, mut report) = find_in(graph, source, &checkpoint)?;
    check_proportion(&found, source)?;
    let mut odd = OddValues::default();
    let params = fill(graph, found, &mut report, seed, device, |name| {
        let tensor = checkpoint.read(name)?;
        odd.look(name, &tensor.data);
        Ok(tensor)
    })?;
    odd.check(|name| checkpoint.file_of(name).to_path_buf())?;
    Ok((params, report))
}

/// What [`load`] would do, from names and shapes alone.
///
/// # Errors
/// When the checkpoint cannot be opened, or holds not one of the model's tensors or next to nothing of it.
pub fn compare(graph: &Graph, source: &WeightSource) -> Result<LoadReport, WeightsError> {
    let checkpoint = Checkpoint::open(&source.folder)?;
    let (found, mut report) = find_in(graph, source, &checkpoint)?;
    check_proportion(&found, source)?;
    forget_copies(graph, &mut report);
    Ok(report)
}

/// Whether [`load`] would give a whole base: reads what it would read, keeping nothing, so that a run which cannot work
/// never begins.
///
/// # Errors
/// As [`load`]'s, and when the file lacks a tensor that is part of the base and of no head.
pub fn check(graph: &Graph, source: &WeightSource) -> Result<(), WeightsError> {
    let checkpoint = Checkpoint::open(&source.folder)?;
    let (found, report) = find_in(graph, source, &checkpoint)?;
    check_proportion(&found, source)?;
    report.require(&source.folder, |misfit| misfit.expected)?;
    let mut odd = OddValues::default();
    for (name, _) in found.iter().filter_map(|one| one.from.as_ref()) {
        odd.look(name, &checkpoint.read(name)?.data);
    }
    odd.check(|name| checkpoint.file_of(name).to_path_buf())
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
    let shape_of = |name: &str| values.get(name).map(|tensor| &*tensor.shape);
    let (found, mut report) = find(graph, shape_of, |tensor| vec![tensor.path.to_owned()]);
    let known: BTreeSet<&str> = tensors_of(graph).map(|tensor| tensor.path).collect();
    report.unused = values.keys().filter(|path| !known.contains(path.as_str())).cloned().collect();
    let read = |name: &str| Ok::<_, std::convert::Infallible>(values.get(name).cloned().unwrap_or_default());
    let Ok(params) = fill(graph, found, &mut report, seed, device, read);
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

/// A parameter or state, and from which tensor its values come, if from any.
struct Found<'a> {
    wanted: Wanted<'a>,
    from: Option<(String, Manner)>,
    /// Values of that tensor.
    elements: u64,
}

/// Missing tensors for which a near name is looked for, and unused names that it is looked for among: no more are
/// read, and every pair takes its time.
const NEARED: usize = 100;
const COMPARED: usize = 5_000;

/// What a checkpoint has for a graph.
fn find_in<'a>(
    graph: &'a Graph,
    source: &WeightSource,
    checkpoint: &Checkpoint,
) -> Result<(Vec<Found<'a>>, LoadReport), WeightsError> {
    let wanted: BTreeSet<String> = tensors_of(graph)
        .filter(|tensor| tensor.placement.is_none())
        .flat_map(|tensor| tensor.stored)
        .filter_map(|stored| source.file_name(stored))
        .collect();
    if let Some(first) = wanted.first()
        && !wanted.iter().any(|name| checkpoint.has(name))
    {
        return Err(WeightsError::NothingMatches {
            wanted: wanted.len(),
            found: checkpoint.names().len(),
            first: first.clone(),
            folder: source.folder.clone(),
        });
    }
    let shape_of = |name: &str| if wanted.contains(name) { checkpoint.shape(name) } else { None };
    let (found, mut report) = find(graph, shape_of, |tensor| {
        let name = |stored: &&str| source.file_name(stored).unwrap_or_else(|| (*stored).to_owned());
        tensor.stored.iter().map(name).collect()
    });
    report.unused = checkpoint.names().filter(|name| !wanted.contains(*name)).map(str::to_owned).collect();
    let unused: Vec<&str> = report.unused.iter().take(COMPARED).map(String::as_str).collect();
    let heads: Vec<&str> =
        graph.regions().iter().filter(|r| r.kind == RegionKind::Head).map(|r| r.path.as_str()).collect();
    let placed: BTreeSet<&str> =
        tensors_of(graph).filter(|tensor| tensor.placement.is_some()).map(|tensor| tensor.path).collect();
    for (place, misfit) in report.missing.iter_mut().enumerate() {
        if place < NEARED {
            misfit.near = crate::graph::nearest(&misfit.wanted, &unused, 1).pop();
        }
        misfit.expected = !placed.contains(misfit.path.as_str())
            && wanted.contains(&misfit.wanted)
            && !heads.iter().any(|head| is_below(&misfit.path, head));
    }
    Ok((found, report))
}

/// `shape_of` says what there is, `names_of` gives the names to look for; the first that is there is taken.
fn find<'a, 's>(
    graph: &'a Graph,
    shape_of: impl Fn(&str) -> Option<&'s [usize]>,
    names_of: impl Fn(&Wanted<'_>) -> Vec<String>,
) -> (Vec<Found<'a>>, LoadReport) {
    let mut report = LoadReport::default();
    let found = tensors_of(graph).map(|wanted| {
        let names = names_of(&wanted);
        let tensor = names.iter().find_map(|name| Some((name, shape_of(name)?)));
        let elements = tensor.map_or(0, |(_, shape)| count(shape));
        let from = tensor.and_then(|(name, shape)| {
            manner(shape, wanted.shape, wanted.fit).map(|manner| (name.clone(), manner))
        });
        let path = wanted.path.to_owned();
        match (tensor, &from) {
            (Some((_, shape)), Some(_)) if shape == wanted.shape || wanted.fit == Fit::Scalar => {
                report.copied.push(path);
            }
            (Some((_, shape)), Some(_)) => {
                report.resized.push(Resize { path, from: shape.to_vec(), to: wanted.shape.clone() });
            }
            (tensor, _) => report.missing.push(Misfit {
                path,
                wanted: names.first().cloned().unwrap_or_default(),
                shape: wanted.shape.clone(),
                found: tensor.map(|(_, shape)| shape.to_vec()),
                near: None,
                expected: false,
            }),
        }
        Found { wanted, from, elements }
    });
    let found = found.collect();
    (found, report)
}

/// A config may ask for anything; what is made fresh has to stand in some relation to what the file has.
fn check_proportion(found: &[Found<'_>], source: &WeightSource) -> Result<(), WeightsError> {
    /// Fresh values that are allowed for each value of the file, and in any case.
    const EACH: u64 = 64;
    const ANYWAY: u64 = 1 << 28;
    let fresh = || {
        found.iter().filter(|one| {
            one.from.is_none()
                && one.wanted.placement.is_none()
                && one.wanted.stored.iter().any(|stored| source.file_name(stored).is_some())
        })
    };
    let wanted = fresh().map(|one| count(one.wanted.shape)).fold(0, u64::saturating_add);
    let in_file =
        found.iter().filter(|one| one.from.is_some()).map(|one| one.elements).fold(0, u64::saturating_add);
    match fresh().max_by_key(|one| count(one.wanted.shape)) {
        Some(Found { wanted: largest, .. })
            if wanted > ANYWAY.saturating_add(EACH.saturating_mul(in_file)) =>
        {
            let name = largest.stored.first().copied().unwrap_or(largest.path);
            Err(WeightsError::Disproportionate {
                wanted,
                found: in_file,
                largest: format!("`{name}` {:?}", largest.shape),
                folder: source.folder.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// Elements of any shape, however absurd.
fn count(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, extent| product.saturating_mul(*extent as u64))
}

fn fill<E>(
    graph: &Graph,
    found: Vec<Found<'_>>,
    report: &mut LoadReport,
    seed: u64,
    device: &Device,
    mut read: impl FnMut(&str) -> Result<Tensor, E>,
) -> Result<Params, E> {
    let mut params = Params::new();
    for Found { wanted, from, .. } in found {
        let data = match from {
            Some((name, manner)) => fit(read(&name)?, wanted.shape, manner),
            None => wanted.init.values(wanted.path, wanted.shape, seed),
        };
        params.set(wanted.path, Value::from_f32(data, wanted.shape, device));
    }
    for (path, leaf, of) in forget_copies(graph, report) {
        let Some(value) = params.get(&graph.node(of).path).cloned() else { continue };
        if matches!(leaf.begins, Beginning::CopyOf(_)) {
            params.set(path, value);
            continue;
        }
        let columns = elements(&value.shape()[1..]);
        let places = rows_and_columns(&largest_places(&value.to_f32(), leaf.shape[1]), columns);
        params.set(path, Value::from_f32(places, &leaf.shape, device));
    }
    for node in graph.nodes() {
        if let NodeKind::Const(leaf) = &node.kind {
            params.set(&node.path, Value::from_f32(leaf.values.to_vec(), &leaf.shape, device));
        }
    }
    Ok(params)
}

/// States that begin as a parameter says are not missing: each of them, and the parameter, unless the file has it.
fn forget_copies<'a>(graph: &'a Graph, report: &mut LoadReport) -> Vec<(&'a str, &'a StateLeaf, NodeId)> {
    let mut copies = Vec::new();
    for (_, path, leaf) in graph.states() {
        let (Beginning::CopyOf(of) | Beginning::LargestOf(of)) = leaf.begins else { continue };
        let Some(place) = report.missing.iter().position(|misfit| misfit.path == path) else { continue };
        report.missing.remove(place);
        copies.push((path, leaf, of));
    }
    copies
}

/// Tensors with values that are no numbers.
#[derive(Debug, Default)]
struct OddValues {
    /// The first: name, values that are not finite, values.
    first: Option<(String, usize, usize)>,
    others: usize,
}

impl OddValues {
    fn look(&mut self, name: &str, values: &[f32]) {
        let count = values.iter().filter(|value| !value.is_finite()).count();
        match (count, &self.first) {
            (0, _) => {}
            (_, Some(_)) => self.others += 1,
            (_, None) => self.first = Some((name.to_owned(), count, values.len())),
        }
    }

    fn check(self, file_of: impl Fn(&str) -> PathBuf) -> Result<(), WeightsError> {
        let Some((name, count, of)) = self.first else { return Ok(()) };
        let path = file_of(&name);
        Err(WeightsError::NotFinite { name, count, of, others: self.others, path })
    }
}

/// Refuses tensors with values that are no numbers.
pub(super) fn check_finite(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<(), WeightsError> {
    let mut odd = OddValues::default();
    for (name, tensor) in tensors {
        odd.look(name, &tensor.data);
    }
    odd.check(|_| path.to_path_buf())
}
