//! Concrete extents for a walk: nothing symbolic is ever solved.

use std::collections::BTreeMap;

use super::{GraphError, InputLeaf};
use crate::tensor::Shape;

/// One extent of an input column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Bound by name per walk: `batch`, `frames`, `height`, `width`.
    Named(String),
    /// The same for every batch.
    Fixed(usize),
}

impl Extent {
    /// A named extent.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::Named(name.to_owned())
    }
}

/// Values of the named extents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding(BTreeMap<String, usize>);

impl Binding {
    /// An empty binding.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more extent.
    #[must_use]
    pub fn with(mut self, name: &str, value: usize) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// An extent's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    pub(super) fn shape(&self, leaf: &InputLeaf) -> Result<Shape, GraphError> {
        leaf.extents
            .iter()
            .map(|extent| match extent {
                Extent::Fixed(value) => Ok(*value),
                Extent::Named(name) => self
                    .get(name)
                    .ok_or_else(|| GraphError::Unbound { name: name.clone(), column: leaf.column.clone() }),
            })
            .collect()
    }
}
