//! A bias that is added to every row, and its gradient.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]

use rayon::prelude::*;

use super::flex::{Plain, value};
use super::simd::{Kernel, run};
use crate::tensor::Value;

/// Adds a row to each of some rows.
pub(super) struct AddRow<'a> {
    pub(super) rows: &'a mut [f32],
    pub(super) row: &'a [f32],
}

impl Kernel for AddRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for row in self.rows.chunks_exact_mut(self.row.len()) {
            for (element, &addend) in row.iter_mut().zip(self.row) {
                *element += addend;
            }
        }
    }
}

/// Rows that are added up before their sum is added to the others': long sums lose digits.
const ROWS: usize = 64;
/// Columns of a task.
const COLUMNS: usize = 128;

/// Sum over all axes but the last: `[…, width] → [width]`.
#[must_use]
pub fn sum_rows(x: &Value) -> Option<Value> {
    let plain = Plain::of(x)?;
    let (data, width) = (plain.data(), plain.width());
    let mut sums = vec![0.0; width];
    let task = |index: usize, sums: &mut [f32]| run(SumColumns { data, width, first: index * COLUMNS, sums });
    if data.len() <= ROWS * COLUMNS {
        sums.chunks_mut(COLUMNS).enumerate().for_each(|(index, sums)| task(index, sums));
    } else {
        sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(index, sums)| task(index, sums));
    }
    Some(value(sums, &[width]))
}

struct SumColumns<'a> {
    data: &'a [f32],
    width: usize,
    first: usize,
    sums: &'a mut [f32],
}

impl Kernel for SumColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let count = self.sums.len();
        for rows in self.data.chunks(ROWS * self.width) {
            let mut part = [0.0f32; COLUMNS];
            for row in rows.chunks_exact(self.width) {
                for (sum, &element) in part[..count].iter_mut().zip(&row[self.first..][..count]) {
                    *sum += element;
                }
            }
            for (sum, part) in self.sums.iter_mut().zip(part) {
                *sum += part;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, assert_refuses, same_bits, sample_of};
    use super::sum_rows;

    #[test]
    fn equals_burns_sum() {
        for (rows, width) in [(1, 1), (5, 7), (200, 33), (130, 128), (701, 300)] {
            let x = sample_of(&[rows, 1, width], 1, 3.0);
            let expected = x.clone().cast(burn::tensor::FloatDType::F64).reshape(&[rows, width]).sum_axis(0);
            assert_close(&sum_rows(&x).unwrap().to_f64(), &expected.to_f64(), 1e-5);
        }
    }

    #[test]
    fn takes_views() {
        let view = sample_of(&[6, 8], 1, 3.0).narrow(1, 2, 4);
        assert_close(&sum_rows(&view).unwrap().to_f64(), &view.sum_axis(0).to_f64(), 1e-5);
    }

    #[test]
    fn same_bits_over_many_columns() {
        let x = sample_of(&[301, 701], 1, 4.0);
        same_bits(|| vec![sum_rows(&x).unwrap()]);
    }

    #[test]
    fn refuses_what_is_not_plain_f32() {
        assert_refuses(&[2, 8], |x| sum_rows(x).is_none());
    }
}
