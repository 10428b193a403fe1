//! Stages drawn at random: a model, adapters on some of its sites, what trains, and how.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::models::{CONV, FUSED};
use super::source::Noise;
use crate::adapters::{AdapterSpec, Placement};
use crate::data::{DataSpec, Source, TensorsSpec};
use crate::graph::Graph;
use crate::models::{ModelSpec, RegisteredSpec, TemporalSpec, TrunkSpec, TubeletInit, VitSpec, VivitSpec};
use crate::project::{Built, Project, VERSION, build_turn};
use crate::tensor::Draws;
use crate::train::{AdamW, OptimiserSpec, Sgd, StageSpec, TrainSpec};

/// A model of the bench.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub name: &'static str,
    pub model: ModelSpec,
    /// Extents of a sample.
    pub sample: Vec<usize>,
    /// Batch sizes that are drawn for each placement.
    pub batches: [usize; 3],
}

/// The four models.
pub(super) fn subjects() -> Vec<Subject> {
    let vit = |width, blocks| VitSpec { width, blocks, heads: 4, mlp: None, patch: 8 };
    let registered = |name: &str| {
        ModelSpec::Registered(RegisteredSpec { name: name.to_owned(), settings: BTreeMap::new() })
    };
    vec![
        Subject {
            name: "ViViT-FE",
            model: ModelSpec::Vivit(VivitSpec {
                spatial: TrunkSpec::Vit(vit(96, 3)),
                tubelet: 2,
                tubelet_init: TubeletInit::default(),
                temporal: TemporalSpec { blocks: 2, heads: 4, mlp: None, position_std: 0.02 },
            }),
            sample: vec![8, 3, 56, 56],
            batches: [3, 6, 12],
        },
        Subject {
            name: "ViT",
            model: ModelSpec::Vit(vit(128, 4)),
            sample: vec![3, 96, 96],
            batches: [4, 8, 16],
        },
        Subject {
            name: "convolutions",
            model: registered(CONV),
            sample: vec![3, 64, 64],
            batches: [8, 16, 32],
        },
        Subject { name: "fused qkv", model: registered(FUSED), sample: vec![3, 96, 96], batches: [4, 8, 16] },
    ]
}

/// A drawn stage, built.
#[derive(Debug)]
pub(super) struct Drawn {
    pub spec: TrainSpec,
    pub built: Built,
    pub source: Arc<dyn Source>,
    /// Adapters, what trains and what is computed again, in one line.
    pub title: String,
}

/// Draws until something can be built.
pub(super) fn draw(subject: &Subject, draws: &mut Draws) -> Drawn {
    loop {
        let mut project = project(subject);
        let spec = spec(draws);
        project.stages = vec![StageSpec::Train(spec)];
        if let Some(drawn) = place(project, subject, draws) {
            return drawn;
        }
    }
}

/// The same stage with another batch size.
pub(super) fn with_batch(drawn: &Drawn, batch: usize) -> TrainSpec {
    TrainSpec { batch, accumulate: drawn.spec.accumulate.min(batch), ..drawn.spec.clone() }
}

fn project(subject: &Subject) -> Project {
    Project {
        version: VERSION,
        name: subject.name.to_owned(),
        description: String::new(),
        seed: 1,
        device: crate::device::CPU.to_owned(),
        model: subject.model.clone(),
        data: DataSpec::Tensors(TensorsSpec::default()),
        adapters: Vec::new(),
        stages: Vec::new(),
        variants: Vec::new(),
    }
}

fn below(draws: &mut Draws, count: usize) -> usize {
    draws.next_u32() as usize % count.max(1)
}

fn one_of<'a, T>(draws: &mut Draws, among: &'a [T]) -> &'a T {
    &among[below(draws, among.len())]
}

/// What may train beside the adapters.
const TRAIN: &[&[&str]] = &[
    &["model"],
    &["model.head"],
    &["model.head", "model.**.{norm,norm1,norm2}"],
    &["model.head", "model.**.blocks.2"],
];

/// What may be computed again.
const RECOMPUTE: &[&[&str]] = &[&[], &[], &["model.**.blocks.*"], &["model.**.blocks.1"]];

fn spec(draws: &mut Draws) -> TrainSpec {
    let train = one_of(draws, TRAIN);
    let recompute = one_of(draws, RECOMPUTE);
    let owned = |texts: &[&str]| -> Vec<String> { texts.iter().map(|text| (*text).to_owned()).collect() };
    TrainSpec {
        train: owned(train),
        recompute: owned(recompute),
        batch: 8,
        accumulate: *one_of(draws, &[1, 1, 2]),
        clip_norm: *one_of(draws, &[None, Some(1.0)]),
        optimiser: if below(draws, 3) == 0 {
            OptimiserSpec::Sgd(Sgd { momentum: 0.9, ..Sgd::default() })
        } else {
            OptimiserSpec::AdamW(AdamW::default())
        },
        ..TrainSpec::default()
    }
}

/// Puts up to three adapters on sites that take them.
fn place(mut project: Project, subject: &Subject, draws: &mut Draws) -> Option<Drawn> {
    let source: Arc<dyn Source> = Arc::new(Noise::new(&subject.sample, 10, 64));
    let turn = project.turns().ok()?.into_iter().next()?;
    let base = std::path::Path::new(".");
    let plain = build_turn(&project, base, &turn, &turn.merged, source.as_ref()).ok()?;
    for _ in 0..below(draws, 4) {
        if let Some(placement) = adapter(&plain.graph, draws) {
            project.adapters.push(placement);
        }
    }
    let built = build_turn(&project, base, &turn, &turn.merged, source.as_ref()).ok()?;
    // A sparse adapter wants to be measured before it can train.
    if !built.graph.demands().measures.is_empty() {
        return None;
    }
    let spec = turn.spec.as_train()?.clone();
    let title = title(&project, &spec);
    Some(Drawn { spec, built, source, title })
}

fn adapter(graph: &Graph, draws: &mut Draws) -> Option<Placement> {
    let site = one_of(draws, graph.sites());
    let fitting = AdapterSpec::fitting(graph, site);
    if fitting.is_empty() {
        return None;
    }
    let mut kind = one_of(draws, &fitting).clone();
    for setting in kind.kind().settings() {
        let value = match setting.name {
            "width" | "rank" => f64::from(*one_of(draws, &[4_u8, 16, 32])),
            "dropout" => *one_of(draws, &[0.0, 0.1]),
            _ => continue,
        };
        kind.set(setting.name, value).ok()?;
    }
    // Half of them at every block.
    let everywhere = below(draws, 2) == 0;
    let generalised = |segment: &str| {
        let index = segment.chars().all(|c| c.is_ascii_digit());
        if everywhere && index { "*".to_owned() } else { segment.to_owned() }
    };
    let at: Vec<String> = site.path.split('.').map(generalised).collect();
    Some(Placement::new(&at.join("."), kind))
}

fn title(project: &Project, spec: &TrainSpec) -> String {
    let adapters: Vec<String> = project
        .adapters
        .iter()
        .map(|placement| format!("{} at {}", placement.kind.kind().name(), placement.at))
        .collect();
    let mut parts = vec![if adapters.is_empty() { "no adapter".to_owned() } else { adapters.join(", ") }];
    parts.push(format!("trains {}", spec.train.join(" ")));
    if !spec.recompute.is_empty() {
        parts.push(format!("recomputes {}", spec.recompute.join(" ")));
    }
    if spec.accumulate > 1 {
        parts.push(format!("{} micro-batches", spec.accumulate));
    }
    parts.join("; ")
}
