//! What is computed again in backward: regions that keep only what they read from outside.

use super::{Graph, NodeId};
use crate::ops::Keeps;

/// Which region to be recomputed a node belongs to.
pub(super) struct Regions {
    of: Vec<Option<usize>>,
    count: usize,
}

impl Regions {
    pub(super) fn new(
        graph: &Graph,
        regions: &[Vec<NodeId>],
        needed: &[bool],
        is_op: &dyn Fn(NodeId) -> bool,
    ) -> Self {
        let mut of = vec![None; graph.nodes().len()];
        for (number, nodes) in regions.iter().enumerate() {
            for id in nodes.iter().filter(|id| needed[id.index()] && is_op(**id)) {
                of[id.index()] = Some(number);
            }
        }
        Self { of, count: regions.len() }
    }

    pub(super) fn of(&self, id: NodeId) -> Option<usize> {
        self.of[id.index()]
    }
}

/// The nodes that each region computes again, in order.
pub(super) struct Again {
    nodes: Vec<Vec<NodeId>>,
    made_again: Vec<bool>,
}

impl Again {
    pub(super) fn of(&self, region: usize) -> &[NodeId] {
        &self.nodes[region]
    }

    pub(super) fn is_made_again(&self, id: NodeId) -> bool {
        self.made_again[id.index()]
    }
}

/// Decides what is made again. `run` are the nodes of the walk in order, `reads` the inputs that a node reads.
///
/// A value is kept rather than made again when a vjp outside its region reads it, or another region reads it to
/// be made again itself. Keeping more can only shrink what is made again, so this ends.
pub(super) fn again(
    regions: &Regions,
    run: &[NodeId],
    differentiated: &[bool],
    keeps: &[Keeps],
    graph: &Graph,
    reads: &dyn Fn(NodeId) -> Vec<NodeId>,
) -> Again {
    let count = graph.nodes().len();
    // What the vjps read: per value whether its own region does, and whether anyone else does.
    let (mut inside, mut kept) = (vec![false; count], vec![false; count]);
    for &id in run.iter().filter(|id| differentiated[id.index()]) {
        let keep = &keeps[id.index()];
        let inputs = graph.node(id).inputs.iter().enumerate().filter(|(i, _)| keep.input(*i));
        for value in inputs.map(|(_, input)| *input).chain(keep.output.then_some(id)) {
            let same = regions.of(value).is_some() && regions.of(value) == regions.of(id);
            let slot = if same { &mut inside } else { &mut kept };
            slot[value.index()] = true;
        }
        if keep.extras && regions.of(id).is_some() {
            inside[id.index()] = true;
        }
    }
    loop {
        let mut made_again = vec![false; count];
        let mut boundary = Vec::new();
        for &id in run.iter().rev() {
            let Some(region) = regions.of(id) else { continue };
            let extras = differentiated[id.index()] && keeps[id.index()].extras;
            let wanted = made_again[id.index()] || inside[id.index()];
            if !wanted || (kept[id.index()] && !extras) {
                continue;
            }
            made_again[id.index()] = true;
            for input in reads(id) {
                match regions.of(input) {
                    Some(other) if other == region && !kept[input.index()] => {
                        made_again[input.index()] = true;
                    }
                    Some(other) if other != region && !kept[input.index()] => boundary.push(input),
                    _ => {}
                }
            }
        }
        if boundary.is_empty() {
            let mut nodes = vec![Vec::new(); regions.count];
            for &id in run.iter().filter(|id| made_again[id.index()]) {
                if let Some(region) = regions.of(id) {
                    nodes[region].push(id);
                }
            }
            return Again { nodes, made_again };
        }
        for value in boundary {
            kept[value.index()] = true;
        }
    }
}
