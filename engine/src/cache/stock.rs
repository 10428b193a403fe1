//! What a cache's folder holds, by key, and taking out of it what nothing has used for long.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::CacheError;

/// A file beside the segments of a key: what the values are, for people. Its time is that of the last use.
const NOTE: &str = "used.txt";

/// The values of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stock {
    /// Their folder, named by the key.
    pub path: PathBuf,
    /// What they are: the split, and the node or column.
    pub of: String,
    /// Bytes of their files.
    pub bytes: u64,
    /// Seconds since a run used them last.
    pub unused_secs: u64,
}

/// Notes that the values of a key are used now. It does no harm where that cannot be written.
pub(super) fn note_use(folder: &Path, of: &str) {
    drop(std::fs::write(folder.join(NOTE), of));
}

/// Whether this is that note.
pub(super) fn is_note(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == NOTE)
}

/// What a cache's folder holds, the largest first; nothing where there is no such folder.
///
/// # Errors
/// When it cannot be listed.
pub fn stock(folder: &Path) -> Result<Vec<Stock>, CacheError> {
    let io = |error| CacheError::io(error, folder);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)?.flatten() {
        let path = entry.path();
        if is_key(&path) {
            found.push(stock_of(path));
        }
    }
    found.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    Ok(found)
}

/// Takes the values of a key out. A run that has them open goes on with them.
///
/// # Errors
/// When they cannot be removed.
pub fn take_out(stock: &Stock) -> Result<(), CacheError> {
    std::fs::remove_dir_all(&stock.path).map_err(|error| CacheError::io(error, &stock.path))
}

/// Whether a folder is named by a key: nothing else that somebody put there is touched.
fn is_key(path: &Path) -> bool {
    let named = |name: &str| name.len() == 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    path.is_dir() && path.file_name().and_then(|name| name.to_str()).is_some_and(named)
}

fn stock_of(path: PathBuf) -> Stock {
    let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
    let (mut bytes, mut last) = (0, SystemTime::UNIX_EPOCH);
    for metadata in entries.filter_map(|entry| entry.metadata().ok()) {
        bytes += metadata.len();
        last = last.max(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH));
    }
    let unused = SystemTime::now().duration_since(last).unwrap_or(Duration::ZERO);
    // Values of an earlier build have no note.
    let of = std::fs::read_to_string(path.join(NOTE)).unwrap_or_else(|_| "unknown".to_owned());
    Stock { of, bytes, unused_secs: unused.as_secs(), path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_that_a_key_names_are_listed_and_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(stock(&folder.path().join("none")).unwrap(), []);
        let key = |digit: &str| folder.path().join(digit.repeat(40));
        for (digit, bytes) in [("a", 10), ("b", 2000)] {
            std::fs::create_dir(key(digit)).unwrap();
            std::fs::write(key(digit).join("0.segment"), vec![0; bytes]).unwrap();
        }
        note_use(&key("b"), "train, model.cls");
        std::fs::create_dir(folder.path().join("holiday pictures")).unwrap();
        let found = stock(folder.path()).unwrap();
        assert_eq!(found.iter().map(|stock| stock.bytes).collect::<Vec<_>>(), [2016, 10]);
        assert_eq!([found[0].of.as_str(), found[1].of.as_str()], ["train, model.cls", "unknown"]);
        assert!(found[0].unused_secs < 60);
        take_out(&found[0]).unwrap();
        assert!(!key("b").exists() && key("a").exists() && folder.path().join("holiday pictures").exists());
    }
}
