//! Building a graph from scratch: what architectures use.

use std::sync::Arc;

use super::{
    Alias, Beginning, ConstLeaf, Entry, Extent, Fit, Graph, GraphError, Init, InputLeaf, Layer, LossTerm,
    Node, NodeId, NodeKind, ParamLeaf, Parts, Port, Region, RegionId, RegionKind, RowRange, Site, SiteKind,
    StateLeaf, Tokens, Update, WeightEdge, When,
};
use crate::ops::{Conv2d, LayerNorm, Linear, Op};
use crate::tensor::elements;

/// Collects nodes, regions and sites.
#[derive(Debug)]
pub struct Builder {
    pub(super) parts: Parts,
    pub(super) current: RegionId,
}

impl Builder {
    /// A builder for the model instance `name`, which becomes the first segment of every path.
    #[must_use]
    pub fn new(name: &str, title: &str) -> Self {
        let mut builder = Self { parts: Parts::default(), current: RegionId(0) };
        builder.root(name, title, RegionKind::Model);
        builder
    }

    /// Goes on from a finished graph in a second root region: how a step adds its loss.
    #[must_use]
    pub fn extend(graph: &Graph, name: &str, title: &str) -> Self {
        let mut builder = Self { parts: graph.parts(), current: RegionId(0) };
        builder.root(name, title, RegionKind::Loss);
        builder
    }

    pub(super) fn root(&mut self, name: &str, title: &str, kind: RegionKind) {
        let (path, title) = (name.to_owned(), title.to_owned());
        self.parts.regions.push(Region {
            path,
            title,
            kind,
            parent: None,
            mode: None,
            of: None,
            tokens: None,
        });
        self.current = RegionId(self.parts.regions.len() - 1);
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
        let path = format!("{}.{name}", self.parts.regions[parent.0].path);
        let found = self.parts.regions.iter().position(|region| region.path == path);
        let id = found.unwrap_or_else(|| {
            self.parts.regions.push(Region {
                path,
                title: title.to_owned(),
                kind,
                parent: Some(parent),
                mode: None,
                of: None,
                tokens: None,
            });
            self.parts.regions.len() - 1
        });
        self.current = RegionId(id);
        let result = body(self);
        self.current = parent;
        result
    }

