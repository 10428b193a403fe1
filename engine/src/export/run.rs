//! Exporting a run: its best checkpoint, written, read back, and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Adapter, AdapterFileError, AdapterFormat, AdapterHub, Base, FormatError, Graft, Peft, Spelling};
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
    /// PEFT's, with modules' names as one version of `transformers` has them.
    Peft(Spelling),
    /// AdapterHub's.
    AdapterHub,
    /// A model folder with the adapters merged into its weights.
    Merged,
}

impl Format {
    /// The adapter format, where it is one.
    fn adapters(self) -> Option<Box<dyn AdapterFormat>> {
        match self {
            Self::Graft => Some(Box::new(Graft)),
            Self::Peft(spelling) => Some(Box::new(Peft { spelling })),
            Self::AdapterHub => Some(Box::new(AdapterHub)),
            Self::Merged => None,
        }
    }
}

/// How an export is held against the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExportOptions {
    /// In what form.
    pub format: Format,
    /// Largest difference of a logit, as a share of the largest logit.
    pub tolerance: f64,
    /// Whether it is kept where the difference is larger.
    pub force: bool,
}

impl ExportOptions {
    /// The usual ones.
    #[must_use]
    pub const fn new(format: Format) -> Self {
        Self { format, tolerance: TOLERANCE, force: false }
    }
}

/// The tolerance where none is given: f32 in another order of multiplication stays well within.
pub const TOLERANCE: f64 = 1e-4;

/// What was written, and how well it agrees with the run's model. Stands beside what was written as
/// `graft_report.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExportReport {
    /// The format's word.
    pub format: &'static str,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Tensors written.
    pub tensors: usize,
    /// Bytes of the files that hold them, their headers included.
    pub bytes: u64,
    /// Split that the samples are of.
    pub split: Split,
    /// Samples that both models were run on: the run's, and the one made of what was written.
    pub samples: usize,
    /// Largest difference of a logit.
    pub max_difference: f64,
    /// Mean difference.
    pub mean_difference: f64,
    /// Largest logit, for scale.
    pub max_logit: f64,
    /// Largest difference that is allowed, as a share of the largest logit.
    pub tolerance: f64,
    /// Whether the difference is within it.
    pub agrees: bool,
}

/// Why a run could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The run cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The adapter cannot be written or read back.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// What was read back does not go on the model.
    #[error(transparent)]
    Adapter(#[from] AdapterFileError),
    /// What was written computes something else.
    #[error(
        "what was written gives logits that differ by up to {difference:e}, with {largest:e} the largest and \
         {tolerance:e} of it allowed; nothing is kept (--force keeps it, --tolerance allows more): {}", out.display()
    )]
    Differs {
        /// Largest difference of a logit.
        difference: f64,
        /// Largest logit.
        largest: f64,
        /// Share of it that is allowed.
        tolerance: f64,
        /// Where it would have been.
        out: PathBuf,
    },
    /// The file system refused.
    #[error("{error}: {}", path.display())]
    Io {
        /// What it said.
        error: std::io::Error,
        /// The file or folder.
        path: PathBuf,
    },
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

/// The report's file beside what was written.
const REPORT: &str = "graft_report.json";

