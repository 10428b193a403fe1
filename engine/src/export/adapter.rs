//! Graft's own adapter files: `adapter.ron` says what stands where, `adapter.safetensors` holds its parameters and
//! states, and base parameters that were trained with it, all by logical
//! path. A tensor `x` that a placement rounds to few bits is held as `x.codes` (packed bytes) and `x.levels` (mean and
//! deviation).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::adapters::{PlaceError, Placement, place};
use crate::graph::{Graph, NodeKind};
use crate::ops::{CODE_BOOKS, Codes, Quantise};
use crate::tensor::{Shape, Value};
use crate::weights::{
    Params, StoredTensor, Tensor, WeightsError, read_weights_and_bytes, write_atomically, write_stored,
};

/// The version that this build writes.
const VERSION: u32 = 1;

/// The highest number of a placement that is read; a project counts them from 0.
const HIGHEST: usize = 1_000_000;

/// Adapters with their weights, apart from the model that they are for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adapter {
    /// Placements by their number, which is part of their tensors' paths.
    pub placements: BTreeMap<usize, Placement>,
    /// Values by logical path.
    pub tensors: BTreeMap<String, Tensor>,
    /// Tensors that are written as codes of few bits.
    pub coded: Vec<Coded>,
}

/// A tensor that is written as codes, because a placement rounds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coded {
    /// Its path.
    pub tensor: String,
    /// The placement that rounds it.
    pub placement: usize,
    /// Bits a value.
    pub bits: usize,
    /// Its shape.
    pub shape: Shape,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    coded: Vec<Coded>,
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
        let tensors: BTreeMap<String, Tensor> = leaves(graph)
            .filter(|(path, _, placed)| *placed || changed.contains(*path))
            .filter_map(|(path, _, _)| {
                let value = params.get(path)?;
                Some((path.to_owned(), Tensor { shape: value.shape(), data: value.to_f32() }))
            })
            .collect();
        let coded = graph.demands().codings.iter().filter_map(|coding| {
            let tensor = graph.node(coding.param).path.clone();
            let shape = tensors.get(&tensor)?.shape.clone();
            Some(Coded { tensor, placement: coding.placement, bits: coding.bits, shape })
        });
        let coded = coded.filter(|coded| placements.contains_key(&coded.placement)).collect();
        Self { placements, tensors, coded }
    }

    /// Writes `adapter.ron` and `adapter.safetensors`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), AdapterFileError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| AdapterFileError::Io { error, path: folder.to_path_buf() })?;
        let path = folder.join("adapter.ron");
        let is_coded = |number: usize| self.coded.iter().any(|coded| coded.placement == number);
        let placements = self.placements.iter().map(|(number, placement)| {
            let kind =
                if is_coded(*number) { placement.kind.stored_as_codes() } else { placement.kind.clone() };
            (*number, Placement { kind, ..placement.clone() })
        });
        let coded = self.coded.clone();
        let description = Description { version: VERSION, placements: placements.collect(), coded };
        let text = ron::ser::to_string_pretty(&description, ron::ser::PrettyConfig::default())
            .map_err(|error| AdapterFileError::Description { why: error.to_string(), path: path.clone() })?;
        write_stored(&self.stored(), &folder.join("adapter.safetensors"))?;
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
        let mut placements = BTreeMap::new();
        for (number, placement) in description.placements {
            if number > HIGHEST {
                return Err(wrong(format!("placement {number} is numbered above {HIGHEST}")));
            }
            if placements.insert(number, placement).is_some() {
                return Err(wrong(format!("placement {number} is there twice")));
            }
        }
        let (mut tensors, codes) = read_weights_and_bytes(&folder.join("adapter.safetensors"))?;
        for coded in &description.coded {
            let tensor = decoded(coded, &mut tensors, &codes).map_err(wrong)?;
            tensors.insert(coded.tensor.clone(), tensor);
        }
        // What has been decoded is a tensor like any other.
        Ok(Self { placements, tensors, coded: Vec::new() })
    }

    /// The tensors as the file holds them.
    fn stored(&self) -> BTreeMap<String, StoredTensor<'_>> {
        let mut stored: BTreeMap<String, StoredTensor<'_>> = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), StoredTensor::Floats(tensor.into())))
            .collect();
        for coded in &self.coded {
            let Some(tensor) = self.tensors.get(&coded.tensor) else { continue };
            let value = Value::from_f32(tensor.data.clone(), &tensor.shape, &Device::flex());
            let codes = Quantise { bits: coded.bits }.encode(&value);
            stored.remove(&coded.tensor);
            stored.insert(format!("{}.codes", coded.tensor), StoredTensor::Bytes(codes.packed));
            let levels = Tensor { shape: vec![2], data: vec![codes.mean, codes.deviation] };
            stored.insert(format!("{}.levels", coded.tensor), StoredTensor::Floats(levels.into()));
        }
        stored
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
        let coded = self.coded.iter().map(|coded| Coded {
            tensor: renamed(&coded.tensor),
            placement: coded.placement + by,
            ..coded.clone()
        });
        Self { placements: placements.collect(), tensors: tensors.collect(), coded: coded.collect() }
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

/// The tensor that codes of the file stand for.
fn decoded(
    coded: &Coded,
    tensors: &mut BTreeMap<String, Tensor>,
    bytes: &BTreeMap<String, Vec<u8>>,
) -> Result<Tensor, String> {
    let count = coded.shape.iter().try_fold(1usize, |count, extent| count.checked_mul(*extent));
    let bits = coded.bits;
    let name = &coded.tensor;
    let (levels, packed) = (tensors.remove(&format!("{name}.levels")), bytes.get(&format!("{name}.codes")));
    let (Some(levels), Some(packed), Some(count)) = (levels, packed, count) else {
        return Err(format!("the codes of `{name}` are not in the file"));
    };
    let wanted = count.checked_mul(bits).map(|all| all.div_ceil(8));
    if !(1..=CODE_BOOKS.len()).contains(&bits) || levels.data.len() != 2 || wanted != Some(packed.len()) {
        return Err(format!(
            "`{name}` of shape {:?} in {bits} bits does not have {} bytes of codes",
            coded.shape,
            packed.len()
        ));
    }
    let stored = Codes { packed: packed.clone(), mean: levels.data[0], deviation: levels.data[1] };
    Ok(Tensor { shape: coded.shape.clone(), data: Quantise { bits }.decode(&stored, count) })
}

/// Parameters and states: path, shape, whether an adapter brought it.
fn leaves(graph: &Graph) -> impl Iterator<Item = (&str, &Shape, bool)> {
    let params = graph.params().map(|(_, path, leaf)| (path, &leaf.shape, leaf.placement.is_some()));
    let states = graph.states().map(|(_, path, leaf)| (path, &leaf.shape, leaf.placement.is_some()));
    params.chain(states)
}
