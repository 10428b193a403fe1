//! Applying a patch: a new graph in which the readers of the old edges read the new nodes.

use std::sync::Arc;

use super::Patch;
use crate::graph::{Graph, GraphError, Node, NodeId, NodeKind, SiteKind, WeightEdge, is_below};

impl Graph {
    /// A new graph with the patch applied. The old one is untouched.
    ///
    /// # Errors
    /// When the rewrite would make a circle.
    ///
    /// # Panics
    /// When the patch was made for another graph.
    pub fn apply(&self, patch: &Patch) -> Result<Self, GraphError> {
        assert_eq!(patch.base, self.nodes.len(), "a patch belongs to the graph it was made for");
        let mut parts = self.parts();
        for replacement in &patch.replaced {
            let everywhere = replacement.within.is_none();
            let inside = |path: &str| replacement.within.as_ref().is_none_or(|region| is_below(path, region));
            let ends = parts.entries.values_mut().flat_map(|entry| entry.outputs.values_mut());
            for end in ends.chain(parts.outputs.values_mut()).filter(|_| everywhere) {
                if *end == replacement.old {
                    *end = replacement.new;
                }
            }
            for node in &mut parts.nodes {
                if node.inputs.contains(&replacement.old) && inside(&node.path) {
                    for input in &mut Arc::make_mut(node).inputs {
                        if *input == replacement.old {
                            *input = replacement.new;
                        }
                    }
                }
            }
            for site in parts.sites.iter_mut().filter(|site| inside(&site.path)) {
                if site.node == replacement.old
                    && (replacement.at_weight || !matches!(site.kind, SiteKind::Weight { .. }))
                {
                    site.node = replacement.new;
                }
                if let SiteKind::Sequence { leaves, .. } = &mut site.kind
                    && *leaves == replacement.old
                    && everywhere
                {
                    *leaves = replacement.new;
                }
            }
        }
        for (op, edge) in &patch.weights {
            self.rewire(&mut parts.nodes, *op, edge);
            parts.weights.insert(*op, edge.clone());
        }
        parts.nodes.extend(patch.nodes.iter().cloned());
        parts.regions.push(patch.region.clone());
        parts.sites.extend(patch.sites.iter().cloned());
        parts.demands.extend(&patch.demands);
        Self::assemble(parts)
    }

    /// A layer's weight edge becomes another value. What an adapter brought is read by nobody else, so its other
    /// readers (the product that it would merge as) follow; a tied base weight stays what it is for the others.
    fn rewire(&self, nodes: &mut [Arc<Node>], op: NodeId, edge: &WeightEdge) {
        let Some(before) = self.weights.get(&op).filter(|before| before.value != edge.value) else { return };
        let own = matches!(&self.node(edge.param).kind, NodeKind::Param(leaf) if leaf.placement.is_some());
        for (index, node) in nodes.iter_mut().enumerate() {
            if index != op.0 && !own {
                continue;
            }
            for place in 0..node.inputs.len() {
                let is_edge = node.inputs[place] == before.value && (own || place == 1);
                if is_edge {
                    Arc::make_mut(node).inputs[place] = edge.value;
                }
            }
        }
    }
}
