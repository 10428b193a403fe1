//! Performing a schedule: forward on plain tensors, reverse mode over graph nodes.

mod profile;
mod upload;

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

pub use profile::{NodeCost, Profiler};
pub use upload::{upload, upload_given};

use crate::graph::{Graph, InputLeaf, KeptBits, Move, NodeId, NodeKind, Schedule, Take, Thing};
use crate::ops::{Context, Kept, Op, Reads};
use crate::tensor::kernels::Packed;
use crate::tensor::{Stream, Value};
use crate::weights::Params;

/// What is handed into a walk on a device: columns of one batch by name, rows of a column by
/// [`InputLeaf::key`], values of inner nodes by path.
pub type Inputs = BTreeMap<String, Value>;

/// What a walk could not find.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// The batch lacks a column.
    #[error("the batch has no column `{column}`, which the model reads")]
    MissingColumn {
        /// The column.
        column: String,
    },
    /// A parameter has no value.
    #[error("the parameter `{path}` has no value")]
    MissingParam {
        /// The parameter.
        path: String,
    },
}

/// Seconds of one walk by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Phases {
    /// Nodes that nothing trained lies upstream of.
    pub frozen_forward_secs: f64,
    /// The other nodes' forward.
    pub trainable_forward_secs: f64,
    /// All of backward.
    pub backward_secs: f64,
}

/// One walk over a graph.
#[derive(Clone, Copy, Debug)]
pub struct Walk<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// What to do, in order.
    pub schedule: &'a Schedule,
    /// Seed of all random streams.
    pub seed: u64,
    /// Position in those streams.
    pub step: u64,
}

/// What a walk returns.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Values of the nodes that the schedule was made for, but for those that were absent.
    pub values: HashMap<NodeId, Value>,
    /// Where the time went.
    pub phases: Phases,
}

/// Is told of each move of a walk: for meters, profiles and progress.
pub trait Watcher {
    /// The move begins.
    fn begin(&mut self, step: Move) {
        let _ = step;
    }
    /// The move is done.
    fn end(&mut self, step: Move);
    /// All moves are done; values that nobody asked for are gone.
    fn walked(&mut self) {}
}

/// Nobody watches.
#[derive(Clone, Copy, Debug)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn end(&mut self, _step: Move) {}
}

/// Takes a complete gradient of the leaf of this path. The parameters are handed over with it: nothing in the
/// walk reads that leaf any more.
pub type GradientSink<'a> = dyn FnMut(&mut Params, &str, Value, Take) + 'a;

