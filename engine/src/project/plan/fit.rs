//! Making a stage fit into a budget: what may change, and what each change costs in time.

use serde::Serialize;

use super::stage::{Costs, Peak};
use super::{Predicted, bytes_text};
use crate::data::Source;
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
    /// Whether the frozen part is read from a cache.
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
    let fitting = || found.options.iter().filter(|option| option.fits);
    let fastest = fitting().map(|option| option.step_secs).fold(f64::INFINITY, f64::min);
    found.choice = fitting().find(|option| option.step_secs <= fastest * AS_FAST).cloned();
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
            .of(&step.schedule)
            .map_err(|error| BuildError::Step { stage: self.turn.stage, error: error.into() })?;
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
        if spec.recompute != own.recompute {
            let rules: Vec<String> = spec.recompute.iter().map(|rule| format!("{rule:?}")).collect();
            settings.push(format!("recompute=[{}]", rules.join(",")));
        }
        Ok(FitOption {
            accumulate: spec.accumulate,
            recompute: spec.recompute.clone(),
            cached: false,
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
