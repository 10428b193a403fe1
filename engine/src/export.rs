//! Adapter files, one file a format: Graft's own, and those of the libraries that people use. What a run has trained is
//! written, read back, and must give the logits that the run's own model gives.

mod adapter;
mod format;
mod graft;
mod hub;
mod modules;
mod peft;
mod placed;
mod run;
mod switch;

pub use adapter::{Adapter, AdapterFileError};
pub use format::{AdapterFormat, Base, FormatError, read_adapter};
pub use graft::Graft;
pub use hub::AdapterHub;
pub use modules::Spelling;
pub use peft::Peft;
pub use run::{ExportError, ExportOptions, ExportReport, Format, TOLERANCE, export};
pub use switch::{Change, Delta, Displaced, Interference, SwitchError, interference};
