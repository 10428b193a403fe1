//! Runs: the events of one, its folder on disk, performing a project, its report, and sweeps.

mod event;
mod folder;
mod noise;
mod outcome;
mod profiles;
mod report;
mod run;
mod sweep;
mod turns;

pub use event::{Event, EventBody, Loaded, NodeProfile, StepPhases};
pub use folder::RunFolder;
pub use outcome::{Outcome, RunError, RunOptions, RunSummary};
pub use profiles::{StageProfile, newest_profiles};
pub use run::{evaluate_run, evaluate_run_under_noise, resume, train};
pub use sweep::{SweepError, SweepOptions, SweepRow, SweepTable, sweep};
