//! One schedule per walk: the executor only performs it, the planner only adds it up, and nothing else decides
//! what lives.

use super::recompute::{Regions, again};
use super::{Graph, NodeId, NodeKind, Update, When};
use crate::ops::{Keeps, Op, Reads};

/// Something that a walk holds on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Thing {
    /// A node's value.
    Value(NodeId),
    /// The extras of its forward that its vjp reads.
    Extras(NodeId),
}

/// One move of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Compute a node's value, and its extras if its vjp reads them.
    Run {
        /// The node.
        node: NodeId,
        /// Whether its extras are kept.
        extras: bool,
    },
    /// Compute in backward, once more, what forward did not keep.
    Recompute {
        /// The node.
        node: NodeId,
        /// Whether its extras are kept.
        extras: bool,
    },
    /// Forget something: nothing reads it any more.
    Drop(Thing),
    /// Hold a value in fewer bits until backward reads it.
    Pack(NodeId),
    /// Make it what it was, to those bits.
    Unpack(NodeId),
    /// Turn a node's output gradient into gradients of its inputs.
    Vjp(NodeId),
    /// A leaf's gradient is complete.
    Gradient(NodeId, Take),
    /// Put an update's value in place (its index in [`Schedule::updates`]).
    Commit(usize),
}

/// In how many bits values wait for backward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum KeptBits {
    /// As they are.
    #[default]
    Full,
    /// As 16-bit whole numbers with a scale for each row of the last axis.
    Bits16,
    /// As 8-bit ones.
    Bits8,
}

impl KeptBits {
    /// Values of fewer elements stay as they are.
    pub const LEAST: usize = 4096;

    /// Bytes that a value of this shape is held in, and whether that is packed at all.
    #[must_use]
    pub fn bytes(self, shape: &[usize]) -> Option<u64> {
        let count = crate::tensor::elements(shape);
        let width = shape.last().copied().unwrap_or(1).max(1);
        let each = match self {
            Self::Full => return None,
            Self::Bits16 => 2,
            Self::Bits8 => 1,
        };
        (count >= Self::LEAST).then_some((each * count + 4 * (count / width)) as u64)
    }
}

/// What is done with a complete gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Take {
    /// The optimiser steps at once, and the gradient is gone.
    Step,
    /// It is added to those of the step's other parts.
    Accumulate,
    /// It waits for all others, whose common norm decides how far it counts.
    #[default]
    Hold,
    /// It is folded into a statistic.
    Fold,
}

/// Why no schedule could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The loss does not depend on anything that is trained.
    #[error("nothing that is trained reaches the loss; check what the stage trains")]
    NothingTracked,
}

/// What a walk is to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Nodes whose values are wanted.
    pub results: &'a [NodeId],
    /// The scalar to differentiate.
    pub loss: Option<NodeId>,
    /// Leaves that get a gradient: parameters, columns, or nodes whose values are handed in.
    pub leaves: &'a [NodeId],
    /// Per node: training mode. Empty for inference throughout.
    pub training: &'a [bool],
    /// Nodes of each region that keeps only what it reads from outside and is computed again in backward.
    pub recompute: &'a [Vec<NodeId>],
    /// Nodes whose values are handed in: nothing before them runs.
    pub given: &'a [NodeId],
    /// Updates to carry out.
    pub updates: &'a [Update],
    /// What is done with gradients.
    pub take: Take,
    /// In how many bits values wait for backward.
    pub kept_bits: KeptBits,
}

/// The moves of one forward, or of one forward and backward.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// All moves in order.
    pub moves: Vec<Move>,
    /// How many of them are the forward part.
    pub forward_moves: usize,
    /// Per node: does it need a gradient.
    pub tracked: Vec<bool>,
    /// Per node: does it run in training mode.
    pub training: Vec<bool>,
    /// Per node: what its vjp reads.
    pub keeps: Vec<Keeps>,
    /// Per node: which inputs want a gradient.
    pub wanted: Vec<Vec<bool>>,
    /// Per node: it is differentiated.
    pub differentiated: Vec<bool>,
    /// Updates that the walk carries out.
    pub updates: Vec<Update>,
    /// Per node: its value is handed in.
    pub given: Vec<bool>,
    /// In how many bits values wait for backward.
    pub kept_bits: KeptBits,
}

