//! Opened data, shared by the threads that build and plan: opening may read a whole file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use graft_engine::data::{DataError, DataSpec, Source, View};

/// Sources that are kept.
const KEPT: usize = 4;

type Entry = (DataSpec, View, PathBuf, Arc<dyn Source>);

/// A handle on the opened sources; copies share them.
#[derive(Clone, Default)]
pub struct Sources(Arc<Mutex<Vec<Entry>>>);

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

impl Sources {
    /// The data as a stage reads it; opened unless it is open already.
    ///
    /// # Errors
    /// When the data cannot be opened.
    pub fn open(&self, data: &DataSpec, view: &View, base: &Path) -> Result<Arc<dyn Source>, DataError> {
        // A panic while opening leaves the list as it was.
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = entries.iter().find(|(d, v, b, _)| d == data && v == view && b == base);
        if let Some((_, _, _, source)) = known {
            return Ok(Arc::clone(source));
        }
        let source: Arc<dyn Source> = Arc::from(data.open(base, view)?);
        if entries.len() >= KEPT {
            entries.remove(0);
        }
        entries.push((data.clone(), view.clone(), base.to_path_buf(), Arc::clone(&source)));
        Ok(source)
    }
}
