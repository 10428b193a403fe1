//! Kinds of stages, one file each. What they share: data, a model with adapters, weights from the stage before.

mod edit;
mod evaluate;
mod generate;
mod measure;
mod train;
mod train_spec;

pub use edit::{Edit, EditError, EditSpec};
pub use evaluate::EvaluateSpec;
pub use generate::{GenerateError, GenerateSpec, generate, generated_nodes};
pub use measure::{Folded, MeasureSpec, Measuring, measuring_walk};
pub use train::{Done, Ended, Observer, PROFILED, Progress, Snapshot, Stage, StepReport, TrainError};
pub use train_spec::TrainSpec;

use std::sync::Arc;

use crate::data::{Loader, Source, Split, batches};
pub use crate::exec::upload;

/// Threads that decode and draw samples: the trainer itself needs the cores more.
pub(super) fn prefetch_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| (n.get() / 2).clamp(1, 8))
}

/// The batches of a pass over the first samples of a split, in order.
pub(super) fn planned_in_order(
    source: &Arc<dyn Source>,
    split: Split,
    limit: Option<usize>,
    batch: usize,
) -> Vec<Vec<usize>> {
    let count = source.len(split).min(limit.unwrap_or(usize::MAX));
    let order: Vec<usize> = (0..count).collect();
    batches(source.as_ref(), split, &order, batch)
}

/// A pass over the first samples of a split, in order.
pub(super) fn in_order(source: &Arc<dyn Source>, split: Split, limit: Option<usize>, batch: usize) -> Loader {
    let planned = planned_in_order(source, split, limit, batch);
    Loader::new(Arc::clone(source), split, planned, prefetch_threads(), 4)
}
