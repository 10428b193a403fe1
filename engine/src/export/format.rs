//! One face for the adapter files of other libraries: whatever a folder holds becomes an [`Adapter`] for a model, and
//! an [`Adapter`] becomes a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::{Adapter, AdapterFileError, AdapterHub, Graft, Peft};
use crate::graph::{Graph, nearest};
use crate::tensor::Shape;
use crate::weights::{Params, Tensor, WeightsError, read_pytorch, read_tensors};

/// The model that an adapter is for, without it.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// Its graph.
    pub graph: &'a Graph,
    /// Its values: some formats store lengths of weights, or all of a module where Graft stores what changed.
    pub params: &'a Params,
    /// Its `config.json`.
    pub config: &'a Json,
    /// The folder that it was read from, if it was.
    pub folder: Option<&'a Path>,
}

/// A layout of adapter files.
pub trait AdapterFormat {
    /// Its word on the command line.
    fn word(&self) -> &'static str;

    /// Reads a folder as an adapter for `base`.
    ///
    /// # Errors
    /// When the files are not sound, ask for what Graft does not do, or are for another model.
    fn read(&self, folder: &Path, base: &Base<'_>) -> Result<Adapter, FormatError>;

    /// Writes a folder.
    ///
    /// # Errors
    /// When the format cannot hold the adapter, or the folder cannot be written.
    fn write(&self, adapter: &Adapter, base: &Base<'_>, folder: &Path) -> Result<(), FormatError>;
}

/// Why adapter files could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A folder in none of the layouts.
    #[error(
        "not an adapter folder ({found}); wanted are adapter.ron (Graft), adapter_config.json with `peft_type` (PEFT) \
         or with `config` and `model_type` (AdapterHub): {}", path.display()
    )]
    Unknown {
        /// What was found.
        found: String,
        /// The folder, or the file that is in no known dialect.
        path: PathBuf,
    },
    /// A description that cannot be used.
    #[error("{why}: {}", path.display())]
    Config {
        /// What is wrong.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// The description asks for something that Graft does not do.
    #[error("`{asks}` asks for what Graft does not do{}: {}", because(why), path.display())]
    Unsupported {
        /// The key, with its value where that says more.
        asks: String,
        /// More on it; may be empty.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// A tensor is not as the description and the model say.
    #[error("tensor `{tensor}` {why}: {}", path.display())]
    Tensor {
        /// Its name in the file.
        tensor: String,
        /// What is wrong with it.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// The format has no place for a part of the adapter.
    #[error("{format} files cannot hold {what}: {why}; {instead}")]
    Cannot {
        /// The format's name.
        format: &'static str,
        /// A kind and where it sits.
        what: String,
        /// Why not.
        why: String,
        /// What would hold it.
        instead: &'static str,
    },
    /// The file system refused.
    #[error("{error}: {}", path.display())]
    Io {
        /// What it said.
        error: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// What was read does not go on the model, or Graft's own files are not sound.
    #[error("{error}: {}", path.display())]
    Adapter {
        /// Why.
        error: AdapterFileError,
        /// The folder.
        path: PathBuf,
    },
    /// The tensors cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// What holds every kind.
pub(super) const ANY_KIND: &str =
    "`--format graft` holds every kind, `--format merged` those that go into weights";

fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(" ({why})") }
}

/// Reads a folder in whichever layout it is, as an adapter for `base`.
///
/// # Errors
/// When it is in none, or cannot be read.
pub fn read_adapter(folder: &Path, base: &Base<'_>) -> Result<Adapter, FormatError> {
    detect(folder)?.read(folder, base)
}

/// Which layout a folder has, by what its description says.
fn detect(folder: &Path) -> Result<Box<dyn AdapterFormat>, FormatError> {
    let unknown = |found: String, path: &Path| FormatError::Unknown { found, path: path.to_path_buf() };
    let (own, other) = (folder.join("adapter.ron"), folder.join("adapter_config.json"));
    match (own.is_file(), other.is_file()) {
        (true, true) => Err(unknown("it holds both adapter.ron and adapter_config.json".to_owned(), folder)),
        (true, false) => Ok(Box::new(Graft)),
        (false, false) if !folder.is_dir() => Err(unknown("there is no such folder".to_owned(), folder)),
        (false, false) => {
            Err(unknown("it holds neither adapter.ron nor adapter_config.json".to_owned(), folder))
        }
        (false, true) => {
            let json = read_json(&other)?;
            if json.get("peft_type").is_some() {
                return Ok(Box::new(Peft::default()));
            }
            if json.get("config").is_some() && json.get("model_type").is_some() {
                return Ok(Box::new(AdapterHub));
            }
            let found = match json.as_object() {
                None => "its adapter_config.json is no JSON object".to_owned(),
                Some(object) => {
                    let keys: Vec<&str> = object.keys().take(6).map(String::as_str).collect();
                    format!("its adapter_config.json has the keys {}", or_none(&keys))
                }
            };
            Err(unknown(found, &other))
        }
    }
}

/// Names for a message.
pub(super) fn or_none(names: &[&str]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A JSON file.
pub(super) fn read_json(path: &Path) -> Result<Json, FormatError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| FormatError::Io { error, path: path.to_path_buf() })?;
    serde_json::from_str(&text)
        .map_err(|error| FormatError::Config { why: format!("not JSON ({error})"), path: path.to_path_buf() })
}

/// Writes a JSON file in whole.
pub(super) fn write_json(json: &Json, path: &Path) -> Result<(), FormatError> {
    // A `Value` of finite numbers always becomes text.
    let text = format!("{json:#}\n");
    crate::weights::write_atomically(path, text.as_bytes())
        .map_err(|error| FormatError::Io { error, path: path.to_path_buf() })
}

/// The tensors of a file while they are being used up: what is left over is for nothing.
#[derive(Debug)]
pub(super) struct Stock {
    tensors: BTreeMap<String, Tensor>,
    path: PathBuf,
    /// What all names in the file begin with, and the names here do not.
    prefix: &'static str,
}

impl Stock {
    /// Reads the first of these files that is there: safetensors, or what `torch.save` wrote.
    pub(super) fn open(folder: &Path, safe: &str, pickled: &str) -> Result<Self, FormatError> {
        let (path, old) = (folder.join(safe), folder.join(pickled));
        let stock = if path.is_file() || !old.is_file() {
            Self { tensors: read_tensors(&path)?, path, prefix: "" }
        } else {
            Self { tensors: read_pytorch(&old)?, path: old, prefix: "" }
        };
        let wild = |tensor: &Tensor| tensor.data.iter().any(|x| !x.is_finite());
        match stock.tensors.iter().find(|(_, tensor)| wild(tensor)) {
            None => Ok(stock),
            Some((name, _)) => Err(stock.wrong(name, "has values that are not finite".to_owned())),
        }
    }

    /// The same tensors by other names, without `prefix`; one that gets none is for nothing.
    pub(super) fn renamed(
        self,
        prefix: &'static str,
        name: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, FormatError> {
        let mut tensors = BTreeMap::new();
        for (old, tensor) in self.tensors {
            let wrong = |why: &str| FormatError::Tensor {
                tensor: old.clone(),
                why: why.to_owned(),
                path: self.path.clone(),
            };
            let new = name(&old).ok_or_else(|| wrong("has no name of this layout"))?;
            if tensors.insert(new, tensor).is_some() {
                return Err(wrong("is there a second time by another spelling"));
            }
        }
        Ok(Self { tensors, path: self.path, prefix })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Names that are left.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor that may be there.
    pub(super) fn find(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.remove(name)
    }

    /// A tensor that must be there, of this shape.
    pub(super) fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, FormatError> {
        let Some(tensor) = self.find(name) else {
            let names: Vec<&str> = self.names().collect();
            let near = nearest(name, &names, 2);
            let near: Vec<&str> = near.iter().map(String::as_str).collect();
            return Err(
                self.wrong(name, format!("is missing; the nearest that is there: {}", or_none(&near)))
            );
        };
        self.shaped(name, &tensor.shape, shape)?;
        Ok(tensor)
    }

    /// Refuses another shape than the one wanted.
    pub(super) fn shaped(&self, name: &str, found: &Shape, wanted: &[usize]) -> Result<(), FormatError> {
        if found[..] == *wanted {
            return Ok(());
        }
        Err(self.wrong(name, format!("has shape {found:?}, wanted is {wanted:?}")))
    }

    /// The error of a tensor.
    pub(super) fn wrong(&self, tensor: &str, why: String) -> FormatError {
        FormatError::Tensor { tensor: format!("{}{tensor}", self.prefix), why, path: self.path.clone() }
    }

    /// Refuses what is left over; `known` are names that something would be.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), FormatError> {
        let Some(name) = self.tensors.keys().next() else { return Ok(()) };
        let near = nearest(name, known, 2);
        let near: Vec<&str> = near.iter().map(String::as_str).collect();
        let why = format!("is for nothing in this model; the nearest names it knows: {}", or_none(&near));
        Err(self.wrong(name, why))
    }
}

/// A description's keys, with errors that name the key and the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config<'a> {
    /// The object.
    pub json: &'a Json,
    /// Its file.
    pub path: &'a Path,
}

impl<'a> Config<'a> {
    /// The value of a key; `null` is none.
    pub(super) fn get(self, key: &str) -> Option<&'a Json> {
        self.json.get(key).filter(|value| !value.is_null())
    }

    fn typed<T>(
        self,
        key: &str,
        what: &str,
        read: impl Fn(&'a Json) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || self.wrong(format!("`{key}` should be {what}, found {value}"));
        read(value).map(Some).ok_or_else(wrong)
    }

    pub(super) fn wrong(self, why: String) -> FormatError {
        FormatError::Config { why, path: self.path.to_path_buf() }
    }

    /// The error of a key that asks for too much.
    pub(super) fn unsupported(self, asks: &str, why: &str) -> FormatError {
        let (asks, why) = (asks.to_owned(), why.to_owned());
        FormatError::Unsupported { asks, why, path: self.path.to_path_buf() }
    }

    fn needed<T>(self, key: &str, value: Option<T>) -> Result<T, FormatError> {
        value.ok_or_else(|| self.wrong(format!("`{key}` is missing")))
    }

    pub(super) fn whole(self, key: &str) -> Result<Option<usize>, FormatError> {
        self.typed(key, "a whole number", |value| value.as_u64().and_then(|n| usize::try_from(n).ok()))
    }

    pub(super) fn whole_needed(self, key: &str) -> Result<usize, FormatError> {
        self.needed(key, self.whole(key)?)
    }

    pub(super) fn number(self, key: &str) -> Result<Option<f64>, FormatError> {
        self.typed(key, "a number", Json::as_f64)
    }

    pub(super) fn number_needed(self, key: &str) -> Result<f64, FormatError> {
        self.needed(key, self.number(key)?)
    }

    pub(super) fn switch(self, key: &str) -> Result<bool, FormatError> {
        self.switch_or(key, false)
    }

    pub(super) fn switch_or(self, key: &str, default: bool) -> Result<bool, FormatError> {
        Ok(self.typed(key, "true or false", Json::as_bool)?.unwrap_or(default))
    }

    pub(super) fn switch_needed(self, key: &str) -> Result<bool, FormatError> {
        let value = self.typed(key, "true or false", Json::as_bool)?;
        self.needed(key, value)
    }

    pub(super) fn text(self, key: &str) -> Result<Option<&'a str>, FormatError> {
        self.typed(key, "a text", Json::as_str)
    }

    pub(super) fn text_needed(self, key: &str) -> Result<&'a str, FormatError> {
        self.needed(key, self.text(key)?)
    }

    /// A list of texts.
    pub(super) fn texts(self, key: &str) -> Result<Option<Vec<&'a str>>, FormatError> {
        self.typed(key, "a list of names", |value| value.as_array()?.iter().map(Json::as_str).collect())
    }

    /// Refuses keys of which nothing is known, unless they ask for nothing.
    pub(super) fn only(self, known: &[&str]) -> Result<(), FormatError> {
        let asks = |value: &Json| match value {
            Json::Null | Json::Bool(false) => false,
            Json::Array(items) => !items.is_empty(),
            Json::Object(items) => !items.is_empty(),
            _ => true,
        };
        let Some(object) = self.json.as_object() else {
            return Err(self.wrong("not a JSON object".to_owned()));
        };
        match object.iter().find(|(key, value)| !known.contains(&key.as_str()) && asks(value)) {
            None => Ok(()),
            Some((key, value)) => {
                let value: String = value.to_string().chars().take(60).collect();
                Err(self.unsupported(&format!("{key}: {value}"), ""))
            }
        }
    }
}
