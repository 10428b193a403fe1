//! The run that goes on: the engine's handle and what state it is in; what it has told stands in [`Series`].

mod series;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use graft_engine::project::{self, Project};
use graft_engine::runs::{Event, EventBody, RunFolder, StageProfile};
use graft_engine::train::{Ask, Wish};
use graft_engine::worker::{Command, Engine, EngineError};

use crate::document::Document;
use crate::follow::{Follow, Told};
use crate::journal;

pub use series::{Classes, EvalPoint, LogLine, Position, Series, StageMark, StepPoint};

/// What the run is doing.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    /// Nothing has run yet.
    #[default]
    Idle,
    /// Asked for, no event yet.
    Starting,
    /// Steps are done.
    Running,
    /// Asked to wait after the step that is under way, everything warm.
    Paused,
    /// Asked to save and end.
    Stopping,
    /// A run that this window did not start goes on; its log is followed.
    Following,
    /// Done.
    Finished,
    /// Stopped on request; it can be gone on with.
    Stopped,
    /// Failed, with the reason.
    Failed(String),
}

impl State {
    /// Whether a run is going on, so that the project must not be edited.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Paused | Self::Stopping)
    }

    /// Whether a run goes on, here or in another process.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.is_busy() || matches!(self, Self::Following)
    }

    /// One word for the status line.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Idle => "Ready",
            Self::Starting => "Starting…",
            Self::Running => "Training",
            Self::Paused => "Paused",
            Self::Stopping => "Stopping…",
            Self::Following => "Training elsewhere",
            Self::Finished => "Finished",
            Self::Stopped => "Stopped",
            Self::Failed(_) => "Failed",
        }
    }
}

/// Called when there is news.
#[derive(Clone)]
struct Wake(Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
}

/// The engine, the run's state and its series.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    state: State,
    series: Series,
    follow: Option<Follow>,
    /// Seconds that passed since the log that is followed was written last, when that began.
    age: f64,
    /// The project whose run it is.
    owner: Option<Owner>,
    /// The same as it was when the run began.
    project: Option<Arc<Project>>,
    wake: Wake,
}

/// What tells the project of a run from others: it may be in no file of its own any more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    base: PathBuf,
    name: String,
}

impl Owner {
    fn new(project: &Project, base: &Path) -> Self {
        Self { base: absolute(base), name: project.name.clone() }
    }
}

