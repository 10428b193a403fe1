//! Graft's own adapter files: `adapter.ron` says what stands where, `adapter.safetensors` holds its parameters and
//! states, and base parameters that were trained with it, all by logical path.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::adapters::{PlaceError, Placement, place};
use crate::graph::{Graph, NodeKind};
use crate::tensor::{Shape, Value};
use crate::weights::{Params, Tensor, WeightsError, read_tensors, write_atomically, write_tensors};

/// The version that this build writes.
const VERSION: u32 = 1;

/// Adapters with their weights, apart from the model that they are for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adapter {
    /// Placements by their number, which is part of their tensors' paths.
    pub placements: BTreeMap<usize, Placement>,
    /// Values by logical path.
    pub tensors: BTreeMap<String, Tensor>,
}

/// Why an adapter could not be written, read or put on a model.
#[derive(Debug, thiserror::Error)]
pub enum AdapterFileError {
    /// The file system refused.
    #[error("{error}: {}", path.display())]
    Io {
        /// What it said.
        error: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The description is not sound.
    #[error("not a sound adapter description ({why}): {}", path.display())]
    Description {
        /// What is wrong.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// The tensors are not sound.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The model does not take it.
    #[error("the adapter does not fit the model: {0}")]
    Place(#[from] PlaceError),
    /// A tensor that the adapter's own nodes need is not there.
    #[error("the adapter has no tensor `{tensor}`, which its placement at the model needs")]
    Missing {
        /// The tensor.
        tensor: String,
    },
    /// A tensor that nothing in the model is for.
    #[error("the adapter's tensor `{tensor}` is for nothing in this model; it may be for another one")]
    Unknown {
        /// The tensor.
        tensor: String,
    },
    /// A tensor of the wrong shape.
    #[error("the adapter's tensor `{tensor}` has shape {found:?}, the model's is {wanted:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Shape,
        /// What would do.
        wanted: Shape,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: u32,
    placements: Vec<(usize, Placement)>,
}

impl Adapter {
    /// What a model has beside its base: everything that the placements brought, and what else has `changed`.
    #[must_use]
    pub fn of(
        placements: BTreeMap<usize, Placement>,
        graph: &Graph,
        params: &Params,
        changed: &BTreeSet<String>,
    ) -> Self {
        let tensors = leaves(graph)
            .filter(|(path, _, placed)| *placed || changed.contains(*path))
            .filter_map(|(path, _, _)| {
                let value = params.get(path)?;
                Some((path.to_owned(), Tensor { shape: value.shape(), data: value.to_f32() }))
            })
            .collect();
        Self { placements, tensors }
    }

    /// Writes `adapter.ron` and `adapter.safetensors`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), AdapterFileError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| AdapterFileError::Io { error, path: folder.to_path_buf() })?;
        let path = folder.join("adapter.ron");
        let placements =
            self.placements.iter().map(|(number, placement)| (*number, placement.clone())).collect();
        let description = Description { version: VERSION, placements };
        let text = ron::ser::to_string_pretty(&description, ron::ser::PrettyConfig::default())
            .map_err(|error| AdapterFileError::Description { why: error.to_string(), path: path.clone() })?;
        write_tensors(&self.tensors, &folder.join("adapter.safetensors"))?;
        write_atomically(&path, text.as_bytes()).map_err(|error| AdapterFileError::Io { error, path })
    }

    /// Reads a folder that [`Self::write`] wrote.
    ///
    /// # Errors
    /// When it is not sound.
    pub fn read(folder: &Path) -> Result<Self, AdapterFileError> {
        let path = folder.join("adapter.ron");
        let text = std::fs::read_to_string(&path)
            .map_err(|error| AdapterFileError::Io { error, path: path.clone() })?;
        let wrong = |why: String| AdapterFileError::Description { why, path: path.clone() };
        let description: Description = ron::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if description.version > VERSION {
            let found = description.version;
            return Err(wrong(format!("version {found}, this build reads up to {VERSION}")));
        }
        let tensors = read_tensors(&folder.join("adapter.safetensors"))?;
        Ok(Self { placements: description.placements.into_iter().collect(), tensors })
    }

    /// The same under other numbers, `by` higher: for a model that has adapters of lower numbers.
    #[must_use]
    pub fn renumbered(&self, by: usize) -> Self {
        // From the highest on, so that no number is changed twice. In a rule it may be one of several alternatives.
        let renamed = |text: &str| {
            self.placements.keys().rev().fold(text.to_owned(), |text, number| {
                ['.', ',', '}'].into_iter().fold(text, |text, end| {
                    text.replace(&format!("adapter_{number}{end}"), &format!("adapter_{}{end}", number + by))
                })
            })
        };
        let placements = self.placements.iter().map(|(number, placement)| {
            (number + by, Placement { at: renamed(&placement.at), ..placement.clone() })
        });
        let tensors = self.tensors.iter().map(|(path, tensor)| (renamed(path), tensor.clone()));
        Self { placements: placements.collect(), tensors: tensors.collect() }
    }

    /// The model with the adapters placed.
    ///
    /// # Errors
    /// When the model does not take one.
    pub fn place(&self, base: &Graph) -> Result<Graph, AdapterFileError> {
        let mut graph = base.clone();
        for (number, placement) in &self.placements {
            graph = place(&graph, *number, placement)?.0;
        }
        Ok(graph)
    }

    /// Puts the values into a model that [`Self::place`] made.
    ///
    /// # Errors
    /// When a tensor is missing, for nothing in the model, or of the wrong shape.
    pub fn fill(&self, graph: &Graph, params: &mut Params, device: &Device) -> Result<(), AdapterFileError> {
        let known: BTreeMap<&str, (&Shape, bool)> =
            leaves(graph).map(|(path, shape, placed)| (path, (shape, placed))).collect();
        for (path, (_, placed)) in &known {
            let number = self.placements.keys().any(|n| path.contains(&format!(".adapter_{n}.")));
            if *placed && number && !self.tensors.contains_key(*path) {
                return Err(AdapterFileError::Missing { tensor: (*path).to_owned() });
            }
        }
        for (path, tensor) in &self.tensors {
            let Some((shape, _)) = known.get(path.as_str()) else {
                return Err(AdapterFileError::Unknown { tensor: path.clone() });
            };
            if **shape != tensor.shape {
                let (found, wanted) = (tensor.shape.clone(), (*shape).clone());
                return Err(AdapterFileError::Shape { tensor: path.clone(), found, wanted });
            }
        }
        for (path, tensor) in &self.tensors {
            params.set(path, Value::from_f32(tensor.data.clone(), &tensor.shape, device));
        }
        // What a placement has fixed is in no file.
        for node in graph.nodes() {
            if let NodeKind::Const(leaf) = &node.kind
                && params.get(&node.path).is_none()
            {
                params.set(&node.path, Value::from_f32(leaf.values.to_vec(), &leaf.shape, device));
            }
        }
        Ok(())
    }
}

/// Parameters and states: path, shape, whether an adapter brought it.
fn leaves(graph: &Graph) -> impl Iterator<Item = (&str, &Shape, bool)> {
    let params = graph.params().map(|(_, path, leaf)| (path, &leaf.shape, leaf.placement.is_some()));
    let states = graph.states().map(|(_, path, leaf)| (path, &leaf.shape, leaf.placement.is_some()));
    params.chain(states)
}
