//! Making a stage fit into a budget: what may change, and what each change costs in time.

use serde::Serialize;

use super::cut::cut_plan;
use super::stage::{Costs, Peak};
use super::{Predicted, bytes_text};
use crate::cache::CacheSpec;
use crate::data::Source;
use crate::graph::{KeptBits, cut};
use crate::graph::{RegionKind, is_below};
use crate::plan::Calibration;
use crate::project::{BuildError, Built, Turn};
use crate::train::{StepGraph, StepSpec, TrainSpec};

/// What was found for one stage and budget.
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
    /// Seconds of a step.
    pub step_secs: f64,
    /// How many times as long as the stage as it stands.
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
    /// What they are of.
    pub why: String,
}

/// Options that take at most this share longer are told apart by their harmlessness.
const AS_FAST: f64 = 1.02;

/// Finds how a stage that trains fits into `budget_bytes`. The samples of a step stay what they are: micro-batches give the
/// same gradients to rounding, computing again the same bits.
///
/// # Errors
/// When the step cannot be made or its shapes are not known.
pub fn fit(
    turn: &Turn,
    built: &Built,
    source: &dyn Source,
    calibration: Option<&Calibration>,
    budget_bytes: u64,
) -> Result<Option<Fit>, BuildError> {
    let Some(spec) = turn.spec.as_train() else { return Ok(None) };
    let search = Search { turn, built, source, calibration };
    let (now, peak) = search.cost(spec)?;
    let mut found = Fit { budget_bytes, ..Fit::default() };
    let blocks = search.blocks();
    let mut parts = 1;
    loop {
        let with = TrainSpec { accumulate: parts.max(spec.accumulate), ..spec.clone() };
        found.options.push(search.option(spec, &with, &now, budget_bytes)?);
        if !found.options.last().is_some_and(|option| option.fits) && !blocks.is_empty() {
            // The fewest blocks that make it fit: the peak can only fall with each one more.
            let count = search.fewest(&with, &blocks, budget_bytes)?.unwrap_or(blocks.len());
            let again = TrainSpec { recompute: recompute(spec, &blocks[..count]), ..with.clone() };
            found.options.push(search.option(spec, &again, &now, budget_bytes)?);
        }
        if with.accumulate >= spec.batch {
            break;
        }
        parts = (with.accumulate * 2).min(spec.batch);
    }
    let has_cut = built.step.as_ref().is_some_and(|step| {
        let shapes = super::stage::bind(built, &step.graph, source, 1);
        shapes.is_ok_and(|shapes| cut(&step.graph, &step.schedule, &shapes).is_some())
    });
    if spec.cache.is_none() && has_cut {
        // Only as much of it in memory as leaves room for the rest.
        let memory_bytes = budget_bytes / 8;
        let with = TrainSpec { cache: Some(CacheSpec { memory_bytes, folder: None }), ..spec.clone() };
        found.options.push(search.option(spec, &with, &now, budget_bytes)?);
    }
    for kept_bits in [KeptBits::Bits16, KeptBits::Bits8] {
        let with = TrainSpec { kept_bits, ..spec.clone() };
        if spec.kept_bits == KeptBits::Full {
            found.options.push(search.option(spec, &with, &now, budget_bytes)?);
        }
    }
    // What changes the gradient is for where nothing else helps.
    let exact = |option: &&FitOption| option.fits && option.kept_bits == spec.kept_bits;
    let fitting: Vec<&FitOption> = match found.options.iter().filter(exact).collect::<Vec<_>>() {
        none if none.is_empty() => found.options.iter().filter(|option| option.fits).collect(),
        some => some,
    };
    let fastest = fitting.iter().map(|option| option.step_secs).fold(f64::INFINITY, f64::min);
    // What needs no change needs no choice.
    let unchanged = fitting.iter().find(|option| option.settings.is_empty());
    let choice = unchanged.or_else(|| fitting.iter().find(|option| option.step_secs <= fastest * AS_FAST));
    found.choice = choice.map(|option| (*option).clone());
    found.largest_batch = search.largest_batch(spec, budget_bytes)?;
    let least = found.options.iter().min_by_key(|option| option.peak_bytes);
    found.floor =
        Floor { bytes: least.map_or(now.peak_bytes, |option| option.peak_bytes), why: why(&now, &peak) };
    Ok(Some(found))
}

