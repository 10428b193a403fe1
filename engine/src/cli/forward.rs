//! `graft forward`: one pass in inference mode, tensor in, tensors out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use burn::tensor::Device;
use clap::Args;

use crate::device;
use crate::exec::{Inputs, Walk};
use crate::export::{Base, FormatError, read_adapter};
use crate::graph::{Binding, Entry, Graph, Node, NodeId, NodeKind, Request, Schedule};
use crate::models;
use crate::ops::Element;
use crate::tensor::Value;
use crate::weights::{Params, Tensor, load, read_integers, read_tensors, write_tensors};

use super::Done;

#[derive(Debug, Args)]
pub(super) struct Forward {
    /// Model folder.
    #[arg(long)]
    model: PathBuf,
    /// Adapter folder of Graft, PEFT or AdapterHub; several stack in order.
    #[arg(long, value_name = "DIR")]
    adapter: Vec<PathBuf>,
    /// Walk only this part of the model, from its own inputs to its own outputs.
    #[arg(long)]
    entry: Option<String>,
    /// Safetensors file with `pixel_values`, `input_ids` or whatever else the model reads; without `attention_mask` all
    /// tokens are seen, without `token_type_ids` all are of type 0.
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
        let (mut floats, mut integers) = (read_tensors(&self.input)?, read_integers(&self.input)?);
        let columns = floats.keys().chain(integers.keys()).cloned().collect();
        let resolved = models::open_reading(&self.model, &columns)?;
        let graph = resolved.architecture.build("model")?;
        let (params, report) = load(&graph, resolved.weights.as_ref(), 0, &device)?;
        report.require(&self.model, |_| true)?;
        let config = resolved.architecture.config();
        let (graph, params) = self.adapted(&graph, &params, &config, &device)?;
        let mut given = Vec::new();
        let mut wanted: BTreeMap<String, NodeId> = graph.outputs().clone();
        let entry = match &self.entry {
            None => None,
            Some(name) => Some(graph.entries().get(name).with_context(|| {
                let known: Vec<&str> = graph.entries().keys().map(String::as_str).collect();
                format!("there is no entry `{name}`; the model has {}", or_none(&known))
            })?),
        };
        if let Some(entry) = entry {
            wanted.clone_from(&entry.outputs);
            given.extend(entry.inputs.values().copied());
        }
        let (inputs, binding) = self.inputs((&mut floats, &mut integers), &graph, entry, &device)?;
        if entry.is_none() {
            // Wrong sizes are told by the shape rules, before anything runs.
            graph.shapes(&binding)?;
        }
        for path in &self.capture {
            let site = graph.site(path).with_context(|| {
                let names: Vec<&str> = graph.sites().iter().map(|s| s.path.as_str()).collect();
                format!(
                    "there is no site `{path}`; the nearest are {}",
                    crate::graph::nearest(path, &names, 3).join(", ")
                )
            })?;
            wanted.insert(path.clone(), site.node);
        }
        let results: Vec<NodeId> = wanted.values().copied().collect();
        let schedule =
            Schedule::new(&graph, &Request { results: &results, given: &given, ..Request::default() })?;
        let walk = Walk { graph: &graph, schedule: &schedule, seed: 0, step: 0 };
        let values = walk.run(&mut params.clone(), &inputs, &mut |_, _, _, _| {})?.values;
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

    /// The model with the adapters that were asked for.
    fn adapted(
        &self,
        base: &Graph,
        values: &Params,
        config: &serde_json::Value,
        device: &Device,
    ) -> anyhow::Result<(Graph, Params)> {
        let (mut graph, mut params) = (base.clone(), values.clone());
        let mut next = 0;
        let of = Base { graph: base, params: values, config, folder: Some(&self.model) };
        for folder in &self.adapter {
            let wrong = |error| FormatError::Adapter { error, path: folder.clone() };
            let adapter = read_adapter(folder, &of)?.renumbered(next);
            next = adapter.placements.keys().max().map_or(next, |last| last + 1);
            graph = adapter.place(&graph).map_err(wrong)?;
            adapter.fill(&graph, &mut params, device).map_err(wrong)?;
        }
        Ok((graph, params))
    }

    /// What the walk is handed, from the input file, and the extents that follow.
    fn inputs(
        &self,
        (floats, integers): (&mut Floats, &mut Integers),
        graph: &Graph,
        entry: Option<&Entry>,
        device: &Device,
    ) -> anyhow::Result<(Inputs, Binding)> {
        let mut inputs = Inputs::new();
        let mut binding = Binding::new();
        let mut leaves: Vec<(String, &Node)> = Vec::new();
        match entry {
            Some(entry) => {
                leaves.extend(entry.inputs.iter().map(|(name, id)| (name.clone(), graph.node(*id))));
            }
            None => leaves.extend(graph.nodes().iter().filter_map(|node| match &node.kind {
                NodeKind::Input(leaf) => Some((leaf.column.clone(), &**node)),
                _ => None,
            })),
        }
        for (name, node) in leaves {
            // A column that its rows are taken from may be read for nothing else.
            if inputs.contains_key(&name) {
                continue;
            }
            let missing = || format!("the input file has no tensor `{name}`: {}", self.input.display());
            let (key, shape, value) = match &node.kind {
                NodeKind::Input(leaf) if leaf.element == Element::Integer => {
                    let (shape, values) = integers.remove(&name).with_context(missing)?;
                    (leaf.column.clone(), shape.clone(), Value::from_i64(values, &shape, device))
                }
                kind => {
                    let tensor = floats.remove(&name).with_context(missing)?;
                    let key = if let NodeKind::Input(leaf) = kind { leaf.key() } else { node.path.clone() };
                    let value = Value::from_f32(tensor.data, &tensor.shape, device);
                    (key, tensor.shape, value)
                }
            };
            if let NodeKind::Input(leaf) = &node.kind
                && leaf.rows_where.is_none()
            {
                binding = binding
                    .with_column(leaf, &shape)
                    .map_err(|error| anyhow::anyhow!("{error}: {}", self.input.display()))?;
            }
            inputs.insert(key, value);
        }
        Ok((inputs, binding))
    }
}

/// Tensors of the input file that hold floats.
type Floats = BTreeMap<String, Tensor>;

/// Those that hold whole numbers.
type Integers = BTreeMap<String, (Vec<usize>, Vec<i64>)>;

fn or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
