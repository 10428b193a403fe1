//! What a user wrote about a run: tags and a note, in a small file of its folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::weights::write_atomically;

const NAME: &str = "notes.json";

/// Tags and a note.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Anything.
    pub note: String,
}

impl Notes {
    /// What was written about a run; nothing where nothing was, or where it cannot be read.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let text = std::fs::read_to_string(folder.join(NAME)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Writes them, or takes the file away when there is nothing to say.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let path = folder.join(NAME);
        if self.tags.is_empty() && self.note.is_empty() {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        write_atomically(&path, serde_json::to_string_pretty(self)?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_and_nothing_left_of_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Notes::read(folder.path()), Notes::default());
        let notes = Notes { tags: vec!["good".to_owned()], note: "twice".to_owned() };
        notes.write(folder.path()).unwrap();
        assert_eq!(Notes::read(folder.path()), notes);
        Notes::default().write(folder.path()).unwrap();
        assert!(!folder.path().join(NAME).exists());
        Notes::default().write(folder.path()).unwrap();
    }
}
