//! A stage that evaluates the model as it stands.

use serde::{Deserialize, Serialize};

use super::super::AdapterUse;
use crate::data::{FrameShuffle, Split};

/// What to evaluate on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateSpec {
    /// Its name, for people.
    pub name: String,
    /// Which split.
    pub split: Split,
    /// Only its first samples.
    pub samples: Option<usize>,
    /// Samples of one walk.
    pub batch: usize,
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

impl Default for EvaluateSpec {
    fn default() -> Self {
        Self {
            name: "evaluate".to_owned(),
            split: Split::Test,
            samples: None,
            batch: 32,
            frames: None,
            shuffle: FrameShuffle::None,
            only: Vec::new(),
            data: None,
            adapters: AdapterUse::All,
        }
    }
}

impl EvaluateSpec {
    /// What is wrong with it by itself, if anything: field and complaint.
    #[must_use]
    pub fn complaint(&self) -> Option<(&'static str, String)> {
        (self.batch == 0).then(|| ("batch", "should be 1 or more".to_owned()))
    }
}
