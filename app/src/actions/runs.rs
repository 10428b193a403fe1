//! What a user wants of runs.

use std::path::PathBuf;

use graft_engine::runs::Notes;
use graft_engine::train::Ask;

/// Something to do with runs.
#[derive(Clone, Debug, PartialEq)]
pub enum RunAction {
    /// Choose a run: alone, or with those that are chosen; what is chosen already is left out again.
    Choose {
        /// Its folder.
        path: PathBuf,
        /// Keep the others.
        add: bool,
    },
    /// Choose these and no others.
    ChooseAll(Vec<PathBuf>),
    /// Open the project that a run froze.
    Open(PathBuf),
    /// Show a run's curves and log, following them while it goes on.
    Show(PathBuf),
    /// Go on with a stopped or interrupted run.
    Resume(PathBuf),
    /// Move the chosen runs into the trash.
    DeleteChosen,
    /// Bring back what was deleted last.
    Restore,
    /// Write tags and a note.
    Note(PathBuf, Notes),
    /// Ask something of the run that goes on.
    Ask(Ask),
    /// Take a project out of the queue.
    Cancel(PathBuf),
    /// Let a project change places with the one before.
    Earlier(PathBuf),
    /// Run what waits.
    StartQueue,
}