/// Seconds since a run's log was written last.
fn age(folder: &Path) -> f64 {
    let written = std::fs::metadata(folder.join("events.jsonl")).and_then(|log| log.modified());
    written.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default().as_secs_f64()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Time that one frame may spend on reading events.
const BUDGET: Duration = Duration::from_millis(6);

impl Session {
    /// Starts the engine's thread. `wake` is called after each of its events.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let wake = Wake(Arc::new(wake));
        let (engine, series) = (wake.clone(), Series::default());
        let engine = Engine::start(move || (engine.0)())?;
        Ok(Self {
            engine,
            state: State::Idle,
            series,
            follow: None,
            age: 0.0,
            owner: None,
            project: None,
            wake,
        })
    }

    /// What the run is doing.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// What it has told so far.
    #[must_use]
    pub const fn series(&self) -> &Series {
        &self.series
    }

    /// The name of the project whose run it is, where that is known.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_ref().map(|owner| owner.name.as_str())
    }

    /// The project of the run as it was when that began, and the folder that its paths start from.
    #[must_use]
    pub fn project(&self) -> Option<(&Arc<Project>, &Path)> {
        Some((self.project.as_ref()?, &self.owner.as_ref()?.base))
    }

    /// Whether what it shows is a run of this document, as far as that is known.
    #[must_use]
    pub fn is_of(&self, document: &Document) -> bool {
        self.owner.as_ref().is_none_or(|owner| {
            owner.name == document.project().name && owner.base == absolute(&document.base())
        })
    }

    /// Takes what the run has measured node by node since this was asked last.
    pub fn take_profiles(&mut self) -> Vec<StageProfile> {
        let mut told = std::mem::take(&mut self.series.profiles);
        for profile in &mut told {
            profile.project.clone_from(&self.project);
        }
        told
    }

    /// Runs a project.
    ///
    /// # Errors
    /// When a run is going on.
    pub fn train(&mut self, project: &Project, base: PathBuf, runs: PathBuf) -> Result<(), EngineError> {
        if self.state.is_busy() {
            return Err(EngineError::Busy);
        }
        let owner = Owner::new(project, &base);
        self.engine.send(Command::Train { project: Box::new(project.clone()), base, runs })?;
        self.begin(Some((project, owner)));
        Ok(())
    }

    /// Goes on with a stopped or interrupted run.
    ///
    /// # Errors
    /// When a run is going on.
    pub fn resume(&mut self, folder: &Path) -> Result<(), EngineError> {
        if self.state.is_busy() {
            return Err(EngineError::Busy);
        }
        self.engine.send(Command::Resume { folder: folder.to_path_buf() })?;
        self.begin_in(folder);
        Ok(())
    }

    /// A run whose folder is there begins anew or is shown.
    fn begin_in(&mut self, folder: &Path) {
        let project = project::load(&folder.join("project.ron")).ok();
        let base = RunFolder::origin(folder).ok();
        let owner = project.as_ref().zip(base).map(|(project, base)| Owner::new(project, &base));
        self.begin(project.as_ref().zip(owner));
    }

    fn begin(&mut self, of: Option<(&Project, Owner)>) {
        let turns = of.as_ref().and_then(|(project, _)| project.turns().ok()).unwrap_or_default();
        self.series.listed = turns.iter().map(|turn| turn.listed).collect();
        self.project = of.as_ref().map(|(project, _)| Arc::new((*project).clone()));
        self.owner = of.map(|(_, owner)| owner);
        self.series = self.series.anew();
        self.state = State::Starting;
        self.follow = None;
        self.age = 0.0;
    }

    /// Shows a run that somebody else performs or that is over, by its log.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn follow(&mut self, folder: &Path) -> std::io::Result<()> {
        if self.state.is_busy() {
            return Ok(());
        }
        let wake = self.wake.clone();
        let follow = Follow::start(folder, move || (wake.0)())?;
        self.begin_in(folder);
        self.age = age(folder);
        self.follow = Some(follow);
        self.state = State::Following;
        Ok(())
    }

    /// The folder of the run that is followed.
    #[must_use]
    pub fn followed(&self) -> Option<&Path> {
        self.follow.as_ref().map(|follow| follow.folder.as_path())
    }

    /// Asks something of the run that goes on.
    pub fn ask(&mut self, ask: Ask) {
        if self.state.is_busy() {
            self.engine.ask(ask);
        }
    }

    /// Smooths the loss with this weight of the past.
    pub fn smooth(&mut self, smoothing: f64) {
        self.series.smooth(smoothing);
    }

    /// Pauses or goes on.
    pub fn toggle_pause(&mut self) {
        let (wish, state) = match self.state {
            State::Running => (Wish::Pause, State::Paused),
            State::Paused => (Wish::Run, State::Running),
            _ => return,
        };
        self.engine.steer(wish);
        self.state = state;
    }

    /// Saves and ends the run.
    pub fn stop(&mut self) {
        if self.state.is_busy() {
            self.engine.steer(Wish::Stop);
            self.state = State::Stopping;
        }
    }

    /// Reads waiting events for a few milliseconds; whether there are more.
    pub fn poll(&mut self) -> bool {
        let begin = Instant::now();
        while let Some(event) = self.engine.poll() {
            self.take(&event);
            if begin.elapsed() > BUDGET {
                return true;
            }
        }
        while let Some(told) = self.follow.as_ref().and_then(Follow::poll) {
            self.told(told);
            if begin.elapsed() > BUDGET {
                return true;
            }
        }
        false
    }

    /// Takes in an event as though the engine had told it; the first one of a run begins one.
    pub fn hear(&mut self, event: &Event) {
        if matches!(event.body, EventBody::Started { .. }) && !self.state.is_busy() {
            self.begin(None);
        }
        self.take(event);
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Again => {
                self.series = self.series.anew();
            }
            Told::Event(event) => {
                self.series.anchor(journal::now() - self.age, event.time);
                self.series.take(&event);
                match &event.body {
                    EventBody::Finished { .. } => self.state = State::Finished,
                    EventBody::Stopped { .. } => self.state = State::Stopped,
                    EventBody::Failed { error } => self.state = State::Failed(error.clone()),
                    _ => self.state = State::Following,
                }
            }
            Told::Gone => {
                self.series
                    .warn("its process is gone; it can be resumed from its last checkpoint".to_owned());
                self.state = State::Stopped;
            }
        }
    }

    fn take(&mut self, event: &Event) {
        self.series.anchor(journal::now(), event.time);
        // What an own run still tells when another one is followed was told before.
        self.series.take(event);
        self.state = match (&event.body, &self.state) {
            (EventBody::Finished { .. }, _) => State::Finished,
            (EventBody::Stopped { .. }, _) => State::Stopped,
            (EventBody::Failed { error }, _) => State::Failed(error.clone()),
            (_, State::Stopping) => State::Stopping,
            // Paused is what the user wished; what was under way may still be told.
            (_, State::Paused) => State::Paused,
            _ => State::Running,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(body: EventBody) -> Event {
        Event { run: "r".to_owned(), time: 1.0, body }
    }

    #[test]
    fn a_run_knows_its_project_and_which_listed_stage_a_turn_belongs_to() {
        let text = "(version: 2, name: \"twice\", model: Vit(width: 8, blocks: 1, heads: 1, patch: 8), data: Digits(),
            stages: [Repeat(variable: \"batch\", over: [\"4\", \"8\"], into: [\"0.batch\"],
                     stages: [Train(name: \"one\")]), Train(name: \"two\")])";
        let project = project::parse(text, Path::new("twice.ron")).unwrap();
        let mut session = Session::start(|| {}).unwrap();
        let owner = Owner::new(&project, Path::new("somewhere"));
        session.begin(Some((&project, owner)));
        for turn in 0..3 {
            let stage = EventBody::Stage {
                stage: turn / 2,
                repetition: turn % 2,
                turn,
                name: "a stage".to_owned(),
                kind: "train".to_owned(),
                trainable: 5,
                loaded: graft_engine::runs::Loaded::default(),
                epochs: 1,
                steps: 10,
                predicted: None,
            };
            session.take(&event(stage));
        }
        let of = |stage: &StageMark| (stage.index, stage.listed);
        let marks: Vec<_> = session.series().stages.iter().map(of).collect();
        assert_eq!(marks, [(0, Some(0)), (1, Some(0)), (2, Some(1))]);
        assert_eq!(session.owner(), Some("twice"));
        let open = |path: &str| Document::new(project.clone(), Path::new(path));
        assert!(session.is_of(&open("somewhere/twice.ron")) && !session.is_of(&open("elsewhere/twice.ron")));
        let mut other = project.clone();
        "other".clone_into(&mut other.name);
        assert!(!session.is_of(&Document::new(other, Path::new("somewhere/twice.ron"))));
    }
}