impl Schedule {
    /// A forward walk in inference mode to `results`, keeping nothing but them.
    #[must_use]
    pub fn forward(graph: &Graph, results: &[NodeId]) -> Self {
        Self::make(graph, &Request { results, ..Request::default() })
    }

    /// The same in these modes, node by node.
    #[must_use]
    pub fn forward_in(graph: &Graph, results: &[NodeId], training: &[bool]) -> Self {
        Self::make(graph, &Request { results, training, ..Request::default() })
    }

    /// The same from values that are handed in.
    #[must_use]
    pub fn inference(graph: &Graph, results: &[NodeId], given: &[NodeId]) -> Self {
        Self::make(graph, &Request { results, given, ..Request::default() })
    }

    /// A walk as requested.
    ///
    /// # Errors
    /// When the loss depends on none of the leaves.
    pub fn new(graph: &Graph, request: &Request<'_>) -> Result<Self, ScheduleError> {
        let schedule = Self::make(graph, request);
        match request.loss {
            Some(loss) if !schedule.tracked[loss.index()] => Err(ScheduleError::NothingTracked),
            _ => Ok(schedule),
        }
    }

    fn make(graph: &Graph, request: &Request<'_>) -> Self {
        let count = graph.nodes().len();
        let training =
            if request.training.is_empty() { vec![false; count] } else { request.training.to_vec() };
        let mut given = vec![false; count];
        for id in request.given {
            given[id.index()] = true;
        }
        let mut draft = Draft {
            graph,
            given: &given,
            training: &training,
            tracked: tracked(graph, request.leaves, &training, &given),
            wanted: vec![Vec::new(); count],
            keeps: vec![Keeps::nothing(); count],
            differentiated: vec![false; count],
        };
        draft.decide(request.loss);
        let moves = draft.moves(request);
        let forward_moves =
            moves.iter().position(|step| matches!(step, Move::Vjp(_) | Move::Recompute { .. }));
        let forward_moves = forward_moves.unwrap_or(moves.len());
        let Draft { tracked, wanted, keeps, differentiated, .. } = draft;
        let mut schedule = Self {
            moves,
            forward_moves,
            tracked,
            training,
            keeps,
            wanted,
            differentiated,
            updates: request.updates.to_vec(),
            given,
            kept_bits: request.kept_bits,
        };
        schedule.drop_early(graph, request);
        if request.kept_bits != KeptBits::Full {
            schedule.pack(graph, request);
        }
        schedule
    }

    /// Whether the walk turns the node's gradient into those of its inputs.
    #[must_use]
    pub fn is_differentiated(&self, id: NodeId) -> bool {
        self.differentiated[id.index()]
    }

    /// What a move reads and makes.
    fn touches(&self, graph: &Graph, step: Move) -> (Vec<Thing>, Vec<Thing>) {
        match step {
            Move::Run { node, extras } | Move::Recompute { node, extras } => {
                let NodeKind::Op(op) = &graph.node(node).kind else { return Default::default() };
                let inputs = graph.node(node).inputs.iter().enumerate();
                let read = inputs
                    .filter(|(i, _)| op.reads(*i, self.training[node.index()]) != Reads::Nothing)
                    .map(|(_, input)| Thing::Value(*input))
                    .collect();
                let mut made = vec![Thing::Value(node)];
                if extras {
                    made.push(Thing::Extras(node));
                }
                (read, made)
            }
            Move::Vjp(node) => {
                let keeps = &self.keeps[node.index()];
                let inputs = graph.node(node).inputs.iter().enumerate();
                let mut read: Vec<Thing> =
                    inputs.filter(|(i, _)| keeps.input(*i)).map(|(_, input)| Thing::Value(*input)).collect();
                if keeps.output {
                    read.push(Thing::Value(node));
                }
                if keeps.extras {
                    read.push(Thing::Extras(node));
                }
                (read, Vec::new())
            }
            Move::Commit(number) => (vec![Thing::Value(self.updates[number].value)], Vec::new()),
            Move::Drop(_) | Move::Gradient(..) | Move::Pack(_) | Move::Unpack(_) => (Vec::new(), Vec::new()),
        }
    }

