//! The training stage that a listed stage shows: itself, or of a repetition the first one in it. Outline, canvas and
//! timeline draw that one's model, so edits made there are about it as well.

use graft_engine::data::View;
use graft_engine::project::Project;
use graft_engine::train::{StageSpec, TrainSpec};

/// The training stage that is shown for a listed one, if there is any in it.
#[must_use]
pub fn training(stage: &StageSpec) -> Option<&TrainSpec> {
    match stage {
        StageSpec::Repeat(repeat) => repeat.stages.iter().find_map(StageSpec::as_train),
        other => other.as_train(),
    }
}

/// How the data are read for it.
#[must_use]
pub fn view(stage: &StageSpec) -> View {
    training(stage).map_or_else(|| stage.view(), |spec| StageSpec::Train(spec.clone()).view())
}

/// The stage that a project is shown at first: the last one that trains, else the last.
#[must_use]
pub fn main_stage(project: &Project) -> usize {
    let trains = project.stages.iter().rposition(|stage| training(stage).is_some());
    trains.unwrap_or(project.stages.len().saturating_sub(1))
}

/// [`training`], to be changed.
pub fn training_mut(stage: &mut StageSpec) -> Option<&mut TrainSpec> {
    match stage {
        StageSpec::Repeat(repeat) => repeat.stages.iter_mut().find_map(StageSpec::as_train_mut),
        other => other.as_train_mut(),
    }
}

/// Changes all training stages, those within repetitions included.
pub fn each_training(stages: &mut [StageSpec], change: &mut impl FnMut(&mut TrainSpec)) {
    for stage in stages {
        match stage {
            StageSpec::Train(spec) => change(spec),
            StageSpec::Repeat(repeat) => each_training(&mut repeat.stages, change),
            _ => {}
        }
    }
}
