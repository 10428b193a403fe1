//! Whether a run folder is being written by a process that lives: a lock that the system drops with the process.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

const NAME: &str = "running.lock";
/// Looking at a lock takes it for a moment; so often a run asks again before it believes that another one goes on.
const TRIES: u32 = 20;

/// Held while a run goes on.
#[derive(Debug)]
pub(super) struct RunLock {
    path: PathBuf,
    _file: File,
}

impl RunLock {
    /// Takes the lock of a run folder; `None` when another run holds it. Where the system has no locks there is none
    /// to hold, and that is no reason not to train.
    pub(super) fn take(folder: &Path) -> std::io::Result<Option<Self>> {
        let path = folder.join(NAME);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(Some(Self { path, _file: file })),
            }
        }
        Ok(None)
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // What is left of it would say nothing: the lock itself is gone.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Whether a run goes on in this folder, in this process or another one.
#[must_use]
pub fn is_running(folder: &Path) -> bool {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(folder.join(NAME)) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_running_as_long_as_its_lock_is_held() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_running(folder.path()));
        let held = RunLock::take(folder.path()).unwrap().unwrap();
        assert!(is_running(folder.path()));
        assert!(RunLock::take(folder.path()).unwrap().is_none(), "one run at a time");
        drop(held);
        assert!(!is_running(folder.path()));
        // What a killed process leaves behind is a file without a lock.
        std::fs::write(folder.path().join(NAME), "").unwrap();
        assert!(!is_running(folder.path()));
    }
}
