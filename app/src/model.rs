//! The model of the selected stage as the views read it, built away from the window's thread.

mod cached;
mod state;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use graft_engine::adapters::place;
use graft_engine::data::{Source, Split, View as DataView};
use graft_engine::graph::{Coverage, Graph, NodeId, NodeKind, Region, RegionKind, is_below, modes};
use graft_engine::project::{BuildError, Project, build_model};
use graft_engine::tensor::{Shape, elements};
use graft_engine::train::{AdapterUse, Selection, StageSpec, TrainSpec, select};

use crate::newest::{Newest, guarded};
use crate::shown;
use crate::sources::Sources;

pub use state::Freeze;

/// A region with what the views show of it.
#[derive(Clone, Debug)]
pub struct Part {
    /// Logical path.
    pub path: String,
    /// Name for people.
    pub title: String,
    /// What it is.
    pub kind: RegionKind,
    /// Index of the part around it.
    pub parent: Option<usize>,
    /// Indices of the parts inside, in the order of computation; adapters included.
    pub children: Vec<usize>,
    /// Weights, those of adapters inside included.
    pub weights: u64,
    /// Those of them that train.
    pub trained: u64,
    /// Whether its own weights (of an adapter: the adapter's) train.
    pub freeze: Freeze,
    /// The ops that belong to it and to no part inside, in the order of computation.
    pub ops: Vec<NodeId>,
    /// The node that the rest of the model reads.
    pub output: Option<NodeId>,
    /// Adapters inside: index in the project's list and number of sites.
    pub adapters: BTreeMap<usize, usize>,
    /// Place in the order of computation.
    pub(crate) order: usize,
}

/// A stage's model.
#[derive(Debug)]
pub struct Model {
    /// One line for people.
    pub title: String,
    /// Which stage.
    pub stage: usize,
    /// The graph with the adapters that could be placed.
    pub graph: Graph,
    /// Shape of each node for one sample.
    pub shapes: Vec<Shape>,
    /// The regions, as [`Graph::regions`].
    pub parts: Vec<Part>,
    /// For each adapter of the project what its rule matched, or what is wrong with it.
    pub coverage: Vec<Result<Coverage, String>>,
    /// Whether the stage has the project's adapters.
    pub uses_adapters: bool,
    /// Whether anything can train in the stage: it is a training stage, or one is repeated in it.
    pub trains: bool,
    /// Which nodes carry a gradient.
    pub tracked: Vec<bool>,
    /// Weights in all.
    pub weights: u64,
    /// Those that train.
    pub trained: u64,
    /// What is wrong with the stage's rules, if anything.
    pub complaint: Option<String>,
    /// Why what the stage asks to be cached cannot be, if so.
    pub cache_complaint: Option<String>,
    /// Optimiser steps of every stage, where they are known.
    pub steps: Vec<Option<u64>>,
    /// Samples that one epoch of the stage trains on.
    pub samples: usize,
    /// Places in `parts`, by path.
    places: HashMap<String, usize>,
    /// Adapters at sites that have any, by the site's path, in the order in which they stack.
    adapters_at: HashMap<String, Vec<usize>>,
}

