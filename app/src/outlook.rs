//! What the stage being looked at will cost, arranged for the views: by cause, by node, by region.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use graft_engine::data::Source;
use graft_engine::graph::{Graph, RegionId};
use graft_engine::memory::heap;
use graft_engine::plan::Calibration;
use graft_engine::project::{Built, Fit, Predicted, Project, StagePlan, Turn, build_turn, fit, plan_built};
use graft_engine::tensor::kernels::make_thread_buffers;

use crate::sources::Sources;

/// What a node, or all nodes of a region, keep and take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Warmth {
    /// Bytes that live between forward and backward; none where the device's memory is not seen.
    pub bytes: Option<u64>,
    /// Seconds of forward and backward of a step; none without the device's times.
    pub secs: Option<f64>,
    /// Parameters.
    pub params: Option<u64>,
    /// Multiply-adds of one sample's forward.
    pub work: Option<u64>,
}

impl Warmth {
    fn add(&mut self, other: Self) {
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b).or(a).or(b);
        self.bytes = sum(self.bytes, other.bytes);
        self.params = sum(self.params, other.params);
        self.work = sum(self.work, other.work);
        self.secs = self.secs.zip(other.secs).map(|(a, b)| a + b).or(self.secs).or(other.secs);
    }
}

/// What the nodes of a model keep and take, and summed over every region around them.
#[derive(Clone, Debug, Default)]
pub struct Warmths {
    nodes: HashMap<String, Warmth>,
    regions: HashMap<String, Warmth>,
}

impl Warmths {
    /// Sums what is known of nodes, by index and path, over the regions of a graph.
    pub fn spread(graph: &Graph, known: impl Fn(usize, &str) -> Option<Warmth>) -> Self {
        let mut found = Self::default();
        for (index, node) in graph.nodes().iter().enumerate() {
            let Some(warmth) = known(index, &node.path) else { continue };
            let up = |id: &RegionId| graph.region(*id).parent;
            for region in std::iter::successors(Some(node.region), up) {
                found.regions.entry(graph.region(region).path.clone()).or_default().add(warmth);
            }
            found.nodes.insert(node.path.clone(), warmth);
        }
        found
    }

    /// What a node of the model keeps and takes.
    #[must_use]
    pub fn node(&self, path: &str) -> Option<Warmth> {
        self.nodes.get(path).copied()
    }

    /// What all nodes of a region keep and take.
    #[must_use]
    pub fn region(&self, path: &str) -> Option<Warmth> {
        self.regions.get(path).copied()
    }

    /// What an adapter of the project's list keeps and takes at all its sites.
    #[must_use]
    pub fn adapter(&self, index: usize) -> Option<Warmth> {
        let name = format!("adapter_{index}");
        let own = self.regions.iter().filter(|(path, _)| path.rsplit('.').next() == Some(&name));
        own.map(|(_, warmth)| *warmth).reduce(|mut sum, warmth| {
            sum.add(warmth);
            sum
        })
    }
}

/// The prediction for one stage. Everything in it is predicted, nothing measured.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    /// The planner's answer.
    pub plan: StagePlan,
    /// The stage's place in the project's list.
    pub stage: usize,
    /// The stage's path as settings have it: `stages.1`.
    pub path: String,
    /// Samples of a step.
    pub batch: usize,
    /// Whether the times of this device are known.
    pub timed: bool,
    /// What each node and region keeps and takes.
    pub heat: Warmths,
}

impl Outlook {
    /// What a step costs, where that is known.
    #[must_use]
    pub const fn predicted(&self) -> Option<&Predicted> {
        self.plan.predicted.as_ref()
    }
}

/// What a thread needs to know of a stage to predict it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The project.
    pub project: Arc<Project>,
    /// The folder that relative paths start from.
    pub base: PathBuf,
    /// Which stage of the project's list is looked at.
    pub stage: usize,
    /// What ops take on this device.
    pub times: Option<Arc<Calibration>>,
}

/// A stage's first turn that trains, and its settings' path.
struct Found {
    turn: Turn,
    path: String,
    batch: usize,
}

