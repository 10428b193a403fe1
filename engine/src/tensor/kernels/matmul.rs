//! Products of whole matrices, written straight into memory that nobody zeroed or copied first.
#![expect(unsafe_code, reason = "the product is written into memory that nobody zeroed first")]

use super::cut::workspace;
use super::flex::{Plain, value};
use super::matrix::{Matrix, MatrixMut};
use crate::tensor::{Value, elements};

/// How one operand of [`matmul`] is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As rows over its last axis: `[…, columns] → [rows, columns]`.
    Rows,
    /// The same, transposed: `[columns, rows]`.
    Columns,
    /// As a weight: `[out, …] → [out, in]`.
    Weight,
    /// The same, transposed: `[in, out]`.
    WeightTransposed,
}

impl Reading {
    fn matrix(self, plain: &Plain) -> Matrix<'_> {
        let shape = plain.shape();
        let rows = match self {
            Self::Rows | Self::Columns => elements(&shape) / plain.width(),
            Self::Weight | Self::WeightTransposed => shape.first().copied().unwrap_or(1),
        };
        let columns = elements(&shape) / rows;
        let matrix = Matrix::new(plain.data(), rows, columns, columns);
        match self {
            Self::Rows | Self::Weight => matrix,
            Self::Columns | Self::WeightTransposed => matrix.transposed(),
        }
    }
}

/// The product of `a` and `b`, each read as a matrix, under `shape`; `bias`, if there, is added to each of its rows.
/// The same bits as burn's own product on `flex`, without its second copy of the output.
///
/// # Panics
/// When the inner extents differ or the product has another number of elements than `shape`: an error in the op.
#[must_use]
pub fn matmul(
    a: (&Value, Reading),
    b: (&Value, Reading),
    bias: Option<&Value>,
    shape: &[usize],
) -> Option<Value> {
    let (plain_a, plain_b) = (Plain::of(a.0)?, Plain::of(b.0)?);
    let plain_bias = match bias {
        Some(bias) => Some(Plain::of(bias)?),
        None => None,
    };
    let (left, right) = (a.1.matrix(&plain_a), b.1.matrix(&plain_b));
    let length = left.rows() * right.columns();
    assert_eq!(length, elements(shape), "a product under the shape {shape:?}");
    let mut data: Vec<f32> = Vec::with_capacity(length);
    let product = MatrixMut::uninit(data.spare_capacity_mut(), left.rows(), right.columns());
    product.write_product(left, right, plain_bias.as_ref().map(Plain::data));
    // SAFETY: the capacity is at least `length`, and `write_product` has written every element of a matrix that
    // covers the first `length` ones.
    unsafe { data.set_len(length) };
    Some(value(data, shape))
}

/// Bytes that [`matmul`] holds beside operands and product, for a product of these rows, inner extent and columns.
#[must_use]
pub fn matmul_workspace(a: Reading, b: Reading, extents: [usize; 3]) -> u64 {
    let across = |reading| matches!(reading, Reading::Columns | Reading::WeightTransposed);
    workspace(extents, across(a), across(b))
}

/// Has every thread make the buffers that it packs matrices into and then keeps: what stands in a process before its
/// first step, whatever the model.
pub fn make_thread_buffers() {
    let side = 512;
    let ones = value(vec![1.0; side * side], &[side, side]);
    drop(matmul((&ones, Reading::Rows), (&ones, Reading::Rows), None, &[side, side]));
    rayon::broadcast(|_| {
        let mut product = vec![0.0; 64 * 64];
        let ones = vec![1.0; 64 * 64];
        let matrix = Matrix::new(&ones, 64, 64, 64);
        MatrixMut::new(&mut product, 64, 64).set_product(matrix, matrix, 1.0, false);
    });
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_refuses, same_bits, sample_of};
    use super::{Reading, matmul};

    #[test]
    fn equals_burns_product_to_the_bit() {
        // The last three are cut into tiles where there are two threads or more.
        let shapes = [
            (1, 1, 1),
            (5, 3, 7),
            (33, 17, 9),
            (7, 300, 2),
            (200, 96, 384),
            (390, 530, 130),
            (101, 1100, 515),
        ];
        for (rows, inner, out) in shapes {
            let x = sample_of(&[rows, 1, inner], 1, 2.0);
            let w = sample_of(&[out, inner], 2, 2.0);
            let dy = sample_of(&[rows, out], 3, 2.0);
            let flat = x.clone().reshape(&[rows, inner]);
            let cases = [
                (
                    matmul((&x, Reading::Rows), (&w, Reading::WeightTransposed), None, &[rows, 1, out]),
                    flat.clone().matmul(w.clone().swap_axes(0, 1)),
                ),
                (
                    matmul((&dy, Reading::Rows), (&w, Reading::Weight), None, &[rows, inner]),
                    dy.clone().matmul(w.clone()),
                ),
                (
                    matmul((&dy, Reading::Columns), (&x, Reading::Rows), None, &[out, inner]),
                    dy.clone().swap_axes(0, 1).matmul(flat),
                ),
            ];
            for (number, (own, burns)) in cases.into_iter().enumerate() {
                let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                assert!(
                    bits(own.unwrap().to_f32()) == bits(burns.to_f32()),
                    "{rows} {inner} {out}: case {number}"
                );
            }
        }
    }

    #[test]
    fn adds_the_bias_to_every_row() {
        for (rows, inner, out) in [(3, 5, 4), (400, 96, 384), (2000, 70, 60)] {
            let (x, w) = (sample_of(&[rows, inner], 1, 2.0), sample_of(&[out, inner], 2, 2.0));
            let bias = sample_of(&[out], 3, 2.0);
            let product = |bias| {
                matmul((&x, Reading::Rows), (&w, Reading::WeightTransposed), bias, &[rows, out]).unwrap()
            };
            let expected = product(None).add(bias.clone().reshape(&[1, out]));
            assert_eq!(product(Some(&bias)).to_f32(), expected.to_f32(), "{rows} {inner} {out}");
        }
    }

    #[test]
    fn reads_further_axes_of_a_weight_as_inner_ones() {
        let (x, w) = (sample_of(&[4, 12], 1, 1.0), sample_of(&[5, 3, 2, 2], 2, 1.0));
        let own = matmul((&x, Reading::Rows), (&w, Reading::WeightTransposed), None, &[4, 5]).unwrap();
        let burns = x.matmul(w.reshape(&[5, 12]).swap_axes(0, 1));
        assert_eq!(own.to_f32(), burns.to_f32());
    }

    #[test]
    fn same_bits_on_any_number_of_threads() {
        // The inner extent is more than `gemm` adds up in one go.
        for (rows, inner, out) in [(513, 201, 305), (300, 1201, 130), (1201, 601, 70), (1576, 768, 48)] {
            let (x, w) = (sample_of(&[rows, inner], 1, 2.0), sample_of(&[out, inner], 2, 2.0));
            let bias = sample_of(&[out], 3, 2.0);
            same_bits(|| {
                let product = |bias| {
                    matmul((&x, Reading::Rows), (&w, Reading::WeightTransposed), bias, &[rows, out]).unwrap()
                };
                vec![product(None), product(Some(&bias))]
            });
        }
    }

    #[test]
    fn refuses_what_is_not_plain_f32() {
        let w = sample_of(&[5, 8], 1, 1.0);
        assert_refuses(&[2, 8], |x| {
            matmul((x, Reading::Rows), (&w, Reading::WeightTransposed), None, &[2, 5]).is_none()
        });
    }
}
