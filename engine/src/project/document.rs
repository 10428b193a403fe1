use serde::{Deserialize, Serialize};

use super::ProjectError;
use crate::adapters::Placement;
use crate::data::DataSpec;
use crate::models::ModelSpec;
use crate::train::StageSpec;

/// The version that this build writes.
pub const VERSION: u32 = 2;

/// A project: everything that a run depends on, beside the files it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Format version.
    pub version: u32,
    /// Name, for people and run folders.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Seed of everything that is drawn.
    #[serde(default = "one")]
    pub seed: u64,
    /// Compute device.
    #[serde(default = "flex")]
    pub device: String,
    /// The model, whose instance is called `model` in all paths.
    pub model: ModelSpec,
    /// Where samples come from.
    pub data: DataSpec,
    /// Adapters, in the order in which they stack.
    #[serde(default)]
    pub adapters: Vec<Placement>,
    /// What a run does, in order.
    pub stages: Vec<StageSpec>,
    /// Variants that `graft sweep` compares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
}

/// A variant: the project with some parts replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Variant {
    /// Its name in the table.
    pub name: String,
    /// Adapters in place of the project's.
    pub adapters: Option<Vec<Placement>>,
    /// Stages in place of the project's.
    pub stages: Option<Vec<StageSpec>>,
    /// Settings by path, as `--set` has them, applied last.
    pub set: Vec<(String, String)>,
    /// A setting that is chosen on the validation split before the seeds are run.
    pub choose: Option<Choose>,
    /// Beside the comparison: reported, but not compared with the first variant.
    pub control: bool,
}

/// A setting chosen on the validation split with the first seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choose {
    /// Path of the setting.
    pub setting: String,
    /// Its candidates.
    pub among: Vec<f64>,
}

const fn one() -> u64 {
    1
}

fn flex() -> String {
    crate::device::CPU.to_owned()
}

impl Project {
    /// Checks what can be checked without files.
    ///
    /// # Errors
    /// At the first setting that makes no sense.
    pub fn check(&self) -> Result<(), ProjectError> {
        let wrong = |field: String, why: String| Err(ProjectError::Setting { field, why });
        if self.stages.is_empty() {
            return wrong("stages".into(), "should hold at least one stage".into());
        }
        for (i, stage) in self.stages.iter().enumerate() {
            if let Some((field, why)) = stage.complaint() {
                return wrong(format!("stages.{i}.{field}"), why);
            }
        }
        self.turns()?;
        for (i, placement) in self.adapters.iter().enumerate() {
            if let Err(error) = placement.kind.kind().check() {
                return wrong(format!("adapters.{i}"), format!("is not sound: {error}"));
            }
        }
        Ok(())
    }

    /// The project as one of its variants.
    ///
    /// # Errors
    /// When there is no such variant or one of its settings does not exist.
    pub fn variant(&self, name: &str) -> Result<Self, ProjectError> {
        let variant = self.variants.iter().find(|v| v.name == name).ok_or_else(|| {
            let known = self.variants.iter().map(|v| v.name.clone()).collect();
            ProjectError::NoSuchVariant { name: name.to_owned(), known }
        })?;
        let mut project = self.clone();
        project.variants.clear();
        project.name = format!("{}-{}", self.name, variant.name);
        if let Some(adapters) = &variant.adapters {
            project.adapters.clone_from(adapters);
        }
        if let Some(stages) = &variant.stages {
            project.stages.clone_from(stages);
        }
        for (path, value) in &variant.set {
            project = super::set(&project, path, value)?;
        }
        Ok(project)
    }
}
