//! All runs of the runs' folder, read away from the window's thread and kept up to date by watching it.

mod curves;
mod reader;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;
use graft_engine::runs::{Notes, Queued, RunEntry, Trashed, enqueue, purge, trash};

pub use curves::{Curve, Curves};
use reader::{Found, Look, Slot};

/// A run with what was written about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What its folder tells.
    pub entry: RunEntry,
    /// Tags and note.
    pub notes: Notes,
}

/// The runs, and which of them are chosen.
#[derive(Debug)]
pub struct Library {
    runs: PathBuf,
    looks: Sender<Look>,
    slot: Slot,
    closed: Arc<AtomicBool>,
    found: Found,
    /// Whether the folder was read at least once.
    read: bool,
    chosen: Vec<PathBuf>,
    deleted: Vec<Vec<Trashed>>,
    curves: Curves,
}

/// How long deleted runs can be brought back by hand.
const KEPT: Duration = Duration::from_hours(7 * 24);

impl Library {
    /// Starts reading a folder. `waker` gives what is called when there is news.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start<W: Fn() + Send + Sync + 'static>(
        runs: PathBuf,
        waker: impl Fn() -> W,
    ) -> std::io::Result<Self> {
        let slot = Slot::default();
        let closed = Arc::new(AtomicBool::new(false));
        let aside = runs.clone();
        std::thread::Builder::new().name("graft-trash".into()).spawn(move || purge(&aside, KEPT))?;
        let looks = reader::start(runs.clone(), Arc::clone(&slot), Arc::clone(&closed), waker())?;
        let curves = Curves::start(waker())?;
        let found = Found::default();
        Ok(Self {
            runs,
            looks,
            slot,
            closed,
            found,
            read: false,
            chosen: Vec::new(),
            deleted: Vec::new(),
            curves,
        })
    }

    /// Takes in what was read; whether that was for the first time.
    pub fn poll(&mut self) -> bool {
        self.curves.poll();
        let Some(found) = self.slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() else {
            return false;
        };
        self.found = found;
        let there: BTreeSet<&Path> = self.found.rows.iter().map(|row| row.entry.path.as_path()).collect();
        self.chosen.retain(|path| there.contains(path.as_path()));
        !std::mem::replace(&mut self.read, true)
    }

    /// Whether the folder was read, and all curves that were asked for.
    pub(crate) fn is_idle(&self) -> bool {
        self.read && self.curves.is_idle()
    }

    /// Where the runs are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.runs
    }

    /// All runs, by name.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.found.rows
    }

    /// One of them.
    #[must_use]
    pub fn row(&self, path: &Path) -> Option<&Row> {
        self.found.rows.iter().find(|row| row.entry.path == path)
    }

    /// What waits to be run.
    #[must_use]
    pub fn queue(&self) -> &[Queued] {
        &self.found.queue
    }

    /// The chosen runs, in the order in which they were chosen.
    #[must_use]
    pub fn chosen(&self) -> &[PathBuf] {
        &self.chosen
    }

    /// Chooses a run, alone or beside the others; one that is among several is left out again.
    pub fn choose(&mut self, path: &Path, add: bool) {
        let place = self.chosen.iter().position(|chosen| chosen == path);
        match (add, place) {
            (true, Some(place)) => {
                self.chosen.remove(place);
            }
            (true, None) => self.chosen.push(path.to_path_buf()),
            (false, _) => self.chosen = vec![path.to_path_buf()],
        }
    }

    /// Chooses these.
    pub fn choose_all(&mut self, paths: Vec<PathBuf>) {
        self.chosen = paths;
    }

    /// Whether something can be brought back.
    #[must_use]
    pub const fn can_restore(&self) -> bool {
        !self.deleted.is_empty()
    }

    /// Moves the chosen runs into the trash.
    ///
    /// # Errors
    /// When one of them goes on or cannot be moved; those before it are moved.
    pub fn delete_chosen(&mut self) -> Result<(), String> {
        let mut moved = Vec::new();
        let mut result = Ok(());
        for path in std::mem::take(&mut self.chosen) {
            match trash(&path) {
                Ok(one) => moved.push(one),
                Err(error) => result = Err(format!("the run was not deleted: {error}: {}", path.display())),
            }
        }
        self.found.rows.retain(|row| !moved.iter().any(|one| one.from == row.entry.path));
        if !moved.is_empty() {
            self.deleted.push(moved);
        }
        self.look();
        result
    }

    /// Brings back what was deleted last.
    ///
    /// # Errors
    /// When something cannot be moved back.
    pub fn restore(&mut self) -> Result<(), String> {
        let mut result = Ok(());
        for one in self.deleted.pop().unwrap_or_default() {
            if let Err(error) = one.restore() {
                result = Err(format!("the run stays deleted: {error}: {}", one.to.display()));
            }
        }
        self.look();
        result
    }

    /// Writes tags and a note.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn note(&mut self, path: &Path, notes: &Notes) -> Result<(), String> {
        notes.write(path).map_err(|error| format!("the note is not kept: {error}: {}", path.display()))?;
        if let Some(row) = self.found.rows.iter_mut().find(|row| row.entry.path == path) {
            row.notes = notes.clone();
        }
        self.look();
        Ok(())
    }

    /// Puts a frozen copy of a project into the queue.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn enqueue(&mut self, project: &graft_engine::project::Project, base: &Path) -> Result<(), String> {
        let result = enqueue(&self.runs, project, base).map(|_| ()).map_err(|error| error.to_string());
        self.refresh_queue();
        result
    }

    /// Takes a project out of the queue.
    ///
    /// # Errors
    /// When its folder cannot be removed.
    pub fn cancel(&mut self, path: &Path) -> Result<(), String> {
        let waiting = self.found.queue.iter().find(|waiting| waiting.path == path);
        let result = waiting.map_or(Ok(()), Queued::cancel);
        self.refresh_queue();
        result.map_err(|error| format!("it stays in the queue: {error}: {}", path.display()))
    }

    /// Lets a project change places with the one before.
    ///
    /// # Errors
    /// When the folders cannot be renamed.
    pub fn earlier(&mut self, path: &Path) -> Result<(), String> {
        let place = self.found.queue.iter().position(|waiting| waiting.path == path).unwrap_or(0);
        let result = match place {
            0 => Ok(()),
            place => self.found.queue[place].swap(&self.found.queue[place - 1]),
        };
        self.refresh_queue();
        result.map_err(|error| format!("the queue keeps its order: {error}: {}", path.display()))
    }

    /// The next project that waits, taken out of the queue before it is handed over: another window may look there as
    /// well. It goes back where it was when it is not `taken`.
    ///
    /// # Errors
    /// When its folder cannot be moved or removed.
    pub fn next(&mut self, taken: impl FnOnce(&Queued) -> bool) -> Result<(), String> {
        let result = self.take_next(taken);
        self.refresh_queue();
        result.map_err(|error| format!("the queue cannot be changed: {error}: {}", self.runs.display()))
    }

    fn take_next(&self, taken: impl FnOnce(&Queued) -> bool) -> std::io::Result<()> {
        for waiting in &self.found.queue {
            let Some(own) = waiting.claim()? else { continue };
            return if taken(&own) { own.cancel() } else { std::fs::rename(&own.path, &waiting.path) };
        }
        Ok(())
    }

    /// The queue's own files are few and small; what the window has changed it sees at once.
    fn refresh_queue(&mut self) {
        self.found.queue = graft_engine::runs::queued(&self.runs);
        self.look();
    }

    /// Reads everything again, and hears of it even where it is what was heard before.
    pub fn look(&self) {
        // A full channel already holds as much.
        drop(self.looks.try_send(Look::Anew));
    }

    /// What a run's log tells in full, and its project, once that is read.
    pub fn curve(&mut self, path: &Path) -> Option<Arc<Curve>> {
        let stamp = self.row(path).map(|row| (row.entry.steps, row.entry.state))?;
        self.curves.get(path, stamp)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        self.look();
    }
}
