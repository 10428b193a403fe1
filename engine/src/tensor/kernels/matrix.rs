//! Views of matrices inside larger buffers and their products.
#![expect(unsafe_code, reason = "`gemm` takes pointers, and heads interleave within one buffer")]
#![expect(clippy::cast_possible_wrap, reason = "no buffer is longer than `isize::MAX` bytes")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

use super::bias::AddRow;
use super::cut::{COLUMN_STEP, Cut, Grid, ROW_STEP, parts};
use super::simd::run;

/// A matrix inside a slice: element `(i, j)` is at `i · row_stride + j · column_stride`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `columns` elements next to each other, one row every `row_stride` elements.
    ///
    /// # Panics
    /// When the last element would lie outside `data`.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(extent(rows, columns, row_stride) <= data.len(), "matrix outside its buffer");
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// Number of rows.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub(super) const fn columns(&self) -> usize {
        self.columns
    }

    /// `count` of its rows from `first` on.
    ///
    /// # Panics
    /// When it has fewer.
    fn some_rows(self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.rows, "rows outside their matrix");
        Self { data: &self.data[first * self.row_stride..], rows: count, ..self }
    }

    /// Whether its rows' elements lie at a distance from each other.
    const fn is_across(&self) -> bool {
        self.column_stride != 1
    }

    /// The same matrix with rows and columns exchanged.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix to write to, with exclusive use of its own elements of a buffer it shares with others.
pub(super) struct MatrixMut<'a> {
    pointer: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    exclusive: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `MatrixMut` stands for `&mut` access to elements nobody else has (see the two
// constructors), and `f32` may be written from any thread.
unsafe impl Send for MatrixMut<'_> {}

impl<'a> MatrixMut<'a> {
    /// The whole slice as rows of `columns` elements.
    ///
    /// # Panics
    /// When the slice has another length.
    pub(super) fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "matrix against its buffer");
        let pointer = data.as_mut_ptr();
        Self { pointer, rows, columns, row_stride: columns, exclusive: PhantomData }
    }

    /// The first elements of a buffer that nobody wrote yet, as rows of `columns` elements. They may only be written.
    ///
    /// # Panics
    /// When the buffer is too short.
    pub(super) fn uninit(data: &'a mut [MaybeUninit<f32>], rows: usize, columns: usize) -> Uninit<'a> {
        assert!(data.len() >= rows * columns, "matrix against its buffer");
        let pointer = data.as_mut_ptr().cast();
        Uninit(Self { pointer, rows, columns, row_stride: columns, exclusive: PhantomData })
    }

    /// Cuts `[batch, tokens, heads · width]` into one matrix `[≤ block, width]` for each batch
    /// element, head and block of tokens, in this order.
    ///
    /// # Panics
    /// When the slice has another length.
    pub(super) fn heads(data: &'a mut [f32], layout: &HeadLayout, block: usize) -> Vec<Self> {
        let HeadLayout { batch, tokens, heads, width, row_stride } = *layout;
        assert_eq!(row_stride, heads * width, "heads that are written lie without gaps");
        assert_eq!(data.len(), batch * tokens * row_stride, "heads against their buffer");
        let pointer = data.as_mut_ptr();
        let mut blocks = Vec::with_capacity(batch * heads * tokens.div_ceil(block));
        for element in 0..batch {
            for head in 0..heads {
                for token in (0..tokens).step_by(block) {
                    let rows = block.min(tokens - token);
                    let start = (element * tokens + token) * row_stride + head * width;
                    assert!(start + extent(rows, width, row_stride) <= data.len());
                    // SAFETY: in bounds by the assertion above. Each element of the buffer belongs
                    // to one batch element, head and token, and so to one of the matrices; they
                    // borrow the buffer exclusively for as long as any of them lives.
                    let pointer = unsafe { pointer.add(start) };
                    let exclusive = PhantomData;
                    blocks.push(Self { pointer, rows, columns: width, row_stride, exclusive });
                }
            }
        }
        blocks
    }

    /// Writes `scale · a · b`, or adds it when `add` says so, on this thread alone.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub(super) fn set_product(&mut self, a: Matrix<'_>, b: Matrix<'_>, scale: f32, add: bool) {
        self.multiply(a, b, scale, add, Parallelism::None);
    }

    /// A row, which must have been written or not be read.
    ///
    /// # Panics
    /// When there are fewer.
    fn row(&mut self, index: usize) -> &mut [f32] {
        assert!(index < self.rows, "row outside its matrix");
        // SAFETY: a row lies inside what this matrix has exclusively, and its elements are next to each other.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.add(index * self.row_stride), self.columns) }
    }

    fn multiply(&self, a: Matrix<'_>, b: Matrix<'_>, scale: f32, add: bool, parallelism: Parallelism) {
        assert_eq!((a.rows, b.columns), (self.rows, self.columns), "shape of the product");
        assert_eq!(a.columns, b.rows, "inner extents");
        for m in [&a, &b] {
            let last = reach(m.rows, m.row_stride) + reach(m.columns, m.column_stride);
            assert!(m.rows * m.columns == 0 || last < m.data.len(), "matrix outside its buffer");
        }
        // SAFETY: `gemm` reads elements `(i, j)` of `a` and `b` within their extents, asserted just
        // above to lie inside their slices, and writes those of `self`, asserted in the
        // constructors to lie inside a buffer of which `self` alone has these elements. Strides
        // fit into `isize` as no buffer is longer than that. With `add` unset `gemm` does not read
        // the destination.
        unsafe {
            gemm(
                self.rows,
                self.columns,
                a.columns,
                self.pointer,
                1,
                self.row_stride as isize,
                add,
                a.data.as_ptr(),
                a.column_stride as isize,
                a.row_stride as isize,
                b.data.as_ptr(),
                b.column_stride as isize,
                b.row_stride as isize,
                1.0f32,
                scale,
                false,
                false,
                false,
                parallelism,
            );
        }
    }
}