impl Case {
    /// The stage itself where it trains, else the first of the project that does.
    fn find(&self) -> Result<Found, String> {
        let turns = self.project.turns().map_err(|error| error.to_string())?;
        let trains = |turn: &&Turn| turn.spec.as_train().is_some();
        let own = turns.iter().filter(trains).find(|turn| turn.listed == self.stage);
        let turn = own.or_else(|| turns.iter().find(trains)).ok_or("no stage of this project trains")?;
        if turn.spec.data().is_some() {
            return Err("its data set is written by the run itself".to_owned());
        }
        let batch = turn.spec.as_train().map_or(1, |spec| spec.batch);
        Ok(Found { turn: turn.clone(), path: turn.path(), batch })
    }

    fn build(&self, sources: &Sources) -> Result<(Found, Built, Arc<dyn Source>), String> {
        let found = self.find()?;
        let turn = &found.turn;
        let source = sources
            .open(&self.project.data, &turn.spec.view(), &self.base)
            .map_err(|error| error.to_string())?;
        let built = build_turn(&self.project, &self.base, turn, &turn.merged, source.as_ref())
            .map_err(|error| error.to_string())?;
        Ok((found, built, source))
    }

    /// Predicts the stage. `process` is what the process holds beside it; the first call measures it.
    ///
    /// # Errors
    /// When the stage cannot be built.
    pub fn outlook(&self, sources: &Sources, process: &mut Option<u64>) -> Result<Outlook, String> {
        let (found, built, source) = self.build(sources)?;
        let beside = *process.get_or_insert_with(|| {
            make_thread_buffers();
            heap().live_bytes
        });
        let mut plan = plan_built(&found.turn, &built, source.as_ref(), self.times.as_deref());
        plan.stands_beside(beside);
        let heat = std::mem::take(&mut plan.heat);
        let heat = Warmths::spread(&built.graph, |index, _| {
            let bytes = heat.bytes.get(index).copied()?;
            Some(Warmth { bytes: Some(bytes), secs: heat.secs.get(index).copied(), ..Warmth::default() })
        });
        let timed = self.times.is_some();
        let stage = found.turn.listed;
        Ok(Outlook { plan, stage, path: found.path, batch: found.batch, timed, heat })
    }

    /// Looks for a way to run the stage in `budget` bytes, of which the process holds some.
    ///
    /// # Errors
    /// When the stage cannot be built.
    pub fn fit(&self, sources: &Sources, budget: u64, process: u64) -> Result<Fit, String> {
        let (found, built, source) = self.build(sources)?;
        let fit = fit(&found.turn, &built, source.as_ref(), self.times.as_deref(), budget, process)
            .map_err(|error| error.to_string())?;
        fit.ok_or_else(|| "the stage does not train".to_owned())
    }
}

/// Bytes by cause, the standing ones first. They are those of a step between forward and backward; what the peak has
/// beyond them comes last, as the phase's own.
#[must_use]
pub fn causes(plan: &StagePlan, predicted: &Predicted) -> Vec<(String, u64)> {
    let mut all: Vec<(String, u64)> = [
        ("weights", predicted.weights_bytes),
        ("optimizer", predicted.optimizer_bytes),
        ("gradients", predicted.gradients_bytes),
        ("activations", predicted.activations_bytes),
        ("workspace", predicted.workspace_bytes),
        ("data", predicted.data_bytes),
        ("process", predicted.process_bytes),
    ]
    .map(|(cause, bytes)| (cause.to_owned(), bytes))
    .into();
    let sum: u64 = all.iter().map(|(_, bytes)| bytes).sum();
    let more = predicted.peak_bytes.saturating_sub(sum);
    if let Some(peak) = plan.peak.as_ref().filter(|_| more > predicted.peak_bytes / 100) {
        all.push((format!("more in {}", peak.phase), more));
    }
    all
}

/// Where the peak is, in words.
#[must_use]
pub fn peak_place(plan: &StagePlan) -> Option<String> {
    let peak = plan.peak.as_ref()?;
    let at = peak.node.as_ref().map_or_else(String::new, |node| format!(", at {node}"));
    Some(format!("in {}{at}", peak.phase))
}
