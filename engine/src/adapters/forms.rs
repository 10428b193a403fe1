//! Weight forms: what stands on a weight edge. From the weight's shape a form gives an expression without batch
//! extent; it multiplies with every kind, since each linear layer that an adapter brings is a weight site too.

mod low_rank;
mod phm;
mod quantised;
mod sparse;
mod split;
mod torch_permutation;

pub use low_rank::LowRank;
pub use phm::Phm;
pub use quantised::Quantised;
pub use sparse::{Mask, Sparse};
pub use split::{Merge, Split};
