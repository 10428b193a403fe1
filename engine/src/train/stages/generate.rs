//! A stage that writes a data set of what the model computes: features, a teacher's answers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use safetensors::tensor::{Dtype, View};
use serde::{Deserialize, Serialize};

use super::super::{AdapterUse, Control, Wish};
use super::{TrainError, in_order, upload};
use crate::data::{Field, FieldValues, FrameShuffle, Source, Split};
use crate::exec::Inference;
use crate::graph::{Graph, NodeId, nearest};
use crate::weights::{Params, write_views};

/// What to write. The data set has the form that the `Tensors` source reads; a later stage names this one in
/// its `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerateSpec {
    /// Its name, and the data set's.
    pub name: String,
    /// Which split is walked.
    pub split: Split,
    /// Only its first samples.
    pub samples: Option<usize>,
    /// Samples of one walk.
    pub batch: usize,
    /// Columns that are written from the model: name in the data set, and output or node. `inputs` is the
    /// column that a model reads.
    pub outputs: Vec<(String, String)>,
    /// Columns of the data that are written as they are: name in the data set, and column.
    pub copy: Vec<(String, String)>,
    /// Frames of a clip, if other than the data's own.
    pub frames: Option<usize>,
    /// Whether frames come in disorder.
    pub shuffle: FrameShuffle,
    /// Only samples whose integer columns have these values.
    pub only: Vec<(String, i64)>,
    /// The `Generate` stage whose data set is read.
    pub data: Option<String>,
    /// Whether the project's adapters are in the graph.
    pub adapters: AdapterUse,
}

impl Default for GenerateSpec {
    fn default() -> Self {
        let pair = |name: &str, column: &str| (name.to_owned(), column.to_owned());
        Self {
            name: "generated".to_owned(),
            split: Split::Train,
            samples: None,
            batch: 32,
            outputs: vec![pair("teacher", "logits")],
            copy: vec![pair("inputs", "pixel_values"), pair("labels", "labels")],
            frames: None,
            shuffle: FrameShuffle::None,
            only: Vec::new(),
            data: None,
            adapters: AdapterUse::All,
        }
    }
}

impl GenerateSpec {
    /// What is wrong with it by itself, if anything: field and complaint.
    #[must_use]
    pub fn complaint(&self) -> Option<(&'static str, String)> {
        if self.batch == 0 {
            return Some(("batch", "should be 1 or more".to_owned()));
        }
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if self.name.is_empty() || !self.name.chars().all(safe) {
            let why = "names a file, so it should be of letters, digits, `-` and `_`";
            return Some(("name", why.to_owned()));
        }
        let names: Vec<&String> = self.outputs.iter().chain(&self.copy).map(|(name, _)| name).collect();
        let twice = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name));
        if let Some((_, name)) = twice {
            return Some(("outputs", format!("writes `{name}` twice")));
        }
        names.is_empty().then(|| ("outputs", "should name at least one column".to_owned()))
    }
}

/// Why a data set could not be written.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A name stands for nothing.
    #[error("`{name}` is no {what}; the nearest are {}", near.join(", "))]
    NoSuchValue {
        /// The name.
        name: String,
        /// What was looked for.
        what: &'static str,
        /// The nearest.
        near: Vec<String>,
    },
    /// Samples of several extents do not make one array.
    #[error("column `{column}` has samples of extents {first:?} and {other:?}, which do not make one array")]
    Ragged {
        /// The column.
        column: String,
        /// Extents of the first sample.
        first: Vec<usize>,
        /// Other extents.
        other: Vec<usize>,
    },
    /// The file cannot be written.
    #[error("the data set cannot be written ({why}): {}", path.display())]
    Write {
        /// What the system said.
        why: String,
        /// The file.
        path: PathBuf,
    },
}

