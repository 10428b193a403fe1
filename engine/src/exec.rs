//! Performing a schedule: forward on plain tensors, reverse mode over graph nodes.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::graph::{Graph, Move, NodeId, NodeKind, Schedule};
use crate::ops::{Context, Kept};
use crate::tensor::{Stream, Value};
use crate::weights::Params;

/// Columns of one batch on a device, by name.
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
    /// Weights.
    pub params: &'a Params,
    /// Seed of all random streams.
    pub seed: u64,
    /// Position in those streams.
    pub step: u64,
    /// Whether tracked nodes run in training mode. Frozen nodes never do.
    pub training: bool,
}

/// What a walk returns.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Values of the nodes that the schedule was made for.
    pub values: HashMap<NodeId, Value>,
    /// Where the time went.
    pub phases: Phases,
}

impl Walk<'_> {
    fn context(&self, id: NodeId) -> Context {
        let training = self.training && self.schedule.tracked[id.index()];
        let stream = if training {
            Stream::new(self.seed, &self.graph.node(id).path)
        } else {
            Context::inference().stream
        };
        Context { stream, step: self.step, training }
    }

    /// Performs all moves. `gradient` gets each parameter's gradient as soon as it is complete.
    ///
    /// # Errors
    /// When the batch lacks a column or a parameter has no value.
    pub fn run(&self, inputs: &Inputs, mut gradient: impl FnMut(&str, Value)) -> Result<Outcome, ExecError> {
        let count = self.graph.nodes().len();
        let mut state = State {
            values: vec![None; count],
            extras: HashMap::new(),
            shapes: vec![Vec::new(); count],
            gradients: vec![None; count],
        };
        let mut phases = Phases::default();
        let (forward, backward) = self.schedule.moves.split_at(self.schedule.forward_moves);
        for step in forward {
            match *step {
                Move::Run(id) => {
                    let begin = Instant::now();
                    self.run_node(id, inputs, &mut state)?;
                    let secs = begin.elapsed().as_secs_f64();
                    if self.schedule.tracked[id.index()] {
                        phases.trainable_forward_secs += secs;
                    } else {
                        phases.frozen_forward_secs += secs;
                    }
                }
                Move::Drop(id) => state.values[id.index()] = None,
                Move::Vjp(_) | Move::Gradient(_) => unreachable!("forward comes before backward"),
            }
        }
        if let Some(Move::Vjp(loss)) = backward.first() {
            let begin = Instant::now();
            if let Some(value) = &state.values[loss.index()] {
                let one = Value::full(&value.shape(), 1.0, value.dtype().into(), &value.device());
                state.gradients[loss.index()] = Some(one);
            }
            for step in backward {
                match *step {
                    Move::Vjp(id) => self.vjp_node(id, &mut state),
                    Move::Drop(id) => state.values[id.index()] = None,
                    Move::Gradient(id) => {
                        if let Some(value) = state.gradients[id.index()].take() {
                            gradient(&self.graph.node(id).path, value);
                        }
                    }
                    Move::Run(_) => unreachable!("backward runs no node"),
                }
            }
            phases.backward_secs = begin.elapsed().as_secs_f64();
        }
        let values = state
            .values
            .into_iter()
            .enumerate()
            .filter_map(|(i, value)| Some((self.graph.id(i), value?)))
            .collect();
        Ok(Outcome { values, phases })
    }

    fn leaf(&self, id: NodeId, inputs: &Inputs) -> Result<Option<Value>, ExecError> {
        let node = self.graph.node(id);
        match &node.kind {
            NodeKind::Op(_) => Ok(None),
            NodeKind::Input(leaf) => inputs
                .get(&leaf.column)
                .cloned()
                .map(Some)
                .ok_or_else(|| ExecError::MissingColumn { column: leaf.column.clone() }),
            NodeKind::Param(_) => self
                .params
                .get(&node.path)
                .cloned()
                .map(Some)
                .ok_or_else(|| ExecError::MissingParam { path: node.path.clone() }),
        }
    }

    fn run_node(&self, id: NodeId, inputs: &Inputs, state: &mut State) -> Result<(), ExecError> {
        let node = self.graph.node(id);
        let NodeKind::Op(op) = &node.kind else { return Ok(()) };
        let mut values = Vec::with_capacity(node.inputs.len());
        for &input in &node.inputs {
            let value = match &state.values[input.index()] {
                Some(value) => value.clone(),
                None => match self.leaf(input, inputs)? {
                    Some(value) => value,
                    None => unreachable!("the schedule runs inputs before their readers"),
                },
            };
            state.shapes[input.index()] = value.shape();
            // A column is kept with the values, so that backward finds it; parameters stay in their store.
            if matches!(self.graph.node(input).kind, NodeKind::Input(_)) {
                state.values[input.index()] = Some(value.clone());
            }
            values.push(value);
        }
        let keeps = &self.schedule.keeps[id.index()];
        let value = if keeps.extras {
            let (value, extras) = op.forward_keeping(&values, &self.context(id));
            state.extras.insert(id, extras);
            value
        } else {
            op.forward(&values, &self.context(id))
        };
        state.values[id.index()] = Some(value);
        Ok(())
    }

    fn vjp_node(&self, id: NodeId, state: &mut State) {
        let node = self.graph.node(id);
        let NodeKind::Op(op) = &node.kind else { return };
        let extras = state.extras.remove(&id).unwrap_or_default();
        let Some(dy) = state.gradients[id.index()].take() else { return };
        let keeps = &self.schedule.keeps[id.index()];
        let kept = Kept {
            inputs: node
                .inputs
                .iter()
                .enumerate()
                .map(|(i, &input)| {
                    if !keeps.input(i) {
                        return None;
                    }
                    state.values[input.index()]
                        .clone()
                        .or_else(|| self.params.get(&self.graph.node(input).path).cloned())
                })
                .collect(),
            output: if keeps.output { state.values[id.index()].clone() } else { None },
            extras,
            input_shapes: node.inputs.iter().map(|i| state.shapes[i.index()].clone()).collect(),
        };
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
    }
}

struct State {
    values: Vec<Option<Value>>,
    extras: HashMap<NodeId, Vec<Value>>,
    shapes: Vec<Vec<usize>>,
    gradients: Vec<Option<Value>>,
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
    let walk = Walk { graph, schedule: &schedule, params, seed: 0, step: 0, training: false };
    Ok(walk.run(inputs, |_, _| {})?.values)
}
