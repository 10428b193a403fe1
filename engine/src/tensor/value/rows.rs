//! Choosing rows by integer indices, and adding to them.

use burn::backend::ops::{FloatTensorOps as _, IntTensorOps as _};
use burn::backend::{Dispatch, TensorMetadata as _};
use burn::tensor::IndexingUpdateOp;

use super::Value;

impl Value {
    /// The entries of axis 0 that `rows` (integers of one axis) names, in that order.
    #[must_use]
    pub fn select_rows(self, rows: &Self) -> Self {
        Self(Dispatch::float_select(self.0, 0, rows.0.clone()))
    }

    /// `self` with `values` added at the entries of axis 0 that `rows` names, one after the other.
    #[must_use]
    pub fn add_rows(self, rows: &Self, values: Self) -> Self {
        Self(Dispatch::float_select_assign(self.0, 0, rows.0.clone(), values.0, IndexingUpdateOp::Add))
    }

    /// Integers under another shape.
    #[must_use]
    pub fn reshape_integers(self, shape: &[usize]) -> Self {
        Self(Dispatch::int_reshape(self.0, shape.to_vec().into()))
    }

    /// Whether the two share dtype.
    #[must_use]
    pub fn has_dtype_of(&self, other: &Self) -> bool {
        self.0.dtype() == other.0.dtype()
    }
}
