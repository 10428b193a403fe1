//! The model as data: nodes, regions, sites, rules over them, patches, and the schedule of a walk.

mod binding;
mod build;
mod cut;
mod demand;
mod error;
mod instance;
mod leaf;
mod mode;
mod order;
mod patch;
mod recompute;
mod region;
mod rule;
mod schedule;
mod site;
mod weight;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use binding::{Binding, Extent};
pub use build::{Builder, LinearSpec};
pub use cut::{Cut, cut};
pub use demand::{Becomes, Coding, Demands, Ending, Finish, Fold, LossTerm, Measure, Observed, Update, When};
pub use error::GraphError;
pub use instance::{Instance, Sharing};
pub use leaf::{Alias, Beginning, ConstLeaf, Fit, Init, InputLeaf, ParamLeaf, StateLeaf};
pub use mode::{Mode, ModeRule, modes};
pub use patch::{Patch, PatchBuilder};
pub use region::{Grid, Region, RegionId, RegionKind, Tokens};
pub use rule::{Coverage, Rule, RuleError, nearest};
pub use schedule::{KeptBits, Move, Request, Schedule, ScheduleError, Take, Thing, updates_at};
pub use site::{Layer, Port, Role, Site, SiteKind, SubLayer};
pub use weight::{Beside, RowRange, WeightEdge};

use crate::ops::{Op, Reads};
use crate::tensor::{Shape, elements};

/// A node of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(usize);

impl NodeId {
    /// Its place in [`Graph::nodes`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// A node: a leaf or an op over other nodes.
#[derive(Clone, Debug)]
pub struct Node {
    /// Logical path, unique in the graph: `model.spatial.blocks.3.attention.query`.
    pub path: String,
    /// The innermost region that it belongs to.
    pub region: RegionId,
    /// What it is.
    pub kind: NodeKind,
    /// Edges, in the op's order.
    pub inputs: Vec<NodeId>,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// A named column of the batch.
    Input(InputLeaf),
    /// A tensor of weights.
    Param(ParamLeaf),
    /// A value that changes by declared updates only.
    State(StateLeaf),
    /// Values that never change.
    Const(ConstLeaf),
    /// A computation.
    Op(Arc<dyn Op>),
}

/// A model, or a whole step, as data. Built once; a rewrite returns a new one that shares its nodes.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Arc<Node>>,
    order: Vec<NodeId>,
    regions: Vec<Region>,
    sites: Vec<Site>,
    outputs: BTreeMap<String, NodeId>,
    entries: BTreeMap<String, Entry>,
    demands: Demands,
    /// By layer.
    weights: BTreeMap<NodeId, WeightEdge>,
    /// Per node: whether another one reads it, or it is asked for by name.
    read: Vec<bool>,
}

/// A part of a model that can be walked on its own: `encode`, `decode_step`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Values that are handed in, by name: columns, or inner nodes that the walk then begins at.
    pub inputs: BTreeMap<String, NodeId>,
    /// Values that come out, by name.
    pub outputs: BTreeMap<String, NodeId>,
}

/// What a graph is assembled from.
#[derive(Clone, Debug, Default)]
struct Parts {
    nodes: Vec<Arc<Node>>,
    regions: Vec<Region>,
    sites: Vec<Site>,
    outputs: BTreeMap<String, NodeId>,
    entries: BTreeMap<String, Entry>,
    demands: Demands,
    weights: BTreeMap<NodeId, WeightEdge>,
}

impl Graph {
    fn assemble(parts: Parts) -> Result<Self, GraphError> {
        let Parts { nodes, regions, sites, outputs, entries, demands, weights } = parts;
        let mut paths = BTreeSet::new();
        if let Some(node) = nodes.iter().find(|node| !paths.insert(&node.path)) {
            return Err(GraphError::Twice { path: node.path.clone() });
        }
        let order = order::topological(&nodes)?;
        let mut read = vec![false; nodes.len()];
        let named = outputs.values().chain(entries.values().flat_map(|entry| entry.outputs.values()));
        let updated = demands.updates.iter().map(|update| &update.target);
        for id in nodes.iter().flat_map(|node| &node.inputs).chain(named).chain(updated) {
            read[id.0] = true;
        }
        let graph = Self { nodes, order, regions, sites, outputs, entries, demands, weights, read };
        graph.check_updates()?;
        Ok(graph)
    }

    fn parts(&self) -> Parts {
        Parts {
            nodes: self.nodes.clone(),
            regions: self.regions.clone(),
            sites: self.sites.clone(),
            outputs: self.outputs.clone(),
            entries: self.entries.clone(),
            demands: self.demands.clone(),
            weights: self.weights.clone(),
        }
    }

