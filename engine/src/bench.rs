//! Benches that everybody can rerun: what the planner says against what the allocator and the clock see.

mod bits;
mod draw;
mod measure;
mod models;
mod predict;
mod refine;
mod source;

pub use bits::gradient_bits;
pub use predict::{Miss, Prediction, Row, Summary, markdown, predict, summary};
pub use refine::calibrate;
