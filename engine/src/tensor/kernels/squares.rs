//! The sum of a value's squares, without a copy of it.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]

use rayon::prelude::*;

use super::flex::{CHUNK, Plain, value};
use super::simd::{Kernel, dot_row, run};
use crate::tensor::Value;

/// `Σ x²` over all elements, of shape `[1]`. Sums of chunks are added in f64, in order.
#[must_use]
pub fn sum_of_squares(x: &Value) -> Option<Value> {
    let plain = Plain::of(x)?;
    let sums: Vec<f32> = plain.data().par_chunks(CHUNK).map(|chunk| run(Squares(chunk))).collect();
    let sum: f64 = sums.into_iter().map(f64::from).sum();
    #[expect(clippy::cast_possible_truncation, reason = "as burn's own sum is given")]
    Some(value(vec![sum as f32], &[1]))
}

struct Squares<'a>(&'a [f32]);

impl Kernel for Squares<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f32 {
        dot_row::<FUSED>(self.0, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ODD_SIZES, assert_refuses, same_bits, sample};
    use super::sum_of_squares;

    #[test]
    fn is_the_plain_sum() {
        for size in ODD_SIZES.into_iter().chain([100_003]) {
            let x = sample(size, 1, 2.0);
            let expected: f64 = x.to_f64().iter().map(|x| x * x).sum();
            let found = sum_of_squares(&x).unwrap().to_scalar();
            assert!((found / expected - 1.0).abs() < 1e-6, "{size}: {found} {expected}");
            same_bits(|| vec![sum_of_squares(&x).unwrap()]);
        }
    }

    #[test]
    fn refuses_what_is_not_plain_f32() {
        assert_refuses(&[8], |x| sum_of_squares(x).is_none());
    }
}
