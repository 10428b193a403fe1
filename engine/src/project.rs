//! The `.ron` document: model, data, adapters, stages, variants; its checks and its edits by path.

mod build;
mod comments;
mod document;
mod edit;
mod file;
mod plan;
mod turns;
mod value;

use std::path::PathBuf;

pub use build::{
    BuildError, Built, build_model, build_stage, build_turn, generated, open_source, open_source_in,
};
pub use document::{Choose, Project, VERSION, Variant};
pub use edit::set;
pub use file::{load, parse, save, to_text, written};
pub use plan::{
    AdapterPlan, CutPlan, Fit, FitOption, Floor, Heat, Peak, Predicted, ProjectPlan, StagePlan, bytes_text,
    fit, parse_bytes, plan, plan_built,
};
pub use turns::Turn;

/// Why a project file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The file cannot be read or written.
    #[error("{error}: {}", path.display())]
    Io {
        /// What the system said.
        error: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The text is not a project.
    #[error("line {line}, column {column}: {why}: {}", path.display())]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong and what would do.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// A version that this build does not know.
    #[error("the project is of version {found}, this build reads up to {VERSION}; use a newer graft: {}", path.display())]
    Version {
        /// The file's version.
        found: u32,
        /// The file.
        path: PathBuf,
    },
    /// A setting makes no sense.
    #[error("`{field}` {why}")]
    Setting {
        /// Path of the setting.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// `--set` names no setting.
    #[error("there is no setting `{path}`; at `{reached}` there are {}", known.join(", "))]
    NoSuchSetting {
        /// What was asked for.
        path: String,
        /// How far it leads.
        reached: String,
        /// What is there.
        known: Vec<String>,
    },
    /// A variant that is not listed.
    #[error("there is no variant `{name}`; there are {}", known.join(", "))]
    NoSuchVariant {
        /// What was asked for.
        name: String,
        /// What is there.
        known: Vec<String>,
    },
}