    fn check_updates(&self) -> Result<(), GraphError> {
        for update in &self.demands.updates {
            let path = || self.node(update.target).path.clone();
            if !matches!(self.node(update.target).kind, NodeKind::Param(_) | NodeKind::State(_)) {
                return Err(GraphError::Target { path: path() });
            }
            if update.when == When::AfterStep {
                let upstream = self.upstream([update.value]);
                for node in self.nodes.iter().zip(upstream).filter_map(|(node, is)| is.then_some(node)) {
                    if let NodeKind::Input(leaf) = &node.kind {
                        return Err(GraphError::Late { path: path(), column: leaf.key() });
                    }
                }
            }
        }
        Ok(())
    }

    /// All nodes, by [`NodeId::index`].
    #[must_use]
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// A node.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node at a place in [`Self::nodes`].
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn id(&self, index: usize) -> NodeId {
        assert!(index < self.nodes.len(), "node {index} of {}", self.nodes.len());
        NodeId(index)
    }

    /// All nodes so that each follows its inputs.
    #[must_use]
    pub fn order(&self) -> &[NodeId] {
        &self.order
    }

    /// The regions, parents before children.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// A region.
    #[must_use]
    pub fn region(&self, id: RegionId) -> &Region {
        &self.regions[id.index()]
    }

    /// Places where an adapter may attach.
    #[must_use]
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The site of this path.
    #[must_use]
    pub fn site(&self, path: &str) -> Option<&Site> {
        self.sites.iter().find(|site| site.path == path)
    }

    /// How the token axis at a path is made up: what the innermost region above it says.
    #[must_use]
    pub fn tokens(&self, path: &str) -> Option<Tokens> {
        let above = self.regions.iter().filter(|region| is_below(path, &region.path));
        above.filter(|region| region.tokens.is_some()).max_by_key(|region| region.path.len())?.tokens
    }

    /// Another port of the block that a port belongs to.
    #[must_use]
    pub fn port_beside(&self, site: &Site, port: Port) -> Option<&Site> {
        let SiteKind::Port(own) = site.kind else { return None };
        let block = site.path.strip_suffix(own.name())?;
        self.site(&format!("{block}{}", port.name()))
    }

    /// Named results.
    #[must_use]
    pub const fn outputs(&self) -> &BTreeMap<String, NodeId> {
        &self.outputs
    }

