//! Building a graph from scratch: what architectures use.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Extent, Fit, Graph, GraphError, Init, InputLeaf, Node, NodeId, NodeKind, ParamLeaf, Region, RegionId,
    RegionKind, Site, SiteKind,
};
use crate::ops::{Linear, Op};

/// Collects nodes, regions and sites.
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<Arc<Node>>,
    regions: Vec<Region>,
    sites: Vec<Site>,
    outputs: BTreeMap<String, NodeId>,
    current: RegionId,
}

impl Builder {
    /// A builder for the model instance `name`, which becomes the first segment of every path.
    #[must_use]
    pub fn new(name: &str, title: &str) -> Self {
        let root =
            Region { path: name.to_owned(), title: title.to_owned(), kind: RegionKind::Model, parent: None };
        Self {
            nodes: Vec::new(),
            regions: vec![root],
            sites: Vec::new(),
            outputs: BTreeMap::new(),
            current: RegionId(0),
        }
    }

    /// Goes on from a finished graph in a second root region: how a step adds its loss.
    #[must_use]
    pub fn extend(graph: &Graph, name: &str, title: &str) -> Self {
        let mut regions = graph.regions.clone();
        regions.push(Region {
            path: name.to_owned(),
            title: title.to_owned(),
            kind: RegionKind::Loss,
            parent: None,
        });
        Self {
            nodes: graph.nodes.clone(),
            current: RegionId(regions.len() - 1),
            regions,
            sites: graph.sites.clone(),
            outputs: graph.outputs.clone(),
        }
    }

    /// Runs `body` inside a region below the current one.
    pub fn region<T>(
        &mut self,
        name: &str,
        title: &str,
        kind: RegionKind,
        body: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let parent = self.current;
        let path = format!("{}.{name}", self.regions[parent.0].path);
        let found = self.regions.iter().position(|region| region.path == path);
        let id = found.unwrap_or_else(|| {
            self.regions.push(Region { path, title: title.to_owned(), kind, parent: Some(parent) });
            self.regions.len() - 1
        });
        self.current = RegionId(id);
        let result = body(self);
        self.current = parent;
        result
    }

    /// A path below the current region.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.regions[self.current.0].path)
    }

    fn push(&mut self, name: &str, kind: NodeKind, inputs: Vec<NodeId>) -> NodeId {
        let node = Node { path: self.path(name), region: self.current, kind, inputs };
        self.nodes.push(Arc::new(node));
        NodeId(self.nodes.len() - 1)
    }

    /// A column of the batch.
    pub fn input(&mut self, column: &str, extents: Vec<Extent>) -> NodeId {
        let leaf = InputLeaf { column: column.to_owned(), extents };
        self.push(column, NodeKind::Input(leaf), Vec::new())
    }

    /// A parameter of the base model, stored in files as `stored`.
    pub fn param(&mut self, name: &str, shape: &[usize], init: Init, stored: &str) -> NodeId {
        self.param_fitted(name, shape, init, stored, Fit::Exact)
    }

    /// The same for a parameter that may be made from a stored tensor of another shape.
    pub fn param_fitted(
        &mut self,
        name: &str,
        shape: &[usize],
        init: Init,
        stored: &str,
        fit: Fit,
    ) -> NodeId {
        let (shape, stored) = (shape.to_vec(), stored.to_owned());
        let leaf = ParamLeaf { shape, init, stored, placement: None, fit };
        self.push(name, NodeKind::Param(leaf), Vec::new())
    }

    /// An op over nodes that are already there.
    pub fn op(&mut self, name: &str, op: impl Op + 'static, inputs: &[NodeId]) -> NodeId {
        self.push(name, NodeKind::Op(Arc::new(op)), inputs.to_vec())
    }

    /// A linear layer `name` with weight and bias, which is a weight site of that path.
    pub fn linear(&mut self, name: &str, x: NodeId, spec: &LinearSpec<'_>) -> NodeId {
        self.linear_fitted(name, x, spec, Fit::Exact)
    }

    /// The same for a weight that may be made from a stored tensor of another shape.
    pub fn linear_fitted(&mut self, name: &str, x: NodeId, spec: &LinearSpec<'_>, fit: Fit) -> NodeId {
        let mut shape = vec![spec.features_out];
        shape.extend(spec.kernel);
        let stored = format!("{}.weight", spec.stored);
        let weight = self.param_fitted(&format!("{name}.weight"), &shape, spec.init, &stored, fit);
        let mut inputs = vec![x, weight];
        if let Some(init) = spec.bias {
            let stored = format!("{}.bias", spec.stored);
            inputs.push(self.param(&format!("{name}.bias"), &[spec.features_out], init, &stored));
        }
        let node = self.op(name, Linear, &inputs);
        self.sites.push(Site {
            path: self.path(name),
            kind: SiteKind::Weight { op: node, weight, features_in: spec.kernel.iter().product() },
            node,
            width: spec.features_out,
        });
        node
    }

    /// Declares the current region itself a weight site: for a head whose region is the layer.
    pub fn weight_site(&mut self, op: NodeId, weight: NodeId, features_in: usize, width: usize) {
        let path = self.regions[self.current.0].path.clone();
        let kind = SiteKind::Weight { op, weight, features_in };
        self.sites.push(Site { path, kind, node: op, width });
    }

    /// Declares a port or bridge at a node's value.
    pub fn site(&mut self, name: &str, kind: SiteKind, node: NodeId, width: usize) {
        let path = self.path(name);
        self.sites.push(Site { path, kind, node, width });
    }

    /// Names a result.
    pub fn output(&mut self, name: &str, node: NodeId) {
        self.outputs.insert(name.to_owned(), node);
    }

    /// The finished graph.
    ///
    /// # Errors
    /// Cannot fail for nodes made in order; kept fallible because rewrites share the check.
    pub fn finish(self) -> Result<Graph, GraphError> {
        Graph::assemble(self.nodes, self.regions, self.sites, self.outputs)
    }
}

/// A linear layer's shape, beginning and stored name.
#[derive(Clone, Copy, Debug)]
pub struct LinearSpec<'a> {
    /// Features in, or the kernel's axes `[channels, (time,) rows, columns]`.
    pub kernel: &'a [usize],
    /// Features out.
    pub features_out: usize,
    /// How the weight begins.
    pub init: Init,
    /// How the bias begins; `None` for no bias.
    pub bias: Option<Init>,
    /// Name in the file, without `.weight` and `.bias`.
    pub stored: &'a str,
}
