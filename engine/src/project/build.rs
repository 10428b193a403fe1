//! From a project's stage to a graph: data shape, architecture, adapters, what trains.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Project, ProjectError, Turn};
use crate::adapters::{PlaceError, place};
use crate::data::{DataError, DataSpec, Source, Split, TensorsSpec};
use crate::graph::{Binding, Coverage, Graph, RuleError};
use crate::models::{Architecture, DataShape, ModelError};
use crate::train::{AdapterUse, Selection, StageSpec, StepError, StepGraph, StepSpec, select};
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
    /// What trains; nothing in a stage that does not.
    pub selection: Selection,
    /// The step of a stage that trains.
    pub step: Option<StepGraph>,
}

impl Built {
    /// The graph whose leaves need values: that of the step, which the model is a part of.
    #[must_use]
    pub fn walked(&self) -> &Graph {
        self.step.as_ref().map_or(&self.graph, |step| &step.graph)
    }

    /// Extents of a batch of `rows` samples as the data have them: the largest where they differ among a few groups of
    /// samples; those that the data leave open, or that vary from sample to sample, are the model's own.
    #[must_use]
    pub fn binding(&self, source: &dyn Source, rows: usize) -> Binding {
        let columns = source.columns();
        let mut binding = Binding::new();
        for leaf in self.walked().columns().filter(|leaf| leaf.rows_where.is_none()) {
            let Some(column) = columns.iter().find(|column| column.name == leaf.column) else { continue };
            let own: Option<Vec<usize>> = column.extents.iter().copied().collect();
            let own = own.or_else(|| largest(source, &column.name));
            if let Some(own) = own {
                let shape: Vec<usize> = std::iter::once(rows).chain(own).collect();
                // A column that does not fit is told of when the shapes are made.
                if let Ok(bound) = binding.clone().with_column(leaf, &shape) {
                    binding = bound;
                }
            }
        }
        binding.or(self.architecture.binding(rows))
    }
}

/// Groups of samples of one column's extents that are looked at.
const GROUPS: usize = 4;
/// Training samples up to which their groups are counted.
const COUNTED: usize = 1 << 16;

