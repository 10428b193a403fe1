//! Making a stage fit into a budget: what may change, and what each change costs in time.

use serde::Serialize;

use super::cut::cut_plan;
use super::passes::Passes;
use super::stage::{Costs, Peak, bind, count_of};
use super::{Predicted, bytes_text};
use crate::cache::CacheSpec;
use crate::data::Source;
use crate::graph::{GraphError, KeptBits, RegionKind, cut, is_below};
use crate::plan::Calibration;
use crate::project::{BuildError, Built, Turn};
use crate::train::{StepGraph, StepSpec, TrainSpec};

/// What was found for one stage and budget. All bytes count what the process holds beside the stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Fit {
    /// The budget.
    pub budget_bytes: u64,
    /// The best that fits; none when nothing does.
    pub choice: Option<FitOption>,
    /// Everything that was looked at, the most harmless first.
    pub options: Vec<FitOption>,
    /// The largest batch that fits with nothing else changed; none when not even one sample does.
    pub largest_batch: Option<usize>,
    /// The least that the stage can do with.
    pub floor: Floor,
}

/// One way to run the stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FitOption {
    /// Samples of a step: fewer than the stage has now only where nothing else fits.
    pub batch: usize,
    /// Micro-batches of a step.
    pub accumulate: usize,
    /// Regions that are computed again, as rules.
    pub recompute: Vec<String>,
    /// In how many bits activations wait for backward: fewer than all change the gradient a little.
    pub kept_bits: KeptBits,
    /// Whether the frozen part is read from a cache, which needs room on disk.
    pub cached: bool,
    /// The stage's peak.
    pub peak_bytes: u64,
    /// Seconds of a step, in the mean over the stage's epochs: with a cache the first one fills it.
    pub step_secs: f64,
    /// How many times as long as the stage as it stands, for a sample.
    pub slowdown: f64,
    /// Whether it fits.
    pub fits: bool,
    /// The settings to make, as `--set` takes them, less the stage's own path.
    pub settings: Vec<String>,
}

/// The least that a stage can do with, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Floor {
    /// Bytes.
    pub bytes: u64,
    /// The settings that need no more.
    pub settings: Vec<String>,
    /// What they are of.
    pub why: String,
}

/// Options that take at most this share longer are told apart by their harmlessness.
const AS_FAST: f64 = 1.02;

/// Finds how a stage that trains fits into `budget_bytes`, of which the process takes `process_bytes`. Micro-batches give
/// the same gradients to rounding, computing again the same bits, a cache the same losses to rounding; activations in
/// fewer bits and a smaller batch come last, where nothing else fits.
///
/// # Errors
/// When the step cannot be made or its shapes are not known.
pub fn fit(
    turn: &Turn,
    built: &Built,
    source: &dyn Source,
    calibration: Option<&Calibration>,
    budget_bytes: u64,
    process_bytes: u64,
) -> Result<Option<Fit>, BuildError> {
    let Some(spec) = turn.spec.as_train() else { return Ok(None) };
    let search = Search { turn, built, source, calibration, spec, budget_bytes, process_bytes };
    let now = search.cost(spec)?;
    let mut found = Fit { budget_bytes, ..Fit::default() };
    found.options = search.ways(spec, &now)?;
    for other in search.other_caches() {
        found.options.extend(search.best(&other, &now)?);
    }
    if spec.kept_bits == KeptBits::Full {
        for kept_bits in [KeptBits::Bits16, KeptBits::Bits8] {
            found.options.extend(search.best(&TrainSpec { kept_bits, ..spec.clone() }, &now)?);
        }
    }
    found.largest_batch = search.largest_batch()?;
    if let Some(batch) = found.largest_batch.filter(|batch| *batch < spec.batch)
        && !found.options.iter().any(|option| option.fits)
    {
        let smaller = TrainSpec { batch, accumulate: 1, ..spec.clone() };
        found.options.push(search.option(&smaller, &now)?);
    }
    found.choice = choice(&found.options, spec).cloned();
    if let Some(least) = found.options.iter().min_by_key(|option| option.peak_bytes) {
        let why = why(&now);
        found.floor = Floor { bytes: least.peak_bytes, settings: least.settings.clone(), why };
    }
    Ok(Some(found))
}

/// The best of the options that fit.
fn choice<'a>(options: &'a [FitOption], spec: &TrainSpec) -> Option<&'a FitOption> {
    // What changes the gradient is for where nothing else helps.
    let exact = |option: &&FitOption| option.kept_bits == spec.kept_bits && option.batch == spec.batch;
    let mut fitting: Vec<&FitOption> = options.iter().filter(|option| option.fits).collect();
    if fitting.iter().any(exact) {
        fitting.retain(exact);
    }
    let fastest = fitting.iter().map(|option| option.slowdown).fold(f64::INFINITY, f64::min);
    // What needs no change needs no choice.
    let unchanged = fitting.iter().find(|option| option.settings.is_empty());
    unchanged.or_else(|| fitting.iter().find(|option| option.slowdown <= fastest * AS_FAST)).copied()
}

