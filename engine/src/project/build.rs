//! From a project's stage to a graph: data shape, architecture, adapters, what trains.

use std::path::Path;
use std::sync::Arc;

use super::Project;
use crate::adapters::{PlaceError, place};
use crate::data::{DataError, Source, View};
use crate::graph::{Coverage, Graph, RuleError};
use crate::models::{Architecture, DataShape, ModelError};
use crate::train::{AdapterUse, Selection, StageSpec, TrainSpec, select};
use crate::weights::WeightSource;

/// A stage made concrete.
#[derive(Debug)]
pub struct Built {
    /// The architecture with all sizes.
    pub architecture: Box<dyn Architecture>,
    /// Weights that the model starts from.
    pub weights: Option<WeightSource>,
    /// The base model with the adapters on it.
    pub graph: Graph,
    /// What each placement matched, in the project's order; empty when the stage has none.
    pub coverage: Vec<Coverage>,
    /// What trains.
    pub selection: Selection,
}

/// Why a project's stage could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The data cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An adapter cannot be placed.
    #[error("adapter {}: {error}", index + 1)]
    Adapter {
        /// Its index in the project's list.
        index: usize,
        /// Why.
        error: PlaceError,
    },
    /// A stage's rule is wrong.
    #[error("stage {}: {error}", stage + 1)]
    Rule {
        /// The stage's index.
        stage: usize,
        /// Why.
        error: RuleError,
    },
    /// A stage that is not there.
    #[error("there is no stage {}; the project has {count}", stage + 1)]
    NoStage {
        /// The index asked for.
        stage: usize,
        /// How many there are.
        count: usize,
    },
}

/// How a stage looks at the data.
#[must_use]
pub fn stage_view(spec: &TrainSpec) -> View {
    View { frames: spec.frames, shuffle: spec.shuffle, only: spec.only.clone() }
}

/// Opens the data as a stage sees them.
///
/// # Errors
/// When there is no such stage or the data cannot be opened.
pub fn open_source(project: &Project, base: &Path, stage: usize) -> Result<Arc<dyn Source>, BuildError> {
    let StageSpec::Train(spec) = stage_spec(project, stage)?;
    Ok(Arc::from(project.data.open(base, &stage_view(spec))?))
}

fn stage_spec(project: &Project, stage: usize) -> Result<&StageSpec, BuildError> {
    project.stages.get(stage).ok_or(BuildError::NoStage { stage, count: project.stages.len() })
}

/// Builds a stage's graph; `base` is the folder that relative paths start from.
///
/// # Errors
/// When the model cannot be built, a rule matches nothing, or an adapter does not fit.
pub fn build_stage(
    project: &Project,
    base: &Path,
    stage: usize,
    source: &dyn Source,
) -> Result<Built, BuildError> {
    let StageSpec::Train(spec) = stage_spec(project, stage)?;
    let shape = DataShape::new(&source.sample_shape(), source.classes())?;
    let resolved = project.model.resolve(base, &shape)?;
    let mut graph = resolved.architecture.build("model")?;
    let mut coverage = Vec::new();
    if spec.adapters == AdapterUse::All {
        for (index, placement) in project.adapters.iter().enumerate() {
            let (next, covered) =
                place(&graph, index, placement).map_err(|error| BuildError::Adapter { index, error })?;
            graph = next;
            coverage.push(covered);
        }
    }
    let selection = select(&graph, spec).map_err(|error| BuildError::Rule { stage, error })?;
    Ok(Built { architecture: resolved.architecture, weights: resolved.weights, graph, coverage, selection })
}