/// A matrix of elements that nobody wrote yet.
pub(super) struct Uninit<'a>(MatrixMut<'a>);

impl Uninit<'_> {
    /// Writes `a · b` into every element, with `row` added to each row of it, on all threads where that pays. The bits
    /// do not depend on their number.
    ///
    /// # Panics
    /// When the shapes do not fit.
    pub(super) fn write_product(mut self, a: Matrix<'_>, b: Matrix<'_>, row: Option<&[f32]>) {
        match Cut::new([a.rows, a.columns, b.columns], a.is_across(), b.is_across()) {
            Cut::Whole => self.0.multiply(a, b, 1.0, false, Parallelism::None),
            Cut::Tiles(grid) => return self.0.write_tiles(a, b, row, &grid),
            Cut::ByGemm => self.0.multiply(a, b, 1.0, false, Parallelism::Rayon(0)),
        }
        if let Some(row) = row {
            self.0.add_row(row);
        }
    }
}

impl MatrixMut<'_> {
    fn write_tiles(self, a: Matrix<'_>, b: Matrix<'_>, row: Option<&[f32]>, grid: &Grid) {
        assert_eq!((a.rows, b.columns), (self.rows, self.columns), "shape of the product");
        let rows = parts(self.rows, grid.rows, ROW_STEP);
        let columns = parts(self.columns, grid.columns, COLUMN_STEP);
        let mut tiles = Vec::with_capacity(rows.len() * columns.len());
        for (top, height) in rows {
            for &(left, width) in &columns {
                // SAFETY: the parts cover the rows and the columns of `self` without overlap, so each tile lies
                // inside what `self` has exclusively and shares no element with another.
                let pointer = unsafe { self.pointer.add(top * self.row_stride + left) };
                let own = MatrixMut { pointer, rows: height, columns: width, ..self };
                let right = b.transposed().some_rows(left, width).transposed();
                tiles.push((own, a.some_rows(top, height), right, row.map(|row| &row[left..][..width])));
            }
        }
        tiles.into_par_iter().with_max_len(1).for_each(|(mut own, a, b, row)| {
            own.multiply(a, b, 1.0, false, Parallelism::None);
            if let Some(row) = row {
                own.add_row(row);
            }
        });
    }

    /// Adds a row to each of its rows, which all have been written.
    ///
    /// # Panics
    /// When the row has another length.
    fn add_row(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.columns, "a row for a matrix");
        for index in 0..self.rows {
            run(AddRow { rows: self.row(index), row });
        }
    }
}

