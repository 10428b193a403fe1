//! Adding up a schedule: bytes that live at each move, and multiply-adds.

use crate::graph::{Graph, Move, NodeId, Schedule, Take};
use crate::tensor::Shape;

mod storage;

use storage::Storages;

/// Bytes of activations and gradients around one move, above what stood before the walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Most that live while the move is under way, what its op needs for itself included.
    pub peak_bytes: u64,
    /// What lives when it is done.
    pub live_bytes: u64,
}

/// What a walk costs beside weights and optimiser state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes of activations that live between forward and backward.
    pub kept_bytes: u64,
    /// Most bytes that live in forward.
    pub forward_peak_bytes: u64,
    /// Most bytes that live at any moment.
    pub peak_bytes: u64,
    /// The node at whose move that is.
    pub peak_at: Option<NodeId>,
    /// Of the peak, what the op at work needs for itself: neither an input nor an output of it.
    pub peak_workspace_bytes: u64,
    /// Of the peak, gradients.
    pub peak_gradient_bytes: u64,
    /// Bytes of gradients that wait for the optimiser at the end.
    pub waiting_bytes: u64,
    /// Bytes of the largest gradient of a leaf.
    pub largest_gradient_bytes: u64,
    /// Multiply-adds of forward.
    pub forward_multiply_adds: u64,
    /// Multiply-adds that are done again in backward.
    pub again_multiply_adds: u64,
    /// Per node: bytes of its value and extras that live between forward and backward.
    pub kept: Vec<u64>,
    /// Per move of the schedule.
    pub levels: Vec<Level>,
}

/// Which of a step's micro-batches a walk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// The first or only one: gradients that wait are new.
    #[default]
    First,
    /// A later one: they are added to those that stand.
    Later,
}

/// Adds a schedule up for these shapes (see [`Graph::shapes`]).
///
/// A value that is a view pins the storage that it looks into, and that storage counts once however many values
/// look into it; the same goes for gradients that an op hands on. Leaves are held by others and cost nothing here.
/// A routed branch is counted with the rows that the shapes say.
#[must_use]
pub fn tally(graph: &Graph, schedule: &Schedule, shapes: &[Shape], part: Part) -> Tally {
    let mut sum = Storages::new(graph, schedule, shapes);
    let mut found = Tally { levels: Vec::with_capacity(schedule.moves.len()), ..Tally::default() };
    for (number, &step) in schedule.moves.iter().enumerate() {
        if number == schedule.forward_moves {
            found.kept_bytes = sum.live();
            found.kept = sum.by_node();
            found.forward_peak_bytes = found.peak_bytes;
            // Backward begins with the loss's own gradient.
            if let Some(Move::Vjp(loss)) =
                schedule.moves[number..].iter().find(|step| matches!(step, Move::Vjp(_)))
            {
                sum.first_gradient(*loss);
            }
        }
        let (node, transient) = take(&mut sum, step, part, &mut found);
        let level = Level { peak_bytes: sum.live() + transient.above, live_bytes: sum.live() };
        if level.peak_bytes > found.peak_bytes {
            found.peak_bytes = level.peak_bytes;
            found.peak_workspace_bytes = transient.workspace;
            found.peak_gradient_bytes = sum.gradient_bytes();
            found.peak_at = node;
        }
        found.levels.push(level);
    }
    if schedule.forward_moves == schedule.moves.len() {
        found.kept_bytes = sum.live();
        found.kept = sum.by_node();
        found.forward_peak_bytes = found.peak_bytes;
    }
    found
}

/// What lives during a move and is gone after it.
#[derive(Clone, Copy, Default)]
struct Transient {
    /// All of it.
    above: u64,
    /// What the op needs for itself.
    workspace: u64,
}

fn take(sum: &mut Storages<'_>, step: Move, part: Part, found: &mut Tally) -> (Option<NodeId>, Transient) {
    match step {
        Move::Run { node, extras } | Move::Recompute { node, extras } => {
            let work = sum.multiply_adds(node);
            if matches!(step, Move::Run { .. }) {
                found.forward_multiply_adds += work;
            } else {
                found.again_multiply_adds += work;
            }
            let workspace = sum.run(node, extras);
            (Some(node), Transient { above: workspace, workspace })
        }
        Move::Pack(node) => {
            let both = sum.pack(node);
            (Some(node), Transient { above: both, workspace: 0 })
        }
        Move::Unpack(node) => {
            let both = sum.unpack(node);
            (Some(node), Transient { above: both, workspace: 0 })
        }
        Move::Drop(thing) => {
            sum.drop(thing);
            (None, Transient::default())
        }
        Move::Vjp(node) => {
            let (gone, workspace) = sum.vjp(node);
            (Some(node), Transient { above: gone + workspace, workspace })
        }
        Move::Gradient(node, take) => {
            let bytes = sum.gradient_of(node);
            found.largest_gradient_bytes = found.largest_gradient_bytes.max(bytes);
            let waits = part == Part::First && matches!(take, Take::Hold | Take::Accumulate);
            if waits {
                found.waiting_bytes += bytes;
            }
            sum.hand_over(node, waits);
            // Gone once the optimiser has stepped, but there until then.
            (Some(node), Transient { above: if waits { 0 } else { bytes }, workspace: 0 })
        }
        Move::Commit(_) => (None, Transient::default()),
    }
}
