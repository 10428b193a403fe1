//! What can be wrong with a graph.

use crate::ops::ShapeError;
use crate::tensor::Shape;

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
    /// A path stands for two nodes.
    #[error("two nodes are called {path}; give one of them another name")]
    Twice {
        /// The path.
        path: String,
    },
    /// An update aims at what cannot be updated.
    #[error("{path} is no parameter or state, so no update can change it")]
    Target {
        /// The path.
        path: String,
    },
    /// An update after the step that reads the batch.
    #[error("the update of {path} comes after the step, but reads the column `{column}`")]
    Late {
        /// The target.
        path: String,
        /// The column.
        column: String,
    },
}
