//! Which storages live, and who looks into them.

use std::collections::{HashMap, HashSet};

use crate::graph::{Graph, NodeId, NodeKind, Schedule, Thing};
use crate::ops::{Element, Lies, Op};
use crate::tensor::{Shape, elements};

/// A piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The node's value.
    Value(NodeId),
    /// The node's value in fewer bits.
    Packed(NodeId),
    /// A gradient, first made as that of this node, by the vjp of this number.
    Gradient(NodeId, usize),
}

/// Everything that lives at one moment of a walk.
pub(super) struct Storages<'a> {
    graph: &'a Graph,
    schedule: &'a Schedule,
    shapes: &'a [Shape],
    /// Per storage: who looks into it, and its bytes.
    held: HashMap<Key, (usize, u64)>,
    /// Per node that has a gradient: where it lies.
    gradients: HashMap<NodeId, Key>,
    /// Per node: bytes of its extras.
    extras_live: HashMap<NodeId, u64>,
    /// Values that were packed: no view of anything any more.
    unpacked: HashSet<NodeId>,
    vjps: usize,
    live: u64,
    gradient_live: u64,
}

impl<'a> Storages<'a> {
    pub(super) fn new(graph: &'a Graph, schedule: &'a Schedule, shapes: &'a [Shape]) -> Self {
        Self {
            graph,
            schedule,
            shapes,
            held: HashMap::new(),
            gradients: HashMap::new(),
            extras_live: HashMap::new(),
            unpacked: HashSet::new(),
            vjps: 0,
            live: 0,
            gradient_live: 0,
        }
    }

    pub(super) const fn live(&self) -> u64 {
        self.live
    }

    /// Bytes that live, by the node whose they are.
    pub(super) fn by_node(&self) -> Vec<u64> {
        let mut found = vec![0; self.graph.nodes().len()];
        for (key, (_, bytes)) in &self.held {
            let (Key::Value(node) | Key::Packed(node) | Key::Gradient(node, _)) = key;
            found[node.index()] += bytes;
        }
        for (node, bytes) in &self.extras_live {
            found[node.index()] += bytes;
        }
        found
    }

    pub(super) const fn gradient_bytes(&self) -> u64 {
        self.gradient_live
    }

    pub(super) fn multiply_adds(&self, node: NodeId) -> u64 {
        self.graph.multiply_adds(node, self.shapes)
    }

