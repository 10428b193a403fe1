//! `graft inspect`: the model graph as text or JSON.

use std::path::PathBuf;

use crate::graph::{Graph, NodeKind, RegionKind, SiteKind, is_below};
use crate::models;
use crate::project::{self, build_stage, open_source};
use crate::tensor::Shape;
use crate::weights::{Checkpoint, LoadReport, Scan, WeightSource, compare};
use clap::Args;
use serde_json::{Value, json};

use super::{Done, line};

#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// Model folder or project file.
    target: PathBuf,
    /// Print one JSON object with every node.
    #[arg(long)]
    json: bool,
    /// Read every tensor of the model's file and tell which hold values that are not finite.
    #[arg(long)]
    values: bool,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let scans = |weights: Option<&WeightSource>| -> anyhow::Result<Option<Vec<Scan>>> {
            match weights.filter(|_| self.values) {
                Some(source) => Ok(Some(Checkpoint::open(&source.folder)?.scan()?)),
                None => Ok(None),
            }
        };
        let (title, graph, shapes, trainable, loading, values) = if self.target.is_dir() {
            let resolved = models::open(&self.target)?;
            let graph = resolved.architecture.build("model")?;
            // Before any arithmetic on sizes that only the config vouches for.
            let loading = resolved.weights.as_ref().map(|source| compare(&graph, source)).transpose()?;
            let shapes = graph.shapes(&resolved.architecture.binding(1))?;
            let values = scans(resolved.weights.as_ref())?;
            (resolved.architecture.title(), graph, shapes, None, loading, values)
        } else {
            let project = project::load(&self.target)?;
            let base = self.target.parent().unwrap_or(std::path::Path::new(".")).to_path_buf();
            let last = project.turns()?.len() - 1;
            let source = open_source(&project, &base, last)?;
            let built = build_stage(&project, &base, last, source.as_ref())?;
            let loading = built.weights.as_ref().map(|source| compare(&built.graph, source)).transpose()?;
            let shapes = built.graph.shapes(&built.binding(source.as_ref(), 1))?;
            let values = scans(built.weights.as_ref())?;
            (built.architecture.title(), built.graph, shapes, Some(built.selection), loading, values)
        };
        if self.json {
            let mut all = describe(&title, &graph, &shapes, trainable.as_ref().map(|s| s.count));
            if let Some(report) = &loading {
                all["weights"] = loading_json(report);
            }
            if let Some(scans) = &values {
                all["values"] = json!(scans);
            }
            line(&all.to_string())?;
            return Ok(Done::Well);
        }
        line(&format!("{title}: {} parameters", graph.parameter_count()))?;
        if let Some(selection) = &trainable {
            line(&format!("the last stage trains {}", selection.count))?;
        }
        for region in graph.regions() {
            let depth = region.path.matches('.').count();
            // Blocks repeat: the first stands for all.
            if depth > 3 && !is_below(&region.path, &first_block(&region.path)) {
                continue;
            }
            let mark = if matches!(region.kind, RegionKind::Adapter(_)) { " (adapter)" } else { "" };
            line(&format!(
                "{:indent$}{:<width$} {:>14}{mark}",
                "",
                region.path.rsplit('.').next().unwrap_or_default(),
                graph.parameter_count_below(&region.path),
                indent = 2 * depth,
                width = 40usize.saturating_sub(2 * depth),
            ))?;
        }
        line(&format!("{} sites: weights, ports and bridges; `--json` lists them", graph.sites().len()))?;
        if let Some(report) = &loading {
            line(&format!("weights: {}", report.summary()))?;
            list("made from another shape", &report.resized)?;
            list("not in the file, would begin fresh", &report.missing)?;
            list("in the file, used by nothing", &report.unused.iter().map(Quoted).collect::<Vec<_>>())?;
        }
        if let Some(scans) = &values {
            tell_values(scans)?;
        }
        Ok(Done::Well)
    }
}

/// How many tensors hold values that are not finite, and which.
fn tell_values(scans: &[Scan]) -> std::io::Result<()> {
    let range =
        scans.iter().fold((0f32, 0f32), |(least, most), scan| (least.min(scan.least), most.max(scan.most)));
    line(&format!("values: {} tensors read, finite ones from {} to {}", scans.len(), range.0, range.1))?;
    let unsound: Vec<String> = scans
        .iter()
        .filter(|scan| !scan.is_sound())
        .map(|scan| {
            format!("`{}`: {} NaN, {} infinite of {}", scan.name, scan.nan, scan.infinite, scan.values)
        })
        .collect();
    list("with values that are not finite", &unsound)
}

