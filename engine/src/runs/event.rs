//! One event type for the JSON lines, the run log and the window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::project::Predicted;
use crate::train::{Ask, Prediction};

/// An event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Which run.
    pub run: String,
    /// Seconds since the run began.
    pub time: f64,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened, in the fields of the contract and some more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum EventBody {
    /// The run began (or went on).
    Started {
        /// The project's name.
        project: String,
        /// Compute device.
        device: String,
        /// Seed.
        seed: u64,
        /// Weights in all, adapters included.
        params_total: u64,
        /// Weights that the first stage trains.
        params_trainable: u64,
        /// Stages of the run.
        stages: usize,
        /// Run folder.
        folder: String,
        /// What a step of the first stage is predicted to cost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        predicted: Option<Box<Predicted>>,
        /// Names of the classes, where they are few enough for evaluations to tell which is taken for which.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        classes: Vec<String>,
        /// Step that a resumed run goes on from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resumed_at: Option<u64>,
    },
    /// A stage began.
    Stage {
        /// Its index.
        stage: usize,
        /// How often the stage was repeated before.
        #[serde(default, skip_serializing_if = "is_zero")]
        repetition: usize,
        /// Its name.
        name: String,
        /// Its place in the run, repetitions counted, from 0.
        #[serde(default, skip_serializing_if = "is_zero")]
        turn: usize,
        /// What kind of stage: `train`, `measure`, `edit`, `generate` or `evaluate`.
        #[serde(default = "train")]
        kind: String,
        /// Weights that it trains.
        trainable: u64,
        /// Where its weights came from.
        loaded: Loaded,
        /// Its epochs.
        epochs: usize,
        /// Its steps.
        steps: u64,
        /// What one of them is predicted to cost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        predicted: Option<Box<Predicted>>,
    },
    /// An optimiser step is done.
    Step {
        /// Stage index.
        stage: usize,
        /// How often the stage was repeated before.
        #[serde(default, skip_serializing_if = "is_zero")]
        repetition: usize,
        /// Epoch, from 0.
        epoch: usize,
        /// Steps done in this stage.
        step: u64,
        /// Mean loss before the update.
        loss: f64,
        /// Its terms by name, where there are several.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        losses: BTreeMap<String, f64>,
        /// Learning rate.
        lr: f64,
        /// Global norm of the gradient before clipping.
        grad_norm: f64,
        /// Samples a second, data waiting included.
        samples_per_sec: f64,
        /// Waiting for data.
        data_secs: f64,
        /// All of forward.
        forward_secs: f64,
        /// The part of forward that nothing trained lies upstream of.
        frozen_forward_secs: f64,
        /// Backward.
        backward_secs: f64,
        /// Norm, clipping, update.
        optimizer_secs: f64,
        /// Live bytes at the step's end.
        live_bytes: u64,
        /// Largest live value since the first step began.
        peak_bytes: u64,
        /// The same since the stage's first step began.
        #[serde(default)]
        stage_peak_bytes: u64,
    },
    /// One step of a training stage, node by node: told once a stage, in its first repetition, behind that step's own
    /// event.
    Profile {
        /// Stage index.
        stage: usize,
        /// How often the stage was repeated before.
        #[serde(default, skip_serializing_if = "is_zero")]
        repetition: usize,
        /// The step that was measured, as its own event names it.
        step: u64,
        /// All ops of the step's graph, in its order; those behind a cache or on a branch that was not run took
        /// nothing.
        nodes: Vec<NodeProfile>,
    },
    /// What a stage's cache has done so far in this session: told at the end of each epoch, and about once a second
    /// while it is built.
    Cache {
        /// Stage index.
        stage: usize,
        /// How often the stage was repeated before.
        #[serde(default, skip_serializing_if = "is_zero")]
        repetition: usize,
        /// Samples that the frozen prefix was computed for.
        built: u64,
        /// Times that a sample's values were found.
        hits: u64,
        /// Bytes of all values that are there, in memory or in files.
        bytes: u64,
        /// Seconds of computing and storing.
        secs: f64,
        /// Why nothing is written any more, if something could not be: values that memory has no room for are
        /// computed again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trouble: Option<String>,
    },
    /// An evaluation is done.
    Eval {
        /// Stage index.
        stage: usize,
        /// How often the stage was repeated before.
        #[serde(default, skip_serializing_if = "is_zero")]
        repetition: usize,
        /// Epochs done.
        epoch: usize,
        /// Steps done in this stage.
        step: u64,
        /// Which split.
        split: String,
        /// Whether it closes the run.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        closing: bool,
        /// Mean cross-entropy.
        loss: f64,
        /// `top1`, and `top5` where there are more than five classes; of masks, `dice` and `iou`.
        metrics: BTreeMap<String, f64>,
        /// Samples seen.
        samples: usize,
        /// How often a sample of each class (row) was taken for each class (column), where there are few classes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        confusion: Vec<Vec<u64>>,
        /// Some samples with what the model took them for.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        predictions: Vec<Prediction>,
    },
    /// The user asked for something while the stage went on; what comes of it (an `eval`, a `checkpoint`, another
    /// learning rate) stands behind it.
    Asked {
        /// Stage index.
        stage: usize,
        /// How often the stage was repeated before.
        #[serde(default, skip_serializing_if = "is_zero")]
        repetition: usize,
        /// Steps done in this stage.
        step: u64,
        /// For what.
        #[serde(flatten)]
        ask: Ask,
    },
    /// A measurement, an edit or a data set is done.
    Done {
        /// Stage index.
        stage: usize,
        /// How often the stage was repeated before.
        #[serde(default, skip_serializing_if = "is_zero")]
        repetition: usize,
        /// States that were filled, parameters that were changed, or the file that was written.
        changed: Vec<String>,
        /// Samples seen.
        samples: u64,
    },
    /// A checkpoint is on disk.
    Checkpoint {
        /// Its folder, relative to the run folder.
        path: String,
        /// Steps done in the stage.
        step: u64,
        /// Whether it is the best so far.
        best: bool,
    },
    /// Samples could not be read.
    Skipped {
        /// How many so far in this stage.
        count: usize,
        /// One of them, with the reason.
        example: String,
    },
    /// The run waits.
    Paused {},
    /// The run goes on.
    Continued {},
    /// The run was stopped on request; it can be resumed.
    Stopped {
        /// Steps of all stages.
        steps: u64,
    },
    /// The run is done.
    Finished {
        /// Seconds in all.
        secs: f64,
        /// Steps of all stages.
        steps: u64,
        /// Metrics on the test split.
        metrics: BTreeMap<String, f64>,
        /// Largest live value since the first step began.
        peak_bytes: u64,
        /// Samples trained a second, over the steps alone.
        samples_per_sec: f64,
    },
    /// The run failed.
    Failed {
        /// Why.
        error: String,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(repetition: &usize) -> bool {
    *repetition == 0
}

fn train() -> String {
    "train".to_owned()
}

/// What one node took and held in the step that was profiled, beside what was predicted of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeProfile {
    /// Its path.
    pub path: String,
    /// Seconds of its forward, to the nanosecond.
    pub forward_secs: f64,
    /// Seconds of its vjp and of what was computed again for it.
    pub backward_secs: f64,
    /// Bytes that its value and extras held between forward and backward; absent where the allocator does not see
    /// the device's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Predicted seconds of both; absent where the device's times are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_secs: Option<f64>,
    /// Predicted bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicted_bytes: Option<u64>,
}

impl NodeProfile {
    /// Seconds of forward and backward.
    #[must_use]
    pub fn secs(&self) -> f64 {
        self.forward_secs + self.backward_secs
    }
}

/// Where a stage's weights came from, in counts of parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Taken as they are.
    pub copied: usize,
    /// Made from another shape.
    pub resized: usize,
    /// Begun fresh.
    pub new: usize,
}

/// Seconds of one optimiser step by phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StepPhases {
    /// Waiting for data.
    pub data_secs: f64,
    /// All of forward.
    pub forward_secs: f64,
    /// The part of forward that nothing trained lies upstream of.
    pub frozen_forward_secs: f64,
    /// Backward.
    pub backward_secs: f64,
    /// Norm, clipping, update.
    pub optimizer_secs: f64,
}

impl StepPhases {
    /// The whole step.
    #[must_use]
    pub fn step_secs(&self) -> f64 {
        self.data_secs + self.forward_secs + self.backward_secs + self.optimizer_secs
    }
}

impl Event {
    /// The event that a line of a log holds, if it is whole.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

impl EventBody {
    /// The phases, if this is a step.
    #[must_use]
    pub const fn phases(&self) -> Option<StepPhases> {
        match *self {
            Self::Step {
                data_secs,
                forward_secs,
                frozen_forward_secs,
                backward_secs,
                optimizer_secs,
                ..
            } => Some(StepPhases {
                data_secs,
                forward_secs,
                frozen_forward_secs,
                backward_secs,
                optimizer_secs,
            }),
            _ => None,
        }
    }

    /// Whether nothing follows.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Failed { .. } | Self::Stopped { .. })
    }
}
