//! Adding up a schedule: bytes that live at each move, and multiply-adds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::graph::{Graph, Move, NodeId, NodeKind, Schedule, Take, Thing};
use crate::ops::Element;
use crate::tensor::{Shape, elements};

/// What a walk costs beside weights, optimiser state and what ops need while they run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes of activations that live between forward and backward.
    pub kept_bytes: u64,
    /// Most bytes of activations and gradients that live after any move.
    pub peak_bytes: u64,
    /// The node at whose move that is.
    pub peak_at: Option<NodeId>,
    /// Bytes of gradients that wait for the optimiser at the end.
    pub waiting_bytes: u64,
    /// Multiply-adds of forward.
    pub forward_multiply_adds: u64,
    /// Multiply-adds that are done again in backward.
    pub again_multiply_adds: u64,
}

/// Adds a schedule up for these shapes (see [`Graph::shapes`]).
///
/// A value that is a view pins the storage that it looks into, and that storage counts once however many values
/// look into it. Leaves are held by others and cost nothing here. A routed branch is counted with the rows that the
/// shapes say.
#[must_use]
pub fn tally(graph: &Graph, schedule: &Schedule, shapes: &[Shape]) -> Tally {
    let mut sum =
        Sum { graph, schedule, shapes, holders: HashMap::new(), gradients: HashMap::new(), live: 0 };
    let mut found = Tally::default();
    for (number, &step) in schedule.moves.iter().enumerate() {
        if number == schedule.forward_moves {
            found.kept_bytes = sum.live;
            // Backward begins with the loss's own gradient.
            if let Some(Move::Vjp(loss)) =
                schedule.moves[number..].iter().find(|step| matches!(step, Move::Vjp(_)))
            {
                sum.gradient(*loss);
            }
        }
        let node = sum.take(step, &mut found);
        if sum.live > found.peak_bytes {
            found.peak_bytes = sum.live;
            found.peak_at = node;
        }
    }
    if schedule.forward_moves == schedule.moves.len() {
        found.kept_bytes = sum.live;
    }
    found
}

struct Sum<'a> {
    graph: &'a Graph,
    schedule: &'a Schedule,
    shapes: &'a [Shape],
    /// Living values by the node whose storage they look into.
    holders: HashMap<NodeId, usize>,
    /// Bytes of gradients under way.
    gradients: HashMap<NodeId, u64>,
    live: u64,
}

impl Sum<'_> {
    fn take(&mut self, step: Move, found: &mut Tally) -> Option<NodeId> {
        match step {
            Move::Run { node, extras } | Move::Recompute { node, extras } => {
                let work = self.graph.multiply_adds(node, self.shapes);
                if matches!(step, Move::Run { .. }) {
                    found.forward_multiply_adds += work;
                } else {
                    found.again_multiply_adds += work;
                }
                self.hold(node);
                if extras {
                    self.live += self.extras(node);
                }
                Some(node)
            }
            Move::Drop(Thing::Value(node)) => {
                self.release(node);
                Some(node)
            }
            Move::Drop(Thing::Extras(node)) => {
                self.live -= self.extras(node);
                Some(node)
            }
            Move::Vjp(node) => {
                for (place, &input) in self.graph.node(node).inputs.iter().enumerate() {
                    if self.schedule.wanted[node.index()][place] {
                        self.gradient(input);
                    }
                }
                // Its own gradient is used up once those of its inputs are there.
                self.live -= self.gradients.remove(&node).unwrap_or(0);
                Some(node)
            }
            Move::Gradient(node, take) => {
                let bytes = self.gradients.get(&node).copied().unwrap_or(0);
                match take {
                    Take::Hold | Take::Accumulate => found.waiting_bytes += bytes,
                    Take::Step | Take::Fold => self.live -= bytes,
                }
                if !self.schedule.is_differentiated(node) {
                    self.gradients.remove(&node);
                }
                Some(node)
            }
            Move::Commit(_) => None,
        }
    }

    fn bytes(&self, node: NodeId) -> u64 {
        let size = match &self.graph.node(node).kind {
            NodeKind::Op(op) if op.element() == Element::Integer => 8,
            _ => 4,
        };
        elements(&self.shapes[node.index()]) as u64 * size
    }

    fn extras(&self, node: NodeId) -> u64 {
        let NodeKind::Op(op) = &self.graph.node(node).kind else { return 0 };
        let inputs: Vec<Shape> = self.inputs(node);
        let extras = op.extras(&inputs, &self.shapes[node.index()]);
        extras.iter().map(|shape| 4 * elements(shape) as u64).sum()
    }

    fn inputs(&self, node: NodeId) -> Vec<Shape> {
        self.graph.node(node).inputs.iter().map(|input| self.shapes[input.index()].clone()).collect()
    }

    /// The node whose storage a value looks into.
    fn storage(&self, node: NodeId) -> NodeId {
        let mut here = node;
        loop {
            let NodeKind::Op(op) = &self.graph.node(here).kind else { return here };
            let training = self.schedule.training[here.index()];
            match op.view(&self.inputs(here), training) {
                Some(input) => here = self.graph.node(here).inputs[input],
                None => return here,
            }
        }
    }

    fn hold(&mut self, node: NodeId) {
        let storage = self.storage(node);
        let holders = self.holders.entry(storage).or_insert(0);
        *holders += 1;
        if *holders == 1 && matches!(self.graph.node(storage).kind, NodeKind::Op(_)) {
            self.live += self.bytes(storage);
        }
    }

    fn release(&mut self, node: NodeId) {
        let storage = self.storage(node);
        let Some(holders) = self.holders.get_mut(&storage) else { return };
        *holders -= 1;
        if *holders == 0 {
            self.holders.remove(&storage);
            if matches!(self.graph.node(storage).kind, NodeKind::Op(_)) {
                self.live -= self.bytes(storage);
            }
        }
    }

    /// A node's gradient begins to be held, unless it is already.
    fn gradient(&mut self, node: NodeId) {
        let bytes = self.bytes(node);
        if let Entry::Vacant(free) = self.gradients.entry(node) {
            free.insert(bytes);
            self.live += bytes;
        }
    }
}
