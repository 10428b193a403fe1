//! Graft's own files behind the same face as the others.

use std::path::Path;

use super::{Adapter, AdapterFormat, Base, FormatError};

/// `adapter.ron` and `adapter.safetensors`: holds every kind.
#[derive(Clone, Copy, Debug)]
pub struct Graft;

impl AdapterFormat for Graft {
    fn word(&self) -> &'static str {
        "graft"
    }

    fn read(&self, folder: &Path, _base: &Base<'_>) -> Result<Adapter, FormatError> {
        Adapter::read(folder).map_err(|error| FormatError::Adapter { error, path: folder.to_path_buf() })
    }

    fn write(&self, adapter: &Adapter, _base: &Base<'_>, folder: &Path) -> Result<(), FormatError> {
        adapter.write(folder).map_err(|error| FormatError::Adapter { error, path: folder.to_path_buf() })
    }
}
