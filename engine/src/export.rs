//! Writing what a run has trained, one file a format: what is written is read back, and must
//! give the logits that the run's own model gives.

mod adapter;
mod run;
mod switch;

pub use adapter::{Adapter, AdapterFileError};
pub use run::{ExportError, ExportReport, Format, export};
pub use switch::{Change, Delta, Displaced, Interference, SwitchError, interference};
