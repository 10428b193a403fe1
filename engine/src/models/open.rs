//! Opening a model folder: which architecture its `config.json` describes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::read_config;
use super::spec::{DataShape, Resolved, trunk_of};
use super::vivit::{self, Vivit};
use super::{Architecture, ModelError, ast, bert, cct, clip, clipseg, deit, t5, timm, vivit_joint};
use crate::weights::{Checkpoint, WeightSource};

/// The registry: one line for each `model_type`, with the function that reads its config.
const KNOWN: &[(&str, Reader)] = &[
    ("vit", image_trunk),
    ("dinov2", image_trunk),
    (vivit::MODEL_TYPE, factorised_video),
    (cct::MODEL_TYPE, cct::read),
    (deit::MODEL_TYPE, deit::read),
    (ast::MODEL_TYPE, ast::read),
    (vivit_joint::MODEL_TYPE, vivit_joint::read),
    (timm::MODEL_TYPE, timm::read),
    (clip::MODEL_TYPE, clip::read),
    (clip::VISION, clip::read),
    (clip::TEXT, clip::read),
    (clipseg::MODEL_TYPE, clipseg::read),
    (bert::MODEL_TYPE, bert::read),
    (t5::MODEL_TYPE, t5::read),
];

type Reader = fn(&Stored<'_>) -> Result<Box<dyn Architecture>, ModelError>;

/// An architecture whose head can be made for other classes.
pub(super) trait Classified: Architecture {
    /// Its class names.
    fn classes_mut(&mut self) -> &mut Vec<String>;
}

/// A model folder that was opened, and the data that the model is for, if that is known.
pub(super) struct Stored<'a> {
    /// Its `config.json`.
    pub config: &'a Value,
    /// Its weights.
    pub checkpoint: &'a Checkpoint,
    /// The data: with them, a head is made for their classes.
    pub data: Option<&'a DataShape>,
    /// Columns that the model will be handed, where that is known without data.
    pub columns: Option<&'a BTreeSet<String>>,
    /// Path of `config.json`, for messages.
    pub path: PathBuf,
}

impl Stored<'_> {
    /// What `config.json` says that the model is; timm's says it by other fields.
    pub(super) fn model_type(&self) -> &str {
        match self.config.get("model_type").and_then(Value::as_str) {
            Some(kind) => kind,
            None if timm::is(self) => timm::MODEL_TYPE,
            None => "",
        }
    }

    /// Shape of a tensor of the file.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.checkpoint.shape(name)
    }

    /// Whether the file holds a tensor.
    pub(super) fn has(&self, name: &str) -> bool {
        self.checkpoint.has(name)
    }

    /// Whether the model will be handed a column. If nothing is known of them it is taken to be there.
    pub(super) fn reads(&self, column: &str) -> bool {
        match (self.data, self.columns) {
            (Some(data), _) => data.has(column),
            (None, Some(columns)) => columns.contains(column),
            (None, None) => true,
        }
    }

    /// A model whose config is read alone but for what the file holds, with a head for the data's classes.
    pub(super) fn with_classes<A: Classified + 'static>(
        &self,
        from_config: impl Fn(&Value, &dyn Fn(&str) -> bool) -> Result<A, String>,
    ) -> Result<Box<dyn Architecture>, ModelError> {
        let mut model = from_config(self.config, &|name| self.has(name)).map_err(|why| self.wrong(why))?;
        if let Some(data) = self.data {
            model.classes_mut().clone_from(&data.classes);
        }
        Ok(Box::new(model))
    }

    /// The error of a config that cannot be used.
    pub(super) fn wrong(&self, why: String) -> ModelError {
        ModelError::Config { why, path: self.path.clone() }
    }
}

fn image_trunk(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    let has = |name: &str| stored.has(name);
    let mut trunk = trunk_of(stored.model_type(), stored.config, &has).map_err(|why| stored.wrong(why))?;
    if let Some(data) = stored.data {
        trunk.classes.clone_from(&data.classes);
    }
    Ok(Box::new(trunk))
}

fn factorised_video(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    let has = |name: &str| stored.has(name);
    let mut model = Vivit::from_config(stored.config, &has).map_err(|why| stored.wrong(why))?;
    if let Some(data) = stored.data {
        model.classes.clone_from(&data.classes);
        model.frames = data.picture()?.frames.unwrap_or(model.frames);
    }
    Ok(Box::new(model))
}

/// Reads a folder's config and says which architecture it is. With `data`, the head is made for their classes; they, or
/// else `columns`, tell which of the columns that it can do without it reads.
pub(super) fn open_folder(
    folder: &Path,
    data: Option<&DataShape>,
    columns: Option<&BTreeSet<String>>,
) -> Result<Resolved, ModelError> {
    let config = read_config(folder)?;
    let architecture = described(folder, &config, &Checkpoint::open(folder)?, data, columns)?;
    let weights =
        WeightSource { folder: folder.to_path_buf(), from: String::new(), to: String::new(), partial: false };
    Ok(Resolved { architecture, weights: Some(weights) })
}

/// The same of a folder of which only `config.json` is read: the model begins fresh.
pub(super) fn open_fresh(folder: &Path, data: &DataShape) -> Result<Resolved, ModelError> {
    let config = read_config(folder)?;
    let architecture = described(folder, &config, &Checkpoint::none(folder), Some(data), None)?;
    Ok(Resolved { architecture, weights: None })
}

/// The architecture that a folder's `config.json` describes.
fn described(
    folder: &Path,
    config: &Value,
    checkpoint: &Checkpoint,
    data: Option<&DataShape>,
    columns: Option<&BTreeSet<String>>,
) -> Result<Box<dyn Architecture>, ModelError> {
    let path = folder.join("config.json");
    let stored = Stored { config, checkpoint, data, columns, path };
    let kind = stored.model_type();
    let Some((_, read)) = KNOWN.iter().find(|(name, _)| *name == kind) else {
        return Err(ModelError::UnknownType {
            found: kind.to_owned(),
            known: KNOWN.iter().map(|(name, _)| (*name).to_owned()).collect(),
            path: stored.path,
        });
    };
    read(&stored)
}
