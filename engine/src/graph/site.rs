//! Named places where an adapter may attach.

use super::{NodeId, RowRange};

/// A port of a pre-norm transformer block (methods, section 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Port {
    /// The block's input.
    P0,
    /// After attention, before the residual add.
    P1,
    /// After attention and its residual add, not normed.
    P2,
    /// The feed-forward part's normed input.
    P3,
    /// After the feed-forward part, before the residual add.
    P4,
    /// The block's output.
    P5,
}

impl Port {
    /// Its name, as paths have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::P4 => "P4",
            Self::P5 => "P5",
        }
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
        }
    }
}
