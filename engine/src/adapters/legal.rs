//! Why a kind may not sit at a site: a closed list, so that tables and messages can name every reason.

use crate::graph::{Graph, Layer, Port, Site, SiteKind, Tokens};

/// Why a kind may not sit at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Illegal {
    /// The kind sits on weights.
    #[error("it goes on a weight")]
    NotAWeight,
    /// The kind sits on the weights of linear layers.
    #[error("it goes on the weight of a linear layer")]
    NotLinear,
    /// The kind sits at ports of sub-layers.
    #[error("it goes on a port of a block")]
    NotAPort,
    /// The kind sits at values that are passed on.
    #[error("it goes on a port of a block or on a bridge")]
    NotAnEdge,
    /// The kind sits between two transformers.
    #[error("it goes on a bridge between two transformers")]
    NotABridge,
    /// The kind un-freezes parameters.
    #[error("it goes on a weight or a norm")]
    NothingToUnfreeze,
    /// The kind adds tokens to a sequence.
    #[error("it goes on a sequence of tokens")]
    NotASequence,
    /// The layer is an adapter's own.
    #[error("an adapter's own layers train anyway")]
    OfAdapter,
    /// It would take the place of pretrained values.
    #[error("the weight there is pretrained and would be lost; it goes on a layer that an adapter brought")]
    Pretrained,
    /// The weight's sides have no common divisor as asked for.
    #[error("the number of products does not divide both sides of the weight")]
    Indivisible,
    /// The place is a part of a fused weight.
    #[error("a part of a fused weight has no norm of its own; place it on the whole weight")]
    Fused,
    /// The convolution works in groups.
    #[error("the convolution works in groups")]
    Grouped,
    /// It is not known in which rows and columns the tokens stand.
    #[error("it is not known how the tokens there are arranged")]
    NoGrid,
    /// Padding is told by a mask that the kind does not know.
    #[error("a mask tells padding from tokens there, which the kind would not see")]
    Masked,
    /// Other parts of the model read the sequence before it ends.
    #[error("other parts of the model read the sequence before it ends, and would see the prompts")]
    ReadInside,
    /// The tokens that the edge's value was chosen from are not there to be read.
    #[error("the edge's value is not chosen from tokens")]
    NoTokens,
    /// The block has no such port.
    #[error("the block has no port that it is to read")]
    NoSuchPort,
    /// The port that is read comes after the one that is added to.
    #[error("the port that it is to read comes after the one it adds to")]
    Backwards,
    /// The layer has no bias.
    #[error("the layer has no bias")]
    NoBias,
}

/// The layer of a weight site.
pub(super) fn weight(site: &Site) -> Result<Layer, Illegal> {
    match site.kind {
        SiteKind::Weight { layer, .. } => Ok(layer),
        _ => Err(Illegal::NotAWeight),
    }
}

/// Features that enter the weight of a linear layer.
pub(super) fn linear(site: &Site) -> Result<usize, Illegal> {
    match site.kind {
        SiteKind::Weight { layer: Layer::Linear, features_in, .. } => Ok(features_in),
        SiteKind::Weight { .. } => Err(Illegal::NotLinear),
        _ => Err(Illegal::NotAWeight),
    }
}

/// A port.
pub(super) fn port(site: &Site) -> Result<Port, Illegal> {
    match site.kind {
        SiteKind::Port(port) => Ok(port),
        _ => Err(Illegal::NotAPort),
    }
}

/// A bridge.
pub(super) fn bridge(site: &Site) -> Result<(), Illegal> {
    match site.kind {
        SiteKind::Bridge { .. } => Ok(()),
        _ => Err(Illegal::NotABridge),
    }
}

/// The makeup of the tokens at a port.
pub(super) fn grid(graph: &Graph, site: &Site) -> Result<Tokens, Illegal> {
    port(site)?;
    graph.tokens(&site.path).ok_or(Illegal::NoGrid)
}
