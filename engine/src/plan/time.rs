//! How long a step takes: the schedule added up from what each op was once measured to take on this device.

mod file;
mod probes;
mod rates;

pub use file::{CalibrationError, calibration, calibration_is_off, calibration_path, kept_calibration};
pub use rates::{Calibration, Rate};

use crate::graph::{Graph, Move, NodeId, NodeKind, Schedule, Take};
use crate::ops::Element;
use crate::tensor::{Shape, elements};

/// Seconds of one walk by phase, and of each node in either direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WalkSecs {
    /// Nodes that nothing trained lies upstream of.
    pub frozen_forward: f64,
    /// The other nodes' forward.
    pub trainable_forward: f64,
    /// Backward, what is computed again included.
    pub backward: f64,
    /// Of backward, what is computed again.
    pub again: f64,
    /// Per node: forward.
    pub node_forward: Vec<f64>,
    /// Per node: backward, what is computed again included.
    pub node_backward: Vec<f64>,
}

impl WalkSecs {
    /// All of forward.
    #[must_use]
    pub fn forward(&self) -> f64 {
        self.frozen_forward + self.trainable_forward
    }

    /// The whole walk.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.forward() + self.backward
    }
}

/// Adds the seconds of a schedule up for these shapes.
#[must_use]
pub fn walk_secs(
    graph: &Graph,
    schedule: &Schedule,
    shapes: &[Shape],
    calibration: &Calibration,
) -> WalkSecs {
    let count = graph.nodes().len();
    let mut found =
        WalkSecs { node_forward: vec![0.0; count], node_backward: vec![0.0; count], ..WalkSecs::default() };
    let mut has_gradient = vec![false; count];
    for &step in &schedule.moves {
        match step {
            Move::Run { node, extras } => {
                let secs = forward(graph, schedule, node, extras, shapes, calibration);
                found.node_forward[node.index()] += secs;
                if schedule.tracked[node.index()] {
                    found.trainable_forward += secs;
                } else {
                    found.frozen_forward += secs;
                }
            }
            Move::Recompute { node, extras } => {
                let secs = forward(graph, schedule, node, extras, shapes, calibration);
                found.node_backward[node.index()] += secs;
                found.backward += secs;
                found.again += secs;
            }
            Move::Vjp(node) => {
                let secs = vjp(graph, schedule, node, shapes, calibration, &mut has_gradient);
                found.node_backward[node.index()] += secs;
                found.backward += secs;
            }
            Move::Gradient(node, take) => {
                // Its square, for the norm; the update itself is counted with the optimiser.
                if take == Take::Step {
                    found.backward += calibration.square(elements(&shapes[node.index()]));
                }
            }
            Move::Pack(node) => found.trainable_forward += packing(schedule, node, shapes, calibration),
            Move::Unpack(node) => found.backward += packing(schedule, node, shapes, calibration),
            Move::Drop(_) | Move::Commit(_) => {}
        }
    }
    found
}

/// Packing a value or unpacking it: about as long each.
fn packing(schedule: &Schedule, node: NodeId, shapes: &[Shape], calibration: &Calibration) -> f64 {
    let shape = &shapes[node.index()];
    if schedule.kept_bits.bytes(shape).is_some() { calibration.packing(elements(shape)) } else { 0.0 }
}

fn inputs(graph: &Graph, node: NodeId, shapes: &[Shape]) -> Vec<Shape> {
    graph.node(node).inputs.iter().map(|input| shapes[input.index()].clone()).collect()
}

fn forward(
    graph: &Graph,
    schedule: &Schedule,
    id: NodeId,
    extras: bool,
    shapes: &[Shape],
    calibration: &Calibration,
) -> f64 {
    let NodeKind::Op(op) = &graph.node(id).kind else { return 0.0 };
    let inputs = inputs(graph, id, shapes);
    if op.view(&inputs, schedule.training[id.index()]).is_some() && op.element() == Element::Float {
        return calibration.overhead + calibration.move_secs;
    }
    calibration.forward(op.as_ref(), &inputs, &shapes[id.index()], extras)
}

fn vjp(
    graph: &Graph,
    schedule: &Schedule,
    id: NodeId,
    shapes: &[Shape],
    calibration: &Calibration,
    has_gradient: &mut [bool],
) -> f64 {
    let NodeKind::Op(op) = &graph.node(id).kind else { return 0.0 };
    let wanted = &schedule.wanted[id.index()];
    let own = inputs(graph, id, shapes);
    let mut secs = calibration.vjp(op.as_ref(), &own, &shapes[id.index()], wanted);
    for (place, &input) in graph.node(id).inputs.iter().enumerate().filter(|(place, _)| wanted[*place]) {
        if std::mem::replace(&mut has_gradient[input.index()], true) {
            secs += calibration.sum(elements(&own[place]));
        }
    }
    secs
}
