//! A stage that walks data to fill the states that adapters need before they train.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::super::losses::LossSpec;
use super::super::step::{StepGraph, StepSpec};
use super::super::{AdapterUse, Control, Wish};
use super::{Ended, TrainError, in_order, upload};
use crate::data::{FrameShuffle, Source, Split};
use crate::exec::Walk;
use crate::graph::{Finish, Fold, Graph, Measure, NodeId, Observed, Request, Schedule, Take};
use crate::ops::{largest_places, rows_and_columns};
use crate::tensor::Value;
use crate::weights::{Params, Tensor};

/// What to walk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureSpec {
    /// Its name, for people.
    pub name: String,
    /// Which split.
    pub split: Split,
    /// Only its first samples.
    pub samples: Option<usize>,
    /// Samples of one walk.
    pub batch: usize,
    /// Terms of the loss whose gradient is looked at; cross-entropy if there are none.
    pub losses: Vec<LossSpec>,
    /// Frames of a clip, if other than the data's own.
    pub frames: Option<usize>,
    /// Whether frames come in disorder.
    pub shuffle: FrameShuffle,
    /// Only samples whose integer columns have these values.
    pub only: Vec<(String, i64)>,
    /// The `Generate` stage whose data set is read.
    pub data: Option<String>,
    /// Whether the project's adapters are in the graph.
    pub adapters: AdapterUse,
}

impl Default for MeasureSpec {
    fn default() -> Self {
        Self {
            name: "measure".to_owned(),
            split: Split::Train,
            samples: None,
            batch: 32,
            losses: Vec::new(),
            frames: None,
            shuffle: FrameShuffle::None,
            only: Vec::new(),
            data: None,
            adapters: AdapterUse::All,
        }
    }
}

impl MeasureSpec {
    /// What is wrong with it by itself, if anything: field and complaint.
    #[must_use]
    pub fn complaint(&self) -> Option<(&'static str, String)> {
        if self.batch == 0 {
            return Some(("batch", "should be 1 or more".to_owned()));
        }
        self.losses.iter().find_map(LossSpec::complaint).map(|why| ("losses", why))
    }
}

/// What a measurement has folded together so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folded {
    /// Sums over samples by state.
    pub sums: BTreeMap<String, Tensor>,
    /// Samples seen.
    pub samples: u64,
    /// Walks done.
    pub batches: u64,
}

/// A measurement, ready to run.
#[derive(Debug)]
pub struct Measuring<'a> {
    /// What to walk.
    pub spec: &'a MeasureSpec,
    /// The model with its adapters.
    pub model: &'a Graph,
    /// Where samples come from.
    pub source: &'a Arc<dyn Source>,
    /// Where to compute.
    pub device: &'a Device,
}

impl Measuring<'_> {
    /// Walks of the whole stage.
    #[must_use]
    pub fn steps(&self) -> u64 {
        in_order(self.source, self.spec.split, self.spec.samples, self.spec.batch).len() as u64
    }

    /// Walks data from where `folded` stands and fills the states that the model asks for. Returns their paths.
    /// Everything runs in inference mode; only the gradients that are asked for are taken.
    ///
    /// # Errors
    /// When the data or a walk fail, or no loss reaches what is looked at.
    pub fn run(
        &self,
        params: &mut Params,
        folded: &mut Folded,
        control: &Control,
    ) -> Result<(Ended, BTreeSet<String>), TrainError> {
        let measures = &self.model.demands().measures;
        let state = |measure: &Measure| self.model.node(measure.state).path.clone();
        let columns = self.source.columns();
        let (graph, schedule) = measuring_walk(self.spec, self.model, &columns)?;
        let walked = Walked { graph, schedule };
        let done = usize::try_from(folded.batches).unwrap_or(usize::MAX);
        let loader = in_order(self.source, self.spec.split, self.spec.samples, self.spec.batch);
        for item in loader.skip(done) {
            let batch = item?;
            if control.wait() || control.wish() == Wish::Stop {
                return Ok((Ended::Stopped, BTreeSet::new()));
            }
            let rows = batch.len();
            folded.batches += 1;
            if rows > 0 {
                folded.samples += rows as u64;
                let seen = walked.look(measures, params, &upload(batch, &walked.graph, self.device))?;
                for (measure, value) in measures.iter().zip(seen) {
                    // Absent: nothing was sent to where it lies.
                    if let Some(value) = value {
                        add(folded.sums.entry(state(measure)).or_default(), &value, rows);
                    }
                }
            }
        }
        for measure in measures {
            let sum = folded.sums.get(&state(measure));
            let values = finished(measure, self.model, params, sum, folded.samples);
            if let Some(old) = params.get(&state(measure)) {
                let value = Value::from_f32(values, &old.shape(), &old.device());
                params.set(&state(measure), value);
            }
        }
        Ok((Ended::Finished, measures.iter().map(state).collect()))
    }
}

