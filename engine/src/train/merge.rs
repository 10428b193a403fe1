//! Folding placements into the weights that they act on.

use std::collections::{BTreeMap, BTreeSet};

use crate::exec::{ExecError, Inputs, infer};
use crate::graph::{Becomes, Graph, NodeId, NodeKind};
use crate::tensor::Value;
use crate::weights::Params;

/// Why placements could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The placement stays beside the model in inference.
    #[error("adapter {} cannot be merged: it stays beside the layer that it was placed at", placement + 1)]
    Stays {
        /// Its index in the project's list.
        placement: usize,
    },
    /// Another placement lies below it.
    #[error(
        "adapter {} stands on adapter {} at {site}; merge that one too, or list them the other way round",
        placement + 1, below + 1
    )]
    OutOfOrder {
        /// The one to be merged.
        placement: usize,
        /// The one below it.
        below: usize,
        /// The layer.
        site: String,
    },
    /// The weight has other readers.
    #[error("{param} is read by {readers} layers, so what is placed at one of them cannot be merged into it")]
    Tied {
        /// The weight.
        param: String,
        /// How many read it.
        readers: usize,
    },
    /// The new weights could not be computed.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

/// The new values of the base parameters that `placements` are merged into, by path. A model without those
/// placements computes with them what this one computes in inference, to rounding.
///
/// # Errors
/// When a placement stays beside the model, stands on one that is not merged, or its weight is tied.
pub fn merge(
    graph: &Graph,
    params: &Params,
    placements: &BTreeSet<usize>,
) -> Result<BTreeMap<String, Value>, MergeError> {
    let wanted = mergeable(graph, placements)?;
    let results: Vec<NodeId> = wanted.iter().map(|(_, value)| *value).collect();
    let merged = infer(graph, params, &Inputs::new(), &results)?;
    Ok(wanted
        .into_iter()
        .filter_map(|(param, value)| Some((graph.node(param).path.clone(), merged.get(&value)?.clone())))
        .collect())
}

/// The base parameters that `placements` would be merged into, each with the node of its new value.
///
/// # Errors
/// As [`merge`].
pub fn mergeable(graph: &Graph, placements: &BTreeSet<usize>) -> Result<Vec<(NodeId, NodeId)>, MergeError> {
    let endings = &graph.demands().endings;
    for &placement in placements {
        let mut own = endings.iter().filter(|ending| ending.placement == placement).peekable();
        if own.peek().is_none() || own.any(|ending| ending.becomes == Becomes::Kept) {
            return Err(MergeError::Stays { placement });
        }
    }
    // The last merged placement of each layer has those below it in its value.
    let mut values: BTreeMap<NodeId, (NodeId, NodeId)> = BTreeMap::new();
    let mut passed: BTreeMap<NodeId, usize> = BTreeMap::new();
    for ending in endings {
        let Becomes::Merged { op, param, value } = ending.becomes else { continue };
        if !placements.contains(&ending.placement) {
            passed.entry(op).or_insert(ending.placement);
            continue;
        }
        if let Some(&below) = passed.get(&op) {
            let site = graph.node(op).path.clone();
            return Err(MergeError::OutOfOrder { placement: ending.placement, below, site });
        }
        values.insert(op, (param, value));
    }
    let live = graph.live();
    let own = |path: &str| placements.iter().any(|p| path.contains(&format!(".adapter_{p}.")));
    for (op, (param, _)) in &values {
        let others = graph.nodes().iter().enumerate().filter(|(index, node)| {
            live[*index] && *index != op.index() && node.inputs.contains(param) && !own(&node.path)
        });
        let readers = 1 + others.count();
        if readers > 1 {
            return Err(MergeError::Tied { param: graph.node(*param).path.clone(), readers });
        }
    }
    // What was merged into a merged adapter's own parameter is gone with it.
    let is_gone = |id: NodeId| match &graph.node(id).kind {
        NodeKind::Param(leaf) => leaf.placement.is_some_and(|placement| placements.contains(&placement)),
        _ => false,
    };
    Ok(values.into_values().filter(|(param, _)| !is_gone(*param)).collect())
}
