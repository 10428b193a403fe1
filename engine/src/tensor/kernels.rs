//! CPU kernels for the few ops that decide the time of a step on `flex`.
//!
//! Each kernel takes untracked f32 values on the `flex` device and answers `None` (or gives its
//! inputs back) for anything else, so that the caller turns to burn's own ops: f64, half precision,
//! GPUs and tracked tensors all go there. A shape the kernel does not understand is answered the
//! same way.
//!
//! Results are the same bits on every run with the same shapes on the same machine, whatever the
//! number of threads: work is cut into chunks whose size depends on the shapes alone, and partial
//! sums are added in the order of the chunks. Products of matrices are cut by the number of threads
//! as well, but never along their inner axis.

mod adamw;
mod attention;
mod bias;
mod cross_entropy;
mod cut;
mod flex;
mod gelu;
mod layer_norm;
mod logistic;
mod matmul;
mod matrix;
mod pack;
mod simd;
mod softmax;
mod squares;
#[cfg(test)]
mod testing;

pub use adamw::{AdamWStep, adamw_step};
pub use attention::{Scores, attention, attention_vjp};
pub use bias::sum_rows;
pub use cross_entropy::cross_entropy;
pub use gelu::{GeluForm, gelu, gelu_vjp};
pub use layer_norm::{layer_norm, layer_norm_vjp};
pub use logistic::{sigmoid, silu, silu_vjp, swiglu, swiglu_vjp};
pub use matmul::{Reading, make_thread_buffers, matmul, matmul_workspace};
pub use pack::Packed;
pub use softmax::{softmax_last, softmax_last_vjp};
pub use squares::sum_of_squares;
