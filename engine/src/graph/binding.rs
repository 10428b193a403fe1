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

    /// With the extents of a column that has this shape.
    ///
    /// # Errors
    /// When the shape has another number of axes, a fixed extent differs, or a name would stand for two values.
    pub fn with_column(self, leaf: &InputLeaf, shape: &[usize]) -> Result<Self, GraphError> {
        let mut bound = self.clone();
        let fits = leaf.extents.len() == shape.len()
            && leaf.extents.iter().zip(shape).all(|(extent, &size)| match extent {
                Extent::Fixed(value) => *value == size,
                Extent::Named(name) => *bound.0.entry(name.clone()).or_insert(size) == size,
            });
        if fits {
            return Ok(bound);
        }
        let wanted: Vec<String> = leaf
            .extents
            .iter()
            .map(|extent| match extent {
                Extent::Fixed(value) => value.to_string(),
                Extent::Named(name) => {
                    self.get(name).map_or_else(|| name.clone(), |size| format!("{name} {size}"))
                }
            })
            .collect();
        Err(GraphError::Column {
            column: leaf.column.clone(),
            found: shape.to_vec(),
            wanted: wanted.join(", "),
        })
    }

    /// With those extents of another binding that this one lacks.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        for (name, value) in other.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// An extent's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    /// A column's shape under this binding.
    ///
    /// # Errors
    /// When one of its names is not bound.
    pub fn shape(&self, leaf: &InputLeaf) -> Result<Shape, GraphError> {
        leaf.extents
            .iter()
            .map(|extent| match extent {
                Extent::Fixed(value) => Ok(*value),
                Extent::Named(name) => self
                    .get(name)
                    .or_else(|| leaf.rows_where.and_then(|_| self.get("batch")))
                    .ok_or_else(|| GraphError::Unbound { name: name.clone(), column: leaf.column.clone() }),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_binds_its_names_or_says_what_was_wanted() {
        let extents = vec![Extent::named("batch"), Extent::Fixed(3), Extent::named("height")];
        let leaf = InputLeaf::floats("pixel_values", extents);
        let bound = Binding::new().with_column(&leaf, &[2, 3, 8]).unwrap();
        assert_eq!((bound.get("batch"), bound.get("height")), (Some(2), Some(8)));
        for wrong in [&[2, 1, 8][..], &[2, 3]] {
            let message = Binding::new().with_column(&leaf, wrong).unwrap_err().to_string();
            assert!(message.contains("pixel_values") && message.contains('3'), "{message}");
        }
        assert!(bound.with_column(&leaf, &[2, 3, 9]).is_err(), "one name, one value");
    }
}