/// The graph that a measurement walks for each batch, and how.
///
/// # Errors
/// When no loss reaches what is looked at.
pub fn measuring_walk(
    spec: &MeasureSpec,
    model: &Graph,
    columns: &[crate::data::Column],
) -> Result<(Graph, Schedule), TrainError> {
    let measures = &model.demands().measures;
    let mut leaves: Vec<NodeId> = Vec::new();
    for measure in measures {
        if let Observed::Gradient(leaf) = measure.of
            && !leaves.contains(&leaf)
        {
            leaves.push(leaf);
        }
    }
    let values: Vec<NodeId> = measures
        .iter()
        .filter_map(|measure| if let Observed::Value(node) = measure.of { Some(node) } else { None })
        .collect();
    if leaves.is_empty() {
        let schedule = Schedule::forward(model, &values);
        return Ok((model.clone(), schedule));
    }
    let of_step = StepSpec { leaves: &leaves, losses: &spec.losses, columns, ..StepSpec::default() };
    let step = StepGraph::new(model, &of_step)?;
    let request = Request {
        results: &values,
        loss: Some(step.loss),
        leaves: &leaves,
        take: Take::Fold,
        ..Request::default()
    };
    let schedule = Schedule::new(&step.graph, &request).map_err(super::super::step::StepError::from)?;
    Ok((step.graph, schedule))
}

/// The graph that is walked, and how.
struct Walked {
    graph: Graph,
    schedule: Schedule,
}

impl Walked {
    /// What one batch shows of each measure.
    fn look(
        &self,
        measures: &[Measure],
        params: &mut Params,
        inputs: &crate::exec::Inputs,
    ) -> Result<Vec<Option<Vec<f32>>>, TrainError> {
        let walk = Walk { graph: &self.graph, schedule: &self.schedule, seed: 0, step: 0 };
        let mut gradients: BTreeMap<String, Value> = BTreeMap::new();
        let outcome = walk.run(params, inputs, &mut |_, path, gradient, _| {
            gradients.insert(path.to_owned(), gradient);
        })?;
        let seen = measures.iter().map(|measure| {
            let value = match measure.of {
                Observed::Gradient(leaf) => gradients.get(&self.graph.node(leaf).path)?.clone(),
                Observed::Value(node) => outcome.values.get(&node)?.clone(),
            };
            let value = if measure.fold == Fold::MeanSquare { value.square() } else { value };
            let by_row = matches!(measure.of, Observed::Value(_));
            Some(if by_row { value.mean_axis(0).to_f32() } else { value.to_f32() })
        });
        Ok(seen.collect())
    }
}

/// Adds a batch's value, weighted by its samples.
fn add(sum: &mut Tensor, value: &[f32], rows: usize) {
    if sum.data.is_empty() {
        *sum = Tensor { shape: vec![value.len()], data: vec![0.0; value.len()] };
    }
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    let rows = rows as f32;
    for (sum, value) in sum.data.iter_mut().zip(value) {
        *sum += value * rows;
    }
}

/// The state's new values; what was never seen counts as zero.
fn finished(
    measure: &Measure,
    graph: &Graph,
    params: &Params,
    sum: Option<&Tensor>,
    samples: u64,
) -> Vec<f32> {
    let observed = match measure.of {
        Observed::Gradient(node) => value_of(graph, params, node).map(|values| values.len()),
        Observed::Value(_) => None,
    };
    let path = &graph.node(measure.state).path;
    let of_state = || params.get(path).map_or(0, |value| value.shape().iter().product());
    let count = observed.unwrap_or_else(of_state);
    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^23")]
    let samples = samples.max(1) as f32;
    let mut mean: Vec<f32> =
        sum.map_or_else(|| vec![0.0; count], |sum| sum.data.iter().map(|x| x / samples).collect());
    match measure.finish {
        Finish::Keep => mean,
        Finish::LargestPlaces { count, columns, times } => {
            if let Some(factor) = times.and_then(|node| value_of(graph, params, node)) {
                for (mean, factor) in mean.iter_mut().zip(factor) {
                    *mean *= factor;
                }
            }
            rows_and_columns(&largest_places(&mean, count), columns)
        }
    }
}

/// A node's value without a batch: a parameter, or what forms have made of it.
fn value_of(graph: &Graph, params: &Params, node: NodeId) -> Option<Vec<f32>> {
    if let Some(value) = params.get(&graph.node(node).path) {
        return Some(value.to_f32());
    }
    let values = crate::exec::infer(graph, params, &crate::exec::Inputs::new(), &[node]).ok()?;
    values.get(&node).map(Value::to_f32)
}
