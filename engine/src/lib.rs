//! Graft's engine: the model as a graph, adapters as rewrites of it, one executor, one trainer.

pub mod data;
pub mod device;
pub mod graph;
pub mod ops;
pub mod tensor;