impl Model {
    /// Why parts can be neither frozen nor thawed now.
    #[must_use]
    pub const fn cannot_freeze(&self, locked: bool) -> Option<&'static str> {
        match (locked, self.trains) {
            (true, _) => Some("Locked while training"),
            (false, false) => Some("Nothing trains in this stage"),
            (false, true) => None,
        }
    }

    /// The part of this path.
    #[must_use]
    pub fn part(&self, path: &str) -> Option<&Part> {
        self.parts.get(*self.places.get(path)?)
    }

    /// Whether a region holds enough to be worth unfolding.
    #[must_use]
    pub fn can_unfold(&self, part: &Part) -> bool {
        let inner = part.children.iter().any(|&c| !matches!(self.parts[c].kind, RegionKind::Adapter(_)));
        !matches!(part.kind, RegionKind::Adapter(_)) && (inner || part.ops.len() > 1)
    }

    /// The weights at or below a path: all, trained, and the state of the base model's among them.
    #[must_use]
    pub fn below(&self, path: &str) -> (u64, u64, Freeze) {
        let part = self.part(path);
        part.map_or((0, 0, Freeze::Nothing), |part| (part.weights, part.trained, part.freeze))
    }

    /// The adapters at a site, in the order in which they stack.
    #[must_use]
    pub fn adapters_at(&self, site: &str) -> &[usize] {
        self.adapters_at.get(site).map_or(&[], Vec::as_slice)
    }

    /// Whether an adapter trains at a site; none where it has nothing there that could: no weights, or merged before.
    #[must_use]
    pub fn trains_at(&self, index: usize, site: &str) -> Option<bool> {
        let own = self.part(&format!("{site}.adapter_{index}"))?;
        if own.freeze != Freeze::Nothing {
            return Some(!own.freeze.is_frozen());
        }
        // All it has is shared with other sites, or is the layer's own and set free.
        let shared = format!(".shared.adapter_{index}.");
        let unfrozen = &self.graph.demands().unfrozen;
        let params = self
            .graph
            .params()
            .filter(|(id, path, _)| path.contains(&shared) || unfrozen.contains(id) && is_below(path, site));
        params.map(|(id, _, _)| self.is_tracked(id)).reduce(|a, b| a || b)
    }

    /// Whether a gradient passes through a node's value.
    #[must_use]
    pub fn is_tracked(&self, node: NodeId) -> bool {
        self.tracked.get(node.index()).copied().unwrap_or(false)
    }

    /// The shape of a node's value.
    #[must_use]
    pub fn shape(&self, node: NodeId) -> &[usize] {
        self.shapes.get(node.index()).map_or(&[], Vec::as_slice)
    }

    /// The state of an op's own weights, if it has any.
    #[must_use]
    pub fn op_freeze(&self, op: NodeId) -> Freeze {
        let inputs = &self.graph.node(op).inputs;
        let params = inputs.iter().filter(|&&id| matches!(self.graph.node(id).kind, NodeKind::Param(_)));
        let (mut all, mut trained) = (0, 0);
        for &id in params {
            all += 1;
            trained += usize::from(self.is_tracked(id));
        }
        Freeze::of(trained, all).with(self.is_tracked(op))
    }
}

/// What a stage's model is drawn from: its own settings, where it trains; of a repetition those of the first stage
/// in it that does; of any other kind its data and adapters, with nothing that trains.
fn shown(job: &Job, stage: usize) -> Result<TrainSpec, BuildError> {
    let count = job.project.stages.len();
    let stage = job.project.stages.get(stage).ok_or(BuildError::NoStage { stage, count })?;
    Ok(shown::training(stage).cloned().unwrap_or_else(|| {
        let view = stage.view();
        TrainSpec {
            name: stage.name().to_owned(),
            frames: view.frames,
            shuffle: view.shuffle,
            only: view.only,
            freeze: vec!["model".to_owned()],
            adapters: stage.adapters(),
            ..TrainSpec::default()
        }
    }))
}

fn shown_view(spec: &TrainSpec) -> DataView {
    StageSpec::Train(spec.clone()).view()
}

