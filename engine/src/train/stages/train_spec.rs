//! A training stage's settings.

use serde::{Deserialize, Serialize};

use super::super::losses::LossSpec;
use super::super::{AdapterUse, OptimiserSpec, ScheduleSpec, StageWeights};
use crate::cache::CacheSpec;
use crate::data::FrameShuffle;
use crate::graph::{Instance, KeptBits, Mode, Sharing};

/// A stage that trains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSpec {
    /// Its name, for people.
    pub name: String,
    /// Frames of a clip in this stage, if other than the data's own.
    pub frames: Option<usize>,
    /// Whether frames come in disorder (a control, not a method).
    pub shuffle: FrameShuffle,
    /// Only samples whose integer columns have these values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<(String, i64)>,
    /// The `Generate` stage whose data set this stage reads in place of the project's data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Rules over regions and parameters that train; adapters train as well.
    pub train: Vec<String>,
    /// Rules over regions and parameters that stay as they are, adapters included.
    pub freeze: Vec<String>,
    /// Whether the project's adapters are in the graph.
    pub adapters: AdapterUse,
    /// Where the weights come from.
    pub weights: StageWeights,
    /// Modes of regions and nodes, against what follows from what trains; the last that matches counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modes: Vec<(String, Mode)>,
    /// Further instances of the model in the step: a second pass, a teacher, a moving average.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
    /// Terms of the loss; cross-entropy of `logits` against `labels` if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<LossSpec>,
    /// Rules over regions that keep only what they read from outside, and compute the rest again in backward.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recompute: Vec<String>,
    /// In how many bits activations wait for backward, on `flex`. Fewer change the gradient a little.
    #[serde(skip_serializing_if = "is_full")]
    pub kept_bits: KeptBits,
    /// Keeps the values of the frozen prefix, so that it runs once for each sample; nothing is kept if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSpec>,
    /// Passes over the training split.
    pub epochs: usize,
    /// Use only this many samples of the training split.
    pub samples: Option<usize>,
    /// Samples of one optimiser step.
    pub batch: usize,
    /// Micro-batches that one step's samples are run in.
    pub accumulate: usize,
    /// The optimiser.
    pub optimiser: OptimiserSpec,
    /// How the learning rate moves.
    pub schedule: ScheduleSpec,
    /// Label smoothing of the loss.
    pub label_smoothing: f64,
    /// Largest global norm of the gradient.
    pub clip_norm: Option<f64>,
    /// Epochs between evaluations on the validation split; 0 for none.
    pub evaluate_every: usize,
}

impl Default for TrainSpec {
    fn default() -> Self {
        Self {
            name: "train".to_owned(),
            frames: None,
            shuffle: FrameShuffle::None,
            only: Vec::new(),
            data: None,
            train: vec!["model".to_owned()],
            freeze: Vec::new(),
            adapters: AdapterUse::All,
            weights: StageWeights::Previous,
            modes: Vec::new(),
            instances: Vec::new(),
            losses: Vec::new(),
            recompute: Vec::new(),
            kept_bits: KeptBits::Full,
            cache: None,
            epochs: 1,
            samples: None,
            batch: 32,
            accumulate: 1,
            optimiser: OptimiserSpec::default(),
            schedule: ScheduleSpec::default(),
            label_smoothing: 0.0,
            clip_norm: None,
            evaluate_every: 1,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_full(bits: &KeptBits) -> bool {
    *bits == KeptBits::Full
}

impl TrainSpec {
    /// What is wrong with it by itself, if anything: field and complaint.
    #[must_use]
    pub fn complaint(&self) -> Option<(&'static str, String)> {
        let at_least_one = [("epochs", self.epochs), ("batch", self.batch), ("accumulate", self.accumulate)];
        if let Some((field, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Some((field, "should be 1 or more".to_owned()));
        }
        if self.accumulate > self.batch {
            return Some(("accumulate", format!("should be at most `batch`, {}", self.batch)));
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return Some(("label_smoothing", "should be in [0, 1)".to_owned()));
        }
        if self.clip_norm.is_some_and(|norm| norm <= 0.0 || norm.is_nan()) {
            return Some(("clip_norm", "should be above 0".to_owned()));
        }
        let mut names = vec!["model"];
        for instance in &self.instances {
            if instance.of != "model" {
                return Some((
                    "instances",
                    format!("repeat `{}`; only `model` can be repeated", instance.of),
                ));
            }
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let taken = names.contains(&instance.name.as_str()) || instance.name == "step";
            if taken || instance.name.is_empty() || !instance.name.chars().all(plain) {
                let why =
                    format!("call one `{}`; a name is of letters, digits and `_`, and free", instance.name);
                return Some(("instances", why));
            }
            if let Sharing::Average { decay } = instance.weights
                && !(0.0..=1.0).contains(&decay)
            {
                return Some(("instances", format!("average with decay {decay}, which should be in [0, 1]")));
            }
            names.push(&instance.name);
        }
        if let Some(complaint) = self.losses.iter().find_map(LossSpec::complaint) {
            return Some(("losses", complaint));
        }
        self.optimiser.complaint()
    }
}
