//! Choosing the processor's vector instructions at run time, and the arithmetic kernels share.
//!
//! Kernels are plain loops; compiled once per instruction set inside [`run`], they become vector
//! code. Sums keep [`LANES`] partial sums in a fixed arrangement, so that the compiler may use
//! vectors of any width and the result does not depend on which.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]

use pulp::{Arch, Simd, WithSimd};

/// Partial sums of a reduction.
pub(super) const LANES: usize = 16;

/// A loop to be compiled for each instruction set.
///
/// `FUSED` says whether the processor multiplies and adds in one instruction. `run` must be marked
/// `#[inline(always)]`, and so must all it calls.
pub(super) trait Kernel {
    /// What the loop returns.
    type Output;

    /// Runs the loop.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Runs a kernel with the best instructions of this processor.
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    Arch::new().dispatch(Chosen(kernel))
}

struct Chosen<K>(K);

impl<K: Kernel> WithSimd for Chosen<K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> K::Output {
        if S::IS_SCALAR { self.0.run::<false>() } else { self.0.run::<true>() }
    }
}

/// `a · b + c`, rounded once where the processor can.
#[inline(always)]
pub(super) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Polynomial with the highest power first, by Horner's rule.
#[inline(always)]
pub(super) fn polynomial<const FUSED: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    let mut i = 1;
    while i < N {
        sum = multiply_add::<FUSED>(sum, x, coefficients[i]);
        i += 1;
    }
    sum
}

/// `eˣ` to about 2 units in the last place.
///
/// Below −87.33, where f32 leaves its normal range, it is 0; above 88.37 it is infinite.
/// Not-a-number passes through.
#[inline(always)]
pub(super) fn exp<const FUSED: bool>(x: f32) -> f32 {
    const LOWEST: f32 = -87.33;
    const HIGHEST: f32 = 88.37;
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;

    // Comparisons in this order let a not-a-number through, unlike `clamp` by way of min and max.
    let limited = if x < LOWEST { LOWEST } else { x };
    let limited = if limited > HIGHEST { HIGHEST } else { limited };
    let shifted = multiply_add::<FUSED>(limited, std::f32::consts::LOG2_E, ROUND);
    let power = shifted - ROUND;
    let rest = multiply_add::<FUSED>(power, -LN_2_HIGH, limited);
    let rest = multiply_add::<FUSED>(power, -LN_2_LOW, rest);
    let series = polynomial::<FUSED, 6>(
        rest,
        [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_66, 0.5],
    );
    let fraction = multiply_add::<FUSED>(series, rest * rest, rest) + 1.0;
    let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let inside = if x < LOWEST { 0.0 } else { fraction * scale };
    if x > HIGHEST { f32::INFINITY } else { inside }
}

/// Adds the partial sums in a fixed tree.
#[inline(always)]
pub(super) fn add_lanes(lanes: [f32; LANES]) -> f32 {
    let mut eight = [0.0; 8];
    for i in 0..8 {
        eight[i] = lanes[i] + lanes[i + 8];
    }
    let mut four = [0.0; 4];
    for i in 0..4 {
        four[i] = eight[i] + eight[i + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Sum of `term(element)` over a row.
#[inline(always)]
pub(super) fn sum_row(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for block in blocks {
        for (lane, &element) in lanes.iter_mut().zip(block) {
            *lane += term(element);
        }
    }
    for (lane, &element) in lanes.iter_mut().zip(rest) {
        *lane += term(element);
    }
    add_lanes(lanes)
}

/// Sum of `a · b` over two rows of the same length.
#[inline(always)]
pub(super) fn dot_row<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for i in 0..LANES {
            lanes[i] = multiply_add::<FUSED>(a[i], b[i], lanes[i]);
        }
    }
    for (lane, (&a, &b)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane = multiply_add::<FUSED>(a, b, *lane);
    }
    add_lanes(lanes)
}

/// The elements left over behind the last whole block of a row, the others holding `filler`.
///
/// A loop over a block is one or two vector instructions; over single elements it is many.
#[inline(always)]
pub(super) fn padded(rest: &[f32], filler: f32) -> [f32; LANES] {
    let mut block = [filler; LANES];
    for (lane, &element) in block.iter_mut().zip(rest) {
        *lane = element;
    }
    block
}

/// The larger of two, in one instruction; `b` if it is not a number is passed over.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Largest element of a row; a not-a-number is passed over.
#[inline(always)]
pub(super) fn max_row(row: &[f32]) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for (lane, &element) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, element);
        }
    }
    for (lane, &element) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, element);
    }
    let mut eight = [0.0; 8];
    for i in 0..8 {
        eight[i] = larger(lanes[i], lanes[i + 8]);
    }
    let mut four = [0.0; 4];
    for i in 0..4 {
        four[i] = larger(eight[i], eight[i + 4]);
    }
    larger(larger(four[0], four[2]), larger(four[1], four[3]))
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small counts")]
mod tests {
    use super::{Kernel, exp, run};

    struct Exp<'a>(&'a mut [f32]);
    impl Kernel for Exp<'_> {
        type Output = ();
        #[inline(always)]
        fn run<const FUSED: bool>(self) {
            for x in self.0 {
                *x = exp::<FUSED>(*x);
            }
        }
    }

    #[test]
    fn exp_is_close_over_its_range() {
        let inputs: Vec<f32> = (-87_300..88_300).map(|i| i as f32 * 1e-3 + 1.7e-4).collect();
        let mut outputs = inputs.clone();
        run(Exp(&mut outputs));
        for (&x, &y) in inputs.iter().zip(&outputs) {
            let expected = f64::from(x).exp();
            let error = (f64::from(y) - expected).abs() / expected;
            assert!(error < 2.5e-7, "exp({x}) = {y}, expected {expected}");
            assert!((f64::from(exp::<false>(x)) - expected).abs() / expected < 2.5e-7);
        }
    }

    #[test]
    fn exp_at_the_ends() {
        let mut ends = [f32::NEG_INFINITY, -100.0, 0.0, f32::INFINITY, f32::NAN];
        run(Exp(&mut ends));
        assert_eq!(ends[..3], [0.0, 0.0, 1.0]);
        assert_eq!(ends[3], f32::INFINITY);
        assert!(ends[4].is_nan());
    }
}
