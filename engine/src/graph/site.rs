//! Named places where an adapter may attach.

use super::{NodeId, RowRange};

/// A sub-layer of a transformer block: what has a residual add of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubLayer {
    /// Attention among the block's own tokens.
    Attention,
    /// Attention to another sequence.
    CrossAttention,
    /// The feed-forward part.
    FeedForward,
}

/// Where in a sub-layer a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// What the residual add keeps.
    Input,
    /// What the sub-layer computes from: the input behind its norm, or the input itself in a post-norm block.
    Normed,
    /// What it computes, before the residual add.
    Output,
    /// Behind the residual add (and the norm that follows it in a post-norm block).
    Added,
}

/// A port of a transformer block. `P0` to `P5` are those of a block of attention and feed-forward part (methods,
/// section 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port {
    /// Whose port.
    pub sub_layer: SubLayer,
    /// Which of its ports.
    pub role: Role,
}

impl Port {
    /// The block's input.
    pub const P0: Self = Self::new(SubLayer::Attention, Role::Input);
    /// The attention's normed input.
    pub const NORMED: Self = Self::new(SubLayer::Attention, Role::Normed);
    /// After attention, before the residual add.
    pub const P1: Self = Self::new(SubLayer::Attention, Role::Output);
    /// After attention and its residual add, not normed.
    pub const P2: Self = Self::new(SubLayer::Attention, Role::Added);
    /// The feed-forward part's normed input.
    pub const P3: Self = Self::new(SubLayer::FeedForward, Role::Normed);
    /// After the feed-forward part, before the residual add.
    pub const P4: Self = Self::new(SubLayer::FeedForward, Role::Output);
    /// The block's output.
    pub const P5: Self = Self::new(SubLayer::FeedForward, Role::Added);

    /// All ports of a block, in the order in which their values come. Two stand at one value where a sub-layer's
    /// output is the next one's input; that value goes by the first name.
    pub const ALL: [Self; 10] = [
        Self::P0,
        Self::NORMED,
        Self::P1,
        Self::P2,
        Self::new(SubLayer::CrossAttention, Role::Normed),
        Self::new(SubLayer::CrossAttention, Role::Output),
        Self::new(SubLayer::CrossAttention, Role::Added),
        Self::P3,
        Self::P4,
        Self::P5,
    ];

    /// A sub-layer's port.
    #[must_use]
    pub const fn new(sub_layer: SubLayer, role: Role) -> Self {
        Self { sub_layer, role }
    }

    /// Its name below the block, as paths have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.sub_layer, self.role) {
            (SubLayer::Attention, Role::Input) => "P0",
            (SubLayer::Attention, Role::Normed) => "attention.normed",
            (SubLayer::Attention, Role::Output) => "P1",
            (SubLayer::Attention, Role::Added) => "P2",
            (SubLayer::CrossAttention, Role::Input) => "cross_attention.input",
            (SubLayer::CrossAttention, Role::Normed) => "cross_attention.normed",
            (SubLayer::CrossAttention, Role::Output) => "cross_attention.output",
            (SubLayer::CrossAttention, Role::Added) => "cross_attention.added",
            (SubLayer::FeedForward, Role::Input) => "mlp.input",
            (SubLayer::FeedForward, Role::Normed) => "P3",
            (SubLayer::FeedForward, Role::Output) => "P4",
            (SubLayer::FeedForward, Role::Added) => "P5",
        }
    }

    /// The port of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|port| port.name() == name)
    }
}

/// A place where an adapter may attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Logical path, as placement rules name it.
    pub path: String,
    /// What kind of place.
    pub kind: SiteKind,
    /// The node whose value stands at this place now; rewrites move it.
    pub node: NodeId,
    /// Width of that value's last axis.
    pub width: usize,
}

/// What kind of place a site is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SiteKind {
    /// A weight of a layer, or a named slice of a fused one.
    Weight {
        /// The layer's node.
        op: NodeId,
        /// Its weight's parameter node.
        weight: NodeId,
        /// Features that come in, or elements of a kernel.
        features_in: usize,
        /// What the layer does with it.
        layer: Layer,
        /// The weight's rows (features out) that the site is about; all of them if absent.
        rows: Option<RowRange>,
    },
    /// A port of a transformer block.
    Port(Port),
    /// The edge between two regions.
    Bridge {
        /// Region that the edge leaves.
        from: String,
        /// Region that it enters.
        to: String,
        /// All tokens that the edge's value was chosen from, where it is one of them: of shape
        /// `[rows, tokens, width]`, as many rows as the edge's value has vectors.
        tokens: Option<NodeId>,
    },
    /// A norm's affine parameters.
    Norm {
        /// Its gain.
        gain: NodeId,
        /// Its shift, if it has one.
        shift: Option<NodeId>,
    },
    /// A sequence of tokens that runs through a region: further ones may enter where it begins (the site's node)
    /// and are taken out where it ends.
    Sequence {
        /// Region that it runs through.
        through: String,
        /// Where it ends.
        leaves: NodeId,
        /// Tokens before which none enter.
        prefix: usize,
    },
}

/// What a layer does with its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// A matrix product.
    Linear,
    /// A convolution.
    Conv,
}

impl Site {
    /// Whether an adapter brought it.
    #[must_use]
    pub fn is_of_adapter(&self) -> bool {
        self.path.contains(".adapter_")
    }

    /// The weight site of a linear layer.
    #[must_use]
    pub const fn linear(
        path: String,
        op: NodeId,
        weight: NodeId,
        features_in: usize,
        features_out: usize,
    ) -> Self {
        let kind = SiteKind::Weight { op, weight, features_in, layer: Layer::Linear, rows: None };
        Self { path, kind, node: op, width: features_out }
    }
}

impl SiteKind {
    /// The word for messages.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Weight { .. } => "weight",
            Self::Port(_) => "port",
            Self::Bridge { .. } => "bridge",
            Self::Norm { .. } => "norm",
            Self::Sequence { .. } => "sequence",
        }
    }
}
