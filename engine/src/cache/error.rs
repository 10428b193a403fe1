//! Why something could not be cached.

use std::path::{Path, PathBuf};

use crate::data::LoadError;
use crate::exec::ExecError;
use crate::graph::GraphError;

/// Why a cache could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A stage asks for a cache and there is nothing that it could hold.
    #[error("nothing can be cached: {why}, or take `cache` out of the stage")]
    Nothing {
        /// Why, and what to do.
        why: String,
    },
    /// The file system refused.
    #[error(
        "the cache cannot be used ({error}); make room, name another `folder` in the stage's `cache`, or take `cache` out: {}",
        path.display()
    )]
    Io {
        /// What it said.
        error: std::io::Error,
        /// The file or folder.
        path: PathBuf,
    },
    /// The graph does not fit the data.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The prefix could not be walked.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The data failed.
    #[error(transparent)]
    Data(#[from] LoadError),
    /// A value that should be there for every sample was not made for some.
    #[error("the value of `{path}` at the cut does not have one row a sample; take `cache` out of the stage")]
    Rows {
        /// The node.
        path: String,
    },
}

impl CacheError {
    pub(super) fn io(error: std::io::Error, path: &Path) -> Self {
        Self::Io { error, path: path.to_path_buf() }
    }
}
