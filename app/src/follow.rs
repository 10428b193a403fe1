//! Following a run by its log, whoever performs it: this is how a window shows what it did not start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use graft_engine::runs::{Event, Tail, is_running};

/// What the log told.
#[derive(Debug)]
pub(crate) enum Told {
    /// It was cut back: everything from the beginning again.
    Again,
    /// An event.
    Event(Box<Event>),
    /// The run ended without a word: its process is gone.
    Gone,
}

/// A run that is followed.
#[derive(Debug)]
pub(crate) struct Follow {
    /// Its folder.
    pub(crate) folder: PathBuf,
    told: Receiver<Told>,
}

/// Time between two looks at a log.
const PAUSE: Duration = Duration::from_millis(120);
/// Events that may wait; the thread waits for the window.
const QUEUE: usize = 4096;

impl Follow {
    /// Starts reading a run folder's log, from its beginning to the run's end.
    pub(crate) fn start(folder: &Path, wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (outbox, told) = bounded(QUEUE);
        let mut tail = Tail::new(folder);
        let own = folder.to_path_buf();
        std::thread::Builder::new().name("graft-follow".into()).spawn(move || {
            let mut last_look = false;
            loop {
                let Ok(found) = tail.look() else {
                    drop(outbox.send(Told::Gone));
                    return wake();
                };
                let quiet = found.lines.is_empty();
                let again = found.again.then_some(Told::Again);
                let events = found.lines.iter().filter_map(|line| Event::parse(line));
                let mut ended = false;
                for told in again.into_iter().chain(events.map(|event| Told::Event(Box::new(event)))) {
                    ended = matches!(&told, Told::Event(event) if event.body.is_last());
                    // Nobody listens any more: another run is shown.
                    if outbox.send(told).is_err() {
                        return;
                    }
                }
                if ended && !found.more {
                    return wake();
                }
                if !quiet {
                    wake();
                }
                if found.more {
                    continue;
                }
                if last_look {
                    drop(outbox.send(Told::Gone));
                    return wake();
                }
                // What it wrote between the look and its end is read in one look more.
                last_look = !is_running(&own);
                std::thread::sleep(PAUSE);
            }
        })?;
        Ok(Self { folder: folder.to_path_buf(), told })
    }

    /// What was told next, if something was.
    pub(crate) fn poll(&self) -> Option<Told> {
        self.told.try_recv().ok()
    }
}