/// Builds a stage's model. An adapter that cannot be placed is told of and left out.
///
/// # Errors
/// When data or architecture cannot be used at all.
fn build(job: &Job, source: &dyn Source, samples: &[Option<usize>]) -> Result<Model, BuildError> {
    let spec = &shown(job, job.stage)?;
    // First the bare architecture: rules that name what is not there must not hide it.
    let mut bare = (*job.project).clone();
    bare.adapters.clear();
    bare.stages = vec![StageSpec::Train(TrainSpec {
        train: vec!["model".to_owned()],
        frames: spec.frames,
        shuffle: spec.shuffle,
        only: spec.only.clone(),
        ..TrainSpec::default()
    })];
    // Without the step: what the stage's losses name may come with an adapter.
    let built = match bare.turns()?.first() {
        Some(turn) => build_model(&bare, &job.base, turn, &BTreeSet::new(), source)?,
        None => return Err(BuildError::NoStage { stage: 0, count: 0 }),
    };
    let binding = built.binding(source, 1);
    let mut graph = built.graph;
    let uses_adapters = spec.adapters == AdapterUse::All;
    // What stages before it have merged is in the weights by then.
    let turns = job.project.turns().unwrap_or_default();
    let turn = turns.iter().find(|turn| turn.listed == job.stage);
    let merged = turn.map(|turn| turn.merged.clone()).unwrap_or_default();
    let mut coverage = Vec::new();
    for (index, placement) in job.project.adapters.iter().enumerate() {
        coverage.push(match place(&graph, index, placement) {
            Ok((next, covered)) => {
                if uses_adapters && !merged.contains(&index) {
                    graph = next;
                }
                Ok(covered)
            }
            Err(error) => Err(error.to_string()),
        });
    }
    let (selection, complaint) = match select(&graph, spec) {
        Ok(selection) => (selection, None),
        Err(error) => (Selection::default(), Some(format!("stage {}: {error}", job.stage + 1))),
    };
    let shapes = graph.shapes(&binding).map_err(graft_engine::models::ModelError::from)?;
    let training = modes(&graph, &selection.nodes, &[]);
    let tracked = graph.downstream(selection.nodes.iter().copied(), &training);
    let steps = job.project.stages.iter().zip(samples).map(|(stage, samples)| {
        let spec = stage.as_train()?;
        samples.map(|all| {
            let used = spec.samples.map_or(all, |limit| limit.min(all));
            (used.div_ceil(spec.batch.max(1)) * spec.epochs) as u64
        })
    });
    let parts = parts(&graph, &selection, &tracked);
    let places = parts.iter().enumerate().map(|(place, part)| (part.path.clone(), place)).collect();
    let mut adapters_at: HashMap<String, Vec<usize>> = HashMap::new();
    let used = coverage.iter().enumerate().filter(|_| uses_adapters);
    for (index, covered) in used.filter_map(|(index, covered)| Some((index, covered.as_ref().ok()?))) {
        for site in &covered.matched {
            adapters_at.entry(site.clone()).or_default().push(index);
        }
    }
    Ok(Model {
        title: built.architecture.title(),
        stage: job.stage,
        parts,
        places,
        adapters_at,
        weights: graph.parameter_count(),
        trained: selection.count,
        steps: steps.collect(),
        samples: spec.samples.map_or(source.len(Split::Train), |limit| limit.min(source.len(Split::Train))),
        shapes,
        coverage,
        uses_adapters,
        trains: job.project.stages.get(job.stage).and_then(shown::training).is_some(),
        tracked,
        complaint,
        cache_complaint: None,
        graph,
    })
}

/// A region's name; of a block the one that its path has, since rules name it so.
fn title(region: &Region) -> String {
    let last = region.path.rsplit('.').next().unwrap_or_default();
    match region.kind {
        RegionKind::Block if last.parse::<usize>().is_ok() => format!("Block {last}"),
        _ => region.title.clone(),
    }
}

