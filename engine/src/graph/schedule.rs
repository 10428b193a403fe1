//! One schedule per walk: the executor only performs it, and nothing else decides what lives.

use super::{Graph, NodeId, NodeKind};
use crate::ops::Keeps;

/// One move of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Compute a node's value (and its extras, if its vjp reads them).
    Run(NodeId),
    /// Forget a value: nothing reads it any more.
    Drop(NodeId),
    /// Turn a node's output gradient into gradients of its inputs.
    Vjp(NodeId),
    /// A parameter's gradient is complete.
    Gradient(NodeId),
}

/// Why no schedule could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The loss does not depend on anything that is trained.
    #[error("nothing that is trained reaches the loss; check what the stage trains")]
    NothingTracked,
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
    /// Per node: what its vjp reads.
    pub keeps: Vec<Keeps>,
    /// Per node: which inputs want a gradient.
    pub wanted: Vec<Vec<bool>>,
}

impl Schedule {
    /// A forward walk to `results`, keeping nothing but them.
    #[must_use]
    pub fn forward(graph: &Graph, results: &[NodeId]) -> Self {
        Self::make(graph, results, None, vec![false; graph.nodes().len()])
    }

    /// A forward walk to `results` and `loss`, then backward from `loss` to the leaves in `tracked`.
    ///
    /// # Errors
    /// When the loss depends on none of them.
    pub fn training(
        graph: &Graph,
        results: &[NodeId],
        loss: NodeId,
        tracked: &[NodeId],
    ) -> Result<Self, ScheduleError> {
        let tracked = graph.downstream(tracked.iter().copied());
        if !tracked[loss.index()] {
            return Err(ScheduleError::NothingTracked);
        }
        Ok(Self::make(graph, results, Some(loss), tracked))
    }

    fn make(graph: &Graph, results: &[NodeId], loss: Option<NodeId>, tracked: Vec<bool>) -> Self {
        let count = graph.nodes().len();
        let needed = graph.upstream(results.iter().copied().chain(loss));
        // Only nodes between a tracked leaf and the loss are differentiated.
        let towards_loss = graph.upstream(loss);
        let differentiated = |id: NodeId| {
            loss.is_some()
                && tracked[id.index()]
                && towards_loss[id.index()]
                && matches!(graph.node(id).kind, NodeKind::Op(_))
        };
        let mut wanted = vec![Vec::new(); count];
        let mut keeps = vec![Keeps::nothing(); count];
        for &id in graph.order() {
            let node = graph.node(id);
            wanted[id.index()] = node.inputs.iter().map(|input| tracked[input.index()]).collect();
            if let NodeKind::Op(op) = &node.kind
                && differentiated(id)
            {
                keeps[id.index()] = op.keeps(&wanted[id.index()], true);
            }
        }

        // The last move that reads each value: in forward its last reader, in backward its last vjp.
        let run: Vec<NodeId> = graph.order().iter().copied().filter(|id| needed[id.index()]).collect();
        let mut last_forward = vec![None; count];
        let mut last_backward = vec![None; count];
        for &id in &run {
            for &input in &graph.node(id).inputs {
                last_forward[input.index()] = Some(id);
            }
        }
        for &id in run.iter().rev().filter(|&&id| differentiated(id)) {
            for (i, input) in graph.node(id).inputs.iter().enumerate() {
                if keeps[id.index()].input(i) {
                    last_backward[input.index()] = Some(id);
                }
            }
            if keeps[id.index()].output {
                last_backward[id.index()] = Some(id);
            }
        }
        let kept = |id: NodeId| results.contains(&id) || loss == Some(id);
        let droppable = |id: NodeId| !matches!(graph.node(id).kind, NodeKind::Param(_)) && !kept(id);

        let mut moves = Vec::new();
        for &id in &run {
            if !matches!(graph.node(id).kind, NodeKind::Op(_)) {
                continue;
            }
            moves.push(Move::Run(id));
            let mut inputs = graph.node(id).inputs.clone();
            inputs.dedup();
            for input in inputs {
                if last_forward[input.index()] == Some(id)
                    && last_backward[input.index()].is_none()
                    && droppable(input)
                    && !moves.contains(&Move::Drop(input))
                {
                    moves.push(Move::Drop(input));
                }
            }
        }
        let forward_moves = moves.len();
        for &id in run.iter().rev() {
            if differentiated(id) {
                moves.push(Move::Vjp(id));
                let mut read = graph.node(id).inputs.clone();
                read.push(id);
                read.sort_unstable();
                read.dedup();
                for value in read {
                    if last_backward[value.index()] == Some(id) && droppable(value) {
                        moves.push(Move::Drop(value));
                    }
                }
            } else if matches!(graph.node(id).kind, NodeKind::Param(_))
                && tracked[id.index()]
                && towards_loss[id.index()]
            {
                moves.push(Move::Gradient(id));
            }
        }
        Self { moves, forward_moves, tracked, keeps, wanted }
    }
}
