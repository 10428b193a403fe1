//! A stage's settings for the cache.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::CacheError;
use super::shelf::fresh_name;
use crate::graph::Binding;

/// That a stage keeps the values of its frozen prefix, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSpec {
    /// Bytes of values that are held in memory; beyond it they are read from mapped files. While values are
    /// gathered for the next file, up to 16 MiB more are held.
    pub memory_bytes: u64,
    /// Where the files are, relative to the project's folder; `cache` beside the run folders if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
}

impl Default for CacheSpec {
    fn default() -> Self {
        Self { memory_bytes: 512 << 20, folder: None }
    }
}

impl CacheSpec {
    /// The cache of a stage in a run: `base` is the project's folder, `runs` that of the run folders.
    #[must_use]
    pub fn place(&self, base: &Path, runs: &Path, device: &str, binding: Binding) -> CachePlace {
        let folder = self.folder.as_ref().map_or_else(|| runs.join("cache"), |folder| base.join(folder));
        CachePlace { memory_bytes: self.memory_bytes, folder, device: device.to_owned(), binding }
    }
}

impl CachePlace {
    /// Makes the folder and writes something into it, to know that it can be used.
    ///
    /// # Errors
    /// When it cannot.
    pub fn prepare(&self) -> Result<(), CacheError> {
        let io = |error| CacheError::io(error, &self.folder);
        std::fs::create_dir_all(&self.folder).map_err(io)?;
        try_writing(&self.folder).map_err(io)
    }
}

/// Writes a file of one byte and removes it.
fn try_writing(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!("{}.trial", fresh_name()));
    let written = std::fs::write(&path, b"x");
    written.and(std::fs::remove_file(&path))
}

/// Where a stage's cache is, and what else it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePlace {
    /// Bytes of values that are held in memory.
    pub memory_bytes: u64,
    /// Where the files are.
    pub folder: PathBuf,
    /// Name of the device: another one computes other bits.
    pub device: String,
    /// Extents of a batch of one, the largest where they vary: what the cut is priced with.
    pub binding: Binding,
}
