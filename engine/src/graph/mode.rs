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
/// A node does when its region is not frozen and a gradient reaches it, or its region itself holds a parameter
/// that trains (a norm's statistics lie beside its scale, not behind it). A region is frozen when it holds
/// parameters of its own (an adapter's are not the region's) and none of them trains; one without parameters
/// goes with the region around it. A mode of the region and, after that, the last matching rule overrule this.
#[must_use]
pub fn modes(graph: &Graph, leaves: &[NodeId], rules: &[ModeRule]) -> Vec<bool> {
    let reached = reached(graph, leaves);
    let frozen = frozen(graph, leaves);
    let mut own = vec![false; graph.regions().len()];
    for leaf in leaves.iter().filter(|leaf| matches!(graph.node(**leaf).kind, NodeKind::Param(_))) {
        own[graph.node(*leaf).region.index()] = true;
    }
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
                None => (reached[index] || own[node.region.index()]) && !frozen[node.region.index()],
            }
        })
        .collect()
}

/// Nodes that a gradient would pass in either mode.
fn reached(graph: &Graph, leaves: &[NodeId]) -> Vec<bool> {
    let mut reached = vec![false; graph.nodes().len()];
    for leaf in leaves {
        reached[leaf.index()] = true;
    }
    for &id in graph.order() {
        let node = graph.node(id);
        let NodeKind::Op(op) = &node.kind else { continue };
        let passes = |(i, input): (usize, &NodeId)| {
            reached[input.index()] && [true, false].iter().any(|&training| op.reads(i, training) == Reads::Value)
        };
        if op.passes_gradient() && node.inputs.iter().enumerate().any(passes) {
            reached[id.index()] = true;
        }
    }
    reached
}

/// Per region whether it is frozen.
fn frozen(graph: &Graph, leaves: &[NodeId]) -> Vec<bool> {
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
                if holds[region.index()] {
                    return !trains[region.index()];
                }
                here = graph.region(region).parent;
            }
            false
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