/// Walks the split and writes the data set. Returns its number of samples; `None` when asked to stop.
///
/// # Errors
/// When a name stands for nothing, the data fail, or the file cannot be written.
pub fn generate(
    spec: &GenerateSpec,
    graph: &Graph,
    params: &Params,
    source: &Arc<dyn Source>,
    device: &Device,
    control: &Control,
    path: &Path,
) -> Result<Option<usize>, TrainError> {
    let outputs: Vec<(String, NodeId)> = spec
        .outputs
        .iter()
        .map(|(column, name)| Ok((column.clone(), node_of(graph, name)?)))
        .collect::<Result<_, GenerateError>>()?;
    let results: Vec<NodeId> = outputs.iter().map(|(_, id)| *id).collect();
    let mut inference = Inference::new(graph, params, &results)?;
    let mut written: BTreeMap<String, Field> = BTreeMap::new();
    let mut samples = 0;
    let most = source.len(spec.split).min(spec.samples.unwrap_or(usize::MAX));
    for item in in_order(source, spec.split, spec.samples, spec.batch) {
        let batch = item?;
        if control.wish() == Wish::Stop {
            return Ok(None);
        }
        let rows = batch.len();
        if rows == 0 {
            continue;
        }
        samples += rows;
        for (name, column) in &spec.copy {
            let field = batch.columns.get(column).ok_or_else(|| {
                let known: Vec<&str> = batch.columns.keys().map(String::as_str).collect();
                GenerateError::NoSuchValue {
                    name: column.clone(),
                    what: "column",
                    near: nearest(column, &known, 3),
                }
            })?;
            append(&mut written, name, field, most)?;
        }
        let values = inference.run(upload(batch, graph, device))?;
        for (name, id) in &outputs {
            if let Some(value) = values.get(id) {
                append(&mut written, name, &Field::floats(value.to_f32(), &value.shape()), most)?;
            }
        }
    }
    write(&written, path)?;
    Ok(Some(samples))
}

/// The nodes whose values a data set is made of.
///
/// # Errors
/// When a name stands for nothing.
pub fn generated_nodes(spec: &GenerateSpec, graph: &Graph) -> Result<Vec<NodeId>, TrainError> {
    Ok(spec.outputs.iter().map(|(_, name)| node_of(graph, name)).collect::<Result<_, _>>()?)
}

fn node_of(graph: &Graph, name: &str) -> Result<NodeId, GenerateError> {
    let site = graph.site(name).map(|site| site.node);
    graph.output(name).or(site).or_else(|| graph.find(name)).ok_or_else(|| {
        let nodes = graph.nodes().iter().map(|node| node.path.as_str());
        let known: Vec<&str> = graph.outputs().keys().map(String::as_str).chain(nodes).collect();
        GenerateError::NoSuchValue {
            name: name.to_owned(),
            what: "output, site or node",
            near: nearest(name, &known, 3),
        }
    })
}

/// Adds a batch's rows to a column that will have `most` of them.
fn append(
    written: &mut BTreeMap<String, Field>,
    name: &str,
    batch: &Field,
    most: usize,
) -> Result<(), GenerateError> {
    let Some(field) = written.get_mut(name) else {
        // All its room at once: growing would take twice as much in between.
        let of_a_row = batch.values.len() / batch.shape[0].max(1);
        let mut values = batch.values.none_like(of_a_row * most);
        assert!(values.append(&batch.values), "of the batch's own type");
        written.insert(name.to_owned(), Field { shape: batch.shape.clone(), values });
        return Ok(());
    };
    if field.shape[1..] != batch.shape[1..] {
        return Err(GenerateError::Ragged {
            column: name.to_owned(),
            first: field.shape[1..].to_vec(),
            other: batch.shape[1..].to_vec(),
        });
    }
    field.shape[0] += batch.shape[0];
    assert!(field.values.append(&batch.values), "a column keeps its type");
    Ok(())
}

fn write(columns: &BTreeMap<String, Field>, path: &Path) -> Result<(), GenerateError> {
    let wrong = |why: String| GenerateError::Write { why, path: path.to_path_buf() };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| wrong(error.to_string()))?;
    }
    write_views(columns.iter().map(|(name, field)| (name, Written(field))), path)
        .map_err(|error| wrong(error.to_string()))
}

/// A column that becomes bytes only while it is written.
struct Written<'a>(&'a Field);

impl View for Written<'_> {
    fn dtype(&self) -> Dtype {
        if self.0.as_integers().is_some() { Dtype::I64 } else { Dtype::F32 }
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match &self.0.values {
            FieldValues::Floats(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            FieldValues::Integers(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        self.0.values.len() * if self.0.as_integers().is_some() { 8 } else { 4 }
    }
}
