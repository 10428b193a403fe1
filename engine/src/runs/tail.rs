//! Reading a log as it grows.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes that one look reads at most, so that who looks can stop in between.
const CHUNK: u64 = 4 << 20;

/// How far a run's log was read.
#[derive(Clone, Debug)]
pub struct Tail {
    log: PathBuf,
    offset: u64,
}

/// What one look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The log was cut back (the run was resumed): what was read before is void.
    pub again: bool,
    /// Whole lines, without their ends.
    pub lines: Vec<String>,
    /// Whether there is more to read at once.
    pub more: bool,
}

impl Tail {
    /// From the beginning of a run folder's log.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { log: folder.join("events.jsonl"), offset: 0 }
    }

    /// The whole lines since the last look, up to a few MiB of them.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn look(&mut self) -> std::io::Result<Lines> {
        let mut file = File::open(&self.log)?;
        let length = file.metadata()?.len();
        let again = length < self.offset;
        if again {
            self.offset = 0;
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(CHUNK).read_to_end(&mut bytes)?;
        // A line that is still being written is read when it is whole; one longer than a look is none of ours.
        let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if bytes.len() as u64 == CHUNK => bytes.len(),
            None => 0,
        };
        self.offset += whole as u64;
        let text = String::from_utf8_lossy(&bytes[..whole]);
        let lines = text.lines().map(str::to_owned).collect();
        Ok(Lines { again, lines, more: whole > 0 && self.offset < length })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn whole_lines_once_each_and_all_again_after_a_cut() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("events.jsonl");
        let mut tail = Tail::new(folder.path());
        assert!(tail.look().is_err(), "no log yet");
        let mut file = File::create(&log).unwrap();
        write!(file, "one\ntwo\nthr").unwrap();
        assert_eq!(tail.look().unwrap().lines, ["one", "two"]);
        assert_eq!(tail.look().unwrap(), Lines::default());
        writeln!(file, "ee").unwrap();
        assert_eq!(tail.look().unwrap().lines, ["three"]);
        std::fs::write(&log, "one\n").unwrap();
        let found = tail.look().unwrap();
        assert!(found.again);
        assert_eq!(found.lines, ["one"]);
    }
}
