//! Whole logs of runs and their projects, read one after the other on a thread of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use graft_engine::project::{Project, load};
use graft_engine::runs::{Event, RunState, Tail};

use crate::session::Series;

/// A run in full.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// What its log tells.
    pub series: Series,
    /// The project as it ran, if it can be read.
    pub project: Option<Project>,
}

/// What a row said when a log was read; another one means that it has grown.
type Stamp = (u64, RunState);

/// Runs that were read in full.
#[derive(Debug)]
pub struct Curves {
    questions: Sender<(PathBuf, Stamp)>,
    answers: Receiver<(PathBuf, Stamp, Curve)>,
    known: BTreeMap<PathBuf, (Stamp, Arc<Curve>)>,
    asked: BTreeMap<PathBuf, Stamp>,
}

const QUEUE: usize = 256;

impl Curves {
    /// Starts the thread. `wake` is called after each answer.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (questions, inbox) = bounded::<(PathBuf, Stamp)>(QUEUE);
        let (outbox, answers) = bounded(QUEUE);
        std::thread::Builder::new().name("graft-curves".into()).spawn(move || {
            while let Ok((path, stamp)) = inbox.recv() {
                let curve = read(&path);
                if outbox.send((path, stamp, curve)).is_err() {
                    return;
                }
                wake();
            }
        })?;
        Ok(Self { questions, answers, known: BTreeMap::new(), asked: BTreeMap::new() })
    }

    pub(super) fn poll(&mut self) {
        while let Ok((path, stamp, curve)) = self.answers.try_recv() {
            self.asked.remove(&path);
            self.known.insert(path, (stamp, Arc::new(curve)));
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// What was read of a run; asks for it when it was not read yet or has grown.
    pub(super) fn get(&mut self, path: &Path, stamp: Stamp) -> Option<Arc<Curve>> {
        let known = self.known.get(path);
        let fresh = known.is_some_and(|(of, _)| *of == stamp);
        let curve = known.map(|(_, curve)| Arc::clone(curve));
        if !fresh
            && !self.asked.contains_key(path)
            && self.questions.try_send((path.to_path_buf(), stamp)).is_ok()
        {
            self.asked.insert(path.to_path_buf(), stamp);
        }
        curve
    }
}

fn read(path: &Path) -> Curve {
    let mut curve = Curve { series: Series::default(), project: load(&path.join("project.ron")).ok() };
    let mut tail = Tail::new(path);
    while let Ok(found) = tail.look() {
        for line in &found.lines {
            if let Some(event) = Event::parse(line) {
                curve.series.take(&event);
            }
        }
        if !found.more {
            break;
        }
    }
    curve
}
