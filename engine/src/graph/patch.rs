//! Patches: the only way in which an adapter kind reaches graph, loop, planner or exporter.

mod apply;

use std::sync::Arc;

use super::{
    Becomes, Beginning, Beside, Coding, ConstLeaf, Demands, Ending, Finish, Fit, Fold, Graph, Init, Layer,
    LossTerm, Measure, Node, NodeId, NodeKind, Observed, ParamLeaf, Region, RegionId, RegionKind, RowRange,
    Site, SiteKind, StateLeaf, Tokens, Update, WeightEdge, When, is_below,
};
use crate::ops::{Add, AddSlice, Concat, Conv2d, LayerNorm, Linear, Op, Reshape, Slice};
use crate::tensor::elements;

/// What a rewrite adds, redirects and asks for.
#[derive(Clone, Debug)]
pub struct Patch {
    base: usize,
    nodes: Vec<Arc<Node>>,
    region: Region,
    replaced: Vec<Replacement>,
    /// Layers whose weight edge becomes another one.
    weights: Vec<(NodeId, WeightEdge)>,
    sites: Vec<Site>,
    demands: Demands,
}

#[derive(Clone, Debug)]
struct Replacement {
    old: NodeId,
    new: NodeId,
    /// A weight's own output was replaced: ports that stood on it follow. A port's replacement leaves
    /// weight sites behind, so that a later weight adapter still acts before the port's.
    at_weight: bool,
    /// Only readers below this region.
    within: Option<String>,
}

impl Patch {
    /// Paths of the parameters that the patch adds.
    pub fn param_paths(&self) -> impl Iterator<Item = &str> {
        self.nodes
            .iter()
            .filter(|node| matches!(node.kind, NodeKind::Param(_)))
            .map(|node| node.path.as_str())
    }