fn parts(graph: &Graph, selection: &Selection, tracked: &[bool]) -> Vec<Part> {
    let mut parts: Vec<Part> = graph
        .regions()
        .iter()
        .map(|region| Part {
            path: region.path.clone(),
            title: title(region),
            kind: region.kind,
            parent: region.parent.map(graft_engine::graph::RegionId::index),
            children: Vec::new(),
            weights: 0,
            trained: 0,
            freeze: Freeze::Nothing,
            ops: Vec::new(),
            output: None,
            adapters: BTreeMap::new(),
            order: usize::MAX,
        })
        .collect();
    let above = |parts: &[Part], from: usize| {
        std::iter::successors(Some(from), |&i| parts[i].parent).collect::<Vec<usize>>()
    };
    // What only stands ready for merging is not drawn.
    let live = graph.live();
    for (place, &id) in graph.order().iter().enumerate() {
        let node = graph.node(id);
        if !live[id.index()] || !matches!(node.kind, NodeKind::Op(_)) {
            continue;
        }
        let own = node.region.index();
        parts[own].ops.push(id);
        for i in above(&parts, own) {
            // The last op in order is the one whose value leaves the part.
            parts[i].output = Some(id);
            parts[i].order = parts[i].order.min(place);
        }
    }
    let mut counts = vec![(0, 0); parts.len()];
    for (_, path, leaf) in graph.params() {
        let trained = selection.paths.contains(path);
        let weights = elements(&leaf.shape) as u64;
        for (i, part) in parts.iter_mut().enumerate().filter(|(_, part)| is_below(path, &part.path)) {
            part.weights += weights;
            part.trained += if trained { weights } else { 0 };
            if leaf.placement.is_none() || matches!(part.kind, RegionKind::Adapter(_)) {
                counts[i].0 += usize::from(trained);
                counts[i].1 += 1;
            }
        }
    }
    for (part, (trained, all)) in parts.iter_mut().zip(counts) {
        part.freeze = Freeze::of(trained, all);
    }
    let passes = |part: &Part| {
        part.ops.iter().any(|id| tracked.get(id.index()).copied().unwrap_or(false))
            && !matches!(part.kind, RegionKind::Adapter(_))
    };
    let passing: Vec<usize> = (0..parts.len()).filter(|&i| passes(&parts[i])).collect();
    for i in passing {
        for around in above(&parts, i) {
            parts[around].freeze = parts[around].freeze.with(true);
        }
    }
    for i in 0..parts.len() {
        if let RegionKind::Adapter(index) = parts[i].kind {
            for above in above(&parts, i).into_iter().skip(1) {
                *parts[above].adapters.entry(index).or_default() += 1;
            }
        }
        if let Some(parent) = parts[i].parent {
            parts[parent].children.push(i);
        }
    }
    let orders: Vec<usize> = parts.iter().map(|part| part.order).collect();
    for part in &mut parts {
        part.children.sort_by_key(|&child| orders[child]);
    }
    parts
}

/// What to build.
#[derive(Clone, Debug)]
struct Job {
    generation: u64,
    revision: u64,
    stage: usize,
    project: Arc<Project>,
    base: PathBuf,
}

/// What was asked for last, so that nothing is asked twice.
type Key = (u64, u64, usize, PathBuf);

struct Answer {
    key: Key,
    /// Whether the data could be opened.
    has_data: bool,
    result: Result<Arc<Model>, String>,
}

