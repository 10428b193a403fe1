//! The frozen prefix of a walk: which values are kept, and what the rest of the walk still reads of the data.

use std::collections::{BTreeMap, BTreeSet};

use super::CacheError;
use super::key::{Key, Keys, before, column_told};
use crate::data::{Column, Source, Split};
use crate::graph::{Binding, Extent, Graph, Move, NodeId, NodeKind, Schedule, Thing, cut};
use crate::ops::Reads;
use crate::tensor::Shape;

/// Nodes whose values are kept, with the graph that they are of and the modes that it runs in.
#[derive(Clone, Debug)]
pub struct Prefix {
    pub(super) graph: Graph,
    pub(super) training: Vec<bool>,
    after: Vec<NodeId>,
    /// Those of them that have several rows a sample.
    folded: BTreeSet<NodeId>,
    bytes_per_sample: u64,
}

impl Prefix {
    /// The prefix that the cut of a training walk leaves. `binding` is of a batch of one; extents that it does not
    /// bind are those of the data's `columns`, or 1 where they vary.
    ///
    /// # Errors
    /// When there is nothing to keep, with the reason.
    pub fn at_cut(
        graph: &Graph,
        schedule: &Schedule,
        binding: &Binding,
        columns: &[Column],
    ) -> Result<Self, CacheError> {
        let shapes = graph.shapes(&bound(graph, binding, columns))?;
        let Some(cut) = cut(graph, schedule, &shapes) else {
            return Err(CacheError::Nothing { why: why_not(graph, schedule, &shapes) });
        };
        let several = |id: &NodeId| shapes[id.index()].first().is_some_and(|rows| *rows != 1);
        Ok(Self {
            graph: graph.clone(),
            training: schedule.training.clone(),
            folded: cut.after.iter().copied().filter(several).collect(),
            after: cut.after,
            bytes_per_sample: cut.bytes_per_sample,
        })
    }

    /// Whether a source tells what the prefix reads of it depends on.
    ///
    /// # Errors
    /// When it does not.
    pub fn check(&self, source: &dyn Source) -> Result<(), CacheError> {
        let schedule = self.schedule(&self.after);
        for column in columns_read(&self.graph, &schedule).into_keys() {
            column_told(source, Split::Train, &column)?;
        }
        Ok(())
    }

    /// The part of this prefix that another graph has as well, in inference mode, on the way to `results`: nodes of the
    /// same paths and, by `keys`, the same values.
    pub(super) fn shared_with(
        &self,
        graph: &Graph,
        results: &[NodeId],
        keys: &Keys<'_>,
    ) -> Result<Self, CacheError> {
        let training = vec![false; graph.nodes().len()];
        let needed = before(graph, &training, results);
        let own = self.keys(keys)?;
        let (mut after, mut folded) = (Vec::new(), BTreeSet::new());
        for (id, key) in self.after.iter().zip(own) {
            if let Some(other) = graph.find(&self.graph.node(*id).path)
                && needed[other.index()]
                && keys.nodes(graph, &training, &[other])? == [key]
            {
                after.push(other);
                if self.folded.contains(id) {
                    folded.insert(other);
                }
            }
        }
        let bytes_per_sample = self.bytes_per_sample;
        Ok(Self { graph: graph.clone(), training, after, folded, bytes_per_sample })
    }

    /// The nodes whose values are kept, in graph order.
    #[must_use]
    pub fn after(&self) -> &[NodeId] {
        &self.after
    }

    /// Bytes of all of them for one sample.
    #[must_use]
    pub const fn bytes_per_sample(&self) -> u64 {
        self.bytes_per_sample
    }

    /// Whether one of them has several rows a sample.
    pub(super) fn is_folded(&self, id: NodeId) -> bool {
        self.folded.contains(&id)
    }

    /// The paths of those that have several rows a sample.
    pub(super) fn folded_paths(&self) -> BTreeSet<String> {
        self.folded.iter().map(|id| self.graph.node(*id).path.clone()).collect()
    }