/// Entries of one kind that are listed; of the rest only the number is told.
const LISTED: usize = 20;

/// A name in the way messages quote names.
struct Quoted<'a>(&'a String);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "`{}`", self.0)
    }
}

fn list(what: &str, entries: &[impl std::fmt::Display]) -> std::io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    line(&format!("{what}: {}", entries.len()))?;
    for entry in entries.iter().take(LISTED) {
        line(&format!("  {entry}"))?;
    }
    if entries.len() > LISTED {
        line(&format!("  and {} more", entries.len() - LISTED))?;
    }
    Ok(())
}

/// Each kind with its count and its first entries.
fn loading_json(report: &LoadReport) -> Value {
    fn group<T: serde::Serialize>(entries: &[T]) -> Value {
        let first = &entries[..entries.len().min(LISTED)];
        json!({ "count": entries.len(), "first": first })
    }
    json!({
        "copied": { "count": report.copied.len() }, "resized": group(&report.resized),
        "missing": group(&report.missing), "unused": group(&report.unused),
    })
}

/// The path with the index after `blocks` replaced by 0.
fn first_block(path: &str) -> String {
    let mut segments: Vec<&str> = path.split('.').collect();
    if let Some(place) = segments.iter().position(|s| *s == "blocks")
        && let Some(index) = segments.get_mut(place + 1)
    {
        *index = "0";
    }
    segments.join(".")
}

fn describe(title: &str, graph: &Graph, shapes: &[Shape], trainable: Option<u64>) -> Value {
    let live = graph.live();
    let nodes: Vec<Value> = graph
        .order()
        .iter()
        .map(|&id| {
            let node = graph.node(id);
            let (kind, op) = match &node.kind {
                NodeKind::Input(_) => ("input", None),
                NodeKind::Param(_) => ("param", None),
                NodeKind::State(_) => ("state", None),
                NodeKind::Const(_) => ("const", None),
                NodeKind::Op(op) => ("op", Some(op.name())),
            };
            json!({
                "path": node.path, "kind": kind, "op": op, "shape": shapes[id.index()],
                "region": graph.region(node.region).path,
                "inputs": node.inputs.iter().map(|&i| &graph.node(i).path).collect::<Vec<_>>(),
                "multiply_adds": graph.multiply_adds(id, shapes), "live": live[id.index()],
            })
        })
        .collect();
    let sites: Vec<Value> = graph
        .sites()
        .iter()
        .map(|site| {
            let mut entry = json!({ "path": site.path, "kind": site.kind.word(), "width": site.width });
            if let SiteKind::Weight { features_in, rows, .. } = site.kind {
                entry["features_in"] = json!(features_in);
                if let Some(rows) = rows {
                    entry["rows"] = json!([rows.start, rows.start + rows.length]);
                }
            }
            entry
        })
        .collect();
    let regions: Vec<Value> = graph
        .regions()
        .iter()
        .map(|r| json!({ "path": r.path, "parameters": graph.parameter_count_below(&r.path) }))
        .collect();
    let path = |id| &graph.node(id).path;
    let entries: serde_json::Map<String, Value> = graph
        .entries()
        .iter()
        .map(|(name, entry)| {
            let inputs: Vec<&String> = entry.inputs.keys().collect();
            let outputs: Vec<&String> = entry.outputs.keys().collect();
            (name.clone(), json!({ "inputs": inputs, "outputs": outputs }))
        })
        .collect();
    let demands = graph.demands();
    let losses: Vec<&String> = demands.losses.iter().map(|term| &term.name).collect();
    let updates: Vec<&String> = demands.updates.iter().map(|update| path(update.target)).collect();
    let measures: Vec<&String> = demands.measures.iter().map(|measure| path(measure.state)).collect();
    json!({
        "title": title, "entries": entries,
        "asks_for": { "losses": losses, "updates": updates, "measures": measures }, "params_total": graph.parameter_count(), "params_trainable": trainable,
        "regions": regions, "nodes": nodes, "sites": sites,
    })
}