    /// What it asks for.
    #[must_use]
    pub const fn demands(&self) -> &Demands {
        &self.demands
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
            mode: None,
            of: None,
            tokens: None,
        };
        let patch = Patch {
            base: graph.nodes.len(),
            nodes: Vec::new(),
            region,
            replaced: Vec::new(),
            weights: Vec::new(),
            sites: Vec::new(),
            demands: Demands::default(),
        };
        Self { graph, site, placement, patch }
    }

    /// The site.
    #[must_use]
    pub const fn site(&self) -> &Site {
        self.site
    }

    /// The graph that is rewritten.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        self.graph
    }

    /// The node that the site's layer reads, where the site is a weight.
    #[must_use]
    pub fn weight_input(&self) -> Option<NodeId> {
        match self.site.kind {
            SiteKind::Weight { op, .. } => self.graph.node(op).inputs.first().copied(),
            _ => None,
        }
    }

    // ---- nodes -------------------------------------------------------------------------------------

    fn push_at(&mut self, path: String, kind: NodeKind, inputs: Vec<NodeId>) -> NodeId {
        let node = Node { path, region: RegionId(self.graph.regions.len()), kind, inputs };
        self.patch.nodes.push(Arc::new(node));
        NodeId(self.patch.base + self.patch.nodes.len() - 1)
    }

    fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.patch.region.path)
    }

    fn leaf(&self, path: &str, shape: &[usize], init: Init) -> ParamLeaf {
        ParamLeaf {
            shape: shape.to_vec(),
            init,
            stored: path.to_owned(),
            placement: Some(self.placement),
            fit: Fit::Exact,
            aliases: Vec::new(),
        }
    }

    /// A new parameter.
    pub fn param(&mut self, name: &str, shape: &[usize], init: Init) -> NodeId {
        let path = self.path(name);
        let leaf = self.leaf(&path, shape, init);
        self.push_at(path, NodeKind::Param(leaf), Vec::new())
    }

    /// A parameter that all sites of this placement share: made at the first of them, found at the others.
    pub fn shared_param(&mut self, name: &str, shape: &[usize], init: Init) -> NodeId {
        let instance = self.site.path.split('.').next().unwrap_or_default();
        let path = format!("{instance}.shared.adapter_{}.{name}", self.placement);
        if let Some(found) = self.graph.find(&path) {
            return found;
        }
        if let Some(own) = self.patch.nodes.iter().position(|node| node.path == path) {
            return NodeId(self.patch.base + own);
        }
        let leaf = self.leaf(&path, shape, init);
        self.push_at(path, NodeKind::Param(leaf), Vec::new())
    }

    /// A new state.
    pub fn state(&mut self, name: &str, shape: &[usize], begins: Beginning) -> NodeId {
        let path = self.path(name);
        let leaf = StateLeaf {
            shape: shape.to_vec(),
            begins,
            stored: path.clone(),
            placement: Some(self.placement),
        };
        self.push_at(path, NodeKind::State(leaf), Vec::new())
    }

    /// New values that never change.
    ///
    /// # Panics
    /// When there are not as many values as the shape says.
    pub fn constant(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> NodeId {
        assert_eq!(values.len(), elements(shape), "values of the constant {name}");
        let leaf = ConstLeaf { shape: shape.to_vec(), values: values.into() };
        self.push_at(self.path(name), NodeKind::Const(leaf), Vec::new())
    }

    /// A new op.
    pub fn op(&mut self, name: &str, op: impl Op + 'static, inputs: &[NodeId]) -> NodeId {
        self.push_at(self.path(name), NodeKind::Op(Arc::new(op)), inputs.to_vec())
    }

    /// What another node computes, computed from these inputs. The op of the two is the same.
    ///
    /// # Panics
    /// When the other node is no op.
    pub fn repeat(&mut self, name: &str, node: NodeId, inputs: &[NodeId]) -> NodeId {
        let kind = self.graph.node(node).kind.clone();
        assert!(matches!(kind, NodeKind::Op(_)), "`{}` is no computation", self.graph.node(node).path);
        self.push_at(self.path(name), kind, inputs.to_vec())
    }

    /// A new linear layer with weight and, if `bias` says how it begins, bias. Its weight is a site of the
    /// layer's path, so that a weight form can stand on it.
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
        let layer = self.op(name, Linear, &inputs);
        self.patch.sites.push(Site::linear(self.path(name), layer, weight, features_in, features_out));
        let edge = WeightEdge { param: weight, value: weight, beside: Vec::new() };
        self.patch.weights.push((layer, edge));
        layer
    }

    /// A new convolution over `[batch, channels, rows, columns]` with a kernel `[out, channels/groups, rows, columns]`
    /// and, if `bias` says how it begins, bias. Its weight is a site as a linear layer's is.
    pub fn conv2d(
        &mut self,
        name: &str,
        x: NodeId,
        conv: Conv2d,
        kernel: [usize; 4],
        init: Init,
        bias: Option<Init>,
    ) -> NodeId {
        let weight = self.param(&format!("{name}.weight"), &kernel, init);
        let mut inputs = vec![x, weight];
        if let Some(bias) = bias {
            inputs.push(self.param(&format!("{name}.bias"), &kernel[..1], bias));
        }
        let layer = self.op(name, conv, &inputs);
        let features_in = kernel[1..].iter().product();
        let kind = SiteKind::Weight { op: layer, weight, features_in, layer: Layer::Conv, rows: None };
        self.patch.sites.push(Site { path: self.path(name), kind, node: layer, width: kernel[0] });
        let edge = WeightEdge { param: weight, value: weight, beside: Vec::new() };
        self.patch.weights.push((layer, edge));
        layer
    }

    /// A new layer norm over the last axis, with gain and shift.
    pub fn layer_norm(&mut self, name: &str, x: NodeId, width: usize, epsilon: f64) -> NodeId {
        let gain = self.param(&format!("{name}.weight"), &[width], Init::Ones);
        let shift = self.param(&format!("{name}.bias"), &[width], Init::Zeros);
        self.op(name, LayerNorm { epsilon }, &[x, gain, shift])
    }

    /// How the token axis of the site's value is made up.
    #[must_use]
    pub fn tokens(&self) -> Option<Tokens> {
        self.graph.tokens(&self.site.path)
    }

    /// The weight of a linear layer that this patch made.
    ///
    /// # Panics
    /// When it made no such layer.
    #[must_use]
    pub fn weight_of(&self, layer: NodeId) -> NodeId {
        self.edge(layer).value
    }

    /// `value` in the shape of the site's weight: a kernel is stored with more axes than a matrix.
    ///
    /// # Panics
    /// When the site is no weight.
    pub fn like_weight(&mut self, value: NodeId) -> NodeId {
        let shape = self.weight_shape();
        if shape.len() == 2 { value } else { self.op("kernel", Reshape { shape }, &[value]) }
    }

    /// A weight of this patch as the matrix `[out, everything else]`.
    ///
    /// # Panics
    /// When it is no parameter.
    pub fn matrix(&mut self, name: &str, weight: NodeId) -> NodeId {
        let shape = match self.kind(weight) {
            NodeKind::Param(leaf) => leaf.shape.clone(),
            _ => panic!("{name} should be a parameter"),
        };
        if shape.len() == 2 {
            return weight;
        }
        self.op(name, Reshape { shape: vec![shape[0], elements(&shape[1..])] }, &[weight])
    }

    // ---- redirections ------------------------------------------------------------------------------

    /// Everything that read the site's value, but for this patch's own nodes, reads `new` instead.
    pub fn replace(&mut self, new: NodeId) {
        let at_weight = matches!(self.site.kind, SiteKind::Weight { .. });
        self.patch.replaced.push(Replacement { old: self.site.node, new, at_weight, within: None });
    }

    /// Of a sequence site: what reads the sequence where it begins, inside its region, reads `entering` instead, and
    /// what read it where it ends reads what `leaving` makes of that value.
    ///
    /// # Panics
    /// When the site is no sequence.
    pub fn replace_sequence(&mut self, entering: NodeId, leaving: impl FnOnce(&mut Self, NodeId) -> NodeId) {
        let SiteKind::Sequence { through, leaves, .. } = self.site.kind.clone() else {
            panic!("{} is no sequence", self.site.path)
        };
        let left = leaving(self, leaves);
        let within = Some(through);
        let enters = Replacement { old: self.site.node, new: entering, at_weight: false, within };
        self.patch.replaced.push(enters);
        let ends = Replacement { old: leaves, new: left, at_weight: false, within: None };
        self.patch.replaced.push(ends);
    }

    /// Adds a path beside the site's layer: `output` to what the layer gives, which is as if `delta`, a weight
    /// of the site's rows, were added to its weight. A fused layer's other slices keep their bits.
    ///
    /// # Panics
    /// When the site is no weight.
    pub fn add_beside(&mut self, output: NodeId, delta: NodeId) {
        let (op, rows) = self.layer();
        let sum = self.add_rows("add", self.site.node, output, rows, 1);
        self.replace(sum);
        let mut edge = self.edge(op);
        edge.beside.push(Beside { delta, rows });
        self.merges_into(op, &edge);
        self.patch.weights.push((op, edge));
    }

    /// The value that the site's layer has as its weight now, of the site's rows.
    ///
    /// # Panics
    /// When the site is no weight.
    pub fn weight(&mut self) -> NodeId {
        let (op, rows) = self.layer();
        let value = self.edge(op).value;
        let axes = self.weight_shape().len();
        match rows {
            None => value,
            Some(RowRange { start, length }) => {
                self.op("rows", Slice { axis_from_end: axes, start, length }, &[value])
            }
        }
    }

    /// Shape of the site's weight, of its rows.
    ///
    /// # Panics
    /// When the site is no weight.
    #[must_use]
    pub fn weight_shape(&self) -> Vec<usize> {
        let (op, rows) = self.layer();
        let param = self.edge(op).param;
        let NodeKind::Param(leaf) = &self.graph.node(param).kind else {
            unreachable!("a weight edge begins at a parameter")
        };
        let mut shape = leaf.shape.clone();
        if let Some(rows) = rows {
            shape[0] = rows.length;
        }
        shape
    }

    /// The site's layer reads `value` as the weight of the site's rows: how a weight form stands on an edge.
    /// What stood there before is what [`Self::weight`] gave.
    ///
    /// # Panics
    /// When the site is no weight.
    pub fn replace_weight(&mut self, value: NodeId) {
        self.replace_weight_merging(value, value);
    }

    /// The same where the layer merges as another value than the one that it reads: one that is not drawn.
    ///
    /// # Panics
    /// When the site is no weight.
    pub fn replace_weight_merging(&mut self, value: NodeId, merged: NodeId) {
        let (op, rows) = self.layer();
        let before = self.edge(op);
        let spliced = |builder: &mut Self, name: &str, value: NodeId| match rows {
            None => value,
            Some(rows) => builder.splice(name, before.value, value, rows),
        };
        let merged_value = if merged == value { None } else { Some(spliced(self, "merged_", merged)) };
        let value = spliced(self, "", value);
        let mut edge = before.clone();
        edge.value = merged_value.unwrap_or(value);
        self.merges_into(op, &edge);
        edge.value = value;
        self.patch.weights.push((op, edge));
    }

    fn splice(&mut self, prefix: &str, whole: NodeId, part: NodeId, rows: RowRange) -> NodeId {
        let (op, _) = self.layer();
        let NodeKind::Param(leaf) = &self.graph.node(self.edge(op).param).kind else {
            unreachable!("a weight edge begins at a parameter")
        };
        let (axes, all) = (leaf.shape.len(), leaf.shape[0]);
        let mut parts = Vec::new();
        let end = rows.start + rows.length;
        for (name, start, length) in [("above", 0, rows.start), ("below", end, all - end)] {
            if name == "below" {
                parts.push(part);
            }
            if length > 0 {
                parts.push(self.op(
                    &format!("{prefix}{name}"),
                    Slice { axis_from_end: axes, start, length },
                    &[whole],
                ));
            }
        }
        self.op(&format!("{prefix}spliced"), Concat { axis: 0 }, &parts)
    }

    fn layer(&self) -> (NodeId, Option<RowRange>) {
        match self.site.kind {
            SiteKind::Weight { op, rows, .. } => (op, rows),
            _ => panic!("{} is no weight", self.site.path),
        }
    }

    /// The layer's weight edge, as this patch has left it.
    fn edge(&self, op: NodeId) -> WeightEdge {
        let own = self.patch.weights.iter().rev().find(|(layer, _)| *layer == op).map(|(_, edge)| edge);
        match own.or_else(|| self.graph.weight(op)) {
            Some(edge) => edge.clone(),
            None => unreachable!("every weight site has a weight edge"),
        }
    }

    /// `value` with `part` added, to all of it or to some rows, counted along the axis `axis_from_end`.
    fn add_rows(
        &mut self,
        name: &str,
        value: NodeId,
        part: NodeId,
        rows: Option<RowRange>,
        axis_from_end: usize,
    ) -> NodeId {
        match rows {
            None => self.op(name, Add, &[value, part]),
            Some(rows) => self.op(name, AddSlice { axis_from_end, start: rows.start }, &[value, part]),
        }
    }

    // ---- what is asked for ---------------------------------------------------------------------------

    /// The placement becomes part of the layer's weight: the edge's value and every product beside it.
    fn merges_into(&mut self, op: NodeId, edge: &WeightEdge) {
        let NodeKind::Param(leaf) = self.kind(edge.param) else {
            unreachable!("a weight edge begins at a parameter")
        };
        let axes = leaf.shape.len();
        let mut value = edge.value;
        for (number, beside) in edge.beside.iter().enumerate() {
            value = self.add_rows(&format!("merged_{number}"), value, beside.delta, beside.rows, axes);
        }
        self.ends(Becomes::Merged { op, param: edge.param, value });
    }

    fn kind(&self, id: NodeId) -> &NodeKind {
        match id.0.checked_sub(self.patch.base) {
            Some(own) => &self.patch.nodes[own].kind,
            None => &self.graph.node(id).kind,
        }
    }

    /// What the placement becomes in inference; without a word it is kept.
    pub fn ends(&mut self, becomes: Becomes) {
        self.patch.demands.endings.push(Ending { placement: self.placement, becomes });
    }

    /// A term of the loss.
    pub fn loss(&mut self, name: &str, node: NodeId, weight: f64) {
        let name = self.path(name);
        self.patch.demands.losses.push(LossTerm { name, node, weight });
    }

    /// An update of a state or parameter.
    pub fn update(&mut self, target: NodeId, value: NodeId, when: When) {
        self.patch.demands.updates.push(Update { target, value, when });
    }

    /// A state that must be measured before training.
    pub fn measure(&mut self, state: NodeId, of: Observed, fold: Fold, finish: Finish) {
        self.patch.demands.measures.push(Measure { state, of, fold, finish });
    }

    /// The site's weight stays as it began, if an adapter brought it: this placement trains what is added to it.
    ///
    /// # Panics
    /// When the site is no weight.
    pub fn freeze_weight(&mut self) {
        let (op, _) = self.layer();
        let param = self.edge(op).param;
        self.patch.demands.frozen.push(param);
    }

    /// A base parameter that trains with the adapter.
    pub fn unfreeze(&mut self, param: NodeId) {
        self.patch.demands.unfrozen.push(param);
    }

    /// Files hold the site's weight in few bits, where this placement reads it as it is stored.
    ///
    /// # Panics
    /// When the site is no weight.
    pub fn coded(&mut self, bits: usize) {
        let (op, rows) = self.layer();
        let edge = self.edge(op);
        if rows.is_none() && edge.value == edge.param {
            let coding = Coding { placement: self.placement, param: edge.param, bits };
            self.patch.demands.codings.push(coding);
        }
    }

    /// The finished patch.
    #[must_use]
    pub fn finish(self) -> Patch {
        self.patch
    }
}

/// The innermost region above a path: where the adapter at that site is drawn.
fn home(graph: &Graph, path: &str) -> RegionId {
    let depth = |index: &usize| graph.regions[*index].path.len();
    let best = (0..graph.regions.len()).filter(|&i| is_below(path, &graph.regions[i].path)).max_by_key(depth);
    RegionId(best.unwrap_or(0))
}
