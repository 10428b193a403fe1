//! Graft's engine: the model as a graph, adapters as rewrites of it, one executor, one trainer.

pub mod adapters;
pub mod device;
pub mod exec;
pub mod graph;
pub mod memory;
pub mod models;
pub mod ops;
pub mod tensor;
pub mod weights;
