//! What runs of the open project measured node by node: told by the run that goes on, or read from run folders.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use graft_engine::graph::NodeKind;
use graft_engine::project::Project;
use graft_engine::runs::{NodeProfile, SettingRow, StageProfile, cost_difference, newest_profiles};

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
    /// Lays a profile over a model. What it tells of `stale` adapters, which the run had otherwise, is left out.
    #[must_use]
    pub fn over(model: &Model, profile: &StageProfile, stale: &[usize]) -> Self {
        let fresh = profile.nodes.iter().filter(|node| !is_within(&node.path, stale));
        let known: BTreeMap<&str, &NodeProfile> = fresh.map(|node| (node.path.as_str(), node)).collect();
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

/// Whether a node belongs to one of these adapters.
fn is_within(path: &str, adapters: &[usize]) -> bool {
    let index = |part: &str| part.strip_prefix("adapter_").and_then(|number| number.parse().ok());
    !adapters.is_empty() && path.split('.').filter_map(index).any(|index| adapters.contains(&index))
}

/// Adapters, by their place, that are not the same in two projects.
fn other_adapters(first: &Project, second: &Project) -> Vec<usize> {
    let count = first.adapters.len().max(second.adapters.len());
    (0..count).filter(|&place| first.adapters.get(place) != second.adapters.get(place)).collect()
}

/// What a run did otherwise, as `batch 64 rather than 32`.
fn otherwise(rows: &[SettingRow]) -> String {
    let value = |row: &SettingRow, place: usize| {
        row.values.get(place).cloned().flatten().unwrap_or_else(|| "nothing".to_owned())
    };
    let name = |row: &SettingRow| match row.path.strip_prefix("stages.0.Train.") {
        Some(own) => own.to_owned(),
        None => row.path.clone(),
    };
    let Some(first) = rows.first() else { return "other settings".to_owned() };
    let more = match rows.len() {
        1 => String::new(),
        count => format!(" and {} more that differ", count - 1),
    };
    format!("{} {} rather than {}{more}", name(first), value(first, 0), value(first, 1))
}

#[derive(Debug)]
struct Question {
    generation: u64,
    runs: PathBuf,
    name: String,
    base: PathBuf,
}

type Answer = (u64, BTreeMap<usize, Vec<StageProfile>>);

/// What was looked at last: the model, the project, and how much had been found.
type Looked = (Arc<Model>, Arc<Project>, u64);

/// What is shown, and what it was made of.
#[derive(Debug)]
struct Shown {
    model: Arc<Model>,
    profile: Arc<StageProfile>,
    /// Adapters of which the profile does not hold.
    stale: Vec<usize>,
    measured: Measured,
}

/// The profiles of each stage, and the one that is shown.
#[derive(Debug)]
pub struct Measurements {
    disk: Newest<Question, Answer>,
    /// Grows with each document opened; answers about another one are dropped.
    generation: u64,
    /// The newest first.
    found: BTreeMap<usize, Vec<Arc<StageProfile>>>,
    /// Grows with what is found.
    told: u64,
    looked: Option<Looked>,
    shown: Option<Shown>,
    /// Why nothing is shown.
    refusal: String,
}

const NO_RUN: &str = "no run of this project has measured this stage yet";

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
        let (found, refusal) = (BTreeMap::new(), NO_RUN.to_owned());
        Ok(Self { disk, generation: 0, found, told: 0, looked: None, shown: None, refusal })
    }

    /// Another document was opened: looks for its runs below `runs`.
    pub fn open(&mut self, runs: PathBuf, name: String, base: PathBuf) {
        self.generation += 1;
        self.found.clear();
        self.looked = None;
        self.shown = None;
        NO_RUN.clone_into(&mut self.refusal);
        self.disk.ask(Question { generation: self.generation, runs, name, base });
    }

    /// Takes in what the run that goes on has measured.
    pub fn take(&mut self, profile: StageProfile) {
        self.told += 1;
        let of_stage = self.found.entry(profile.stage).or_default();
        of_stage.retain(|other| other.run != profile.run);
        of_stage.insert(0, Arc::new(profile));
    }

    /// Takes in what was read.
    pub fn poll(&mut self) {
        while let Some((generation, found)) = self.disk.poll() {
            if generation != self.generation {
                continue;
            }
            self.told += 1;
            for (stage, profiles) in found {
                let of_stage = self.found.entry(stage).or_default();
                for profile in profiles {
                    // What was told meanwhile is newer.
                    if of_stage.iter().all(|other| other.run != profile.run) {
                        of_stage.push(Arc::new(profile));
                    }
                }
            }
        }
    }

    /// Whether nothing is being read.
    pub(crate) fn is_idle(&self) -> bool {
        self.disk.is_idle()
    }

    /// Arranges what was measured of the model's stage: by the newest run whose steps cost the same as the project's do
    /// now.
    pub fn look(&mut self, model: &Arc<Model>, project: &Arc<Project>) {
        let looked = |(of, at, told): &Looked| {
            Arc::ptr_eq(of, model) && Arc::ptr_eq(at, project) && *told == self.told
        };
        if self.looked.as_ref().is_some_and(looked) {
            return;
        }
        self.looked = Some((Arc::clone(model), Arc::clone(project), self.told));
        let (profile, stale) = match self.choose(model, project) {
            Ok(chosen) => chosen,
            Err(why) => {
                self.shown = None;
                self.refusal = why;
                return;
            }
        };
        let same = self.shown.as_ref().is_some_and(|shown| {
            Arc::ptr_eq(&shown.model, model) && Arc::ptr_eq(&shown.profile, &profile) && shown.stale == stale
        });
        if !same {
            let measured = Measured::over(model, &profile, &stale);
            self.shown = Some(Shown { model: Arc::clone(model), profile, stale, measured });
        }
    }

    /// The newest profile that holds for a project, and the adapters of which it does not; or else why there is none.
    fn choose(&self, model: &Model, project: &Project) -> Result<(Arc<StageProfile>, Vec<usize>), String> {
        let turns = project.turns().unwrap_or_default();
        let own = turns.iter().find(|turn| turn.listed == model.stage && turn.spec.as_train().is_some());
        let stage = own.ok_or("this stage does not train")?.stage;
        let mut why = None;
        for profile in self.found.get(&stage).into_iter().flatten() {
            let Some(measured) = &profile.project else { return Ok((Arc::clone(profile), Vec::new())) };
            match cost_difference(measured, project, stage) {
                Some(rows) if rows.is_empty() => {
                    return Ok((Arc::clone(profile), other_adapters(measured, project)));
                }
                rows => {
                    let rows = rows.unwrap_or_default();
                    why.get_or_insert_with(|| {
                        format!("{} measured it with {}", profile.run, otherwise(&rows))
                    });
                }
            }
        }
        Err(why.unwrap_or_else(|| NO_RUN.to_owned()))
    }

    /// What was measured of the stage that was looked at.
    ///
    /// # Errors
    /// When nothing was, saying why.
    pub fn shown(&self) -> Result<&Measured, &str> {
        self.shown.as_ref().map(|shown| &shown.measured).ok_or(&self.refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_adapters_are_told_by_their_paths() {
        assert!(is_within("model.blocks.0.adapter_3.down", &[1, 3]));
        assert!(!is_within("model.blocks.0.adapter_31.down", &[1, 3]));
        assert!(!is_within("model.blocks.3.mlp", &[3]));
    }

    #[test]
    fn what_a_run_did_otherwise_is_said_in_words() {
        let row = |path: &str, first: &str| SettingRow {
            path: path.to_owned(),
            values: vec![Some(first.to_owned()), None],
        };
        let rows = [row("stages.0.Train.batch", "64"), row("data.folder", "a")];
        assert_eq!(otherwise(&rows[..1]), "batch 64 rather than nothing");
        assert_eq!(otherwise(&rows), "batch 64 rather than nothing and 1 more that differ");
    }
}
