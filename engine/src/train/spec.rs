//! Stages as projects describe them.

use serde::{Deserialize, Serialize};

use super::stages::{EditSpec, EvaluateSpec, GenerateSpec, MeasureSpec, TrainSpec};
use crate::data::View;

/// One stage of a run. A kind of stage is a variant here and a file in `stages/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a project holds a few stages, and most of them train")]
pub enum StageSpec {
    /// Trains some parameters on the training split.
    Train(TrainSpec),
    /// Walks data to fill states that adapters need before they train.
    Measure(MeasureSpec),
    /// Rewrites the model or does arithmetic on its weights.
    Edit(EditSpec),
    /// Writes a data set of what the model computes.
    Generate(GenerateSpec),
    /// Evaluates the model as it stands.
    Evaluate(EvaluateSpec),
    /// Other stages, once for each value of a variable.
    Repeat(RepeatSpec),
}

/// Stages that are repeated over a variable: a task, a client, a round, a number of frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepeatSpec {
    /// What varies, for people.
    pub variable: String,
    /// Its values, as `--set` has them.
    pub over: Vec<String>,
    /// Settings that take the value, by path from these stages on: `0.frames`.
    #[serde(default)]
    pub into: Vec<String>,
    /// The stages; none of them repeats itself.
    pub stages: Vec<StageSpec>,
}

impl StageSpec {
    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Train(spec) => &spec.name,
            Self::Measure(spec) => &spec.name,
            Self::Edit(spec) => &spec.name,
            Self::Generate(spec) => &spec.name,
            Self::Evaluate(spec) => &spec.name,
            Self::Repeat(spec) => &spec.variable,
        }
    }

    /// The word for its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Train(_) => "train",
            Self::Measure(_) => "measure",
            Self::Edit(_) => "edit",
            Self::Generate(_) => "generate",
            Self::Evaluate(_) => "evaluate",
            Self::Repeat(_) => "repeat",
        }
    }

    /// The settings of a stage that trains.
    #[must_use]
    pub const fn as_train(&self) -> Option<&TrainSpec> {
        match self {
            Self::Train(spec) => Some(spec),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub const fn as_train_mut(&mut self) -> Option<&mut TrainSpec> {
        match self {
            Self::Train(spec) => Some(spec),
            _ => None,
        }
    }

    /// How it looks at the data.
    #[must_use]
    pub fn view(&self) -> View {
        let (frames, shuffle, only) = match self {
            Self::Train(spec) => (spec.frames, spec.shuffle, &spec.only),
            Self::Measure(spec) => (spec.frames, spec.shuffle, &spec.only),
            Self::Generate(spec) => (spec.frames, spec.shuffle, &spec.only),
            Self::Evaluate(spec) => (spec.frames, spec.shuffle, &spec.only),
            Self::Edit(spec) => return View { frames: spec.frames, ..View::default() },
            Self::Repeat(_) => return View::default(),
        };
        View { frames, shuffle, only: only.clone() }
    }

    /// The `Generate` stage whose data set it reads, if not the project's data.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        match self {
            Self::Train(spec) => spec.data.as_deref(),
            Self::Measure(spec) => spec.data.as_deref(),
            Self::Evaluate(spec) => spec.data.as_deref(),
            Self::Generate(spec) => spec.data.as_deref(),
            Self::Edit(_) | Self::Repeat(_) => None,
        }
    }

    /// Whether the project's adapters are in its graph.
    #[must_use]
    pub const fn adapters(&self) -> AdapterUse {
        match self {
            Self::Train(spec) => spec.adapters,
            Self::Measure(spec) => spec.adapters,
            Self::Generate(spec) => spec.adapters,
            Self::Evaluate(spec) => spec.adapters,
            Self::Edit(_) | Self::Repeat(_) => AdapterUse::All,
        }
    }

    /// Where its weights come from.
    #[must_use]
    pub const fn weights(&self) -> StageWeights {
        match self {
            Self::Train(spec) => spec.weights,
            _ => StageWeights::Previous,
        }
    }

    /// What is wrong with it by itself, if anything: field and complaint.
    #[must_use]
    pub fn complaint(&self) -> Option<(String, String)> {
        let own =
            |complaint: Option<(&'static str, String)>| complaint.map(|(field, why)| (field.to_owned(), why));
        match self {
            Self::Train(spec) => own(spec.complaint()),
            Self::Measure(spec) => own(spec.complaint()),
            Self::Edit(spec) => own(spec.complaint()),
            Self::Generate(spec) => own(spec.complaint()),
            Self::Evaluate(spec) => own(spec.complaint()),
            Self::Repeat(spec) => spec.complaint(),
        }
    }
}

impl RepeatSpec {
    fn complaint(&self) -> Option<(String, String)> {
        if self.over.is_empty() {
            return Some(("over".to_owned(), "should hold at least one value".to_owned()));
        }
        if self.stages.is_empty() {
            return Some(("stages".to_owned(), "should hold at least one stage".to_owned()));
        }
        self.stages.iter().enumerate().find_map(|(i, stage)| match stage {
            StageSpec::Repeat(_) => Some((
                format!("stages.{i}"),
                "should not repeat itself: list all values in one `over`".to_owned(),
            )),
            _ => stage.complaint().map(|(field, why)| (format!("stages.{i}.{field}"), why)),
        })
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
