//! Stages as projects describe them.

use serde::{Deserialize, Serialize};

use super::{OptimiserSpec, ScheduleSpec};
use crate::data::FrameShuffle;

/// One stage of a run. A kind of stage is a variant here and a file in this room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum StageSpec {
    /// Trains some parameters on the training split.
    Train(TrainSpec),
}

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
    /// Only samples whose columns of single integers have these values: `[("labels", 3)]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<(String, i64)>,
    /// Rules over regions and parameters that train; adapters train as well.
    pub train: Vec<String>,
    /// Rules over regions and parameters that stay as they are, adapters included.
    pub freeze: Vec<String>,
    /// Whether the project's adapters are in the graph.
    pub adapters: AdapterUse,
    /// Where the weights come from.
    pub weights: StageWeights,
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
            train: vec!["model".to_owned()],
            freeze: Vec::new(),
            adapters: AdapterUse::All,
            weights: StageWeights::Previous,
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
        self.optimiser.complaint()
    }
}

/// Whether the project's adapters are in a stage's graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdapterUse {
    /// All of them.
    #[default]
    All,
    /// None.
    None,
}

/// Where a stage's weights come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageWeights {
    /// The stage before; for the first stage, the model's own.
    #[default]
    Previous,
    /// The model's own checkpoint, or fresh values.
    Initial,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_written_only_where_there_are_any() {
        let plain = serde_json::to_string(&TrainSpec::default()).unwrap();
        assert!(!plain.contains("only"), "{plain}");
        let only = vec![("labels".to_owned(), 3)];
        let spec: TrainSpec = ron::from_str("(only: [(\"labels\", 3)])").unwrap();
        assert_eq!(spec, TrainSpec { only, ..TrainSpec::default() });
        assert_eq!(ron::from_str::<TrainSpec>(&ron::to_string(&spec).unwrap()).unwrap(), spec);
    }
}