    /// Puts a drop behind the last move that reads each thing, in every life that it has.
    fn drop_early(&mut self, graph: &Graph, request: &Request<'_>) {
        let count = graph.nodes().len();
        let place = |thing: Thing| match thing {
            Thing::Value(id) => 2 * id.index(),
            Thing::Extras(id) => 2 * id.index() + 1,
        };
        // Only ops' values live within a walk; leaves and handed-in values are held by others.
        let lives = |thing: &Thing| match thing {
            Thing::Value(id) => {
                matches!(graph.node(*id).kind, NodeKind::Op(_))
                    && !self.given[id.index()]
                    && request.loss != Some(*id)
                    && !request.results.contains(id)
            }
            Thing::Extras(_) => true,
        };
        let mut last: Vec<Option<usize>> = vec![None; 2 * count];
        let mut drops: Vec<Vec<Thing>> = vec![Vec::new(); self.moves.len()];
        let mut things: Vec<Thing> = Vec::new();
        for (number, &step) in self.moves.iter().enumerate() {
            let (read, made) = self.touches(graph, step);
            for thing in made.into_iter().filter(lives) {
                match last[place(thing)].replace(number) {
                    // A second life: what was there of the first ends with its last reader.
                    Some(end) => drops[end].push(thing),
                    None => things.push(thing),
                }
            }
            for thing in read.into_iter().filter(lives) {
                if last[place(thing)].is_some() {
                    last[place(thing)] = Some(number);
                }
            }
        }
        for thing in things {
            if let Some(end) = last[place(thing)] {
                drops[end].push(thing);
            }
        }
        let forward = self.forward_moves;
        let mut moves = Vec::with_capacity(self.moves.len() * 2);
        for (number, (&step, mut dropped)) in self.moves.iter().zip(drops).enumerate() {
            if number == forward {
                self.forward_moves = moves.len();
            }
            moves.push(step);
            dropped.sort_unstable();
            moves.extend(dropped.into_iter().map(Move::Drop));
        }
        if forward == self.moves.len() {
            self.forward_moves = moves.len();
        }
        self.moves = moves;
    }
}

