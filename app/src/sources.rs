//! Opened data, shared by the threads that build and plan: opening may read a whole file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use graft_engine::data::{DataError, DataSpec, Source, View};

/// Sources that are kept: those that were asked for last.
const KEPT: usize = 16;

/// What is opened: the data, how a stage reads it, where relative paths start.
#[derive(Clone, Debug, PartialEq)]
struct Wanted {
    data: DataSpec,
    view: View,
    base: PathBuf,
}

/// A source once it is open. Whoever opens it holds this lock, and no other one.
type Slot = Arc<Mutex<Option<Arc<dyn Source>>>>;

/// A handle on the opened sources; copies share them.
#[derive(Clone, Default)]
pub struct Sources(Arc<Mutex<Vec<(Wanted, Slot)>>>);

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// A panic while opening leaves everything as it was.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sources {
    /// The data as a stage reads it; opened unless it is open already. Who asks for what another one opens waits for
    /// that; who asks for something else does not. A failure is not kept: who asks again tries again.
    ///
    /// # Errors
    /// When the data cannot be opened.
    pub fn open(&self, data: &DataSpec, view: &View, base: &Path) -> Result<Arc<dyn Source>, DataError> {
        let wanted = Wanted { data: data.clone(), view: view.clone(), base: base.to_path_buf() };
        self.open_by(&wanted, |it| it.data.open(&it.base, &it.view).map(Arc::from))
    }

    fn open_by(
        &self,
        wanted: &Wanted,
        open: impl FnOnce(&Wanted) -> Result<Arc<dyn Source>, DataError>,
    ) -> Result<Arc<dyn Source>, DataError> {
        let slot = self.slot(wanted);
        let mut slot = locked(&slot);
        if let Some(source) = slot.as_ref() {
            return Ok(Arc::clone(source));
        }
        let source = open(wanted)?;
        *slot = Some(Arc::clone(&source));
        Ok(source)
    }

    /// The place of what is wanted, which is now the one that was asked for last.
    fn slot(&self, wanted: &Wanted) -> Slot {
        let mut entries = locked(&self.0);
        let entry = match entries.iter().position(|(known, _)| known == wanted) {
            Some(place) => entries.remove(place),
            None => (wanted.clone(), Slot::default()),
        };
        if entries.len() >= KEPT {
            entries.remove(0);
        }
        let slot = Arc::clone(&entry.1);
        entries.push(entry);
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::bounded;
    use graft_engine::data::{ImageFolderSpec, ShapesSpec};

    use super::*;

    fn wanted(number: usize) -> Wanted {
        let data = DataSpec::Shapes(ShapesSpec::default());
        Wanted { data, view: View::default(), base: PathBuf::from(number.to_string()) }
    }

    fn opened(it: &Wanted) -> Result<Arc<dyn Source>, DataError> {
        it.data.open(&it.base, &it.view).map(Arc::from)
    }

    #[test]
    fn one_that_takes_long_keeps_no_other_one_waiting() {
        let sources = Sources::default();
        let (gate, open) = bounded::<()>(1);
        let (told, begun) = bounded(1);
        let slow = sources.clone();
        let thread = std::thread::Builder::new().name("slow".into()).spawn(move || {
            slow.open_by(&wanted(1), |it| {
                told.send(()).unwrap();
                open.recv_timeout(Duration::from_secs(10)).unwrap();
                opened(it)
            })
        });
        begun.recv_timeout(Duration::from_secs(10)).unwrap();
        sources.open_by(&wanted(2), opened).unwrap();
        gate.send(()).unwrap();
        let first = thread.unwrap().join().unwrap().unwrap();
        let again = sources.open_by(&wanted(1), |_| panic!("it is open")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
    }

    #[test]
    fn a_failure_is_tried_again_and_what_was_asked_for_last_is_kept() {
        let sources = Sources::default();
        let missing = |it: &Wanted| {
            let data = ImageFolderSpec { folder: "nowhere".into(), ..ImageFolderSpec::default() };
            DataSpec::ImageFolder(data).open(Path::new("/"), &it.view).map(Arc::from)
        };
        assert!(sources.open_by(&wanted(0), missing).is_err());
        sources.open_by(&wanted(0), opened).unwrap();
        for number in 1..KEPT {
            sources.open_by(&wanted(number), opened).unwrap();
        }
        let kept = |it: usize| sources.open_by(&wanted(it), |_| panic!("{it} is open"));
        kept(0).unwrap();
        // One more: that which was not asked for the longest goes.
        sources.open_by(&wanted(KEPT), opened).unwrap();
        kept(0).unwrap();
        kept(2).unwrap();
        assert!(sources.open_by(&wanted(1), missing).is_err(), "it was let go");
    }
}