    fn op(&self, node: NodeId) -> Option<&'a dyn Op> {
        match &self.graph.node(node).kind {
            NodeKind::Op(op) => Some(op.as_ref()),
            _ => None,
        }
    }

    fn bytes(&self, node: NodeId) -> u64 {
        let size = match self.op(node) {
            Some(op) if op.element() == Element::Integer => 8,
            _ => 4,
        };
        elements(&self.shapes[node.index()]) as u64 * size
    }

    fn extras(&self, node: NodeId) -> u64 {
        let Some(op) = self.op(node) else { return 0 };
        let extras = op.extras(&self.inputs(node), &self.shapes[node.index()]);
        extras.iter().map(|shape| 4 * elements(shape) as u64).sum()
    }

    fn inputs(&self, node: NodeId) -> Vec<Shape> {
        self.graph.node(node).inputs.iter().map(|input| self.shapes[input.index()].clone()).collect()
    }

    fn hold(&mut self, key: Key, bytes: u64) {
        let (holders, _) = self.held.entry(key).or_insert((0, bytes));
        *holders += 1;
        if *holders == 1 {
            self.live += bytes;
            if matches!(key, Key::Gradient(..)) {
                self.gradient_live += bytes;
            }
        }
    }

    fn release(&mut self, key: Key) {
        let Some((holders, bytes)) = self.held.get_mut(&key) else { return };
        *holders -= 1;
        if *holders == 0 {
            self.live -= *bytes;
            if matches!(key, Key::Gradient(..)) {
                self.gradient_live -= *bytes;
            }
            self.held.remove(&key);
        }
    }

    /// The node whose storage a value looks into.
    fn storage(&self, node: NodeId) -> NodeId {
        let mut here = node;
        if self.unpacked.contains(&node) {
            return node;
        }
        while let Some(op) = self.op(here) {
            match op.view(&self.inputs(here), self.schedule.training[here.index()]) {
                Some(input) => here = self.graph.node(here).inputs[input],
                None => break,
            }
        }
        here
    }

    fn value(&self, node: NodeId) -> (Key, u64) {
        let storage = self.storage(node);
        let lives = matches!(self.graph.node(storage).kind, NodeKind::Op(_));
        (Key::Value(storage), if lives { self.bytes(storage) } else { 0 })
    }

    /// A node's value is there, and its extras. Returns what the op needs for itself meanwhile.
    pub(super) fn run(&mut self, node: NodeId, extras: bool) -> u64 {
        let (key, bytes) = self.value(node);
        self.hold(key, bytes);
        if extras {
            let bytes = self.extras(node);
            self.live += bytes;
            self.extras_live.insert(node, bytes);
        }
        self.op(node).map_or(0, |op| op.workspace(&self.inputs(node), &self.shapes[node.index()]))
    }

    pub(super) fn drop(&mut self, thing: Thing) {
        match thing {
            Thing::Value(node) => self.release(self.value(node).0),
            Thing::Extras(node) => self.live -= self.extras_live.remove(&node).unwrap_or(0),
        }
    }

    /// A value is held in fewer bits from now on. Returns what lived beside that meanwhile.
    pub(super) fn pack(&mut self, node: NodeId) -> u64 {
        let Some(bytes) = self.schedule.kept_bits.bytes(&self.shapes[node.index()]) else { return 0 };
        self.hold(Key::Packed(node), bytes);
        let most = self.live;
        let (key, _) = self.value(node);
        self.release(key);
        most - self.live
    }

    /// It is what it was. Its storage is its own from now on.
    pub(super) fn unpack(&mut self, node: NodeId) -> u64 {
        let Some(packed) = self.schedule.kept_bits.bytes(&self.shapes[node.index()]) else { return 0 };
        self.unpacked.insert(node);
        self.hold(Key::Value(node), self.bytes(node));
        self.release(Key::Packed(node));
        packed
    }

    /// The gradient that backward begins with.
    pub(super) fn first_gradient(&mut self, node: NodeId) {
        let key = Key::Gradient(node, 0);
        self.hold(key, self.bytes(node));
        self.gradients.insert(node, key);
    }

    /// A node's gradient has become those of its inputs. Returns what lived meanwhile and is gone: gradients that were
    /// added to others or were used up, and what the op needs for itself.
    pub(super) fn vjp(&mut self, node: NodeId) -> (u64, u64) {
        let Some(op) = self.op(node) else { return (0, 0) };
        self.vjps += 1;
        let own = self.gradients.remove(&node);
        let shapes = self.inputs(node);
        let training = self.schedule.training[node.index()];
        let wanted = &self.schedule.wanted[node.index()];
        let workspace = op.vjp_workspace(&shapes, &self.shapes[node.index()], wanted);
        let before = self.live;
        let mut made = Vec::new();
        for (place, &input) in self.graph.node(node).inputs.iter().enumerate() {
            if !wanted[place] {
                continue;
            }
            let lies = op.gradient_lies(place, &shapes, &self.shapes[node.index()], training);
            let alone = |key| self.held.get(&key).is_some_and(|(holders, _)| *holders == 1);
            let key = match (own, lies) {
                (Some(own), Lies::Same) => own,
                (Some(own), Lies::InPlace) if alone(own) => own,
                _ => Key::Gradient(input, self.vjps * 16 + place),
            };
            let bytes = if lies == Lies::Repeated { 0 } else { self.bytes(input) };
            self.hold(key, bytes);
            made.push((input, key));
        }
        let most = self.live.max(before);
        if let Some(own) = own {
            self.release(own);
        }
        let mut sums = 0;
        for (input, key) in made {
            match self.gradients.get(&input).copied() {
                None => drop(self.gradients.insert(input, key)),
                // Added in place where either is nobody else's.
                Some(sum)
                    if self.held.get(&sum).is_some_and(|(holders, bytes)| *holders == 1 && *bytes > 0) =>
                {
                    self.release(key);
                }
                Some(sum) if self.held.get(&key).is_some_and(|(holders, _)| *holders == 1) => {
                    self.release(sum);
                    self.gradients.insert(input, key);
                }
                Some(sum) => {
                    let fresh = Key::Gradient(input, self.vjps * 16 + 15);
                    self.hold(fresh, self.bytes(input));
                    sums = sums.max(self.live);
                    self.release(sum);
                    self.release(key);
                    self.gradients.insert(input, fresh);
                }
            }
        }
        ((most + workspace).max(sums).saturating_sub(self.live + workspace), workspace)
    }

    /// Bytes of a node's gradient.
    pub(super) fn gradient_of(&self, node: NodeId) -> u64 {
        if self.gradients.contains_key(&node) { self.bytes(node) } else { 0 }
    }

    /// A leaf's gradient goes to the optimiser, which keeps it when it `waits`.
    pub(super) fn hand_over(&mut self, node: NodeId, waits: bool) {
        let Some(key) = self.gradients.get(&node).copied() else { return };
        let on_the_way = self.schedule.is_differentiated(node);
        if on_the_way {
            if waits {
                self.hold(key, 0);
            }
            return;
        }
        self.gradients.remove(&node);
        if !waits {
            self.release(key);
        }
    }
}
