//! Benches that everybody can rerun: what the planner says against what the allocator and the clock see.

mod draw;
mod measure;
mod models;
mod predict;
mod source;

pub use predict::{Miss, Prediction, Row, Summary, markdown, predict, summary};
