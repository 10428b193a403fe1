//! The file: its bytes, and the tensors that lie in them.

use std::ops::Range;
use std::path::PathBuf;

use safetensors::tensor::{Dtype, Metadata, SafeTensors};

use crate::data::DataError;

/// The file's bytes, and where its tensors lie in them.
pub(super) struct Stored {
    bytes: Vec<u8>,
    /// Where the tensors begin, bytes.
    start: usize,
    metadata: Metadata,
    pub(super) path: PathBuf,
}

/// One tensor of the file.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Where its values lie in the file, bytes. Its length is what `shape` and `dtype` say.
    range: Range<usize>,
}

impl Stored {
    pub(super) fn new(bytes: Vec<u8>, path: PathBuf) -> Result<Self, DataError> {
        match SafeTensors::read_metadata(&bytes) {
            Ok((header, metadata)) => Ok(Self { start: header + 8, metadata, bytes, path }),
            Err(error) => {
                let expected = "an undamaged .safetensors file".to_owned();
                Err(DataError::Layout { expected, found: error.to_string(), path })
            }
        }
    }

    pub(super) fn wrong(&self, expected: impl Into<String>, found: impl Into<String>) -> DataError {
        DataError::Layout { expected: expected.into(), found: found.into(), path: self.path.clone() }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.metadata.info(name).is_some()
    }

    /// The names of all tensors, alphabetically.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.metadata.offset_keys();
        names.sort();
        names
    }

    /// The shape of the tensor `name`, when it is there and has one of `dtypes`.
    pub(super) fn shape(&self, name: &str, dtypes: &[Dtype]) -> Option<&[usize]> {
        let info = self.metadata.info(name)?;
        dtypes.contains(&info.dtype).then_some(&info.shape)
    }

    /// The tensor `name`, when it has one of `dtypes`.
    pub(super) fn tensor(&self, name: &str, dtypes: &[Dtype]) -> Result<Tensor, DataError> {
        let kinds = dtypes.iter().map(Dtype::to_string).collect::<Vec<_>>().join(" or ");
        let Some(info) = self.metadata.info(name) else {
            let names = self.names();
            let found =
                if names.is_empty() { "no tensors".to_owned() } else { format!("only {}", names.join(", ")) };
            return Err(self.wrong(format!("a tensor `{name}` of {kinds}"), found));
        };
        if !dtypes.contains(&info.dtype) {
            return Err(self.wrong(format!("`{name}` of {kinds}"), info.dtype.to_string()));
        }
        let (begin, end) = info.data_offsets;
        Ok(Tensor {
            dtype: info.dtype,
            shape: info.shape.clone(),
            range: self.start + begin..self.start + end,
        })
    }

    /// All bytes of a tensor.
    pub(super) fn all(&self, tensor: &Tensor) -> &[u8] {
        &self.bytes[tensor.range.clone()]
    }

    /// Some of a u8 tensor's values.
    pub(super) fn bytes(&self, tensor: &Tensor, values: Range<usize>) -> &[u8] {
        &self.all(tensor)[values]
    }

    /// Some of an f32 tensor's values.
    pub(super) fn floats(&self, tensor: &Tensor, values: Range<usize>) -> impl Iterator<Item = f32> {
        let stored = self.all(tensor).as_chunks::<4>().0;
        stored[values].iter().map(|bytes| f32::from_le_bytes(*bytes))
    }

    /// Some of an i64 tensor's values.
    pub(super) fn integers(&self, tensor: &Tensor, values: Range<usize>) -> impl Iterator<Item = i64> {
        let stored = self.all(tensor).as_chunks::<8>().0;
        stored[values].iter().map(|bytes| i64::from_le_bytes(*bytes))
    }
}