/// How heads lie in a buffer: `[batch, tokens, heads · width]`, one token every `row_stride` elements.
#[derive(Clone, Copy)]
pub(super) struct HeadLayout {
    pub(super) batch: usize,
    pub(super) tokens: usize,
    pub(super) heads: usize,
    pub(super) width: usize,
    pub(super) row_stride: usize,
}

impl HeadLayout {
    /// `count` tokens from `first` on of one head of one batch element: `[count, width]`.
    pub(super) fn head<'a>(
        &self,
        data: &'a [f32],
        element: usize,
        head: usize,
        first: usize,
        count: usize,
    ) -> Matrix<'a> {
        let start = (element * self.tokens + first) * self.row_stride + head * self.width;
        Matrix::new(&data[start..], count, self.width, self.row_stride)
    }
}

/// Elements from the first to the last of a matrix with adjacent columns.
fn extent(rows: usize, columns: usize, row_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + columns }
}

/// Distance from the first to the last of `count` elements.
fn reach(count: usize, stride: usize) -> usize {
    count.saturating_sub(1) * stride
}

#[cfg(test)]
mod tests {
    use super::super::testing::numbers;
    use super::{HeadLayout, Matrix, MatrixMut};

    #[test]
    fn products_of_heads() {
        let layout = HeadLayout { batch: 2, tokens: 5, heads: 3, width: 4, row_stride: 12 };
        let (a, b) = (numbers(2 * 5 * 12, 1, 1.0), numbers(12, 2, 1.0));
        let mut output = vec![f32::NAN; 2 * 5 * 12];
        let blocks = MatrixMut::heads(&mut output, &layout, 2);
        assert_eq!(blocks.len(), 2 * 3 * 3);
        let right = Matrix::new(&b, 3, 4, 4);
        let right = Matrix { rows: 4, columns: 3, ..right }; // `[4, 3]` of the first rows
        let right = Matrix { row_stride: 3, ..right };
        for (index, mut block) in blocks.into_iter().enumerate() {
            let (element, head, first) = (index / 9, index / 3 % 3, index % 3 * 2);
            let count = block.rows;
            let left = layout.head(&a, element, head, first, count);
            let mut middle = vec![0.0; count * 3];
            MatrixMut::new(&mut middle, count, 3).set_product(left, right, 2.0, false);
            let middle = Matrix::new(&middle, count, 3, 3);
            block.set_product(middle, right.transposed(), 0.5, false);
            block.set_product(middle, right.transposed(), 0.5, true);
        }
        for (row, (left, actual)) in a.chunks(4).zip(output.chunks(4)).enumerate() {
            for j in 0..4 {
                let expected: f32 = (0..3)
                    .map(|k| 2.0 * (0..4).map(|i| left[i] * b[i * 3 + k]).sum::<f32>() * b[j * 3 + k])
                    .sum();
                assert!((actual[j] - expected).abs() < 1e-5, "row {row} column {j}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "matrix outside its buffer")]
    fn a_matrix_must_fit_its_buffer() {
        let _ = Matrix::new(&[0.0; 10], 3, 2, 5);
    }

    #[test]
    #[should_panic(expected = "inner extents")]
    fn shapes_must_fit() {
        let (a, b) = ([0.0; 6], [0.0; 6]);
        let mut c = [0.0; 9];
        let (a, b) = (Matrix::new(&a, 3, 2, 2), Matrix::new(&b, 2, 3, 3).transposed());
        MatrixMut::new(&mut c[..6], 3, 2).set_product(a, b, 1.0, false);
    }
}
