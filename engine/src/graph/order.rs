//! The order in which nodes run.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::{GraphError, Node, NodeId};

/// Kahn's order; among the ready nodes the one made first comes first, so the order is stable under rewrites.
pub(super) fn topological(nodes: &[Arc<Node>]) -> Result<Vec<NodeId>, GraphError> {
    use std::cmp::Reverse;
    let mut waiting: Vec<usize> = nodes.iter().map(|node| node.inputs.len()).collect();
    let mut readers: HashMap<NodeId, Vec<usize>> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for &input in &node.inputs {
            readers.entry(input).or_default().push(i);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..nodes.len()).filter(|&i| waiting[i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(NodeId(i));
        for &reader in readers.get(&NodeId(i)).map_or(&[][..], Vec::as_slice) {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    if order.len() == nodes.len() {
        Ok(order)
    } else {
        let stuck = (0..nodes.len()).find(|&i| waiting[i] > 0).unwrap_or(0);
        Err(GraphError::Circle { path: nodes[stuck].path.clone() })
    }
}
