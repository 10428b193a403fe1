//! Runs: the events of one, its folder on disk, performing a project, its report, and sweeps.

mod event;
mod folder;
mod report;
mod run;
mod sweep;

pub use event::{Event, EventBody, Loaded, StepPhases};
pub use folder::RunFolder;
pub use run::{Outcome, RunError, RunOptions, RunSummary, evaluate_run, resume, train};
pub use sweep::{SweepError, SweepOptions, SweepRow, SweepTable, sweep};
