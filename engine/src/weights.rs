//! Weights in files and in memory: safetensors (single or sharded), loaded with a report, saved under their names.

mod checkpoint;
mod fit;
mod load;
mod params;
mod save;

use std::path::PathBuf;

pub use checkpoint::{Checkpoint, Tensor};
pub use fit::resample_rows;
pub use load::{LoadReport, Misfit, Resize, WeightSource, from_params, load};
pub use params::Params;
pub(crate) use save::write_atomically;
pub use save::{
    StoredTensor, read_bytes, read_integers, read_tensors, save_model, write_stored, write_tensors,
};

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The folder holds no weights.
    #[error("no model.safetensors or model.safetensors.index.json here: {}", folder.display())]
    Missing {
        /// Where.
        folder: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{error}: {}", path.display())]
    Io {
        /// What the system said.
        error: std::io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The file is not what it should be.
    #[error("not a sound safetensors file ({why}): {}", path.display())]
    Format {
        /// What is wrong.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// A tensor of a dtype that cannot be used here.
    #[error("tensor `{name}` has dtype {dtype}, which cannot be read as weights: {}", path.display())]
    Dtype {
        /// The tensor.
        name: String,
        /// Its dtype.
        dtype: String,
        /// The file.
        path: PathBuf,
    },
    /// Not one tensor of the model is in the file.
    #[error(
        "none of the model's {wanted} tensors is in the checkpoint, which holds {found}; the first wanted is \
         `{first}`: {}", folder.display()
    )]
    NothingMatches {
        /// Tensors wanted.
        wanted: usize,
        /// Tensors found.
        found: usize,
        /// One wanted name.
        first: String,
        /// The folder.
        folder: PathBuf,
    },
}
