//! Architectures: one file each, from a checkpoint's `config.json` (or a project's spec) to a graph.

mod ast;
mod bert;
mod block;
mod cct;
mod clip;
mod clip_towers;
mod clipseg;
mod config;
mod deit;
mod open;
mod registry;
mod sizes;
mod spec;
mod t5;
mod text;
mod timm;
mod trunk;
mod vivit;
mod vivit_joint;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

pub use ast::Ast;
pub use bert::Bert;
pub use cct::{Cct, CctPositions, CctSize, CctSpec};
pub use clip::Clip;
pub use clip_towers::{TextTower, VisionTower};
pub use clipseg::ClipSeg;
pub use deit::Deit;
pub use registry::{RegisteredSpec, register};
pub use sizes::Sizes;
pub use spec::{DataShape, ModelSpec, Resolved, TemporalSpec, TrunkSpec, VitSpec, VivitSpec};
pub use t5::{T5, WordHead};
pub use text::FeedForward;
pub use timm::TimmVit;
pub use trunk::{Flavour, ImageTrunk};
pub use vivit::{TubeletInit, Vivit};
pub use vivit_joint::VivitJoint;

use crate::graph::{Binding, Graph, GraphError};
use crate::weights::WeightsError;

/// Why a model could not be described.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The folder has no usable `config.json`.
    #[error("{why}; a model folder holds config.json and weights: {}", path.display())]
    Config {
        /// What is wrong.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// A `model_type` that no architecture here reads.
    #[error(
        "model type `{found}` is not known; known are {}; the nearest is `{}`: {}",
        known.join(", "), nearest(found, known), path.display()
    )]
    UnknownType {
        /// What the config says.
        found: String,
        /// What would work.
        known: Vec<String>,
        /// The file.
        path: PathBuf,
    },
    /// A name that nothing is registered under.
    #[error("no architecture is registered as `{name}`; this program has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    NotRegistered {
        /// What the project asks for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Sizes that do not go together.
    #[error("the model cannot be built: {0}")]
    Sizes(String),
    /// The weights could not be opened.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The graph is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// The known model type that is spelt most alike.
fn nearest(found: &str, known: &[String]) -> String {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    crate::graph::nearest(found, &known, 1).pop().unwrap_or_default()
}

/// An architecture with all its sizes.
pub trait Architecture: Debug + Send + Sync {
    /// One line for people: `ViT 12 × 768, patch 16, 224²`.
    fn title(&self) -> String;

    /// Builds the graph of the instance `name` (the first segment of all its paths).
    ///
    /// # Errors
    /// When the sizes do not go together.
    fn build(&self, name: &str) -> Result<Graph, ModelError>;

    /// Extents of one batch at the model's own resolution.
    fn binding(&self, batch: usize) -> Binding;

    /// The contents of `config.json` that describe this model.
    fn config(&self) -> serde_json::Value;

    /// Class names of the head, if it has one.
    fn classes(&self) -> &[String];
}

/// Opens a Hugging Face folder. A model that can do without some columns reads all of them.
///
/// # Errors
/// When config or weights are missing, unreadable or of an unknown type.
pub fn open(folder: &std::path::Path) -> Result<Resolved, ModelError> {
    open::open_folder(folder, None, None)
}

/// The same for a model that will be handed these columns: of those that it can do without it reads no others.
///
/// # Errors
/// As [`open`].
pub fn open_reading(folder: &std::path::Path, columns: &BTreeSet<String>) -> Result<Resolved, ModelError> {
    open::open_folder(folder, None, Some(columns))
}
