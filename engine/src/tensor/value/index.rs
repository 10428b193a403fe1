//! Taking and adding rows by integer indices, and writing into a part of an axis.

use burn::backend::ops::{FloatTensorOps as _, IntTensorOps as _};
use burn::backend::{Dispatch, IntDType, Slice, TensorMetadata as _};
use burn::tensor::IndexingUpdateOp;

use super::{Value, signed};
use crate::tensor::elements;

impl Value {
    /// The indices `rows` of `axis`, in their order: that axis then has the extent of `rows`, an integer
    /// tensor of one axis.
    #[must_use]
    pub fn select(self, axis: usize, rows: &Self) -> Self {
        Self(Dispatch::float_select(self.0, axis, rows.0.clone()))
    }

    /// Adds `values` at the indices `rows` of `axis`, one after the other; what `rows` does not name keeps its
    /// bits.
    #[must_use]
    pub fn select_add(self, axis: usize, rows: &Self, values: Self) -> Self {
        let update = IndexingUpdateOp::Add;
        Self(Dispatch::float_select_assign(self.0, axis, rows.0.clone(), values.0, update))
    }

    /// Replaces the indices of `axis` from `start` on by `part`.
    #[must_use]
    pub fn assign(self, axis: usize, start: usize, part: Self) -> Self {
        let length = part.shape()[axis];
        let slices: Vec<Slice> = self
            .shape()
            .iter()
            .enumerate()
            .map(|(i, &extent)| {
                let (from, to) = if i == axis { (start, start + length) } else { (0, extent) };
                Slice::new(signed(from), Some(signed(to)), 1)
            })
            .collect();
        Self(Dispatch::float_slice_assign(self.0, &slices, part.0))
    }

    /// An integer tensor with all its elements along one axis.
    #[must_use]
    pub fn flat_indices(&self) -> Self {
        let count = elements(&self.0.shape());
        Self(Dispatch::int_reshape(self.0.clone(), vec![count].into()))
    }

    /// Rows and columns `[2, k]`, whole numbers held as floats, as integer indices `[k]` into a flattened matrix of so
    /// many columns.
    #[must_use]
    pub fn flat_places(&self, columns: usize) -> Self {
        let count = self.shape()[1];
        let line = |axis: usize| {
            let line = self.clone().narrow(0, axis, 1).reshape(&[count]);
            Dispatch::float_into_int(line.0, IntDType::I64)
        };
        let columns = i64::try_from(columns).unwrap_or(i64::MAX);
        Self(Dispatch::int_add(Dispatch::int_mul_scalar(line(0), columns.into()), line(1)))
    }

    /// Stops the run when one of these integers is no index below `extent`: an `index` (say "id") into
    /// `into` (say "the table").
    ///
    /// # Panics
    /// When an element is negative, or `extent` or more.
    pub fn require_below(&self, extent: usize, index: &str, into: &str) {
        for value in self.to_i64() {
            assert!(
                usize::try_from(value).is_ok_and(|value| value < extent),
                "{index} {value} is out of range: {into} has {extent} rows"
            );
        }
    }
}
