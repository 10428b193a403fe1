//! `graft forward`: one pass in inference mode, tensor in, tensors out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use graft_engine::device;
use graft_engine::exec::{Inputs, infer};
use graft_engine::graph::{Binding, NodeId, NodeKind};
use graft_engine::models;
use graft_engine::tensor::Value;
use graft_engine::weights::{Tensor, load, read_tensors, write_tensors};

use super::Done;

#[derive(Debug, Args)]
pub(super) struct Forward {
    /// Model folder.
    #[arg(long)]
    model: PathBuf,
    /// Safetensors file with `pixel_values`.
    #[arg(long)]
    input: PathBuf,
    /// Where to write `last_hidden_state`, `pooler_output`, `logits` and captures.
    #[arg(long)]
    output: PathBuf,
    /// Also write the value at this site.
    #[arg(long, value_name = "SITE")]
    capture: Vec<String>,
    /// Compute device.
    #[arg(long, default_value = "flex")]
    device: String,
}

impl Forward {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let device = device::open_checked(&self.device)?;
        let resolved = models::open(&self.model)?;
        let graph = resolved.architecture.build("model")?;
        let (params, report) = load(&graph, resolved.weights.as_ref(), 0, &device)?;
        if let Some(misfit) = report.missing.first() {
            let near =
                misfit.near.as_ref().map_or_else(String::new, |n| format!("; the nearest unused is `{n}`"));
            anyhow::bail!(
                "{} of the model's tensors are not in the file, the first is `{}`{near}: {}",
                report.missing.len(),
                misfit.wanted,
                self.model.display()
            );
        }
        let mut tensors = read_tensors(&self.input)?;
        let mut inputs = Inputs::new();
        let mut binding = Binding::new();
        for node in graph.nodes() {
            if let NodeKind::Input(leaf) = &node.kind {
                let tensor = tensors.remove(&leaf.column).with_context(|| {
                    format!("the input file has no tensor `{}`: {}", leaf.column, self.input.display())
                })?;
                binding = binding
                    .with_column(leaf, &tensor.shape)
                    .map_err(|error| anyhow::anyhow!("{error}: {}", self.input.display()))?;
                inputs.insert(leaf.column.clone(), Value::from_f32(tensor.data, &tensor.shape, &device));
            }
        }
        // Wrong sizes are told by the shape rules, before anything runs.
        graph.shapes(&binding)?;
        let mut wanted: BTreeMap<String, NodeId> = graph.outputs().clone();
        for path in &self.capture {
            let site = graph.site(path).with_context(|| {
                let names: Vec<&str> = graph.sites().iter().map(|s| s.path.as_str()).collect();
                format!(
                    "there is no site `{path}`; the nearest are {}",
                    graft_engine::graph::nearest(path, &names, 3).join(", ")
                )
            })?;
            wanted.insert(path.clone(), site.node);
        }
        let results: Vec<NodeId> = wanted.values().copied().collect();
        let values = infer(&graph, &params, &inputs, &results)?;
        let tensors = wanted
            .into_iter()
            .filter_map(|(name, id)| {
                let value = values.get(&id)?;
                Some((name, Tensor { shape: value.shape(), data: value.to_f32() }))
            })
            .collect();
        write_tensors(&tensors, &self.output)?;
        Ok(Done::Well)
    }
}
