//! Training: stages, optimisers, schedules, metrics, the loop and its checkpoints.

mod checkpoint;
mod control;
mod evaluate;
mod optimiser;
mod rates;
mod selection;
mod spec;
mod stage;
mod step;

pub use checkpoint::{Checkpoint, CheckpointError, Position};
pub use control::{Control, Wish};
pub use evaluate::{Evaluation, evaluate};
pub use optimiser::{AdamW, Optimiser, OptimiserSpec, Sgd};
pub use rates::{Decay, ScheduleSpec};
pub use selection::{Selection, select};
pub use spec::{AdapterUse, StageSpec, StageWeights, TrainSpec};
pub use stage::{Ended, Progress, Snapshot, Stage, StepReport, TrainError};
pub use step::{StepError, StepGraph, clip_factor};
