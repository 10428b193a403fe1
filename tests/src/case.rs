//! The proving graph with values, ready to be walked.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use graft_engine::data::{Batch, Source, Split, batches};
use graft_engine::device;
use graft_engine::exec::{Inputs, Outcome, Walk};
use graft_engine::graph::{Graph, Schedule};
use graft_engine::project::{Built, Project, build_stage, open_source, parse};
use graft_engine::tensor::{Stream, Value, elements};
use graft_engine::train::StepGraph;
use graft_engine::weights::Params;

use crate::proving::{PROJECT, make_known, write_data};

/// The proving project at one of its turns, with values.
pub struct Case {
    /// Where its data are.
    pub folder: tempfile::TempDir,
    /// The project.
    pub project: Project,
    /// Its data as the turn sees them.
    pub source: Arc<dyn Source>,
    /// Its model.
    pub built: Built,
    /// Values of everything.
    pub params: Params,
}

/// The project at one turn, every value drawn at random (so that no zero hides a path).
///
/// # Panics
/// When the project cannot be built.
pub fn case(turn: usize, edit: impl Fn(Project) -> Project) -> Case {
    make_known();
    let folder = tempfile::tempdir().unwrap();
    write_data(&folder.path().join("proving.safetensors"), 40).unwrap();
    let project = edit(parse(PROJECT, std::path::Path::new("proving.ron")).unwrap());
    let source = open_source(&project, folder.path(), turn).unwrap();
    let built = build_stage(&project, folder.path(), turn, source.as_ref()).unwrap();
    let mut params = Params::new();
    let graph = built.walked();
    let params_of = graph.params().map(|(_, path, leaf)| (path, &leaf.shape));
    for (path, shape) in params_of.chain(graph.states().map(|(_, path, leaf)| (path, &leaf.shape))) {
        let mut draws = Stream::new(5, path).at(0);
        let data = (0..elements(shape)).map(|_| draws.normal() * 0.4 + 0.5);
        // A variance is not negative, and a mask is 0 or 1.
        let data = if path.ends_with("running_var") {
            data.map(f32::abs).collect()
        } else if path.ends_with("mask") {
            data.map(|x| if x > 0.5 { 1.0 } else { 0.0 }).collect()
        } else {
            data.collect()
        };
        params.set(path, Value::from_f32(data, shape, &device()));
    }
    Case { folder, project, source, built, params }
}

/// The CPU.
///
/// # Panics
/// Never on this build.
#[must_use]
pub fn device() -> burn::tensor::Device {
    device::open("flex").unwrap()
}

impl Case {
    /// The step of a turn that trains.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn step(&self) -> &StepGraph {
        self.built.step.as_ref().unwrap()
    }

    /// The first batch of the training split that has at least `rows` samples.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn batch(&self, rows: usize) -> Batch {
        let order: Vec<usize> = (0..self.source.len(Split::Train)).collect();
        let planned = batches(self.source.as_ref(), Split::Train, &order, rows);
        let full = planned.iter().find(|batch| batch.len() >= rows).unwrap();
        Batch::read(self.source.as_ref(), Split::Train, full).unwrap()
    }

    /// A batch whose samples take these routes.
    ///
    /// # Panics
    /// When there are not enough of one group.
    #[must_use]
    pub fn routed(&self, routes: &[i64]) -> Batch {
        let group = self.source.group(Split::Train, 0);
        let mut chosen: Vec<usize> = Vec::new();
        for &route in routes {
            let fits = |index: &usize| {
                !chosen.contains(index)
                    && self.source.group(Split::Train, *index) == group
                    && self.source.key(Split::Train, *index, "route") == Some(route)
            };
            chosen.push((0..self.source.len(Split::Train)).find(fits).unwrap());
        }
        Batch::read(self.source.as_ref(), Split::Train, &chosen).unwrap()
    }
}

/// The same values in f64.
#[must_use]
pub fn in_f64(params: &Params) -> Params {
    let mut wide = Params::new();
    for (path, value) in params.iter() {
        wide.set(path, Value::from_f64(value.to_f64(), &value.shape(), &device()));
    }
    wide
}

/// The same columns, floats in f64.
#[must_use]
pub fn inputs_in_f64(inputs: &Inputs, graph: &Graph) -> Inputs {
    let integers: BTreeSet<String> = graph
        .columns()
        .filter(|leaf| leaf.element == graft_engine::ops::Element::Integer)
        .flat_map(|leaf| [leaf.key(), leaf.column.clone()])
        .collect();
    let wide = |(name, value): (&String, &Value)| {
        let value = if integers.contains(name) {
            value.clone()
        } else {
            Value::from_f64(value.to_f64(), &value.shape(), &device())
        };
        (name.clone(), value)
    };
    inputs.iter().map(wide).collect()
}

/// One walk, with the gradients that it handed over.
///
/// # Panics
/// When the walk fails, or hands a gradient over twice.
pub fn walk(
    step: &StepGraph,
    schedule: &Schedule,
    params: &mut Params,
    inputs: &Inputs,
    number: u64,
) -> (Outcome, BTreeMap<String, Value>) {
    let mut gradients = BTreeMap::new();
    let walk = Walk { graph: &step.graph, schedule, seed: 1, step: number };
    let outcome = walk
        .run(params, inputs, &mut |_, path, gradient, _| {
            assert!(gradients.insert(path.to_owned(), gradient).is_none(), "{path} twice");
        })
        .unwrap();
    (outcome, gradients)
}
