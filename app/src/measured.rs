//! What runs of the open project measured node by node: told by the run that goes on, or read from run folders.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use graft_engine::graph::NodeKind;
use graft_engine::project::Project;
use graft_engine::runs::{NodeProfile, StageProfile, newest_profiles};

use crate::model::Model;
use crate::newest::Newest;
use crate::outlook::{Warmth, Warmths};

/// One stage's measurement, arranged for the model that is shown.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// What nodes and regions held and took.
    pub heat: Warmths,
    /// Ops of the model that the run did not have.
    pub changed: usize,
    /// The run.
    pub run: String,
}

impl Measured {
    /// Lays a profile over a model.
    #[must_use]
    pub fn over(model: &Model, profile: &StageProfile) -> Self {
        let known: BTreeMap<&str, &NodeProfile> =
            profile.nodes.iter().map(|node| (node.path.as_str(), node)).collect();
        let graph = &model.graph;
        let heat = Warmths::spread(graph, |_, path| {
            known.get(path).map(|node| Warmth {
                bytes: node.bytes,
                secs: Some(node.secs()),
                ..Warmth::default()
            })
        });
        let live = graph.live();
        let ops = graph.nodes().iter().zip(live).filter(|(node, live)| {
            // What only stands ready for merging is not drawn.
            *live && matches!(node.kind, NodeKind::Op(_))
        });
        let changed = ops.filter(|(node, _)| !known.contains_key(node.path.as_str())).count();
        Self { heat, changed, run: profile.run.clone() }
    }
}

#[derive(Debug)]
struct Question {
    generation: u64,
    runs: PathBuf,
    name: String,
    base: PathBuf,
}

type Answer = (u64, BTreeMap<usize, StageProfile>);

/// The newest profile of each stage, and the one that is shown.
#[derive(Debug)]
pub struct Measurements {
    disk: Newest<Question, Answer>,
    /// Grows with each document opened; answers about another one are dropped.
    generation: u64,
    found: BTreeMap<usize, Arc<StageProfile>>,
    /// The model that was looked at last, and the number that a run gives its stage.
    looked: Option<(Arc<Model>, Option<usize>)>,
    shown: Option<(Arc<Model>, Arc<StageProfile>, Measured)>,
}

impl Measurements {
    /// Starts the thread that reads run folders. `wake` is called when it has.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let read = |question: Question| {
            (question.generation, newest_profiles(&question.runs, &question.name, &question.base))
        };
        let disk = Newest::start("graft-measured", read, wake)?;
        Ok(Self { disk, generation: 0, found: BTreeMap::new(), looked: None, shown: None })
    }

    /// Another document was opened: looks for its runs below `runs`.
    pub fn open(&mut self, runs: PathBuf, name: String, base: PathBuf) {
        self.generation += 1;
        self.found.clear();
        self.looked = None;
        self.shown = None;
        self.disk.ask(Question { generation: self.generation, runs, name, base });
    }

    /// Takes in what the run that goes on has measured.
    pub fn take(&mut self, profile: StageProfile) {
        self.found.insert(profile.stage, Arc::new(profile));
    }

    /// Takes in what was read.
    pub fn poll(&mut self) {
        while let Some((generation, found)) = self.disk.poll() {
            if generation != self.generation {
                continue;
            }
            for (stage, profile) in found {
                // What was told meanwhile is newer.
                self.found.entry(stage).or_insert_with(|| Arc::new(profile));
            }
        }
    }

    /// Whether nothing is being read.
    pub(crate) fn is_idle(&self) -> bool {
        self.disk.is_idle()
    }

    /// Arranges what was measured of the model's stage.
    pub fn look(&mut self, model: &Arc<Model>, project: &Project) {
        if self.looked.as_ref().is_none_or(|(looked, _)| !Arc::ptr_eq(looked, model)) {
            let turns = project.turns().unwrap_or_default();
            let own = turns.iter().find(|turn| turn.listed == model.stage && turn.spec.as_train().is_some());
            self.looked = Some((Arc::clone(model), own.map(|turn| turn.stage)));
        }
        let number = self.looked.as_ref().and_then(|(_, number)| *number);
        let Some(profile) = number.and_then(|number| self.found.get(&number)) else {
            self.shown = None;
            return;
        };
        let same = self
            .shown
            .as_ref()
            .is_some_and(|(old, own, _)| Arc::ptr_eq(old, model) && Arc::ptr_eq(own, profile));
        if !same {
            let measured = Measured::over(model, profile);
            self.shown = Some((Arc::clone(model), Arc::clone(profile), measured));
        }
    }

    /// What was measured of the stage that was looked at.
    ///
    /// # Errors
    /// When nothing was, saying why.
    pub fn shown(&self) -> Result<&Measured, &'static str> {
        match (&self.shown, &self.looked) {
            (Some((.., measured)), _) => Ok(measured),
            (None, Some((_, None))) => Err("this stage does not train"),
            _ => Err("no run of this project has measured this stage yet"),
        }
    }
}