impl Walk<'_> {
    fn context(&self, id: NodeId) -> Context {
        if !self.schedule.training[id.index()] {
            return Context { step: self.step, ..Context::inference() };
        }
        Context { stream: Stream::new(self.seed, &self.graph.node(id).path), step: self.step, training: true }
    }

    /// Performs all moves. `gradient` gets each leaf's gradient as soon as it is complete; a leaf that nothing
    /// read, because its branch was not run, has none. Updates replace their targets in `params` at the end.
    ///
    /// # Errors
    /// When the batch lacks a column or a parameter has no value.
    pub fn run(
        &self,
        params: &mut Params,
        inputs: &Inputs,
        gradient: &mut GradientSink<'_>,
    ) -> Result<Outcome, ExecError> {
        self.run_watched(params, inputs, gradient, &mut Unwatched)
    }

    /// The same under the eyes of a watcher.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_watched(
        &self,
        params: &mut Params,
        inputs: &Inputs,
        gradient: &mut GradientSink<'_>,
        watcher: &mut dyn Watcher,
    ) -> Result<Outcome, ExecError> {
        let count = self.graph.nodes().len();
        let mut state = State {
            values: vec![None; count],
            extras: HashMap::new(),
            packed: HashMap::new(),
            shapes: vec![Vec::new(); count],
            gradients: vec![None; count],
        };
        let mut phases = Phases::default();
        let (forward, backward) = self.schedule.moves.split_at(self.schedule.forward_moves);
        for &step in forward {
            let begin = Instant::now();
            watcher.begin(step);
            self.perform(step, params, inputs, &mut state, gradient)?;
            watcher.end(step);
            if let Move::Run { node, .. } = step {
                let secs = begin.elapsed().as_secs_f64();
                if self.schedule.tracked[node.index()] {
                    phases.trainable_forward_secs += secs;
                } else {
                    phases.frozen_forward_secs += secs;
                }
            }
        }
        let begin = Instant::now();
        // Backward begins at the loss: the first node to be differentiated.
        let first =
            backward.iter().find_map(|step| if let Move::Vjp(loss) = step { Some(*loss) } else { None });
        if let Some(loss) = first
            && let Some(value) = &state.values[loss.index()]
        {
            let one = Value::full(&value.shape(), 1.0, value.dtype().into(), &value.device());
            state.gradients[loss.index()] = Some(one);
        }
        for &step in backward {
            watcher.begin(step);
            self.perform(step, params, inputs, &mut state, gradient)?;
            watcher.end(step);
        }
        phases.backward_secs = begin.elapsed().as_secs_f64();
        let values = state
            .values
            .into_iter()
            .enumerate()
            .filter_map(|(i, value)| Some((self.graph.id(i), value?)))
            .collect();
        watcher.walked();
        Ok(Outcome { values, phases })
    }

    fn perform(
        &self,
        step: Move,
        params: &mut Params,
        inputs: &Inputs,
        state: &mut State,
        gradient: &mut GradientSink<'_>,
    ) -> Result<(), ExecError> {
        match step {
            Move::Run { node, extras } | Move::Recompute { node, extras } => {
                self.run_node(node, extras, params, inputs, state)?;
            }
            Move::Pack(node) => {
                let bits = self.schedule.kept_bits;
                if let Some(value) = &state.values[node.index()]
                    && bits.bytes(&value.shape()).is_some()
                    && let Some(packed) = Packed::of(value, bits == KeptBits::Bits8)
                {
                    state.packed.insert(node, packed);
                    state.values[node.index()] = None;
                }
            }
            Move::Unpack(node) => {
                if let Some(packed) = state.packed.remove(&node) {
                    state.values[node.index()] = Some(packed.value());
                }
            }
            Move::Drop(Thing::Value(node)) => state.values[node.index()] = None,
            Move::Drop(Thing::Extras(node)) => drop(state.extras.remove(&node)),
            Move::Vjp(node) => self.vjp_node(node, params, inputs, state)?,
            Move::Gradient(node, take) => {
                // A leaf may lie on the way to another one: its vjp still needs what it got.
                let on_the_way = self.schedule.is_differentiated(node);
                let slot = &mut state.gradients[node.index()];
                if let Some(value) = if on_the_way { slot.clone() } else { slot.take() } {
                    gradient(params, &self.graph.node(node).path, value, take);
                }
            }
            Move::Commit(number) => {
                let update = self.schedule.updates[number];
                if let Some(value) = self.value(update.value, params, inputs, state)? {
                    params.set(&self.graph.node(update.target).path, value);
                }
            }
        }
        Ok(())
    }

    /// A node's value; `None` when it is absent in this walk.
    fn value(
        &self,
        id: NodeId,
        params: &Params,
        inputs: &Inputs,
        state: &State,
    ) -> Result<Option<Value>, ExecError> {
        let node = self.graph.node(id);
        if self.schedule.given[id.index()] {
            let name = if let NodeKind::Input(leaf) = &node.kind { leaf.key() } else { node.path.clone() };
            return inputs.get(&name).cloned().map(Some).ok_or(ExecError::MissingColumn { column: name });
        }
        match &node.kind {
            NodeKind::Op(_) => Ok(state.values[id.index()].clone()),
            NodeKind::Input(leaf) => column(leaf, inputs),
            NodeKind::Param(_) | NodeKind::State(_) | NodeKind::Const(_) => params
                .get(&node.path)
                .cloned()
                .map(Some)
                .ok_or_else(|| ExecError::MissingParam { path: node.path.clone() }),
        }
    }

    fn run_node(
        &self,
        id: NodeId,
        extras: bool,
        params: &Params,
        inputs: &Inputs,
        state: &mut State,
    ) -> Result<(), ExecError> {
        let node = self.graph.node(id);
        let NodeKind::Op(op) = &node.kind else { return Ok(()) };
        let mut values = Vec::with_capacity(node.inputs.len());
        let mut all = true;
        for (i, &input) in node.inputs.iter().enumerate() {
            let value = if self.reads(op.as_ref(), id, i) == Reads::Nothing {
                None
            } else {
                self.value(input, params, inputs, state)?
            };
            if let Some(value) = &value {
                state.shapes[input.index()] = value.shape();
            }
            all &= value.is_some();
            values.push(value);
        }
        let context = self.context(id);
        let value = if op.takes_absent() {
            op.forward_present(&values, &context)
        } else if all {
            let values: Vec<Value> = values.into_iter().flatten().collect();
            if extras {
                let (value, extras) = op.forward_keeping(&values, &context);
                state.extras.insert(id, extras);
                Some(value)
            } else {
                Some(op.forward(&values, &context))
            }
        } else {
            // On a branch that is not run.
            None
        };
        state.values[id.index()] = value;
        Ok(())
    }

    fn reads(&self, op: &dyn Op, id: NodeId, input: usize) -> Reads {
        op.reads(input, self.schedule.training[id.index()])
    }

    fn vjp_node(
        &self,
        id: NodeId,
        params: &Params,
        inputs: &Inputs,
        state: &mut State,
    ) -> Result<(), ExecError> {
        let node = self.graph.node(id);
        let NodeKind::Op(op) = &node.kind else { return Ok(()) };
        let extras = state.extras.remove(&id).unwrap_or_default();
        // Without a gradient of its own: nothing that ran read it.
        let Some(dy) = state.gradients[id.index()].take() else { return Ok(()) };
        let keeps = &self.schedule.keeps[id.index()];
        let mut kept = Kept { extras, ..Kept::default() };
        for (i, &input) in node.inputs.iter().enumerate() {
            let read = self.reads(op.as_ref(), id, i) != Reads::Nothing;
            kept.input_shapes.push(if read { state.shapes[input.index()].clone() } else { Vec::new() });
            let value = if read && keeps.input(i) { self.value(input, params, inputs, state)? } else { None };
            kept.inputs.push(value);
        }
        if keeps.output {
            kept.output.clone_from(&state.values[id.index()]);
        }
        let wanted = &self.schedule.wanted[id.index()];
        let gradients = op.vjp(&kept, dy, wanted, &self.context(id));
        for ((&input, gradient), &want) in node.inputs.iter().zip(gradients).zip(wanted) {
            let Some(gradient) = gradient.filter(|_| want) else { continue };
            let slot = &mut state.gradients[input.index()];
            *slot = Some(match slot.take() {
                Some(sum) => sum.add(gradient),
                None => gradient,
            });
        }
        Ok(())
    }
}