impl Schedule {
    /// Packs what lives across the boundary behind its last reader in forward, and unpacks it before its first one in
    /// backward.
    fn pack(&mut self, graph: &Graph, request: &Request<'_>) {
        let count = graph.nodes().len();
        let (mut last, mut first) = (vec![None; count], vec![None; count]);
        let mut lives = vec![false; count];
        for (number, &step) in self.moves[..self.forward_moves].iter().enumerate() {
            if let Move::Drop(Thing::Value(node)) = step {
                lives[node.index()] = false;
            }
            let (read, made) = self.touches(graph, step);
            for thing in read.into_iter().chain(made) {
                let Thing::Value(node) = thing else { continue };
                last[node.index()] = Some(number);
                if matches!(step, Move::Run { node: own, .. } if own == node) {
                    lives[node.index()] = true;
                }
            }
        }
        for (number, &step) in self.moves.iter().enumerate().skip(self.forward_moves) {
            for thing in self.touches(graph, step).0 {
                if let Thing::Value(node) = thing {
                    first[node.index()].get_or_insert(number);
                }
            }
        }
        let packs = |node: NodeId| {
            let NodeKind::Op(op) = &graph.node(node).kind else { return false };
            op.element() == crate::ops::Element::Float
                && lives[node.index()]
                && !request.results.contains(&node)
                && request.loss != Some(node)
                && !request.updates.iter().any(|update| update.value == node)
        };
        let mut behind = vec![Vec::new(); self.moves.len()];
        let mut before = vec![Vec::new(); self.moves.len()];
        for &node in graph.order().iter().filter(|node| packs(**node)) {
            if let (Some(last), Some(first)) = (last[node.index()], first[node.index()]) {
                behind[last].push(node);
                before[first].push(node);
            }
        }
        let mut moves = Vec::with_capacity(self.moves.len());
        let mut forward = self.forward_moves;
        for (number, &step) in self.moves.iter().enumerate() {
            if number == self.forward_moves {
                forward = moves.len();
            }
            moves.extend(before[number].iter().map(|node| Move::Unpack(*node)));
            moves.push(step);
            moves.extend(behind[number].iter().map(|node| Move::Pack(*node)));
        }
        self.forward_moves = forward;
        self.moves = moves;
    }
}

/// What is known before the moves are.
struct Draft<'a> {
    graph: &'a Graph,
    given: &'a [bool],
    training: &'a [bool],
    tracked: Vec<bool>,
    wanted: Vec<Vec<bool>>,
    keeps: Vec<Keeps>,
    differentiated: Vec<bool>,
}