    /// A named result.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<NodeId> {
        self.outputs.get(name).copied()
    }

    /// Parts that can be walked on their own.
    #[must_use]
    pub const fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// What the graph asks for beside its values.
    #[must_use]
    pub const fn demands(&self) -> &Demands {
        &self.demands
    }

    /// The weight of a layer that is a weight site.
    #[must_use]
    pub fn weight(&self, op: NodeId) -> Option<&WeightEdge> {
        self.weights.get(&op)
    }

    /// The node of this path, or the parameter that has it as another name.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let named = |node: &&Arc<Node>| node.path == path;
        let tied = |node: &&Arc<Node>| match &node.kind {
            NodeKind::Param(leaf) => leaf.aliases.iter().any(|alias| alias.path == path),
            _ => false,
        };
        let nodes = || self.nodes.iter();
        nodes().position(|node| named(&node)).or_else(|| nodes().position(|node| tied(&node))).map(NodeId)
    }

    /// Every state with its node, in graph order.
    pub fn states(&self) -> impl Iterator<Item = (NodeId, &str, &StateLeaf)> {
        self.order.iter().filter_map(|&id| match &self.node(id).kind {
            NodeKind::State(leaf) => Some((id, self.node(id).path.as_str(), leaf)),
            _ => None,
        })
    }

    /// Every column that the graph reads.
    pub fn columns(&self) -> impl Iterator<Item = &InputLeaf> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Input(leaf) => Some(leaf),
            _ => None,
        })
    }

    /// Ops that no column reaches, on the way to `results`, where something that a column does reach reads them: what
    /// weight forms made of weights. Their values are the same for every batch until a weight changes.
    #[must_use]
    pub fn without_batch(&self, results: &[NodeId]) -> Vec<NodeId> {
        let mut batch = vec![false; self.nodes.len()];
        for &id in &self.order {
            let node = self.node(id);
            batch[id.0] =
                matches!(node.kind, NodeKind::Input(_)) || node.inputs.iter().any(|input| batch[input.0]);
        }
        let needed = self.upstream(results.iter().copied());
        let readers = self.order.iter().filter(|id| needed[id.0] && batch[id.0]);
        let read: BTreeSet<NodeId> = readers.flat_map(|id| self.node(*id).inputs.iter().copied()).collect();
        let is_op = |id: &NodeId| matches!(self.node(*id).kind, NodeKind::Op(_));
        read.into_iter().filter(|id| !batch[id.0] && is_op(id)).collect()
    }

    /// Nodes that results, loss terms, updates or measurements depend on. The others stand ready for merging.
    #[must_use]
    pub fn live(&self) -> Vec<bool> {
        let demands = &self.demands;
        let measured = demands.measures.iter().map(|measure| match measure.of {
            Observed::Gradient(node) | Observed::Value(node) => node,
        });
        let entries = self.entries.values().flat_map(|entry| entry.outputs.values().copied());
        let ends = self.outputs.values().copied().chain(entries).chain(measured);
        let ends = ends.chain(demands.losses.iter().map(|term| term.node));
        self.upstream(ends.chain(demands.updates.iter().flat_map(|u| [u.value, u.target])))
    }

    /// Every parameter with its node, in graph order. One that a rewrite has left without a reader is none.
    pub fn params(&self) -> impl Iterator<Item = (NodeId, &str, &ParamLeaf)> {
        self.order.iter().filter(|id| self.read[id.0]).filter_map(|&id| match &self.node(id).kind {
            NodeKind::Param(leaf) => Some((id, self.node(id).path.as_str(), leaf)),
            _ => None,
        })
    }

    /// Number of weights in all.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        self.params().map(|(_, _, leaf)| elements(&leaf.shape) as u64).sum()
    }

    /// Number of weights below a region or parameter path.
    #[must_use]
    pub fn parameter_count_below(&self, prefix: &str) -> u64 {
        self.params()
            .filter(|(_, path, leaf)| {
                is_below(path, prefix) || leaf.aliases.iter().any(|alias| is_below(&alias.path, prefix))
            })
            .map(|(_, _, leaf)| elements(&leaf.shape) as u64)
            .sum()
    }

    /// Shape of every node's value under a binding of named extents.
    ///
    /// # Errors
    /// When an extent is unbound or an op refuses its inputs, naming the node.
    pub fn shapes(&self, binding: &Binding) -> Result<Vec<Shape>, GraphError> {
        let mut shapes: Vec<Shape> = vec![Vec::new(); self.nodes.len()];
        for &id in &self.order {
            let node = self.node(id);
            shapes[id.0] = match &node.kind {
                NodeKind::Input(leaf) => binding.shape(leaf)?,
                NodeKind::Param(leaf) => leaf.shape.clone(),
                NodeKind::State(leaf) => leaf.shape.clone(),
                NodeKind::Const(leaf) => leaf.shape.clone(),
                NodeKind::Op(op) => {
                    let inputs: Vec<Shape> =
                        node.inputs.iter().map(|&input| shapes[input.0].clone()).collect();
                    op.shape(&inputs).map_err(|error| GraphError::Shape { error, path: node.path.clone() })?
                }
            };
        }
        Ok(shapes)
    }

    /// Multiply-adds of one forward, given all shapes.
    #[must_use]
    pub fn multiply_adds(&self, id: NodeId, shapes: &[Shape]) -> u64 {
        let node = self.node(id);
        match &node.kind {
            NodeKind::Op(op) => {
                let inputs: Vec<Shape> = node.inputs.iter().map(|&input| shapes[input.0].clone()).collect();
                op.multiply_adds(&inputs, &shapes[id.0])
            }
            _ => 0,
        }
    }

    /// Which nodes lie downstream of any of these leaves, along edges that gradients pass: the nodes that need
    /// a gradient. `training` gives each node's mode.
    #[must_use]
    pub fn downstream(&self, leaves: impl IntoIterator<Item = NodeId>, training: &[bool]) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        for leaf in leaves {
            reached[leaf.0] = true;
        }
        for &id in &self.order {
            let NodeKind::Op(op) = &self.node(id).kind else { continue };
            if !op.passes_gradient() {
                continue;
            }
            let from = self.node(id).inputs.iter().enumerate();
            if from.clone().any(|(i, input)| reached[input.0] && op.reads(i, training[id.0]) == Reads::Value)
            {
                reached[id.0] = true;
            }
        }
        reached
    }

    /// Which nodes any of these results depends on, themselves included.
    #[must_use]
    pub fn upstream(&self, results: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        for result in results {
            reached[result.0] = true;
        }
        for &id in self.order.iter().rev() {
            if reached[id.0] {
                for input in &self.node(id).inputs {
                    reached[input.0] = true;
                }
            }
        }
        reached
    }
}

/// Whether `path` is `prefix` or lies below it.
#[must_use]
pub fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