fn why(now: &Priced) -> String {
    let at = now.peak.node.as_ref().map_or_else(String::new, |node| format!(" at {node}"));
    let beside = match now.predicted.process_bytes {
        0 => String::new(),
        bytes => format!("the process holds {} beside the stage; ", bytes_text(bytes)),
    };
    format!(
        "{beside}weights {} and optimizer {} stand whatever the batch; as it is set, the peak is in {}{at}",
        bytes_text(now.predicted.weights_bytes),
        bytes_text(now.predicted.optimizer_bytes),
        now.peak.phase
    )
}

fn cache_setting(spec: &TrainSpec) -> String {
    spec.cache.as_ref().map_or_else(
        || "cache=None".to_owned(),
        |cache| format!("cache=(memory_bytes:{})", cache.memory_bytes),
    )
}

fn recompute(spec: &TrainSpec, blocks: &[String]) -> Vec<String> {
    let mut rules = spec.recompute.clone();
    rules.extend(blocks.iter().filter(|block| !spec.recompute.contains(block)).cloned());
    rules
}

struct Search<'a> {
    turn: &'a Turn,
    built: &'a Built,
    source: &'a dyn Source,
    calibration: Option<&'a Calibration>,
    /// The stage as it stands.
    spec: &'a TrainSpec,
    budget_bytes: u64,
    process_bytes: u64,
}

/// What a stage costs in one way.
struct Priced {
    predicted: Predicted,
    peak: Peak,
    /// Seconds of a step in the mean over the epochs.
    step_secs: f64,
    /// Samples of a step.
    samples: f64,
}

