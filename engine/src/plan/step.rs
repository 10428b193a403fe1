//! What one optimiser step holds at its most, phase by phase.

use super::tally::{Part, Tally, tally};
use crate::graph::{Graph, Move, NodeId, NodeKind, Schedule};
use crate::ops::Element;
use crate::tensor::{Shape, elements};

/// A part of a step, as reports name it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Forward.
    #[default]
    Forward,
    /// Backward.
    Backward,
    /// Norm, clipping and update.
    Optimizer,
}

impl Phase {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Optimizer => "optimizer",
        }
    }
}

/// Bytes of one step above weights and optimiser state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepBytes {
    /// The batch as it lies on the device.
    pub batch: u64,
    /// Activations that live between forward and backward.
    pub kept: u64,
    /// Gradients that wait for the optimiser, at their most.
    pub gradients: u64,
    /// What ops need for themselves at the peak.
    pub workspace: u64,
    /// Everything between forward and backward.
    pub boundary: u64,
    /// Most in forward.
    pub forward_peak: u64,
    /// Most in backward.
    pub backward_peak: u64,
    /// Most in the optimiser's step.
    pub optimizer_peak: u64,
    /// The largest of the three.
    pub peak: u64,
    /// Which of them it is.
    pub peak_phase: Phase,
    /// At which node, if in forward or backward.
    pub peak_at: Option<NodeId>,
}

/// A step that runs a batch in `parts` micro-batches.
#[derive(Clone, Copy, Debug)]
pub struct StepShape<'a> {
    /// Model and loss.
    pub graph: &'a Graph,
    /// Moves of one micro-batch.
    pub schedule: &'a Schedule,
    /// Shapes of the first micro-batch (see [`Graph::shapes`]).
    pub shapes: &'a [Shape],
    /// Shapes of the largest micro-batch behind it, if there is one.
    pub later: Option<&'a [Shape]>,
    /// Shapes of the whole batch.
    pub whole: &'a [Shape],
    /// Nodes whose values come with the batch, in place of columns that only their prefix reads.
    pub given: &'a [NodeId],
}

impl StepShape<'_> {
    /// Bytes of the columns that the graph reads.
    fn columns_bytes(&self, shapes: &[Shape]) -> u64 {
        let given: u64 = self.given.iter().map(|id| 4 * elements(&shapes[id.index()]) as u64).sum();
        let read = self.read();
        let nodes = self.graph.nodes().iter().zip(shapes).zip(read).filter(|(_, read)| *read);
        given
            + nodes
                .map(|((node, shape), _)| match &node.kind {
                    NodeKind::Input(leaf) if leaf.rows_where.is_none() => {
                        elements(shape) as u64 * if leaf.element == Element::Integer { 8 } else { 4 }
                    }
                    _ => 0,
                })
                .sum::<u64>()
    }

    /// Which leaves the walk reads.
    fn read(&self) -> Vec<bool> {
        if self.given.is_empty() {
            return vec![true; self.graph.nodes().len()];
        }
        let mut read = vec![false; self.graph.nodes().len()];
        for step in &self.schedule.moves {
            let Move::Run { node, .. } = step else { continue };
            for input in &self.graph.node(*node).inputs {
                read[input.index()] = true;
            }
        }
        read
    }

    /// Adds the step up.
    #[must_use]
    pub fn bytes(&self) -> (StepBytes, Tally) {
        let batch = self.columns_bytes(self.whole);
        let first = tally(self.graph, self.schedule, self.shapes, Part::First);
        // From the second part on the sums of the gradients stand, and each new gradient goes into its sum.
        let later = self.later.map(|shapes| tally(self.graph, self.schedule, shapes, Part::Later));
        let waiting = first.waiting_bytes;
        // The parts were copied out of the batch while it was there.
        let split = if self.later.is_some() { 2 * batch } else { 0 };
        let mut found = StepBytes {
            batch,
            kept: first.kept_bytes,
            gradients: waiting.max(first.largest_gradient_bytes),
            workspace: first.peak_workspace_bytes,
            boundary: batch + first.kept_bytes,
            forward_peak: (batch + first.forward_peak_bytes).max(split),
            backward_peak: batch + first.peak_bytes,
            optimizer_peak: waiting,
            peak_at: first.peak_at,
            ..StepBytes::default()
        };
        if let Some(later) = &later {
            // The part before is gone when the next one runs.
            let standing = batch - self.columns_bytes(self.shapes) + waiting;
            let wins = standing + later.peak_bytes > found.backward_peak;
            if wins {
                (found.workspace, found.peak_at) = (later.peak_workspace_bytes, later.peak_at);
            }
            found.boundary = found.boundary.max(standing + later.kept_bytes);
            found.forward_peak = found.forward_peak.max(standing + later.forward_peak_bytes);
            found.backward_peak = found.backward_peak.max(standing + later.peak_bytes);
        }
        (found.peak, found.peak_phase) = [
            (found.optimizer_peak, Phase::Optimizer),
            (found.forward_peak, Phase::Forward),
            (found.backward_peak, Phase::Backward),
        ]
        .into_iter()
        .max_by_key(|(bytes, _)| *bytes)
        .unwrap_or_default();
        (found, later.unwrap_or(first))
    }
}
