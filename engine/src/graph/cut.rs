//! Where a frozen prefix may be cached: the smallest set of values that separates its work from what trains.

use std::collections::{BTreeSet, HashMap};

use petgraph::Direction;
use petgraph::algo::dinics;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;

use super::{Graph, Move, NodeId, NodeKind, Schedule, Thing, When};
use crate::ops::{Element, Op, Reads, Rows};
use crate::tensor::{Shape, elements};

/// Values that, kept for each sample, spare a walk its frozen work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The nodes whose values are kept, in graph order.
    pub after: Vec<NodeId>,
    /// For each of them the columns that its own prefix reads.
    pub columns: Vec<BTreeSet<String>>,
    /// Bytes of all of them for one sample.
    pub bytes_per_sample: u64,
    /// Multiply-adds of one sample that need not be done again.
    pub multiply_adds: u64,
}

/// The cut of a walk, or nothing when no frozen work precedes what trains.
///
/// A value can be kept when it is a function of its own sample: not tracked, drawing nothing, free of other
/// samples, of routing and of states that the walk updates. Of all sets of such values that lie between every
/// frozen multiplication and what is tracked (or cannot be kept), this is one of fewest bytes a sample, and of
/// those the one nearest to what trains. Cheap frozen nodes behind it are run again.
///
/// `shapes` are those of a batch of one (see [`Graph::shapes`]).
#[must_use]
pub fn cut(graph: &Graph, schedule: &Schedule, shapes: &[Shape]) -> Option<Cut> {
    let prefix = Prefix::of(graph, schedule);
    let mut network: DiGraph<(), u64> = DiGraph::new();
    let (source, sink) = (network.add_node(()), network.add_node(()));
    let mut ends: HashMap<NodeId, (NodeIndex, NodeIndex)> = HashMap::new();
    let kept: Vec<NodeId> = graph.order().iter().copied().filter(|id| prefix.keepable[id.index()]).collect();
    let bytes = |id: NodeId| {
        let size = if op_of(graph, id).is_some_and(|op| op.element() == Element::Integer) { 8 } else { 4 };
        elements(&shapes[id.index()]) as u64 * size
    };
    let endless = kept.iter().map(|id| bytes(*id)).sum::<u64>() + 1;
    for &id in &kept {
        let (enter, leave) = (network.add_node(()), network.add_node(()));
        network.add_edge(enter, leave, bytes(id));
        if graph.multiply_adds(id, shapes) > 0 {
            network.add_edge(source, enter, endless);
        }
        for input in reads(graph, schedule, id) {
            if let Some((_, from)) = ends.get(&input) {
                network.add_edge(*from, enter, endless);
            }
        }
        ends.insert(id, (enter, leave));
    }
    // What reads the prefix from outside needs its values in every walk.
    let outside =
        graph.order().iter().copied().filter(|id| prefix.runs[id.index()] && !ends.contains_key(id));
    let read: BTreeSet<NodeId> =
        outside.flat_map(|id| reads(graph, schedule, id)).chain(prefix.results.iter().copied()).collect();
    for (_, leave) in read.iter().filter_map(|id| ends.get(id)) {
        network.add_edge(*leave, sink, endless);
    }
    let (flow, flows) = dinics(&network, source, sink);
    if flow == 0 {
        return None;
    }
    let after_sink = reaches(&network, &flows, sink);
    let after: Vec<NodeId> = kept
        .into_iter()
        .filter(|id| {
            let (enter, leave) = ends[id];
            !after_sink[enter.index()] && after_sink[leave.index()]
        })
        .collect();
    let before = graph.upstream(after.iter().copied());
    let spared = graph.order().iter().filter(|id| before[id.index()] && prefix.keepable[id.index()]);
    Some(Cut {
        columns: after.iter().map(|id| columns(graph, *id)).collect(),
        bytes_per_sample: after.iter().map(|id| bytes(*id)).sum(),
        multiply_adds: spared.map(|id| graph.multiply_adds(*id, shapes)).sum(),
        after,
    })
}

/// Columns that a node depends on.
fn columns(graph: &Graph, id: NodeId) -> BTreeSet<String> {
    let upstream = graph.upstream([id]);
    let inputs = graph.nodes().iter().zip(upstream).filter_map(|(node, is)| match &node.kind {
        NodeKind::Input(leaf) if is => Some(leaf.column.clone()),
        _ => None,
    });
    inputs.collect()
}

