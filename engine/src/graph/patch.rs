//! Patches: the only way in which an adapter kind reaches graph, loop, planner or exporter.

use std::sync::Arc;

use super::{
    Fit, Graph, GraphError, Init, Node, NodeId, NodeKind, ParamLeaf, Region, RegionId, RegionKind, Site,
    SiteKind, is_below,
};
use crate::ops::Op;

/// What a rewrite adds and redirects.
#[derive(Clone, Debug)]
pub struct Patch {
    base: usize,
    nodes: Vec<Arc<Node>>,
    region: Region,
    replaced: Vec<Replacement>,
}

#[derive(Clone, Debug)]
struct Replacement {
    old: NodeId,
    new: NodeId,
    /// A weight's own output was replaced: ports that stood on it follow. A port's replacement leaves
    /// weight sites behind, so that a later weight adapter still acts before the port's.
    at_weight: bool,
}

impl Patch {
    /// Paths of the parameters that the patch adds.
    pub fn param_paths(&self) -> impl Iterator<Item = &str> {
        self.nodes
            .iter()
            .filter(|node| matches!(node.kind, NodeKind::Param(_)))
            .map(|node| node.path.as_str())
    }
}

/// Builds a [`Patch`] for one site.
#[derive(Debug)]
pub struct PatchBuilder<'a> {
    graph: &'a Graph,
    site: &'a Site,
    placement: usize,
    patch: Patch,
}

impl<'a> PatchBuilder<'a> {
    /// Begins the patch of placement `placement` (index in the project's list) at a site. New nodes live in
    /// the region `<site path>.adapter_<placement>`.
    #[must_use]
    pub fn new(graph: &'a Graph, site: &'a Site, placement: usize, title: &str) -> Self {
        let region = Region {
            path: format!("{}.adapter_{placement}", site.path),
            title: title.to_owned(),
            kind: RegionKind::Adapter(placement),
            parent: Some(home(graph, &site.path)),
        };
        let patch = Patch { base: graph.nodes.len(), nodes: Vec::new(), region, replaced: Vec::new() };
        Self { graph, site, placement, patch }
    }

    /// The site.
    #[must_use]
    pub const fn site(&self) -> &Site {
        self.site
    }

    /// The node that the site's linear layer reads, where the site is a weight.
    #[must_use]
    pub fn weight_input(&self) -> Option<NodeId> {
        match self.site.kind {
            SiteKind::Weight { op, .. } => self.graph.node(op).inputs.first().copied(),
            _ => None,
        }
    }

    fn push(&mut self, name: &str, kind: NodeKind, inputs: Vec<NodeId>) -> NodeId {
        let node = Node {
            path: format!("{}.{name}", self.patch.region.path),
            region: RegionId(self.graph.regions.len()),
            kind,
            inputs,
        };
        self.patch.nodes.push(Arc::new(node));
        NodeId(self.patch.base + self.patch.nodes.len() - 1)
    }

    /// A new parameter.
    pub fn param(&mut self, name: &str, shape: &[usize], init: Init) -> NodeId {
        let leaf = ParamLeaf {
            shape: shape.to_vec(),
            init,
            stored: format!("{}.{name}", self.patch.region.path),
            placement: Some(self.placement),
            fit: Fit::Exact,
        };
        self.push(name, NodeKind::Param(leaf), Vec::new())
    }

    /// A new op.
    pub fn op(&mut self, name: &str, op: impl Op + 'static, inputs: &[NodeId]) -> NodeId {
        self.push(name, NodeKind::Op(Arc::new(op)), inputs.to_vec())
    }

    /// A new linear layer with weight and, if `bias` says how it begins, bias.
    pub fn linear(
        &mut self,
        name: &str,
        x: NodeId,
        [features_out, features_in]: [usize; 2],
        init: Init,
        bias: Option<Init>,
    ) -> NodeId {
        let weight = self.param(&format!("{name}.weight"), &[features_out, features_in], init);
        let mut inputs = vec![x, weight];
        if let Some(bias) = bias {
            inputs.push(self.param(&format!("{name}.bias"), &[features_out], bias));
        }
        self.op(name, crate::ops::Linear, &inputs)
    }

    /// Everything that read the site's value, but for this patch's own nodes, reads `new` instead.
    pub fn replace(&mut self, new: NodeId) {
        let at_weight = matches!(self.site.kind, SiteKind::Weight { .. });
        self.patch.replaced.push(Replacement { old: self.site.node, new, at_weight });
    }

    /// The finished patch.
    #[must_use]
    pub fn finish(self) -> Patch {
        self.patch
    }
}

/// The innermost region above a path: where the adapter at that site is drawn.
fn home(graph: &Graph, path: &str) -> RegionId {
    let around =
        |region: &Region| is_below(path, &region.path) && !matches!(region.kind, RegionKind::Adapter(_));
    let depth = |index: &usize| graph.regions[*index].path.len();
    let best = (0..graph.regions.len()).filter(|&i| around(&graph.regions[i])).max_by_key(depth);
    RegionId(best.unwrap_or(0))
}

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
        let mut nodes = self.nodes.clone();
        let mut sites = self.sites.clone();
        let mut outputs = self.outputs.clone();
        for replacement in &patch.replaced {
            for node in &mut nodes {
                if node.inputs.contains(&replacement.old) {
                    for input in &mut Arc::make_mut(node).inputs {
                        if *input == replacement.old {
                            *input = replacement.new;
                        }
                    }
                }
            }
            for output in outputs.values_mut().filter(|output| **output == replacement.old) {
                *output = replacement.new;
            }
            for site in sites.iter_mut().filter(|site| site.node == replacement.old) {
                if replacement.at_weight || !matches!(site.kind, SiteKind::Weight { .. }) {
                    site.node = replacement.new;
                }
            }
        }
        nodes.extend(patch.nodes.iter().cloned());
        let mut regions = self.regions.clone();
        regions.push(patch.region.clone());
        Self::assemble(nodes, regions, sites, outputs)
    }
}
