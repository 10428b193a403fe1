//! The model as data: nodes, regions, sites, rules over them, patches, and the schedule of a walk.

mod binding;
mod build;
mod patch;
mod region;
mod rule;
mod schedule;
mod site;

use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;

pub use binding::{Binding, Extent};
pub use build::{Builder, LinearSpec};
pub use patch::{Patch, PatchBuilder};
pub use region::{Region, RegionId, RegionKind};
pub use rule::{Coverage, Rule, RuleError, nearest};
pub use schedule::{Move, Schedule, ScheduleError};
pub use site::{Port, Site, SiteKind};

use crate::ops::{Op, ShapeError};
use crate::tensor::{Shape, Stream, elements};

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
    /// A computation.
    Op(Arc<dyn Op>),
}

/// A named, typed column of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputLeaf {
    /// Name as data sources and Hugging Face call it: `pixel_values`, `labels`.
    pub column: String,
    /// Its extents.
    pub extents: Vec<Extent>,
}

/// A tensor of weights: where it lives in files and how it begins when no file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamLeaf {
    /// Shape as files store it.
    pub shape: Shape,
    /// Initial values.
    pub init: Init,
    /// Name in the checkpoint file; adapters have their own names.
    pub stored: String,
    /// Placed by an adapter (its index in the project's list), or part of the base model.
    pub placement: Option<usize>,
    /// What may be done to a stored tensor of another shape.
    pub fit: Fit,
}

/// How a stored tensor of another shape is made to fit a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Not at all.
    #[default]
    Exact,
    /// A patch kernel `[out, channels, rows, columns]` is spread over a tubelet's frames, a tubelet kernel of
    /// another length is not taken.
    Inflate {
        /// At every frame, divided by their number, rather than at the central frame alone.
        average: bool,
    },
    /// A table `[1, prefix + rows, width]` is resampled along its rows, linearly with aligned ends.
    ResampleRows {
        /// Rows that stay as they are.
        prefix: usize,
    },
}

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform in ±√(6 / (in + out)) (Glorot and Bengio, 2010).
    XavierUniform,
    /// Uniform in ±√(1 / in), PyTorch's default for linear layers and LoRA's for `A`.
    KaimingUniform,
    /// The same value everywhere.
    Constant(f64),
    /// One on the diagonal, zero elsewhere.
    Identity,
}

impl Init {
    /// Initial values of a parameter, drawn from the stream of its own path.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "weights are f32")]
    pub fn values(self, path: &str, shape: &[usize], seed: u64) -> Vec<f32> {
        let count = elements(shape);
        let fan_out = shape.first().copied().unwrap_or(1).max(1);
        let fan_in = (count / fan_out).max(1);
        let mut draws = Stream::new(seed, path).at(0);
        let mut uniform = |bound: f64| -> Vec<f32> {
            (0..count).map(|_| ((f64::from(draws.uniform()) * 2.0 - 1.0) * bound) as f32).collect()
        };
        match self {
            Self::Zeros => vec![0.0; count],
            Self::Ones => vec![1.0; count],
            Self::Constant(value) => vec![value as f32; count],
            Self::Identity => (0..count).map(|i| if i / fan_in == i % fan_in { 1.0 } else { 0.0 }).collect(),
            Self::XavierUniform => uniform((6.0 / (fan_in + fan_out) as f64).sqrt()),
            Self::KaimingUniform => uniform((1.0 / fan_in as f64).sqrt()),
            Self::Normal { std } => (0..count).map(|_| (f64::from(draws.normal()) * std) as f32).collect(),
        }
    }
}

/// What can be wrong with a graph.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// An op cannot take the shapes that reach it.
    #[error("{error}, at {path}")]
    Shape {
        /// The op's complaint.
        #[source]
        error: ShapeError,
        /// The node.
        path: String,
    },
    /// A column of another shape than the model reads.
    #[error("`{column}` has shape {found:?}, which should be [{wanted}]")]
    Column {
        /// The input column.
        column: String,
        /// Its shape.
        found: Shape,
        /// The extents that would do.
        wanted: String,
    },
    /// A named extent has no value.
    #[error("the extent `{name}` has no value, needed by column {column}")]
    Unbound {
        /// The extent.
        name: String,
        /// The input column.
        column: String,
    },
    /// Nodes depend on each other in a circle.
    #[error("nodes depend on each other in a circle, through {path}")]
    Circle {
        /// One node of it.
        path: String,
    },
}

/// A model, or a whole step, as data. Built once; a rewrite returns a new one that shares its nodes.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Arc<Node>>,
    order: Vec<NodeId>,
    regions: Vec<Region>,
    sites: Vec<Site>,
    outputs: BTreeMap<String, NodeId>,
}

impl Graph {
    fn assemble(
        nodes: Vec<Arc<Node>>,
        regions: Vec<Region>,
        sites: Vec<Site>,
        outputs: BTreeMap<String, NodeId>,
    ) -> Result<Self, GraphError> {
        let order = topological(&nodes)?;
        Ok(Self { nodes, order, regions, sites, outputs })
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

    /// The node of this path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.path == path).map(NodeId)
    }

    /// Every parameter with its node, in graph order.
    pub fn params(&self) -> impl Iterator<Item = (NodeId, &str, &ParamLeaf)> {
        self.order.iter().filter_map(|&id| match &self.node(id).kind {
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
            .filter(|(_, path, _)| is_below(path, prefix))
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

    /// Which nodes lie downstream of any of these leaves: the nodes that need a gradient.
    #[must_use]
    pub fn downstream(&self, leaves: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
        let mut reached = vec![false; self.nodes.len()];
        for leaf in leaves {
            reached[leaf.0] = true;
        }
        for &id in &self.order {
            if self.node(id).inputs.iter().any(|input| reached[input.0]) {
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

/// Kahn's order; among the ready nodes the one made first comes first, so the order is stable under rewrites.
fn topological(nodes: &[Arc<Node>]) -> Result<Vec<NodeId>, GraphError> {
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