impl Draft<'_> {
    /// The op of a node that this walk would run.
    fn op(&self, id: NodeId) -> Option<&dyn Op> {
        match &self.graph.node(id).kind {
            NodeKind::Op(op) if !self.given[id.index()] => Some(op.as_ref()),
            _ => None,
        }
    }

    /// Which inputs a node reads in its mode, by values or by shape.
    fn reads(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let training = self.training[id.index()];
        self.op(id).into_iter().flat_map(move |op| {
            let inputs = self.graph.node(id).inputs.iter().enumerate();
            inputs.filter(move |(i, _)| op.reads(*i, training) != Reads::Nothing).map(|(_, input)| *input)
        })
    }

    fn upstream(&self, ends: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
        let mut reached = vec![false; self.graph.nodes().len()];
        for end in ends {
            reached[end.index()] = true;
        }
        for &id in self.graph.order().iter().rev() {
            if reached[id.index()] {
                for input in self.reads(id) {
                    reached[input.index()] = true;
                }
            }
        }
        reached
    }

    /// Which nodes are differentiated, for which inputs, and what that keeps.
    fn decide(&mut self, loss: Option<NodeId>) {
        let towards_loss = self.upstream(loss);
        for &id in self.graph.order() {
            let node = self.graph.node(id);
            let training = self.training[id.index()];
            let Some(op) = self.op(id) else { continue };
            let wants = |(i, input): (usize, &NodeId)| {
                self.tracked[input.index()] && op.passes_gradient() && op.reads(i, training) == Reads::Value
            };
            let wanted: Vec<bool> = node.inputs.iter().enumerate().map(wants).collect();
            if towards_loss[id.index()] && self.tracked[id.index()] && wanted.contains(&true) {
                let keeps = op.keeps(&wanted, training);
                self.differentiated[id.index()] = true;
                self.keeps[id.index()] = keeps;
            }
            self.wanted[id.index()] = wanted;
        }
    }

    /// Values that are cheaply made again when a vjp reads them, from inputs that wait for backward in any case.
    fn remade(&self, run: &[NodeId], regions: &Regions, request: &Request<'_>) -> Vec<bool> {
        let count = self.graph.nodes().len();
        let mut kept = vec![false; count];
        let mut own_output = vec![false; count];
        for &id in run.iter().filter(|id| self.differentiated[id.index()]) {
            let keeps = &self.keeps[id.index()];
            for (_, input) in self.graph.node(id).inputs.iter().enumerate().filter(|(i, _)| keeps.input(*i)) {
                kept[input.index()] = true;
            }
            own_output[id.index()] = keeps.output;
        }
        let mut remade = vec![false; count];
        for &id in run {
            let Some(op) = self.op(id) else { continue };
            let wanted = kept[id.index()] && !own_output[id.index()] && op.is_cheap() && !op.draws();
            if !wanted || regions.of(id).is_some() || request.results.contains(&id) {
                continue;
            }
            remade[id.index()] = self.reads(id).all(|input| {
                let stands = self.op(input).is_none();
                stands || (kept[input.index()] && !remade[input.index()] && regions.of(input).is_none())
            });
        }
        remade
    }

    fn moves(&self, request: &Request<'_>) -> Vec<Move> {
        let values = request.updates.iter().map(|update| update.value);
        let needed = self.upstream(request.results.iter().copied().chain(request.loss).chain(values));
        let run: Vec<NodeId> = self.graph.order().iter().copied().filter(|id| needed[id.index()]).collect();
        let regions = Regions::new(self.graph, request.recompute, &needed, &|id| self.op(id).is_some());
        let again = again(&regions, &run, &self.differentiated, &self.keeps, self.graph, &|id| {
            self.reads(id).collect()
        });
        let extras = |id: NodeId| self.differentiated[id.index()] && self.keeps[id.index()].extras;
        let remade = self.remade(&run, &regions, request);
        let mut made = vec![false; remade.len()];

        let mut moves = Vec::with_capacity(3 * run.len());
        for &node in run.iter().filter(|id| self.op(**id).is_some()) {
            moves.push(Move::Run { node, extras: extras(node) && !again.is_made_again(node) });
        }
        let towards_loss = self.upstream(request.loss);
        let mut entered = vec![false; request.recompute.len()];
        for &id in run.iter().rev() {
            if request.leaves.contains(&id) && towards_loss[id.index()] {
                moves.push(Move::Gradient(id, request.take));
            }
            if self.differentiated[id.index()] {
                if let Some(region) = regions.of(id)
                    && !std::mem::replace(&mut entered[region], true)
                {
                    let nodes = again.of(region).iter();
                    moves.extend(nodes.map(|&node| Move::Recompute { node, extras: extras(node) }));
                }
                let keeps = &self.keeps[id.index()];
                let inputs = self.graph.node(id).inputs.iter().enumerate().filter(|(i, _)| keeps.input(*i));
                for (_, &input) in inputs {
                    if remade[input.index()] && !std::mem::replace(&mut made[input.index()], true) {
                        moves.push(Move::Recompute { node: input, extras: false });
                    }
                }
                moves.push(Move::Vjp(id));
            }
        }
        moves.extend((0..request.updates.len()).map(Move::Commit));
        moves
    }
}

fn tracked(graph: &Graph, leaves: &[NodeId], training: &[bool], given: &[bool]) -> Vec<bool> {
    if !given.contains(&true) {
        return graph.downstream(leaves.iter().copied(), training);
    }
    let mut tracked = graph.downstream(leaves.iter().copied(), training);
    // A handed-in value has no past: it is tracked only as a leaf, and so is what follows from it alone.
    for &id in graph.order() {
        let node = graph.node(id);
        let NodeKind::Op(op) = &node.kind else { continue };
        tracked[id.index()] = if given[id.index()] {
            leaves.contains(&id)
        } else {
            op.passes_gradient()
                && node.inputs.iter().enumerate().any(|(i, input)| {
                    tracked[input.index()] && op.reads(i, training[id.index()]) == Reads::Value
                })
        };
    }
    tracked
}

/// The updates of a graph that take place at this moment.
#[must_use]
pub fn updates_at(graph: &Graph, when: When) -> Vec<Update> {
    graph.demands().updates.iter().filter(|update| update.when == when).copied().collect()
}