/// Vertices from which the sink can be reached with capacity left.
fn reaches(network: &DiGraph<(), u64>, flows: &[u64], sink: NodeIndex) -> Vec<bool> {
    let mut reached = vec![false; network.node_count()];
    reached[sink.index()] = true;
    let mut waiting = vec![sink];
    while let Some(here) = waiting.pop() {
        let forward = network.edges_directed(here, Direction::Incoming);
        let forward = forward.filter(|e| flows[e.id().index()] < *e.weight()).map(|e| e.source());
        let back = network.edges_directed(here, Direction::Outgoing);
        let back = back.filter(|e| flows[e.id().index()] > 0).map(|e| e.target());
        for next in forward.chain(back) {
            if !std::mem::replace(&mut reached[next.index()], true) {
                waiting.push(next);
            }
        }
    }
    reached
}

/// Which nodes a walk runs, and which of their values could be kept for a sample.
struct Prefix {
    runs: Vec<bool>,
    keepable: Vec<bool>,
    results: Vec<NodeId>,
}

impl Prefix {
    fn of(graph: &Graph, schedule: &Schedule) -> Self {
        let count = graph.nodes().len();
        let mut runs = vec![false; count];
        let mut dropped = vec![false; count];
        for step in &schedule.moves {
            match step {
                Move::Run { node, .. } => runs[node.index()] = true,
                Move::Drop(Thing::Value(node)) => dropped[node.index()] = true,
                _ => {}
            }
        }
        let results = (0..count).filter(|&i| runs[i] && !dropped[i]).map(|i| graph.id(i)).collect();
        let mut prefix = Self { runs, keepable: vec![false; count], results };
        // Of a column; a function of its own sample alone; rows in the batch's own order.
        let (mut batch, mut own, mut aligned) = (vec![false; count], vec![true; count], vec![true; count]);
        // What changes from step to step: updated within the walk or after it, or trained and read without a gradient.
        let late = graph.demands().updates.iter().filter(|update| update.when == When::AfterStep);
        let mut changing: BTreeSet<NodeId> =
            schedule.updates.iter().chain(late).map(|update| update.target).collect();
        changing.extend(schedule.moves.iter().filter_map(|step| match step {
            Move::Gradient(leaf, _) => Some(*leaf),
            _ => None,
        }));
        for &id in graph.order() {
            let i = id.index();
            let Some(op) = op_of(graph, id) else {
                batch[i] = matches!(&graph.node(id).kind, NodeKind::Input(_));
                aligned[i] =
                    !matches!(&graph.node(id).kind, NodeKind::Input(leaf) if leaf.rows_where.is_some());
                own[i] = !changing.contains(&id);
                continue;
            };
            let inputs: Vec<NodeId> = reads(graph, schedule, id);
            batch[i] = inputs.iter().any(|input| batch[input.index()]);
            own[i] = inputs.iter().all(|input| own[input.index()])
                && !op.mixes_samples()
                && !(op.draws() && schedule.training[i]);
            aligned[i] = match op.rows() {
                Rows::Same => inputs.iter().all(|input| aligned[input.index()]),
                Rows::Selected => false,
                Rows::Restored => inputs.first().is_none_or(|input| aligned[input.index()]),
            };
            prefix.keepable[i] = prefix.runs[i] && batch[i] && own[i] && aligned[i] && !schedule.tracked[i];
        }
        prefix
    }
}

fn op_of(graph: &Graph, id: NodeId) -> Option<&dyn Op> {
    match &graph.node(id).kind {
        NodeKind::Op(op) => Some(op.as_ref()),
        _ => None,
    }
}

/// What a node reads in its mode.
fn reads(graph: &Graph, schedule: &Schedule, id: NodeId) -> Vec<NodeId> {
    let Some(op) = op_of(graph, id) else { return Vec::new() };
    let inputs = graph.node(id).inputs.iter().enumerate();
    inputs
        .filter(|(i, _)| op.reads(*i, schedule.training[id.index()]) != Reads::Nothing)
        .map(|(_, input)| *input)
        .collect()
}