/// Builds models on a thread of its own and keeps the latest.
#[derive(Debug)]
pub struct Builder {
    thread: Newest<Job, Answer>,
    /// Grows with each document opened; answers about another one are dropped.
    generation: u64,
    asked: Option<Key>,
    answered: Option<Key>,
    model: Option<Arc<Model>>,
    /// What the latest model is of; later questions may have ended in errors.
    built: Option<Key>,
    error: Option<String>,
    /// Whether the latest error is about the data rather than the model.
    lacks_data: bool,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Builder {
    /// Starts the thread. `wake` is called when a model is ready.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(sources: Sources, wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let work = move |job: Job| {
            let source = guarded(|| opened(&sources, &job));
            let has_data = source.is_ok();
            let result = source.and_then(|source| guarded(|| answer(&sources, &job, source.as_ref())));
            Answer { key: (job.generation, job.revision, job.stage, job.base), has_data, result }
        };
        let thread = Newest::start("graft-model", work, wake)?;
        Ok(Self {
            thread,
            generation: 0,
            asked: None,
            answered: None,
            model: None,
            built: None,
            error: None,
            lacks_data: false,
        })
    }

    /// Asks for a model unless it was asked for already.
    pub fn ask(&mut self, revision: u64, stage: usize, project: &Arc<Project>, base: PathBuf) {
        let key = (self.generation, revision, stage, base.clone());
        if self.asked.as_ref() == Some(&key) {
            return;
        }
        let job = Job { generation: self.generation, revision, stage, project: Arc::clone(project), base };
        if self.thread.ask(job) {
            self.asked = Some(key);
        }
    }

    /// Asks the latest question once more: files may have come meanwhile.
    pub fn retry(&mut self) {
        self.asked = None;
    }

    /// Takes what is ready; whether anything changed.
    pub fn poll(&mut self) -> bool {
        let mut changed = false;
        while let Some(answer) = self.thread.poll() {
            if answer.key.0 != self.generation {
                continue;
            }
            changed = true;
            self.answered = Some(answer.key);
            self.lacks_data = !answer.has_data;
            match answer.result {
                Ok(model) => {
                    self.error.clone_from(&model.complaint);
                    self.model = Some(model);
                    self.built.clone_from(&self.answered);
                }
                Err(error) => self.error = Some(error),
            }
        }
        changed
    }

    /// Forgets everything: another document was opened.
    pub fn clear(&mut self) {
        self.generation += 1;
        self.asked = None;
        self.answered = None;
        self.model = None;
        self.built = None;
        self.error = None;
        self.lacks_data = false;
    }

    /// The latest model.
    #[must_use]
    pub const fn model(&self) -> Option<&Arc<Model>> {
        self.model.as_ref()
    }

    /// The model of a stage at a revision of the document, if it is the latest.
    #[must_use]
    pub fn model_of(&self, revision: u64, stage: usize, base: &Path) -> Option<&Arc<Model>> {
        self.model.as_ref().filter(|_| self.is_about(self.built.as_ref(), revision, stage, base))
    }

    /// Whether the question for a stage at a revision of the document is answered, by a model or an error.
    #[must_use]
    pub fn has_answered(&self, revision: u64, stage: usize, base: &Path) -> bool {
        self.is_about(self.answered.as_ref(), revision, stage, base)
    }

    fn is_about(&self, key: Option<&Key>, revision: u64, stage: usize, base: &Path) -> bool {
        key.is_some_and(|(generation, own, shown, folder)| {
            (*generation, *own, *shown, folder.as_path()) == (self.generation, revision, stage, base)
        })
    }

    /// Why the latest model could not be built, or what is wrong with it.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Whether there is no model because the data cannot be opened.
    #[must_use]
    pub const fn lacks_data(&self) -> bool {
        self.lacks_data
    }

    /// Whether the latest question is answered.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.asked == self.answered
    }
}

/// Builds the model of a stage here and now, for what needs no editing.
///
/// # Errors
/// As in the window: when data or architecture cannot be used.
pub fn build_once(
    sources: &Sources,
    project: &Arc<Project>,
    base: PathBuf,
    stage: usize,
) -> Result<Arc<Model>, String> {
    let job = Job { generation: 0, revision: 0, stage, project: Arc::clone(project), base };
    guarded(|| answer(sources, &job, opened(sources, &job)?.as_ref()))
}

fn open(sources: &Sources, job: &Job, stage: usize) -> Result<Arc<dyn Source>, BuildError> {
    Ok(sources.open(&job.project.data, &shown_view(&shown(job, stage)?), &job.base)?)
}

fn opened(sources: &Sources, job: &Job) -> Result<Arc<dyn Source>, String> {
    open(sources, job, job.stage).map_err(|error| error.to_string())
}

fn answer(sources: &Sources, job: &Job, source: &dyn Source) -> Result<Arc<Model>, String> {
    let samples: Vec<Option<usize>> = (0..job.project.stages.len())
        .map(|stage| open(sources, job, stage).ok().map(|source| source.len(Split::Train)))
        .collect();
    let mut model = build(job, source, &samples).map_err(|error| error.to_string())?;
    if model.complaint.is_none() {
        model.cache_complaint = cached::complaint(sources, job);
    }
    Ok(Arc::new(model))
}