    /// Their paths.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.after.iter().map(|id| self.graph.node(*id).path.clone()).collect()
    }

    pub(super) fn keys(&self, keys: &Keys<'_>) -> Result<Vec<Key>, CacheError> {
        keys.nodes(&self.graph, &self.training, &self.after)
    }

    /// The walk that computes some of the values.
    pub(super) fn schedule(&self, nodes: &[NodeId]) -> Schedule {
        Schedule::forward_in(&self.graph, nodes, &self.training)
    }
}

/// The columns that a walk reads, and whether their values count for anything that comes of it or their extents alone.
pub(super) fn columns_read(graph: &Graph, schedule: &Schedule) -> BTreeMap<String, Reads> {
    let mut runs = vec![false; graph.nodes().len()];
    let mut dropped = runs.clone();
    for step in &schedule.moves {
        match *step {
            Move::Run { node, .. } | Move::Recompute { node, .. } => runs[node.index()] = true,
            Move::Drop(Thing::Value(node)) => dropped[node.index()] = true,
            _ => {}
        }
    }
    // What comes of the walk, and what a gradient passes; then what these are made of.
    let mut counts: Vec<bool> =
        (0..runs.len()).map(|index| runs[index] && (!dropped[index] || schedule.tracked[index])).collect();
    let mut columns = BTreeMap::new();
    for &id in graph.order().iter().rev().filter(|id| runs[id.index()]) {
        let NodeKind::Op(op) = &graph.node(id).kind else { continue };
        for (i, input) in graph.node(id).inputs.iter().enumerate() {
            let reads = match op.reads(i, schedule.training[id.index()]) {
                Reads::Nothing => continue,
                Reads::Value if counts[id.index()] => Reads::Value,
                Reads::Value | Reads::Shape => Reads::Shape,
            };
            counts[input.index()] |= reads == Reads::Value;
            if let NodeKind::Input(leaf) = &graph.node(*input).kind {
                let known = columns.entry(leaf.column.clone()).or_insert(reads);
                if reads == Reads::Value {
                    *known = Reads::Value;
                }
            }
        }
    }
    columns
}

/// The binding with every extent that the graph's columns name.
fn bound(graph: &Graph, binding: &Binding, columns: &[Column]) -> Binding {
    let mut binding = binding.clone();
    for leaf in graph.columns().filter(|leaf| leaf.rows_where.is_none()) {
        let column = columns.iter().find(|column| column.name == leaf.column);
        for (axis, extent) in leaf.extents.iter().enumerate() {
            let Extent::Named(name) = extent else { continue };
            if binding.get(name).is_none() {
                let own = axis.checked_sub(1).and_then(|axis| *column?.extents.get(axis)?);
                binding = binding.with(name, own.unwrap_or(1));
            }
        }
    }
    binding
}

/// Why a walk has no cut, and what to do.
fn why_not(graph: &Graph, schedule: &Schedule, shapes: &[Shape]) -> String {
    let runs = schedule.moves.iter().filter_map(|step| match step {
        Move::Run { node, .. } => Some(*node),
        _ => None,
    });
    let frozen = runs.filter(|id| !schedule.tracked[id.index()] && graph.multiply_adds(*id, shapes) > 0);
    let frozen: Vec<NodeId> = frozen.collect();
    let upstream = before(graph, &schedule.training, &frozen);
    for &id in graph.order().iter().filter(|id| upstream[id.index()]) {
        let node = graph.node(id);
        let NodeKind::Op(op) = &node.kind else { continue };
        let what = if op.draws() && schedule.training[id.index()] {
            "draws random numbers in training mode"
        } else if op.mixes_samples() {
            "reads all samples of a batch at once"
        } else {
            continue;
        };
        return format!(
            "`{}` {what} before the frozen work; set it to `Inference` by the stage's `modes`",
            node.path
        );
    }
    "no frozen work lies between the data and what trains; freeze more by `freeze`".to_owned()
}