fn why(now: &Predicted, peak: &Peak) -> String {
    let at = peak.node.as_ref().map_or_else(String::new, |node| format!(" at {node}"));
    format!(
        "weights {}, optimizer {}, data {} stand whatever the batch; as it is set, the peak is in {}{at}",
        bytes_text(now.weights_bytes),
        bytes_text(now.optimizer_bytes),
        bytes_text(now.data_bytes),
        peak.phase
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
}

impl Search<'_> {
    fn cost(&self, spec: &TrainSpec) -> Result<(Predicted, Peak), BuildError> {
        let columns = self.source.columns();
        let made =
            StepGraph::new(&self.built.graph, &StepSpec::of(spec, &self.built.selection.nodes, &columns));
        let step = made.map_err(|error| BuildError::Step { stage: self.turn.stage, error })?;
        let costs = Costs {
            spec,
            built: self.built,
            step: &step,
            source: self.source,
            calibration: self.calibration,
        };
        let cost = costs
            .of(&step.schedule, &[])
            .map_err(|error| BuildError::Step { stage: self.turn.stage, error: error.into() })?;
        if spec.cache.is_some() {
            let samples = self.source.len(crate::data::Split::Train).min(spec.samples.unwrap_or(usize::MAX));
            let found = cut_plan(&costs, &cost, samples)
                .map_err(|error| BuildError::Step { stage: self.turn.stage, error: error.into() })?;
            if let Some((_, cached)) = found {
                return Ok((cached.predicted, cached.peak));
            }
        }
        Ok((cost.predicted, cost.peak))
    }

    fn option(
        &self,
        own: &TrainSpec,
        spec: &TrainSpec,
        now: &Predicted,
        budget: u64,
    ) -> Result<FitOption, BuildError> {
        let (cost, _) = self.cost(spec)?;
        let mut settings = Vec::new();
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
        Ok(FitOption {
            accumulate: spec.accumulate,
            recompute: spec.recompute.clone(),
            kept_bits: spec.kept_bits,
            cached: spec.cache.is_some(),
            peak_bytes: cost.peak_bytes,
            step_secs: cost.step_secs,
            slowdown: if now.step_secs > 0.0 { cost.step_secs / now.step_secs } else { 1.0 },
            fits: cost.peak_bytes <= budget,
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

    fn fits(&self, spec: &TrainSpec, budget: u64) -> Result<bool, BuildError> {
        Ok(self.cost(spec)?.0.peak_bytes <= budget)
    }

    fn fewest(&self, spec: &TrainSpec, blocks: &[String], budget: u64) -> Result<Option<usize>, BuildError> {
        let with = |count: usize| TrainSpec { recompute: recompute(spec, &blocks[..count]), ..spec.clone() };
        if !self.fits(&with(blocks.len()), budget)? {
            return Ok(None);
        }
        let (mut too_few, mut enough) = (0, blocks.len());
        while enough - too_few > 1 {
            let middle = usize::midpoint(too_few, enough);
            if self.fits(&with(middle), budget)? { enough = middle } else { too_few = middle }
        }
        Ok(Some(enough))
    }

    fn largest_batch(&self, spec: &TrainSpec, budget: u64) -> Result<Option<usize>, BuildError> {
        let with = |batch: usize| TrainSpec { batch, accumulate: 1, ..spec.clone() };
        if !self.fits(&with(1), budget)? {
            return Ok(None);
        }
        let (mut fits, mut not) = (1, 2);
        // More than this no split holds.
        let most = self.source.len(crate::data::Split::Train).max(spec.batch);
        while not <= most && self.fits(&with(not), budget)? {
            (fits, not) = (not, 2 * not);
        }
        not = not.min(most + 1);
        while not - fits > 1 {
            let middle = usize::midpoint(fits, not);
            if self.fits(&with(middle), budget)? { fits = middle } else { not = middle }
        }
        Ok(Some(fits))
    }
}
