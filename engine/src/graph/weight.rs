//! What stands on a layer's weight edge after rewrites, so that several of them stack in listed order.

use super::NodeId;

/// The weight of one layer as rewrites have left it.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightEdge {
    /// The stored parameter.
    pub param: NodeId,
    /// The value that the layer reads: the parameter, or what weight forms made of it.
    pub value: NodeId,
    /// Paths beside the layer, whose dense product would be added to the weight.
    pub beside: Vec<Beside>,
}

/// A path beside a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beside {
    /// Its product as a weight, `[out, in]` of the rows that it acts on.
    pub delta: NodeId,
    /// The rows of the weight that it acts on; all of them if absent.
    pub rows: Option<RowRange>,
}

/// Some neighbouring rows of a fused weight: a named slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRange {
    /// The first one.
    pub start: usize,
    /// How many.
    pub length: usize,
}