impl Search<'_> {
    fn cost(&self, spec: &TrainSpec) -> Result<Priced, BuildError> {
        let columns = self.source.columns();
        let made =
            StepGraph::new(&self.built.graph, &StepSpec::of(spec, &self.built.selection.nodes, &columns));
        let step = made.map_err(|error| BuildError::Step { stage: self.turn.stage, error })?;
        let unknown = |error: GraphError| BuildError::Step { stage: self.turn.stage, error: error.into() };
        let costs = Costs {
            passes: Passes::of(self.turn, spec, self.source),
            spec,
            built: self.built,
            step: &step,
            source: self.source,
            calibration: self.calibration,
        };
        let cost = costs.of(&step.schedule, &[]).map_err(unknown)?;
        let cached = if spec.cache.is_some() { cut_plan(&costs, &cost).map_err(unknown)? } else { None };
        let (mut predicted, peak, step_secs) = match cached {
            Some((cut, cached)) => {
                let more = (cut.first_step_secs - cut.step_secs).max(0.0) / count_of(spec.epochs.max(1));
                let secs = cached.predicted.step_secs + more;
                (cached.predicted, cached.peak, secs)
            }
            None => (cost.predicted.clone(), cost.peak, cost.predicted.step_secs),
        };
        predicted.stands_beside(self.process_bytes);
        Ok(Priced { predicted, peak, step_secs, samples: count_of(costs.passes.training.batch) })
    }

    /// Micro-batches, more of them each time, and where they do not make it fit the fewest blocks to compute again that do.
    fn ways(&self, base: &TrainSpec, now: &Priced) -> Result<Vec<FitOption>, BuildError> {
        let mut options = Vec::new();
        let blocks = self.blocks();
        let most = Passes::of(self.turn, base, self.source).training.batch;
        let mut parts = 1;
        loop {
            let with = TrainSpec { accumulate: parts.max(base.accumulate), ..base.clone() };
            let option = self.option(&with, now)?;
            let fits = option.fits;
            options.push(option);
            if !fits && !blocks.is_empty() {
                // The peak can only fall with each one more.
                let count = self.fewest(&with, &blocks)?.unwrap_or(blocks.len());
                let again = TrainSpec { recompute: recompute(base, &blocks[..count]), ..with.clone() };
                options.push(self.option(&again, now)?);
            }
            if with.accumulate >= most {
                return Ok(options);
            }
            parts = (with.accumulate * 2).min(most);
        }
    }

    /// Of these ways the fastest that fits, or the one that needs the least.
    fn best(&self, base: &TrainSpec, now: &Priced) -> Result<Option<FitOption>, BuildError> {
        let ways = self.ways(base, now)?;
        let fitting = ways.iter().filter(|option| option.fits);
        let fastest = fitting.min_by(|a, b| a.slowdown.total_cmp(&b.slowdown));
        Ok(fastest.or_else(|| ways.iter().min_by_key(|option| option.peak_bytes)).cloned())
    }

    /// The stage with a cache that it does not have, or with less of the one that it has.
    fn other_caches(&self) -> Vec<TrainSpec> {
        let with = |cache: Option<CacheSpec>| TrainSpec { cache, ..self.spec.clone() };
        if let Some(cache) = &self.spec.cache {
            let on_disk = (cache.memory_bytes > 0).then(|| CacheSpec { memory_bytes: 0, ..cache.clone() });
            return on_disk.map(|cache| with(Some(cache))).into_iter().chain([with(None)]).collect();
        }
        let has_cut = self.built.step.as_ref().is_some_and(|step| {
            let shapes = bind(self.built, &step.graph, self.source, 1);
            shapes.is_ok_and(|shapes| cut(&step.graph, &step.schedule, &shapes).is_some())
        });
        // Only as much of it in memory as leaves room for the rest.
        let memory_bytes = self.budget_bytes / 8;
        has_cut.then(|| with(Some(CacheSpec { memory_bytes, folder: None }))).into_iter().collect()
    }

    fn option(&self, spec: &TrainSpec, now: &Priced) -> Result<FitOption, BuildError> {
        let (own, cost) = (self.spec, self.cost(spec)?);
        let mut settings = Vec::new();
        if spec.batch != own.batch {
            settings.push(format!("batch={}", spec.batch));
        }
        if spec.accumulate != own.accumulate {
            settings.push(format!("accumulate={}", spec.accumulate));
        }
        if spec.kept_bits != own.kept_bits {
            settings.push(format!("kept_bits={:?}", spec.kept_bits));
        }
        if spec.cache != own.cache {
            settings.push(cache_setting(spec));
        }
        if spec.recompute != own.recompute {
            let rules: Vec<String> = spec.recompute.iter().map(|rule| format!("{rule:?}")).collect();
            settings.push(format!("recompute=[{}]", rules.join(",")));
        }
        let a_sample = |priced: &Priced| priced.step_secs / priced.samples;
        Ok(FitOption {
            batch: spec.batch,
            accumulate: spec.accumulate,
            recompute: spec.recompute.clone(),
            kept_bits: spec.kept_bits,
            cached: spec.cache.is_some(),
            peak_bytes: cost.predicted.peak_bytes,
            step_secs: cost.step_secs,
            slowdown: if now.step_secs > 0.0 { a_sample(&cost) / a_sample(now) } else { 1.0 },
            fits: cost.predicted.peak_bytes <= self.budget_bytes,
            settings,
        })
    }

    /// Paths of the model's blocks that something trained lies in or before, in graph order.
    fn blocks(&self) -> Vec<String> {
        let Some(step) = &self.built.step else { return Vec::new() };
        let graph = &step.graph;
        let blocks = graph.regions().iter().filter(|region| region.kind == RegionKind::Block);
        let differentiated = |path: &str| {
            graph
                .order()
                .iter()
                .any(|id| step.schedule.is_differentiated(*id) && is_below(&graph.node(*id).path, path))
        };
        blocks.filter(|region| differentiated(&region.path)).map(|region| region.path.clone()).collect()
    }

    fn fits(&self, spec: &TrainSpec) -> Result<bool, BuildError> {
        Ok(self.cost(spec)?.predicted.peak_bytes <= self.budget_bytes)
    }

    fn fewest(&self, spec: &TrainSpec, blocks: &[String]) -> Result<Option<usize>, BuildError> {
        let with = |count: usize| TrainSpec { recompute: recompute(spec, &blocks[..count]), ..spec.clone() };
        if !self.fits(&with(blocks.len()))? {
            return Ok(None);
        }
        let (mut too_few, mut enough) = (0, blocks.len());
        while enough - too_few > 1 {
            let middle = usize::midpoint(too_few, enough);
            if self.fits(&with(middle))? { enough = middle } else { too_few = middle }
        }
        Ok(Some(enough))
    }

    fn largest_batch(&self) -> Result<Option<usize>, BuildError> {
        let with = |batch: usize| TrainSpec { batch, accumulate: 1, ..self.spec.clone() };
        if !self.fits(&with(1))? {
            return Ok(None);
        }
        let (mut fits, mut not) = (1, 2);
        // More than this no epoch has.
        let most = Passes::of(self.turn, &with(usize::MAX), self.source).training.batch;
        while not <= most && self.fits(&with(not))? {
            (fits, not) = (not, 2 * not);
        }
        not = not.min(most + 1);
        while not - fits > 1 {
            let middle = usize::midpoint(fits, not);
            if self.fits(&with(middle))? { fits = middle } else { not = middle }
        }
        Ok(Some(fits))
    }
}
