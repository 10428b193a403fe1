//! Kinds of stages, one file each. What they share: data, a model with adapters, weights from the stage before.

mod edit;
mod evaluate;
mod generate;
mod measure;
mod train;
mod train_spec;

pub use edit::{Edit, EditError, EditSpec};
pub use evaluate::EvaluateSpec;
pub use generate::{GenerateError, GenerateSpec, generate};
pub use measure::{Folded, MeasureSpec, Measuring};
pub use train::{Ended, Progress, Snapshot, Stage, StepReport, TrainError};
pub use train_spec::TrainSpec;

use std::sync::Arc;

use crate::data::{Batch, Field, FieldValues, Loader, Source, Split, batches};
use crate::exec::{Inputs, rows};
use crate::graph::Graph;
use crate::tensor::Value;
use burn::tensor::Device;

/// Threads that decode and draw samples: the trainer itself needs the cores more.
pub(super) fn prefetch_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).clamp(1, 8))
}

/// A pass over the first samples of a split, in order.
pub(super) fn in_order(source: &Arc<dyn Source>, split: Split, limit: Option<usize>, batch: usize) -> Loader {
    let count = source.len(split).min(limit.unwrap_or(usize::MAX));
    let order: Vec<usize> = (0..count).collect();
    let planned = batches(source.as_ref(), split, &order, batch);
    Loader::new(Arc::clone(source), split, planned, prefetch_threads(), 4)
}

/// The columns of a batch that the graph reads, on a device, and the rows that the graph sends to its branches by one of them.
pub fn upload(batch: Batch, graph: &Graph, device: &Device) -> Inputs {
    let mut inputs = Inputs::new();
    for leaf in graph.columns() {
        let Some(value) = leaf.rows_where else { continue };
        let column = batch.columns.get(&leaf.column).and_then(|field| field.as_integers());
        if let Some(rows) = column.and_then(|column| rows(column, value)) {
            let count = rows.len();
            inputs.insert(leaf.key(), Value::from_i64(rows, &[count], device));
        }
    }
    let read = |name: &str| graph.columns().any(|leaf| leaf.column == name);
    for (name, Field { shape, values }) in batch.columns.into_iter().filter(|(name, _)| read(name)) {
        let value = match values {
            FieldValues::Floats(values) => Value::from_f32(values, &shape, device),
            FieldValues::Integers(values) => Value::from_i64(values, &shape, device),
        };
        inputs.insert(name, value);
    }
    inputs
}
