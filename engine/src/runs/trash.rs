//! Deleted runs: moved aside below the runs' folder, where undo finds them, and gone for good after some days.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::lock::is_running;

const NAME: &str = ".trash";

/// A run that was moved aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// Where it was.
    pub from: PathBuf,
    /// Where it is.
    pub to: PathBuf,
}

/// Moves a run folder into the trash of the folder that it is in.
///
/// # Errors
/// When it goes on, or cannot be moved.
pub fn trash(folder: &Path) -> std::io::Result<Trashed> {
    if is_running(folder) {
        let why = "this run is going on; stop it first";
        return Err(std::io::Error::new(std::io::ErrorKind::ResourceBusy, why));
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bin = folder.with_file_name(NAME);
    std::fs::create_dir_all(&bin)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // The time stands in the name: a folder's own time is that of what is in it.
    let to = bin.join(format!("{now}.{name}"));
    std::fs::rename(folder, &to)?;
    Ok(Trashed { from: folder.to_path_buf(), to })
}

impl Trashed {
    /// Moves it back.
    ///
    /// # Errors
    /// When it cannot be moved, or something else is there now.
    pub fn restore(&self) -> std::io::Result<()> {
        if self.from.exists() {
            return Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, "another run has its name"));
        }
        std::fs::rename(&self.to, &self.from)
    }
}

/// Removes for good what has been in the trash for longer than `age`; how many runs that were.
pub fn purge(runs: &Path, age: Duration) -> usize {
    let Ok(entries) = std::fs::read_dir(runs.join(NAME)) else { return 0 };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let old = |path: &Path| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let since = Duration::from_secs(name.split('.').next()?.parse().ok()?);
        (now.saturating_sub(since) > age).then_some(())
    };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| old(path).is_some() && std::fs::remove_dir_all(path).is_ok()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn away_back_and_gone_for_good() {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().join("one");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("events.jsonl"), "{}").unwrap();
        let moved = trash(&folder).unwrap();
        assert!(!folder.exists() && moved.to.is_dir());
        moved.restore().unwrap();
        assert!(folder.join("events.jsonl").is_file());
        let moved = trash(&folder).unwrap();
        assert_eq!(purge(runs.path(), Duration::from_mins(1)), 0, "not yet");
        std::fs::rename(&moved.to, moved.to.with_file_name("1000.one")).unwrap();
        assert_eq!(purge(runs.path(), Duration::from_mins(1)), 1);
        assert!(!moved.to.with_file_name("1000.one").exists());
    }

    #[test]
    fn what_goes_on_stays() {
        let runs = tempfile::tempdir().unwrap();
        let folder = runs.path().join("one");
        std::fs::create_dir(&folder).unwrap();
        let held = super::super::lock::RunLock::take(&folder).unwrap();
        assert!(trash(&folder).unwrap_err().to_string().contains("going on"));
        drop(held);
        trash(&folder).unwrap();
    }
}