/// Writes the best checkpoint of the stage that a run reached last (or the last one, when none is best) to `out`, reads
/// it back into a model that is loaded afresh, and compares that with the run's own on held-out samples.
///
/// # Errors
/// When the run holds no checkpoint, its adapters do not go into the format, what was written computes something else,
/// or anything cannot be written. Then nothing is left in `out` that was not there before.
pub fn export(run: &Path, options: &ExportOptions, out: &Path) -> Result<ExportReport, ExportError> {
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
    let mut changed: BTreeSet<String> = checkpoint.params.keys().cloned().collect();
    for (path, value) in Params::from_host(checkpoint.params, &device).iter() {
        params.set(path, value.clone());
    }

    let present: BTreeSet<usize> = (0..project.adapters.len()).filter(|n| !merged.contains(n)).collect();

    // The model without adapters, as whoever reads the export has it.
    let without: BTreeSet<usize> = (0..project.adapters.len()).collect();
    let plain = build_model(&project, &base, &turn, &without, source.as_ref()).map_err(RunError::from)?;
    let (plain_params, loaded) = load(&plain.graph, plain.weights.as_ref(), project.seed, &device)?;
    let config = plain.architecture.config();
    let staging = Staging::beside(out)?;
    let (graph, loaded, tensors) = if let Some(format) = options.format.adapters() {
        let uses = turn.spec.adapters() == crate::train::AdapterUse::All;
        let placements: BTreeMap<_, _> = present
            .into_iter()
            .filter(|_| uses)
            .map(|number| (number, project.adapters[number].clone()))
            .collect();
        if options.format != Format::Graft {
            // Other libraries' readers have the checkpoint only: what it lacks goes along, what is in it does not.
            let same = |path: &String| {
                let own = plain_params.get(path).map(crate::tensor::Value::to_f32);
                own.is_some() && own == params.get(path).map(crate::tensor::Value::to_f32)
            };
            changed.retain(|path| !same(path));
            changed.extend(loaded.missing.into_iter().map(|misfit| misfit.path));
        }
        let of = Base {
            graph: &plain.graph,
            params: &plain_params,
            config: &config,
            folder: plain.weights.as_ref().map(|weights| weights.folder.as_path()),
        };
        let written = Adapter::of(placements, &built.graph, &params, &changed);
        format.write(&written, &of, &staging.folder)?;
        let adapter = format.read(&staging.folder, &of)?;
        let graph = adapter.place(&plain.graph)?;
        let (mut loaded, _) = load(&graph, plain.weights.as_ref(), project.seed, &device)?;
        adapter.fill(&graph, &mut loaded, &device)?;
        (graph, loaded, adapter.tensors.len())
    } else {
        let mut merged = params.clone();
        // One that only un-freezes base parameters brings nothing that could be merged.
        let brings = |n: &usize| {
            let own = Some(*n);
            built.graph.params().any(|(_, _, leaf)| leaf.placement == own)
                || built.graph.states().any(|(_, _, leaf)| leaf.placement == own)
        };
        let present = present.into_iter().filter(brings).collect();
        for (path, value) in merge(&built.graph, &params, &present)? {
            merged.set(&path, value);
        }
        save_model(&plain.graph, &merged, &config, &staging.folder)?;
        let from = crate::weights::WeightSource {
            folder: staging.folder.clone(),
            from: String::new(),
            to: String::new(),
            partial: false,
        };
        let (loaded, report) = load(&plain.graph, Some(&from), project.seed, &device)?;
        (plain.graph, loaded, report.copied.len())
    };
    let bytes = bytes_of(&staging.folder);
    let (split, batch) = sample(source.as_ref())?;
    let samples = batch.len();
    let ours = logits(&built.graph, &params, batch.clone(), &device)?;
    let theirs = logits(&graph, &loaded, batch, &device)?;
    let differences: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| f64::from((a - b).abs())).collect();
    #[expect(clippy::cast_precision_loss, reason = "a few samples")]
    let mean_difference = differences.iter().sum::<f64>() / differences.len().max(1) as f64;
    // What is no number stays the largest.
    let largest = |most: f64, x: f64| if x <= most || most.is_nan() { most } else { x };
    let max_difference = differences.iter().copied().fold(0.0, largest);
    let max_logit = ours.iter().map(|x| f64::from(x.abs())).fold(0.0, f64::max);
    let tolerance = options.tolerance;
    let agrees = max_difference <= tolerance * max_logit;
    let format = options.format.adapters().map_or("merged", |format| format.word());
    let report = ExportReport {
        format,
        folder: None,
        tensors,
        bytes,
        split,
        samples,
        max_difference,
        mean_difference,
        max_logit,
        tolerance,
        agrees,
    };
    if !agrees && !options.force {
        let (difference, largest, out) = (max_difference, max_logit, out.to_path_buf());
        return Err(ExportError::Differs { difference, largest, tolerance, out });
    }
    let path = staging.folder.join(REPORT);
    let json = serde_json::to_value(&report)
        .map_err(|error| ExportError::Io { error: error.into(), path: path.clone() })?;
    super::format::write_json(&json, &path)?;
    staging.put_in_place(out)?;
    Ok(ExportReport { folder: Some(out.to_path_buf()), ..report })
}

/// A folder beside the one that is to be written. What is left in it goes with it.
struct Staging {
    folder: PathBuf,
}

impl Staging {
    fn beside(out: &Path) -> Result<Self, ExportError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(out.file_name().unwrap_or_default());
        name.push(".partial");
        let folder = out.with_file_name(name);
        let io = |error| ExportError::Io { error, path: folder.clone() };
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(io)?;
        }
        std::fs::create_dir_all(&folder).map_err(io)?;
        Ok(Self { folder })
    }

    /// Moves every file to its place.
    fn put_in_place(&self, out: &Path) -> Result<(), ExportError> {
        let io = |error| ExportError::Io { error, path: out.to_path_buf() };
        std::fs::create_dir_all(out).map_err(io)?;
        for entry in std::fs::read_dir(&self.folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            std::fs::rename(entry.path(), out.join(entry.file_name())).map_err(io)?;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // A leftover is overwritten by the next export.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The first samples of one group, of a held-out split if there is one.
fn sample(source: &dyn Source) -> Result<(Split, Batch), LoadError> {
    let held_out = [Split::Test, Split::Validation].into_iter().find(|split| !source.is_empty(*split));
    let split = held_out.unwrap_or(Split::Train);
    let first = source.group(split, 0);
    let same = (0..source.len(split)).filter(|index| source.group(split, *index) == first);
    Ok((split, Batch::read(source, split, &same.take(SAMPLES).collect::<Vec<_>>())?))
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

/// Bytes of a folder's files of tensors.
fn bytes_of(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let tensors = files.filter(|file| file.path().extension().is_some_and(|end| end == "safetensors"));
    tensors.filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
}
