//! What a run does, one thing after the other: the listed stages with their repetitions written out.

use std::collections::BTreeSet;

use super::{Project, ProjectError};
use crate::train::{Position, RepeatSpec, StageSpec};

/// One stage's turn in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The stage's number, in the order in which the project lists them, those within a repetition included.
    pub stage: usize,
    /// The place in the project's list of itself or of its repetition.
    pub listed: usize,
    /// How often it was repeated before.
    pub repetition: usize,
    /// The value that its repetition stands for, if it is repeated: `frames = 8`.
    pub value: Option<String>,
    /// The stage, with the repetition's value in its settings. Never a repetition itself.
    pub spec: StageSpec,
    /// Adapters that stages before it have merged.
    pub merged: BTreeSet<usize>,
    /// Its place within its repetition, if it is repeated.
    pub inner: Option<usize>,
    /// Whether the run ends with it: the test comes behind it.
    pub last: bool,
}

impl Turn {
    /// Its name, for people.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.value {
            Some(value) => format!("{} ({value})", self.spec.name()),
            None => self.spec.name().to_owned(),
        }
    }

    /// Where its settings are in the project: `stages.1`, or `stages.1.stages.0` within a repetition.
    #[must_use]
    pub fn path(&self) -> String {
        match self.inner {
            Some(inner) => format!("stages.{}.stages.{inner}", self.listed),
            None => format!("stages.{}", self.listed),
        }
    }

    /// The adapters that are still in the graph when it begins, if it uses adapters.
    #[must_use]
    pub fn present(&self, project: &Project) -> BTreeSet<usize> {
        (0..project.adapters.len()).filter(|index| !self.merged.contains(index)).collect()
    }

    /// The adapters that are merged once it is done.
    #[must_use]
    pub fn merged_after(&self, project: &Project) -> BTreeSet<usize> {
        match &self.spec {
            StageSpec::Edit(spec) => {
                self.merged.union(&spec.merged(&self.present(project))).copied().collect()
            }
            _ => self.merged.clone(),
        }
    }

    /// Its place in the run after some steps.
    #[must_use]
    pub const fn at(&self, step: u64) -> Position {
        Position { stage: self.stage, repetition: self.repetition, step }
    }
}

impl Project {
    /// The turns of a run, in order.
    ///
    /// # Errors
    /// When a repetition sets what is not there, or a stage reads a data set that none before it writes.
    pub fn turns(&self) -> Result<Vec<Turn>, ProjectError> {
        let mut turns = Vec::new();
        let mut number = 0;
        for (place, stage) in self.stages.iter().enumerate() {
            if let StageSpec::Repeat(repeat) = stage {
                for (repetition, value) in repeat.over.iter().enumerate() {
                    for (inner, spec) in with_value(repeat, value, place)?.into_iter().enumerate() {
                        let value = Some(format!("{} = {value}", repeat.variable));
                        let merged = BTreeSet::new();
                        turns.push(Turn {
                            stage: number + inner,
                            listed: place,
                            repetition,
                            value,
                            spec,
                            merged,
                            inner: Some(inner),
                            last: false,
                        });
                    }
                }
                number += repeat.stages.len();
            } else {
                let spec = stage.clone();
                turns.push(Turn {
                    stage: number,
                    listed: place,
                    repetition: 0,
                    value: None,
                    spec,
                    merged: BTreeSet::new(),
                    inner: None,
                    last: false,
                });
                number += 1;
            }
        }
        if let Some(turn) = turns.last_mut() {
            turn.last = true;
        }
        let all: BTreeSet<usize> = (0..self.adapters.len()).collect();
        let mut merged = BTreeSet::new();
        let mut written: BTreeSet<String> = BTreeSet::new();
        for turn in &mut turns {
            turn.merged.clone_from(&merged);
            if let Some(name) = turn.spec.data()
                && !written.contains(name)
            {
                let why = format!("reads the data set `{name}`, which no `Generate` stage before it writes");
                return Err(ProjectError::Setting { field: format!("stages ({})", turn.name()), why });
            }
            match &turn.spec {
                StageSpec::Edit(spec) => {
                    if let Some(wrong) = spec.listed().find(|index| !all.contains(index)) {
                        let why =
                            format!("merges adapter {wrong}, but the project lists {} from 0", all.len());
                        return Err(ProjectError::Setting {
                            field: format!("stages ({})", turn.name()),
                            why,
                        });
                    }
                    let present: BTreeSet<usize> = all.difference(&merged).copied().collect();
                    merged.extend(spec.merged(&present));
                }
                StageSpec::Generate(spec) => drop(written.insert(spec.name.clone())),
                _ => {}
            }
        }
        Ok(turns)
    }
}

/// A repetition's stages with one of its values in place.
fn with_value(repeat: &RepeatSpec, value: &str, place: usize) -> Result<Vec<StageSpec>, ProjectError> {
    let wrong =
        |path: &str, why: String| ProjectError::Setting { field: format!("stages.{place}.into.{path}"), why };
    let mut document = serde_json::to_value(&repeat.stages).map_err(|error| wrong("", error.to_string()))?;
    for path in &repeat.into {
        super::edit::put(&mut document, path, value)?;
    }
    serde_json::from_value(document)
        .map_err(|error| wrong(&repeat.into.join(", "), format!("cannot take `{value}`: {error}")))
}