/// The largest extents of a column over all training samples, where few groups of them differ: a stage that reads only
/// small samples costs what those cost.
fn largest(source: &dyn Source, column: &str) -> Option<Vec<usize>> {
    let count = source.len(Split::Train);
    let mut firsts: BTreeMap<u64, usize> = BTreeMap::new();
    for index in (0..count).take_while(|_| count <= COUNTED) {
        firsts.entry(source.group(Split::Train, index)).or_insert(index);
        if firsts.len() > GROUPS {
            return None;
        }
    }
    let shape =
        |index: usize| Some(source.sample(Split::Train, index).ok()?.columns.get(column)?.shape.clone());
    firsts.into_values().map(shape).reduce(|a, b| {
        let (a, b) = (a?, b?);
        (a.len() == b.len()).then(|| a.iter().zip(&b).map(|(a, b)| *a.max(b)).collect())
    })?
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
    /// The project is wrong.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A stage's step cannot be made.
    #[error("stage {}: {error}", stage + 1)]
    Step {
        /// The stage's index.
        stage: usize,
        /// Why.
        error: StepError,
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

/// Opens the data as a turn of the project sees them.
///
/// # Errors
/// When there is no such turn or the data cannot be opened.
pub fn open_source(project: &Project, base: &Path, turn: usize) -> Result<Arc<dyn Source>, BuildError> {
    let turn = turn_of(project, turn)?;
    Ok(Arc::from(project.data.open(base, &turn.spec.view())?))
}

/// The same within a run, whose folder holds the data sets that its stages have written.
///
/// # Errors
/// As [`open_source`].
pub fn open_source_in(
    project: &Project,
    base: &Path,
    turn: &Turn,
    folder: &Path,
) -> Result<Arc<dyn Source>, BuildError> {
    let view = turn.spec.view();
    let source = match turn.spec.data() {
        None => project.data.open(base, &view)?,
        Some(name) => {
            let file = generated(folder, name);
            let spec = TensorsSpec { file, validation: 0.0, ..TensorsSpec::default() };
            DataSpec::Tensors(spec).open(folder, &view)?
        }
    };
    Ok(Arc::from(source))
}

/// Where a run keeps the data set of a `Generate` stage.
#[must_use]
pub fn generated(folder: &Path, name: &str) -> PathBuf {
    folder.join("data").join(format!("{name}.safetensors"))
}

fn turn_of(project: &Project, turn: usize) -> Result<Turn, BuildError> {
    let mut turns = project.turns()?;
    let count = turns.len();
    if turn < count { Ok(turns.swap_remove(turn)) } else { Err(BuildError::NoStage { stage: turn, count }) }
}

/// Builds a turn's graph; `base` is the folder that relative paths start from.
///
/// # Errors
/// When the model cannot be built, a rule matches nothing, or an adapter does not fit.
pub fn build_stage(
    project: &Project,
    base: &Path,
    turn: usize,
    source: &dyn Source,
) -> Result<Built, BuildError> {
    let turn = turn_of(project, turn)?;
    build_turn(project, base, &turn, &turn.merged, source)
}

/// The same for a turn at hand, without the adapters that are `merged` by then.
///
/// # Errors
/// As [`build_stage`].
pub fn build_turn(
    project: &Project,
    base: &Path,
    turn: &Turn,
    merged: &BTreeSet<usize>,
    source: &dyn Source,
) -> Result<Built, BuildError> {
    let mut built = build_model(project, base, turn, merged, source)?;
    if let StageSpec::Train(spec) = &turn.spec {
        let graph = &built.graph;
        let selection = select(graph, spec).map_err(|error| BuildError::Rule { stage: turn.stage, error })?;
        let columns = source.columns();
        let made = StepGraph::new(graph, &StepSpec::of(spec, &selection.nodes, &columns));
        built.step = Some(made.map_err(|error| BuildError::Step { stage: turn.stage, error })?);
        built.selection = selection;
    }
    Ok(built)
}

/// The model of a turn alone, without what a stage that trains adds to it.
///
/// # Errors
/// When the model cannot be built, a rule matches nothing, or an adapter does not fit.
pub fn build_model(
    project: &Project,
    base: &Path,
    turn: &Turn,
    merged: &BTreeSet<usize>,
    source: &dyn Source,
) -> Result<Built, BuildError> {
    let shape = DataShape::of(source);
    let resolved = project.model.resolve(base, &shape)?;
    let mut graph = resolved.architecture.build("model")?;
    let mut coverage = Vec::new();
    if turn.spec.adapters() == AdapterUse::All {
        for (index, placement) in project.adapters.iter().enumerate() {
            if merged.contains(&index) {
                coverage.push(Coverage { rule: placement.at.clone(), ..Coverage::default() });
                continue;
            }
            let (next, covered) =
                place(&graph, index, placement).map_err(|error| BuildError::Adapter { index, error })?;
            graph = next;
            coverage.push(covered);
        }
    }
    let (architecture, weights) = (resolved.architecture, resolved.weights);
    Ok(Built { architecture, weights, graph, coverage, selection: Selection::default(), step: None })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;

    #[test]
    fn a_stage_of_small_samples_is_bound_to_those() {
        let text = "(version: 2, name: \"a\", model: Cct(size: Custom(width: 8, blocks: 1, heads: 1, mlp: 8), kernel: 3, \
                    convolutions: 2, positions: None), data: Digits(folder: \"../assets/digits\", size: 20, digit: 15, sizes: [36]), \
                    stages: [Train(only: [(\"size\", 20)]), Train()])";
        let project = parse(text, Path::new("a.ron")).unwrap();
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../projects");
        let side = |stage: usize| {
            let source = open_source(&project, &base, stage).unwrap();
            let built = build_stage(&project, &base, stage, source.as_ref()).unwrap();
            let shapes = built.graph.shapes(&built.binding(source.as_ref(), 2)).unwrap();
            let pixels = built.graph.columns().find(|leaf| leaf.column == "pixel_values").unwrap();
            let node =
                built.graph.nodes().iter().position(|node| node.path.ends_with(&pixels.column)).unwrap();
            shapes[node].clone()
        };
        assert_eq!(side(0), [2, 1, 20, 20]);
        assert_eq!(side(1), [2, 1, 36, 36]);
    }
}