/// A column, or its rows; rows that there are none of are absent.
fn column(leaf: &InputLeaf, inputs: &Inputs) -> Result<Option<Value>, ExecError> {
    if let Some(value) = inputs.get(&leaf.key()) {
        return Ok(Some(value.clone()));
    }
    let Some(of) = inputs.get(&leaf.column) else {
        return Err(ExecError::MissingColumn { column: leaf.column.clone() });
    };
    Ok(leaf.rows_where.and_then(|value| rows(&of.to_i64(), value)).map(|rows| {
        let count = rows.len();
        Value::from_i64(rows, &[count], &of.device())
    }))
}

/// Numbers of the rows that hold `value`; `None` when there are none.
#[must_use]
pub fn rows(column: &[i64], value: i64) -> Option<Vec<i64>> {
    let rows: Vec<i64> = (0..).zip(column).filter(|(_, held)| **held == value).map(|(row, _)| row).collect();
    (!rows.is_empty()).then_some(rows)
}

struct State {
    values: Vec<Option<Value>>,
    extras: HashMap<NodeId, Vec<Value>>,
    packed: HashMap<NodeId, Packed>,
    shapes: Vec<Vec<usize>>,
    gradients: Vec<Option<Value>>,
}

/// Many forwards in inference mode to the same results with the same weights: what reads no column is computed once.
#[derive(Debug)]
pub struct Inference<'a> {
    graph: &'a Graph,
    params: Params,
    schedule: Schedule,
    /// Values of nodes that no column reaches, by path.
    fixed: Inputs,
}

impl<'a> Inference<'a> {
    /// Prepares walks to `results`.
    ///
    /// # Errors
    /// When a parameter has no value.
    pub fn new(graph: &'a Graph, params: &Params, results: &[NodeId]) -> Result<Self, ExecError> {
        Self::from_given(graph, params, results, &[])
    }

    /// The same for walks that begin at `handed` nodes, whose values each walk's inputs hold by path.
    ///
    /// # Errors
    /// When a parameter has no value.
    pub fn from_given(
        graph: &'a Graph,
        params: &Params,
        results: &[NodeId],
        handed: &[NodeId],
    ) -> Result<Self, ExecError> {
        let mut given = graph.without_batch(results);
        let values = infer(graph, params, &Inputs::new(), &given)?;
        let fixed = values.into_iter().map(|(id, value)| (graph.node(id).path.clone(), value)).collect();
        given.extend(handed);
        let schedule = Schedule::inference(graph, results, &given);
        Ok(Self { graph, params: params.clone(), schedule, fixed })
    }

    /// One walk; absent results are not among the values.
    ///
    /// # Errors
    /// As [`Walk::run`].
    pub fn run(&mut self, mut inputs: Inputs) -> Result<HashMap<NodeId, Value>, ExecError> {
        inputs.extend(self.fixed.iter().map(|(path, value)| (path.clone(), value.clone())));
        let walk = Walk { graph: self.graph, schedule: &self.schedule, seed: 0, step: 0 };
        Ok(walk.run(&mut self.params, &inputs, &mut |_, _, _, _| {})?.values)
    }
}

/// One forward in inference mode to the named outputs.
///
/// # Errors
/// As [`Walk::run`].
pub fn infer(
    graph: &Graph,
    params: &Params,
    inputs: &Inputs,
    results: &[NodeId],
) -> Result<HashMap<NodeId, Value>, ExecError> {
    let schedule = Schedule::forward(graph, results);
    let walk = Walk { graph, schedule: &schedule, seed: 0, step: 0 };
    Ok(walk.run(&mut params.clone(), inputs, &mut |_, _, _, _| {})?.values)
}
