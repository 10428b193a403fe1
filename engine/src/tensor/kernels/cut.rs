//! How a product of matrices is cut for several threads, and what it packs meanwhile.

/// Multiply-adds from which several threads pay: burn-flex's own bound.
const WORTH_THREADS: usize = 192 * 192 * 192;

/// Parts of a product begin at multiples of these, which `gemm`'s inner loops take at a time.
pub(super) const ROW_STEP: usize = 6;
pub(super) const COLUMN_STEP: usize = 16;
/// Extents of the smallest tile: with fewer rows `gemm` sums in another order, with fewer columns it is slow.
const LEAST: [usize; 2] = [96, 32];

/// Who computes a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The calling thread.
    Whole,
    /// Each thread a tile.
    Tiles(Grid),
    /// All threads, as `gemm` shares it out.
    ByGemm,
}

/// In how many parts the rows and the columns of a product are computed.
///
/// Left to itself, `gemm` has one thread pack a right operand that is read across, or every thread pack all of it. A
/// tile packs what it needs, on its own thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Cut {
    /// For a product of these rows, inner extent and columns. Operands are across when the elements of a row lie at a
    /// distance from each other.
    pub(super) fn new([rows, inner, columns]: [usize; 3], a_across: bool, b_across: bool) -> Self {
        let threads = rayon::current_num_threads();
        let work = rows.saturating_mul(inner).saturating_mul(columns);
        if threads == 1 || work < WORTH_THREADS {
            return Self::Whole;
        }
        // Each part of the columns reads its rows of `a` again, each part of the rows packs its columns of `b` again.
        let row_cost = rows * if a_across { 3 } else { 1 };
        let column_cost = columns * if b_across { 6 } else { 2 };
        (1..=threads)
            .filter(|rows| threads.is_multiple_of(*rows))
            .map(|rows| Grid { rows, columns: threads / rows })
            .filter(|grid| rows >= grid.rows * LEAST[0] && columns >= grid.columns * LEAST[1])
            .min_by_key(|grid| grid.columns * row_cost + grid.rows * column_cost)
            .map_or(Self::ByGemm, Self::Tiles)
    }
}

/// Starts and lengths of at most `count` parts of `length`, each a multiple of `step` but for the last, and each as long
/// as the others but for a step: none is so short that `gemm` would sum in another order.
pub(super) fn parts(length: usize, count: usize, step: usize) -> Vec<(usize, usize)> {
    let steps = length.div_ceil(step);
    let bound = |part: usize| (steps * part / count * step).min(length);
    (0..count)
        .map(|part| (bound(part), bound(part + 1) - bound(part)))
        .filter(|(_, length)| *length > 0)
        .collect()
}

/// Elements of the inner axis that `gemm` takes at a time, at most.
const INNER: usize = 512;
/// Columns that it packs at a time, and up to which it packs a right operand that is read across as a whole.
const PACKED: [usize; 2] = [64, 1024];
/// Columns from which it packs a left operand that is read across, and one that is read in place.
const PACKS_LEFT: [usize; 2] = [128, 128 * 64];
/// Columns that its inner loops take at the least: with a rest it packs a right operand as if it were read across.
const LANES: usize = 16;

/// Bytes that `gemm` packs operands into while a product is computed, as it does on a processor with AVX-512.
pub(super) fn workspace(extents: [usize; 3], a_across: bool, b_across: bool) -> u64 {
    let [rows, inner, columns] = extents;
    if rows < 2 || columns < 2 || inner < 3 {
        // Those are sums of rows or columns, which need no packing.
        return 0;
    }
    let grid = match Cut::new(extents, a_across, b_across) {
        Cut::Tiles(grid) => grid,
        Cut::Whole | Cut::ByGemm => Grid { rows: 1, columns: 1 },
    };
    let rows = rows.div_ceil(grid.rows).next_multiple_of(ROW_STEP);
    let columns = columns.div_ceil(grid.columns);
    let inner = inner.div_ceil(inner.div_ceil(INNER).max(1));
    let left = if columns > PACKS_LEFT[usize::from(!a_across)] { rows * inner } else { 0 };
    let packs_right = b_across || !columns.is_multiple_of(LANES);
    let right =
        if packs_right && columns <= PACKED[1] { columns.next_multiple_of(PACKED[0]) * inner } else { 0 };
    4 * (grid.rows * grid.columns * (left + right)) as u64
}

#[cfg(test)]
mod tests {
    use super::{Cut, Grid, parts};

    fn on(threads: usize, extents: [usize; 3], a_across: bool, b_across: bool) -> Cut {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Cut::new(extents, a_across, b_across))
    }

    #[test]
    fn packs_as_little_twice_as_it_can() {
        // Forward of a layer over few rows, over many, and the gradient of its weight.
        assert_eq!(on(2, [576, 384, 1536], false, true), Cut::Tiles(Grid { rows: 1, columns: 2 }));
        assert_eq!(on(2, [25_000, 384, 384], false, true), Cut::Tiles(Grid { rows: 2, columns: 1 }));
        assert_eq!(on(2, [1536, 576, 384], true, false), Cut::Tiles(Grid { rows: 2, columns: 1 }));
        assert_eq!(on(4, [2000, 384, 384], false, true), Cut::Tiles(Grid { rows: 2, columns: 2 }));
    }

    #[test]
    fn no_part_is_short() {
        for (length, count, step) in [(1576, 16, 6), (1182, 12, 6), (769, 8, 6), (384, 2, 16), (100, 3, 16)] {
            let parts = parts(length, count, step);
            assert_eq!(parts.iter().map(|(_, part)| part).sum::<usize>(), length);
            assert!(parts.windows(2).all(|pair| pair[0].0 + pair[0].1 == pair[1].0));
            let least = length / count / step * step;
            assert!(parts.iter().all(|(_, part)| *part + step > least), "{length} in {count}: {parts:?}");
        }
    }

    #[test]
    fn small_products_stay_whole_and_flat_ones_are_left_to_gemm() {
        assert_eq!(on(1, [576, 384, 1536], false, true), Cut::Whole);
        assert_eq!(on(8, [100, 100, 100], false, true), Cut::Whole);
        assert_eq!(on(8, [64, 3000, 128], false, true), Cut::ByGemm);
    }
}
