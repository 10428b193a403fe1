//! Exporting a run: its best checkpoint, written, read back, and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Adapter, AdapterFileError};
use crate::data::{Batch, LoadError, Source, Split};
use crate::device;
use crate::exec::{ExecError, infer};
use crate::graph::Graph;
use crate::project::{build_model, open_source_in};
use crate::runs::{RunError, RunFolder};
use crate::train::{Checkpoint, MergeError, merge, upload};
use crate::weights::{Params, WeightsError, load, save_model};

/// In what form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Graft's own adapter files.
    Graft,
    /// A model folder with the adapters merged into its weights.
    Merged,
}

/// What was written, and how well it agrees with the run's model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportReport {
    /// Where.
    pub folder: PathBuf,
    /// Tensors written.
    pub tensors: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Samples that both models were run on.
    pub samples: usize,
    /// Largest difference of a logit.
    pub max_difference: f64,
    /// Mean difference.
    pub mean_difference: f64,
    /// Largest logit, for scale.
    pub max_logit: f64,
}

/// Why a run could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The adapter cannot be written or read back.
    #[error(transparent)]
    Adapter(#[from] AdapterFileError),
    /// Weights cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The adapters cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The comparison failed.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The comparison's data failed.
    #[error(transparent)]
    Data(#[from] LoadError),
    /// Nothing to compare.
    #[error("the model has no logits to compare by")]
    NoLogits,
}

/// Samples that the comparison runs on.
const SAMPLES: usize = 16;

/// Writes the best checkpoint of the stage that a run reached last (or the last one, when none is best) to `out`.
///
/// # Errors
/// When the run holds no checkpoint, its adapters do not go into the format, or anything cannot be written.
pub fn export(run: &Path, format: Format, out: &Path) -> Result<ExportReport, ExportError> {
    let (folder, project, base) = RunFolder::open(run).map_err(RunError::from)?;
    let device = device::open_checked(&project.device).map_err(RunError::from)?;
    let checkpoint = Checkpoint::read_for_use(&folder.checkpoints()).map_err(RunError::from)?;
    let unfit = |why| RunError::Unfit { why, path: run.to_path_buf() };
    let checkpoint = checkpoint.ok_or_else(|| unfit("this run has no checkpoint yet"))?;
    let at = checkpoint.position;
    let turns = project.turns().map_err(RunError::from)?;
    let turn = turns.into_iter().find(|turn| turn.at(at.step) == at);
    let turn = turn.ok_or_else(|| unfit("its checkpoint is of a stage that the project does not have"))?;
    let source = open_source_in(&project, &base, &turn, run).map_err(RunError::from)?;
    let merged = turn.merged_after(&project);
    let built = build_model(&project, &base, &turn, &merged, source.as_ref()).map_err(RunError::from)?;
    let (mut params, _) = load(&built.graph, built.weights.as_ref(), project.seed, &device)?;
    let changed: BTreeSet<String> = checkpoint.params.keys().cloned().collect();
    for (path, value) in Params::from_host(checkpoint.params, &device).iter() {
        params.set(path, value.clone());
    }

    let present: BTreeSet<usize> = (0..project.adapters.len()).filter(|n| !merged.contains(n)).collect();

    // The model without adapters, as whoever reads the export has it.
    let without: BTreeSet<usize> = (0..project.adapters.len()).collect();
    let plain = build_model(&project, &base, &turn, &without, source.as_ref()).map_err(RunError::from)?;
    let (graph, loaded, tensors, bytes) = match format {
        Format::Graft => {
            let uses = turn.spec.adapters() == crate::train::AdapterUse::All;
            let placements: BTreeMap<_, _> = present
                .into_iter()
                .filter(|_| uses)
                .map(|number| (number, project.adapters[number].clone()))
                .collect();
            let written = Adapter::of(placements, &built.graph, &params, &changed);
            written.write(out)?;
            let adapter = Adapter::read(out)?;
            let graph = adapter.place(&plain.graph)?;
            let (mut loaded, _) = load(&graph, plain.weights.as_ref(), project.seed, &device)?;
            adapter.fill(&graph, &mut loaded, &device)?;
            let bytes = adapter.tensors.values().map(|tensor| 4 * tensor.data.len() as u64).sum();
            (graph, loaded, adapter.tensors.len(), bytes)
        }
        Format::Merged => {
            let mut merged = params.clone();
            for (path, value) in merge(&built.graph, &params, &present)? {
                merged.set(&path, value);
            }
            save_model(&plain.graph, &merged, &plain.architecture.config(), out)?;
            let from = crate::weights::WeightSource {
                folder: out.to_path_buf(),
                from: String::new(),
                to: String::new(),
                partial: false,
            };
            let (loaded, report) = load(&plain.graph, Some(&from), project.seed, &device)?;
            let bytes = loaded.bytes() as u64;
            (plain.graph, loaded, report.copied.len(), bytes)
        }
    };
    let batch = sample(source.as_ref())?;
    let samples = batch.len();
    let ours = logits(&built.graph, &params, batch.clone(), &device)?;
    let theirs = logits(&graph, &loaded, batch, &device)?;
    let differences: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| f64::from((a - b).abs())).collect();
    #[expect(clippy::cast_precision_loss, reason = "a few samples")]
    let mean_difference = differences.iter().sum::<f64>() / differences.len().max(1) as f64;
    Ok(ExportReport {
        folder: out.to_path_buf(),
        tensors,
        bytes,
        samples,
        max_difference: differences.iter().copied().fold(0.0, f64::max),
        mean_difference,
        max_logit: ours.iter().map(|x| f64::from(x.abs())).fold(0.0, f64::max),
    })
}

/// The first samples of one group, of the test split if there is one.
fn sample(source: &dyn Source) -> Result<Batch, LoadError> {
    let split = if source.is_empty(Split::Test) { Split::Train } else { Split::Test };
    let first = source.group(split, 0);
    let same = (0..source.len(split)).filter(|index| source.group(split, *index) == first);
    Batch::read(source, split, &same.take(SAMPLES).collect::<Vec<_>>())
}

fn logits(
    graph: &Graph,
    params: &Params,
    batch: Batch,
    device: &burn::tensor::Device,
) -> Result<Vec<f32>, ExportError> {
    let output = graph.output("logits").ok_or(ExportError::NoLogits)?;
    let values = infer(graph, params, &upload(batch, graph, device), &[output])?;
    Ok(values.get(&output).map_or_else(Vec::new, crate::tensor::Value::to_f32))
}
