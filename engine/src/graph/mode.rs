//! Training or inference mode, node by node: a frozen region runs in inference mode.

use serde::{Deserialize, Serialize};

use super::{Graph, NodeId, NodeKind, RegionId, RegionKind, Rule};
use crate::ops::Reads;

/// How a node runs: dropout acts and statistics are those of the batch, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// As while its weights are fitted.
    Training,
    /// As in use.
    Inference,
}

/// A mode that a stage asks for, against what follows from what it trains.
#[derive(Clone, Debug)]
pub struct ModeRule {
    /// Regions and nodes.
    pub rule: Rule,
    /// Their mode.
    pub mode: Mode,
}

/// Per node whether it runs in training mode while `leaves` are trained.
///
/// A node goes with the innermost region around it that holds parameters (an adapter's are not those of the
/// region that it is placed in): where none of them trains, the region is frozen and runs in inference mode. Of
/// the rest of a model outside all such regions, what a gradient reaches runs in training mode. A mode of the
/// region and, after that, the last matching rule overrule this.
#[must_use]
pub fn modes(graph: &Graph, leaves: &[NodeId], rules: &[ModeRule]) -> Vec<bool> {
    let reached = reached(graph, leaves);
    let held = held(graph, leaves);
    graph
        .nodes()
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let mut mode = inherited(graph, node.region);
            for rule in rules.iter().filter(|rule| rule.rule.matches_below(&node.path)) {
                mode = Some(rule.mode);
            }
            match mode {
                Some(mode) => mode == Mode::Training,
                None => match held[node.region.index()] {
                    Held::Frozen => false,
                    Held::Trained => true,
                    Held::Loose => reached[index],
                },
            }
        })
        .collect()
}

/// Nodes that a gradient would pass in either mode, and draws that such a node reads.
fn reached(graph: &Graph, leaves: &[NodeId]) -> Vec<bool> {
    let mut reached = vec![false; graph.nodes().len()];
    for leaf in leaves {
        reached[leaf.index()] = true;
    }
    for &id in graph.order() {
        let node = graph.node(id);
        let NodeKind::Op(op) = &node.kind else { continue };
        let passes = |(i, input): (usize, &NodeId)| {
            reached[input.index()]
                && [true, false].iter().any(|&training| op.reads(i, training) == Reads::Value)
        };
        if op.passes_gradient() && node.inputs.iter().enumerate().any(passes) {
            reached[id.index()] = true;
        }
    }
    let mut drawn: Vec<NodeId> = Vec::new();
    for node in graph.nodes().iter().enumerate().filter_map(|(i, node)| reached[i].then_some(node)) {
        let is_draw = |id: &&NodeId| matches!(&graph.node(**id).kind, NodeKind::Op(op) if op.draws());
        drawn.extend(node.inputs.iter().filter(is_draw).copied());
    }
    for id in drawn {
        reached[id.index()] = true;
    }
    reached
}

/// How a region stands to what trains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The innermost region with parameters trains none of them.
    Frozen,
    /// It trains some.
    Trained,
    /// There is none below a whole model, some of which trains.
    Loose,
}

/// Per region how it stands.
fn held(graph: &Graph, leaves: &[NodeId]) -> Vec<Held> {
    let regions = graph.regions();
    let (mut holds, mut trains) = (vec![false; regions.len()], vec![false; regions.len()]);
    for (id, _, _) in graph.params() {
        let mut here = Some(graph.node(id).region);
        while let Some(region) = here {
            holds[region.index()] = true;
            trains[region.index()] |= leaves.contains(&id);
            let region = graph.region(region);
            here = if matches!(region.kind, RegionKind::Adapter(_)) { None } else { region.parent };
        }
    }
    (0..regions.len())
        .map(|index| {
            let mut here = Some(original(graph, RegionId(index)));
            while let Some(region) = here {
                let parent = graph.region(region).parent;
                match (holds[region.index()], trains[region.index()]) {
                    (true, false) => return Held::Frozen,
                    (true, true) if parent.is_some() => return Held::Trained,
                    _ => here = parent,
                }
            }
            Held::Loose
        })
        .collect()
}

fn original(graph: &Graph, region: RegionId) -> RegionId {
    graph.region(region).of.unwrap_or(region)
}

fn inherited(graph: &Graph, region: RegionId) -> Option<Mode> {
    let mut here = Some(region);
    while let Some(region) = here {
        let region = graph.region(region);
        if region.mode.is_some() {
            return region.mode;
        }
        here = region.parent;
    }
    None
}