    /// A path below the current region.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.parts.regions[self.current.0].path)
    }

    fn push(&mut self, name: &str, kind: NodeKind, inputs: Vec<NodeId>) -> NodeId {
        let node = Node { path: self.path(name), region: self.current, kind, inputs };
        self.parts.nodes.push(Arc::new(node));
        NodeId(self.parts.nodes.len() - 1)
    }

    /// A column of floats.
    pub fn input(&mut self, column: &str, extents: Vec<Extent>) -> NodeId {
        self.column(InputLeaf::floats(column, extents))
    }

    /// A column of the batch. One that is there already, whatever instance reads it, is found again.
    pub fn column(&mut self, leaf: InputLeaf) -> NodeId {
        let same = |node: &Arc<Node>| matches!(&node.kind, NodeKind::Input(other) if *other == leaf);
        if let Some(found) = self.parts.nodes.iter().position(same) {
            return NodeId(found);
        }
        let name = leaf.key().replace('=', "_is_");
        self.push(&name, NodeKind::Input(leaf), Vec::new())
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
        let leaf = ParamLeaf { shape, init, stored, placement: None, fit, aliases: Vec::new() };
        self.push(name, NodeKind::Param(leaf), Vec::new())
    }

    /// Another name of a parameter, below the current region: whoever reads it reads the same tensor.
    ///
    /// # Panics
    /// When the node is no parameter.
    pub fn tie(&mut self, param: NodeId, name: &str, stored: &str) {
        let alias = Alias { path: self.path(name), stored: stored.to_owned() };
        match &mut Arc::make_mut(&mut self.parts.nodes[param.0]).kind {
            NodeKind::Param(leaf) => leaf.aliases.push(alias),
            _ => panic!("only a parameter can have two names"),
        }
    }

    /// A state of the base model, stored in files as `stored`.
    pub fn state(&mut self, name: &str, shape: &[usize], begins: Beginning, stored: &str) -> NodeId {
        let leaf = StateLeaf { shape: shape.to_vec(), begins, stored: stored.to_owned(), placement: None };
        self.push(name, NodeKind::State(leaf), Vec::new())
    }

    /// Values that never change.
    ///
    /// # Panics
    /// When there are not as many values as the shape says.
    pub fn constant(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> NodeId {
        assert_eq!(values.len(), elements(shape), "values of the constant {name}");
        let leaf = ConstLeaf { shape: shape.to_vec(), values: values.into() };
        self.push(name, NodeKind::Const(leaf), Vec::new())
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
        self.layer(name, x, Linear, Layer::Linear, spec, fit)
    }

    /// A convolution `name` over `[batch, channels, rows, columns]`, which is a weight site of that path; the
    /// spec's kernel is `[channels, rows, columns]`.
    pub fn conv2d(&mut self, name: &str, x: NodeId, conv: Conv2d, spec: &LinearSpec<'_>) -> NodeId {
        self.layer(name, x, conv, Layer::Conv, spec, Fit::Exact)
    }

    fn layer(
        &mut self,
        name: &str,
        x: NodeId,
        op: impl Op + 'static,
        layer: Layer,
        spec: &LinearSpec<'_>,
        fit: Fit,
    ) -> NodeId {
        let mut shape = vec![spec.features_out];
        shape.extend(spec.kernel);
        let stored = format!("{}.weight", spec.stored);
        let weight = self.param_fitted(&format!("{name}.weight"), &shape, spec.init, &stored, fit);
        let mut inputs = vec![x, weight];
        if let Some(init) = spec.bias {
            let stored = format!("{}.bias", spec.stored);
            inputs.push(self.param(&format!("{name}.bias"), &[spec.features_out], init, &stored));
        }
        let node = self.op(name, op, &inputs);
        let path = self.path(name);
        self.weight(path, node, weight, spec.kernel.iter().product(), spec.features_out, layer);
        node
    }

    /// Declares a named slice of a fused layer's weight a site of its own, below the layer's path.
    ///
    /// # Panics
    /// When the layer is no weight site.
    pub fn slice_site(&mut self, layer: NodeId, name: &str, rows: RowRange) {
        let whole =
            |site: &&Site| matches!(site.kind, SiteKind::Weight { op, rows: None, .. } if op == layer);
        let Some(site) = self.parts.sites.iter().find(whole) else {
            panic!("{name} should be a slice of a weight site")
        };
        let mut slice = site.clone();
        slice.path = format!("{}.{name}", site.path);
        slice.width = rows.length;
        if let SiteKind::Weight { rows: own, .. } = &mut slice.kind {
            *own = Some(rows);
        }
        self.parts.sites.push(slice);
    }

    /// Declares the current region itself a weight site: for a head whose region is the layer.
    pub fn weight_site(&mut self, op: NodeId, weight: NodeId, features_in: usize, width: usize) {
        let path = self.parts.regions[self.current.0].path.clone();
        self.weight(path, op, weight, features_in, width, Layer::Linear);
    }

    fn weight(
        &mut self,
        path: String,
        op: NodeId,
        weight: NodeId,
        features_in: usize,
        width: usize,
        layer: Layer,
    ) {
        let kind = SiteKind::Weight { op, weight, features_in, layer, rows: None };
        self.parts.sites.push(Site { path, kind, node: op, width });
        self.parts.weights.insert(op, WeightEdge { param: weight, value: weight, beside: Vec::new() });
    }

    /// Declares a port or bridge at a node's value.
    pub fn site(&mut self, name: &str, kind: SiteKind, node: NodeId, width: usize) {
        let path = self.path(name);
        self.parts.sites.push(Site { path, kind, node, width });
    }

    /// Says how the token axis of the values in the current region, and in those below, is made up.
    pub fn tokens(&mut self, tokens: Tokens) {
        self.parts.regions[self.current.0].tokens = Some(tokens);
    }

    /// Declares that a sequence of tokens runs through the current region from `enters` to `leaves`, so that prompts
    /// may be put behind its first `prefix` tokens.
    pub fn sequence(&mut self, enters: NodeId, leaves: NodeId, prefix: usize, width: usize) {
        let through = self.parts.regions[self.current.0].path.clone();
        self.site("tokens", SiteKind::Sequence { through, leaves, prefix }, enters, width);
    }

    /// Declares a port of the block that is the current region.
    pub fn port(&mut self, port: Port, node: NodeId, width: usize) {
        self.site(port.name(), SiteKind::Port(port), node, width);
    }

    /// A layer norm `name` over the last axis with gain and shift, which is a norm site of that path.
    pub fn layer_norm(&mut self, name: &str, x: NodeId, width: usize, epsilon: f64, stored: &str) -> NodeId {
        let gain = self.param(&format!("{name}.weight"), &[width], Init::Ones, &format!("{stored}.weight"));
        let shift = self.param(&format!("{name}.bias"), &[width], Init::Zeros, &format!("{stored}.bias"));
        let node = self.op(name, LayerNorm { epsilon }, &[x, gain, shift]);
        self.norm_site(name, node, gain, Some(shift), width);
        node
    }

    /// Declares a norm's affine parameters a site of its path.
    pub fn norm_site(&mut self, name: &str, node: NodeId, gain: NodeId, shift: Option<NodeId>, width: usize) {
        self.site(name, SiteKind::Norm { gain, shift }, node, width);
    }

    /// Names a result.
    pub fn output(&mut self, name: &str, node: NodeId) {
        self.parts.outputs.insert(name.to_owned(), node);
    }

    /// Names a part that can be walked on its own. Its inputs may be inner nodes: the walk begins there.
    pub fn entry(&mut self, name: &str, inputs: &[(&str, NodeId)], outputs: &[(&str, NodeId)]) {
        let named = |ends: &[(&str, NodeId)]| ends.iter().map(|&(name, id)| (name.to_owned(), id)).collect();
        let entry = Entry { inputs: named(inputs), outputs: named(outputs) };
        self.parts.entries.insert(name.to_owned(), entry);
    }

    /// A term of the loss that belongs to the model itself: a balance term, a regulariser.
    pub fn loss(&mut self, name: &str, node: NodeId, weight: f64) {
        let name = self.path(name);
        self.parts.demands.losses.push(LossTerm { name, node, weight });
    }

    /// A value that replaces a state or parameter.
    pub fn update(&mut self, target: NodeId, value: NodeId, when: When) {
        self.parts.demands.updates.push(Update { target, value, when });
    }

    /// The graph as it is so far.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn so_far(&self) -> Result<Graph, GraphError> {
        Graph::assemble(self.parts.clone())
    }

    /// The finished graph.
    ///
    /// # Errors
    /// When two nodes have one path, or an update cannot take place.
    pub fn finish(self) -> Result<Graph, GraphError> {
        Graph::assemble(self.parts)
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
