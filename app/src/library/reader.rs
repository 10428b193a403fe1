//! The thread that reads run folders, woken by changes in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use graft_engine::runs::{Notes, Queued, RunReader, queued, run_folders};
use notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};

use super::Row;

/// What to read again.
#[derive(Clone, Debug)]
pub(super) enum Look {
    /// Whatever there is.
    All,
    /// The same, told even if nothing has changed since: what the window shows may have.
    Anew,
    /// These run folders.
    At(BTreeSet<PathBuf>),
}

/// What the folder holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Found {
    pub(super) rows: Vec<Row>,
    pub(super) queue: Vec<Queued>,
}

/// Where the newest answer lies until it is taken.
pub(super) type Slot = Arc<Mutex<Option<Found>>>;

/// Time in which changes are taken together.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// A run whose process is killed changes no file; and a folder may be made later.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOKS: usize = 256;

type Watch = Debouncer<RecommendedWatcher, RecommendedCache>;

pub(super) fn start(
    runs: PathBuf,
    slot: Slot,
    closed: Arc<AtomicBool>,
    wake: impl Fn() + Send + 'static,
) -> std::io::Result<Sender<Look>> {
    let (looks, inbox) = bounded(LOOKS);
    let sender = looks.clone();
    let thread = std::thread::Builder::new().name("graft-runs".into());
    thread.spawn(move || {
        let mut reader = Reader { runs, known: BTreeMap::new(), found: None };
        let mut watch: Option<Watch> = None;
        let mut look = Some(Look::All);
        while !closed.load(Ordering::Relaxed) {
            if watch.is_none() && reader.runs.is_dir() {
                watch = watch_folder(&reader.runs, sender.clone()).ok();
                look = Some(Look::All);
            }
            if let Some(look) = look.take()
                && let Some(found) = reader.read(&look)
            {
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
                wake();
            }
            look = next(&inbox, &reader);
        }
    })?;
    Ok(looks)
}

/// What is to be read next, changes that came together in one.
fn next(inbox: &Receiver<Look>, reader: &Reader) -> Option<Look> {
    match inbox.recv_timeout(PATIENCE) {
        Ok(first) => Some(inbox.try_iter().fold(first, |before, also| match (before, also) {
            (Look::Anew, _) | (_, Look::Anew) => Look::Anew,
            (Look::At(mut paths), Look::At(more)) => {
                paths.extend(more);
                Look::At(paths)
            }
            _ => Look::All,
        })),
        Err(RecvTimeoutError::Timeout) => {
            let open = reader.known.iter().filter(|(_, (reader, _))| reader.entry().state.is_open());
            let open: BTreeSet<PathBuf> = open.map(|(path, _)| path.clone()).collect();
            (!open.is_empty()).then_some(Look::At(open))
        }
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

fn watch_folder(runs: &Path, sender: Sender<Look>) -> Result<Watch, notify::Error> {
    let root = std::path::absolute(runs).map_err(notify::Error::io)?;
    let (above, below) = (root.clone(), runs.to_path_buf());
    let handler = move |result: DebounceEventResult| {
        let Ok(events) = result else {
            drop(sender.try_send(Look::All));
            return;
        };
        let changed = events.iter().filter(|event| !event.kind.is_access()).flat_map(|event| &event.paths);
        let first = |path: &PathBuf| Some(below.join(path.strip_prefix(&above).ok()?.components().next()?));
        let touched: BTreeSet<PathBuf> = changed.filter_map(first).collect();
        if !touched.is_empty() {
            // A full channel already holds much to read.
            drop(sender.try_send(Look::At(touched)));
        }
    };
    let mut watch = new_debouncer(DEBOUNCE, None, handler)?;
    watch.watch(&root, RecursiveMode::Recursive)?;
    Ok(watch)
}

struct Reader {
    runs: PathBuf,
    known: BTreeMap<PathBuf, (RunReader, Notes)>,
    /// What was told last.
    found: Option<Found>,
}

impl Reader {
    /// Reads on where something may have changed; nothing when nothing has.
    fn read(&mut self, look: &Look) -> Option<Found> {
        let there = run_folders(&self.runs);
        let present: BTreeSet<&PathBuf> = there.iter().collect();
        self.known.retain(|path, _| present.contains(path));
        for path in &there {
            let due = match look {
                Look::All | Look::Anew => true,
                Look::At(paths) => paths.contains(path) || !self.known.contains_key(path),
            };
            if due {
                let fresh = || (RunReader::new(path), Notes::default());
                let (reader, notes) = self.known.entry(path.clone()).or_insert_with(fresh);
                reader.refresh();
                *notes = Notes::read(path);
            }
        }
        let rows = self.known.values();
        let rows = rows.map(|(reader, notes)| Row { entry: reader.entry().clone(), notes: notes.clone() });
        let found = Found { rows: rows.collect(), queue: queued(&self.runs) };
        if self.found.as_ref() == Some(&found) && !matches!(look, Look::Anew) {
            return None;
        }
        self.found = Some(found.clone());
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundreds_of_runs_are_read_once_and_nothing_new_is_no_news() {
        let runs = std::env::temp_dir().join(format!("graft-reader-{}", std::process::id()));
        let line = r#"{"run":"r","time":0.5,"event":"started","project":"tiny","device":"flex","seed":7,"params_total":9,"params_trainable":4,"stages":1,"folder":"f"}"#;
        for number in 0..300 {
            let folder = runs.join(format!("tiny-20260131-{number:06}"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("project.ron"), "").unwrap();
            std::fs::write(folder.join("events.jsonl"), format!("{line}\n")).unwrap();
        }
        let mut reader = Reader { runs: runs.clone(), known: BTreeMap::new(), found: None };
        assert_eq!(reader.read(&Look::All).unwrap().rows.len(), 300);
        assert!(reader.read(&Look::All).is_none());
        let again = reader.read(&Look::Anew).map(|found| found.rows.len());
        assert_eq!(again, Some(300), "a window that took a row out and put it back has to hear of it");
        let first = runs.join("tiny-20260131-000000");
        std::fs::write(first.join("notes.json"), r#"{"note":"mine"}"#).unwrap();
        assert!(reader.read(&Look::At(BTreeSet::new())).is_none(), "only where something changed");
        let found = reader.read(&Look::At([first.clone()].into())).unwrap();
        assert_eq!(found.rows[0].notes.note, "mine");
        std::fs::remove_dir_all(&first).unwrap();
        assert_eq!(reader.read(&Look::At(BTreeSet::new())).unwrap().rows.len(), 299);
        std::fs::remove_dir_all(&runs).unwrap();
    }
}
