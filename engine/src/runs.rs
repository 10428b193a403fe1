//! Runs: the events of one, its folder on disk, performing a project, its report, and sweeps.

mod difference;
mod entry;
mod event;
mod folder;
mod kept;
mod lock;
mod noise;
mod notes;
mod outcome;
mod profiles;
mod queue;
mod report;
mod run;
mod sweep;
mod tail;
mod tested;
mod trash;
mod turns;
mod variants;

pub use difference::{PlacementRow, SettingRow, placement_difference, settings, settings_difference};
pub use entry::{RunEntry, RunReader, RunState, run_folders};
pub use event::{Event, EventBody, Loaded, NodeProfile, StepPhases};
pub use folder::RunFolder;
pub use lock::is_running;
pub use notes::Notes;
pub use outcome::{Outcome, RunError, RunOptions, RunSummary};
pub use profiles::{StageProfile, cost_difference, newest_profiles};
pub use queue::{Queued, enqueue, queued};
pub use run::{evaluate_run, evaluate_run_under_noise, resume, train};
pub use sweep::{SweepError, SweepMark, SweepOptions, SweepRow, SweepTable, sweep};
pub use tail::{Lines, Tail};
pub use tested::{Test, Tests};
pub use trash::{Trashed, purge, trash};
pub use variants::{VariantRow, variants};
