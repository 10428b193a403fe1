//! Performing a project: stages in order, events, checkpoints, the final test, the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;

use super::event::{Event, EventBody};
use super::folder::RunFolder;
use super::kept::kept_by;
use super::noise::with_noise;
use super::outcome::{Outcome, RunError, RunOptions, RunSummary};
use super::report;
use crate::cache::CachePlace;
use crate::data::Split;
use crate::device;
use crate::memory::Meter;
use crate::project::{Project, Turn, build_turn, open_source, open_source_in};
use crate::train::{
    Caching, Checkpoint, Control, EditError, Evaluation, StageSpec, TrainError, evaluate, mergeable,
};
use crate::weights::{self, Params, Tensor, WeightSource, load};

/// Where events go.
pub(super) type Sink<'a> = dyn FnMut(&Event) + 'a;

/// Runs a project from its beginning in a fresh run folder. `base` is the folder of the project file.
///
/// # Errors
/// When anything fails; the run's log then ends with `failed`.
pub fn train(
    project: &Project,
    base: &Path,
    options: &RunOptions,
    control: &Control,
    sink: &mut Sink<'_>,
) -> Result<RunSummary, RunError> {
    project.check()?;
    // What cannot work is told before a folder is made.
    let device = device::open_checked(&project.device)?;
    let turns = project.turns()?;
    check_turns(project, base, &turns, &options.runs)?;
    let folder = RunFolder::create(&options.runs, project, base)?;
    Run::new(project, base, device, folder, control, sink, turns).perform(None)
}

/// Builds every stage, and follows what they measure and merge, without running any.
fn check_turns(project: &Project, base: &Path, turns: &[Turn], runs: &Path) -> Result<(), RunError> {
    let mut measured: BTreeSet<String> = BTreeSet::new();
    let mut checked: Vec<WeightSource> = Vec::new();
    let mut places: Vec<CachePlace> = Vec::new();
    for (place, turn) in turns.iter().enumerate() {
        // What a stage of this run writes is not there yet.
        if turn.spec.data().is_some() {
            continue;
        }
        let source = open_source(project, base, place)?;
        let built = build_turn(project, base, turn, &turn.merged, source.as_ref())?;
        if let Some(from) = built.weights.as_ref().filter(|from| !checked.contains(*from)) {
            weights::check(&built.graph, from)?;
            checked.push(from.clone());
        }
        let states =
            built.graph.demands().measures.iter().map(|measure| &built.graph.node(measure.state).path);
        match &turn.spec {
            StageSpec::Train(spec) => {
                if let (Some(cache), Some(step)) = (&spec.cache, &built.step) {
                    let binding = built.binding(source.as_ref(), 1);
                    let place = cache.place(base, runs, &project.device, binding);
                    Caching::new(step, &place, source.as_ref())?;
                    places.push(place);
                }
                if let Some(state) = states.into_iter().find(|state| !measured.contains(state.as_str())) {
                    return Err(TrainError::NotMeasured { state: state.clone() }.into());
                }
            }
            StageSpec::Measure(spec) => {
                if built.graph.demands().measures.is_empty() {
                    return Err(TrainError::NothingToMeasure { stage: spec.name.clone() }.into());
                }
                measured.extend(states.cloned());
            }
            StageSpec::Edit(spec) => {
                let merged = spec.merged(&turn.present(project));
                mergeable(&built.graph, &merged).map_err(EditError::from).map_err(TrainError::from)?;
            }
            _ => {}
        }
    }
    // Nothing else is wrong.
    for place in places {
        place.prepare().map_err(TrainError::from)?;
    }
    Ok(())
}

/// Goes on with a stopped or killed run, exactly where its last checkpoint was.
///
/// # Errors
/// When the folder holds no run, the run is finished, or anything fails.
pub fn resume(path: &Path, control: &Control, sink: &mut Sink<'_>) -> Result<RunSummary, RunError> {
    let (mut folder, project, base) = RunFolder::open(path)?;
    let finished = RunFolder::events(path)
        .is_ok_and(|events| events.iter().any(|e| matches!(e.body, EventBody::Finished { .. })));
    if finished {
        return Err(RunError::Unfit { why: "this run is finished", path: path.to_path_buf() });
    }
    let held = folder.hold().map_err(|error| RunError::Log { error, path: path.to_path_buf() })?;
    if !held {
        return Err(RunError::Unfit { why: "this run is going on", path: path.to_path_buf() });
    }
    let device = device::open_checked(&project.device)?;
    let checkpoint = Checkpoint::read(&folder.checkpoints(), "last")?;
    let position = checkpoint.as_ref().map(|c| c.position).unwrap_or_default();
    let turns = project.turns()?;
    folder
        .rewind(position, |stage, repetition| {
            turns.iter().position(|turn| (turn.stage, turn.repetition) == (stage, repetition))
        })
        .map_err(|error| RunError::Log { error, path: path.to_path_buf() })?;
    Run::new(&project, &base, device, folder, control, sink, turns).perform(checkpoint)
}

/// Evaluates the best checkpoint of the stage that a run reached last (or the last one, when none is best) on a split.
///
/// # Errors
/// When the folder holds no checkpoint or anything fails.
pub fn evaluate_run(path: &Path, split: Split) -> Result<Evaluation, RunError> {
    Ok(evaluate_run_under_noise(path, split, &[0.0])?.pop().unwrap_or_default())
}

