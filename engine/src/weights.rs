//! Weights in files and in memory: safetensors and PyTorch files (single or sharded), loaded with a report, saved under
//! their names. Files come from anywhere: what one claims is held against what it has before anything is made of it.

mod checkpoint;
mod fit;
mod flax;
mod load;
mod params;
mod pytorch;
mod report;
mod safetensors;
mod save;
mod scan;
mod scenic;
mod shards;

use std::path::{Path, PathBuf};

pub use checkpoint::{Checkpoint, Tensor};
pub use fit::resample_rows;
pub use load::{WeightSource, check, compare, from_params, load};
pub use params::Params;
pub use pytorch::read_pytorch;
pub use report::{LoadReport, Misfit, Resize};
pub use save::{
    StoredTensor, read_integers, read_tensors, read_weights, read_weights_and_bytes, save_model,
    write_stored, write_tensors,
};
pub(crate) use save::{write_atomically, write_atomically_by, write_views};
pub use scan::Scan;

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The folder holds no weights.
    #[error(
        "no weights here; looked for model.safetensors, pytorch_model.bin (or either's .index.json), model.pt, \
         model.pth and Flax's checkpoint: {}", folder.display()
    )]
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
    #[error("not a sound file of weights ({why}): {}", path.display())]
    Format {
        /// What is wrong.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// A tensor is not what its file says, or cannot be used.
    #[error("tensor `{name}` {why}: {}", path.display())]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong with it, as the rest of a sentence.
        why: String,
        /// The file.
        path: PathBuf,
    },
    /// Values that are no numbers.
    #[error(
        "tensor `{name}` holds NaN or infinity, in {count} of its {of} values{}: {}",
        match others {
            0 => String::new(),
            1 => "; so does 1 other tensor".to_owned(),
            _ => format!("; so do {others} other tensors"),
        },
        path.display()
    )]
    NotFinite {
        /// The first such tensor.
        name: String,
        /// How many of its values are not finite.
        count: usize,
        /// How many it has.
        of: usize,
        /// How many other tensors hold such values.
        others: usize,
        /// Its file.
        path: PathBuf,
    },
    /// The model needs tensors that the file does not have.
    #[error(
        "{count} of the model's tensors cannot be taken from the checkpoint; the first is {first}: {}",
        folder.display()
    )]
    Lacking {
        /// How many.
        count: usize,
        /// The first, and why.
        first: String,
        /// The folder.
        folder: PathBuf,
    },
    /// The model is out of all proportion to the file.
    #[error(
        "the model is far larger than its checkpoint: {wanted} values would begin fresh beside {found} from the file; the \
         largest are {largest}, so config.json may be for other weights: {}", folder.display()
    )]
    Disproportionate {
        /// Values that the file does not have.
        wanted: u64,
        /// Values that it has.
        found: u64,
        /// The largest parameter that the file does not have, with its shape.
        largest: String,
        /// The folder.
        folder: PathBuf,
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

fn io(error: std::io::Error, path: &Path) -> WeightsError {
    WeightsError::Io { error, path: path.to_path_buf() }
}

fn unsound(why: &impl std::fmt::Display, path: &Path) -> WeightsError {
    WeightsError::Format { why: why.to_string(), path: path.to_path_buf() }
}

fn refused(name: &str, why: String, path: &Path) -> WeightsError {
    WeightsError::Tensor { name: name.to_owned(), why, path: path.to_path_buf() }
}

fn no_weight(name: &str, dtype: &impl std::fmt::Debug, path: &Path) -> WeightsError {
    refused(name, format!("has dtype {dtype:?}; weights are F64, F32, F16 or BF16"), path)
}
