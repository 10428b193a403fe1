//! What flows along the graph's edges: rank-free tensors, shapes, and counter-based random numbers.

pub mod kernels;
mod random;
mod threads;
mod value;

pub(crate) use random::fnv1a;
pub use random::{Draws, Stream};
pub use threads::take_part;
pub use value::{ConvStep, Gradients, PoolStep, Value};

/// Extents of a tensor, outermost first. Written `[batch, tokens, width]` in documentation.
pub type Shape = Vec<usize>;

/// Number of elements of a shape.
#[must_use]
pub fn elements(shape: &[usize]) -> usize {
    shape.iter().product()
}
