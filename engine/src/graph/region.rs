//! The tree of regions: what folds and unfolds on the canvas.

use super::{Mode, NodeId};

/// A region of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionId(pub(super) usize);

impl RegionId {
    /// Its place in [`super::Graph::regions`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// A named part of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Logical path: `model.spatial.blocks.3.attention`. The root's is the model instance's name.
    pub path: String,
    /// What to call it.
    pub title: String,
    /// What it is.
    pub kind: RegionKind,
    /// The region around it; the root has none.
    pub parent: Option<RegionId>,
    /// The mode that everything in it runs in, whatever trains.
    pub mode: Option<Mode>,
    /// The region of the model that this one of a further instance repeats.
    pub of: Option<RegionId>,
    /// How the token axis of the values in it is made up, where it says so itself.
    pub tokens: Option<Tokens>,
}

/// How a token axis `[batch, tokens, width]` is made up: some tokens that have no place, then a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens before the grid: class and distillation tokens.
    pub prefix: usize,
    /// The rest.
    pub grid: Grid,
    /// Whether a mask tells which of them are padding: attention sees the others only.
    pub masked: bool,
}

/// Rows and columns of tokens, in row-major order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// One row, however long: time, text.
    Row,
    /// Always so many rows and columns.
    Fixed([usize; 2]),
    /// As many as an image holds patches.
    Patches {
        /// The image, whose last two extents are rows and columns of pixels.
        pixels: NodeId,
        /// Rows and columns of a patch.
        patch: [usize; 2],
    },
}

/// What a region is, for drawing and for summaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegionKind {
    /// A whole model instance.
    Model,
    /// Pixels or tokens to vectors.
    Embedding,
    /// A transformer: a sequence of blocks with its norm.
    Transformer,
    /// The list of equal blocks inside a transformer.
    Stack,
    /// One block.
    Block,
    /// An attention sub-layer.
    Attention,
    /// A feed-forward sub-layer.
    FeedForward,
    /// An adapter that was placed (index in the project's list).
    Adapter(usize),
    /// The classifier.
    Head,
    /// The loss.
    Loss,
    /// Anything else.
    Other,
}