/// The same with noise on every parameter that an adapter brought, once for each strength: normal, its deviation that
/// share of the parameter's own. How much of it a model bears says how few bits its adapters need (methods, section 4).
///
/// # Errors
/// As [`evaluate_run`].
pub fn evaluate_run_under_noise(
    path: &Path,
    split: Split,
    strengths: &[f64],
) -> Result<Vec<Evaluation>, RunError> {
    let (folder, project, base) = RunFolder::open(path)?;
    let device = device::open_checked(&project.device)?;
    let Some(checkpoint) = Checkpoint::read_for_use(&folder.checkpoints())? else {
        return Err(RunError::Unfit { why: "this run has no checkpoint yet", path: path.to_path_buf() });
    };
    let turns = project.turns()?;
    let at = checkpoint.position;
    let place = turns.iter().position(|turn| turn.at(at.step) == at).ok_or_else(|| RunError::Unfit {
        why: "the checkpoint is of a stage that the project does not have",
        path: path.to_path_buf(),
    })?;
    let turn = &turns[place];
    let source = open_source_in(&project, &base, turn, path)?;
    // An edit's checkpoint is of what it left.
    let built = build_turn(&project, &base, turn, &turn.merged_after(&project), source.as_ref())?;
    let (mut params, _) = load(built.walked(), built.weights.as_ref(), project.seed, &device)?;
    overlay(&mut params, checkpoint.params, &device);
    let batch = turn.spec.as_train().map_or(32, |spec| spec.batch);
    let (graph, control) = (&built.graph, Control::new());
    // What was deleted to make room is not built again for this.
    let caching = kept_by(&project, &base, &turns[..=place], path).filter(Caching::is_there);
    strengths
        .iter()
        .map(|&strength| {
            let noisy = with_noise(graph, &params, strength, project.seed, &device);
            let with = |features: Option<&_>| {
                evaluate(graph, &noisy, &source, split, None, batch, &device, &control, features)
            };
            let kept = caching.as_ref().map(|caching| caching.evaluation(graph, &noisy, &source, split));
            let found = match kept {
                // Where its files cannot be used, an evaluation does without.
                Some(Ok(Some(features))) => match with(Some(&features)) {
                    Err(TrainError::Cache(_)) => with(None)?,
                    other => other?,
                },
                _ => with(None)?,
            };
            Ok(found.unwrap_or_default())
        })
        .collect()
}

pub(super) fn overlay(params: &mut Params, tensors: BTreeMap<String, Tensor>, device: &Device) {
    for (path, value) in Params::from_host(tensors, device).iter() {
        params.set(path, value.clone());
    }
}

pub(super) struct Run<'a, 'b> {
    pub(super) project: &'a Project,
    pub(super) base: &'a Path,
    pub(super) device: Device,
    pub(super) folder: RunFolder,
    pub(super) control: &'a Control,
    sink: &'a mut Sink<'b>,
    /// What the run does, in order.
    pub(super) turns: Vec<Turn>,
    begin: Instant,
    /// Seconds of earlier sessions of this run.
    pub(super) earlier_secs: f64,
    pub(super) total_steps: u64,
    pub(super) samples: u64,
    pub(super) step_secs: f64,
    /// Paths whose values any stage so far has changed.
    pub(super) changed: BTreeSet<String>,
    /// What keeps the values of a frozen prefix: that of the stage that trained with one last.
    pub(super) caching: Option<Caching>,
    pub(super) log_error: Option<std::io::Error>,
    /// What the process held before any weight was loaded.
    pub(super) process_bytes: u64,
}

impl<'a, 'b> Run<'a, 'b> {
    fn new(
        project: &'a Project,
        base: &'a Path,
        device: Device,
        folder: RunFolder,
        control: &'a Control,
        sink: &'a mut Sink<'b>,
        turns: Vec<Turn>,
    ) -> Self {
        Self {
            project,
            base,
            device,
            folder,
            control,
            sink,
            turns,
            begin: Instant::now(),
            earlier_secs: 0.0,
            total_steps: 0,
            samples: 0,
            step_secs: 0.0,
            changed: BTreeSet::new(),
            caching: None,
            log_error: None,
            process_bytes: 0,
        }
    }

    pub(super) fn secs(&self) -> f64 {
        self.earlier_secs + self.begin.elapsed().as_secs_f64()
    }

    pub(super) fn emit(&mut self, body: EventBody) {
        let event = Event { run: self.folder.id(), time: self.secs(), body };
        if let Err(error) = self.folder.append(&event) {
            self.log_error.get_or_insert(error);
        }
        (self.sink)(&event);
    }

    fn perform(mut self, from: Option<Checkpoint>) -> Result<RunSummary, RunError> {
        // A panic ends this run as failed, with its message, and nothing else.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.take_turns(from)));
        let result = result.unwrap_or_else(|panic| {
            Err(TrainError::Observer(format!("an operation failed: {}", device::panic_message(&*panic)))
                .into())
        });
        match result {
            Ok(summary) => {
                if let Err(error) = report::write(self.folder.path(), self.project) {
                    return Err(RunError::Log { error, path: self.folder.path().to_path_buf() });
                }
                Ok(summary)
            }
            Err(error) => {
                self.emit(EventBody::Failed { error: error.to_string() });
                // The report tells of the failure; if it cannot be written, the first error matters more.
                drop(report::write(self.folder.path(), self.project));
                Err(error)
            }
        }
    }

    pub(super) fn summary(
        &self,
        outcome: Outcome,
        test: Option<Evaluation>,
        best_validation: Option<f64>,
        meter: &mut Meter,
    ) -> RunSummary {
        RunSummary {
            outcome,
            folder: self.folder.path().to_path_buf(),
            test,
            best_validation,
            secs: self.secs(),
            peak_bytes: meter.look(&self.device).peak_bytes,
        }
    }
}
