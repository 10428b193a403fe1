//! Training: stages, the step as a graph, optimisers, schedules, metrics, and their checkpoints.

mod caching;
mod checkpoint;
mod control;
mod cost;
mod evaluation;
pub mod losses;
mod merge;
mod optimiser;
mod rates;
mod selection;
mod spec;
mod stages;
mod step;

pub use caching::Caching;
pub use checkpoint::{Checkpoint, CheckpointError, Position};
pub use control::{Ask, Control, Wish};
pub use cost::{OptimizerSecs, optimizer_secs};
pub use evaluation::{Evaluation, MOST_CLASSES, Prediction, evaluate, headline};
pub use merge::{MergeError, merge, mergeable};
pub use optimiser::{AdamW, Optimiser, OptimiserSpec, Sgd};
pub use rates::{Decay, ScheduleSpec};
pub use selection::{Selection, select};
pub use spec::{AdapterUse, RepeatSpec, StageSpec, StageWeights};
pub use stages::{
    Done, Edit, EditError, EditSpec, Ended, EvaluateSpec, Folded, GenerateError, GenerateSpec, MeasureSpec,
    Measuring, Observer, PROFILED, Progress, Snapshot, Stage, StepReport, TrainError, TrainSpec, generate,
    generated_nodes, measuring_walk, upload,
};
pub use step::{StepBuilder, StepError, StepGraph, StepSpec, clip_factor};
