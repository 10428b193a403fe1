//! The logistic function and what gates by it: `SiLU` and `SwiGLU`, forward and gradient.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]

use super::flex::{CHUNK, Plain, build_elements, rows_per_task, value};
use super::simd::{Kernel, exp, multiply_add, run};
use crate::tensor::Value;

/// `1/(1 + e⁻ˣ)` of every element.
#[must_use]
pub fn sigmoid(x: &Value) -> Option<Value> {
    each(x, |x, y| run(Gate { x, y, by_input: false }))
}

/// `x/(1 + e⁻ˣ)` of every element.
#[must_use]
pub fn silu(x: &Value) -> Option<Value> {
    each(x, |x, y| run(Gate { x, y, by_input: true }))
}

fn each(x: &Value, work: impl Fn(&[f32], &mut [f32]) + Sync) -> Option<Value> {
    let x = Plain::of(x)?;
    let input = x.data();
    let output = build_elements(input.len(), CHUNK, |index, output| {
        work(&input[index * CHUNK..][..output.len()], output);
    });
    Some(value(output, &x.shape()))
}

/// Gradient with respect to `x` of [`silu`], from `x` and the gradient `dy` of the output.
#[must_use]
pub fn silu_vjp(x: &Value, dy: &Value) -> Option<Value> {
    let (x, dy) = (Plain::of(x)?, Plain::of(dy)?);
    if x.shape() != dy.shape() {
        return None;
    }
    let (input, upstream) = (x.data(), dy.data());
    let output = build_elements(input.len(), CHUNK, |index, dx| {
        let part = index * CHUNK..index * CHUNK + dx.len();
        run(Slope { x: &input[part.clone()], dy: &upstream[part], dx });
    });
    Some(value(output, &x.shape()))
}

/// `silu(a) · b` of rows `[.., 2 · width]` that hold `a` and then `b`: `[.., width]`.
#[must_use]
pub fn swiglu(x: &Value) -> Option<Value> {
    let x = Plain::of(x)?;
    let (input, width) = (x.data(), x.width() / 2);
    if x.width() % 2 != 0 {
        return None;
    }
    let rows = rows_per_task(2 * width);
    let output = build_elements(input.len() / 2, rows * width, |index, y| {
        let x = &input[index * rows * 2 * width..][..2 * y.len()];
        run(Gated { x, y, width });
    });
    let mut shape = x.shape();
    if let Some(last) = shape.last_mut() {
        *last = width;
    }
    Some(value(output, &shape))
}

/// Gradient with respect to `x` of [`swiglu`], from `x` and the gradient `dy` of the output.
#[must_use]
pub fn swiglu_vjp(x: &Value, dy: &Value) -> Option<Value> {
    let (x, dy) = (Plain::of(x)?, Plain::of(dy)?);
    let (input, upstream, width) = (x.data(), dy.data(), dy.width());
    if x.width() != 2 * width || input.len() != 2 * upstream.len() {
        return None;
    }
    let rows = rows_per_task(2 * width);
    let output = build_elements(input.len(), rows * 2 * width, |index, dx| {
        let x = &input[index * rows * 2 * width..][..dx.len()];
        let dy = &upstream[index * rows * width..][..dx.len() / 2];
        run(GatedSlope { x, dy, dx, width });
    });
    Some(value(output, &x.shape()))
}

#[inline(always)]
fn logistic<const FUSED: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FUSED>(-x))
}

/// `d silu / dx` and `silu` itself: `s · (1 + x · (1 − s))`. `s · (1 − s)` comes first, as it is 0 where `x` is large.
#[inline(always)]
fn slope<const FUSED: bool>(x: f32) -> (f32, f32) {
    let s = logistic::<FUSED>(x);
    (multiply_add::<FUSED>(s * (1.0 - s), x, s), s * x)
}

struct Gate<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    by_input: bool,
}

impl Kernel for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let pairs = self.y.iter_mut().zip(self.x);
        if self.by_input {
            pairs.for_each(|(y, &x)| *y = x * logistic::<FUSED>(x));
        } else {
            pairs.for_each(|(y, &x)| *y = logistic::<FUSED>(x));
        }
    }
}

struct Slope<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Slope<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (dx, (&x, &dy)) in self.dx.iter_mut().zip(self.x.iter().zip(self.dy)) {
            *dx = dy * slope::<FUSED>(x).0;
        }
    }
}

struct Gated<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    width: usize,
}

impl Kernel for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let rows = self.x.chunks_exact(2 * self.width).zip(self.y.chunks_exact_mut(self.width));
        for (row, y) in rows {
            let (gate, factor) = row.split_at(self.width);
            for (y, (&a, &b)) in y.iter_mut().zip(gate.iter().zip(factor)) {
                *y = a * logistic::<FUSED>(a) * b;
            }
        }
    }
}

struct GatedSlope<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    width: usize,
}

impl Kernel for GatedSlope<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let rows = self.x.chunks_exact(2 * self.width).zip(self.dx.chunks_exact_mut(2 * self.width));
        for ((row, dx), dy) in rows.zip(self.dy.chunks_exact(self.width)) {
            let (gate, factor) = row.split_at(self.width);
            let (d_gate, d_factor) = dx.split_at_mut(self.width);
            for i in 0..self.width {
                let (bend, silu) = slope::<FUSED>(gate[i]);
                d_gate[i] = dy[i] * factor[i] * bend;
                d_factor[i] = dy[i] * silu;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        ODD_SIZES, assert_close, assert_refuses, gradient_check, same_bits, sample, sample_of,
    };
    use super::{sigmoid, silu, silu_vjp, swiglu, swiglu_vjp};

    fn wide(x: f64) -> f64 {
        1.0 / (1.0 + (-x).exp())
    }

    #[test]
    fn against_plain_formulas_over_odd_sizes() {
        for size in ODD_SIZES {
            let x = sample(size, 1, 30.0);
            let expected: Vec<f64> = x.to_f64().iter().map(|x| wide(*x)).collect();
            assert_close(&sigmoid(&x).unwrap().to_f64(), &expected, 5e-7);
            let expected: Vec<f64> = x.to_f64().iter().map(|x| x * wide(*x)).collect();
            assert_close(&silu(&x).unwrap().to_f64(), &expected, 5e-7);
            let rows = sample_of(&[3, 2 * size], 2, 4.0);
            let expected: Vec<f64> = rows
                .to_f64()
                .chunks(2 * size)
                .flat_map(|row| (0..size).map(|i| row[i] * wide(row[i]) * row[size + i]).collect::<Vec<_>>())
                .collect();
            assert_close(&swiglu(&rows).unwrap().to_f64(), &expected, 1e-6);
        }
    }

    #[test]
    fn gradients_against_finite_differences() {
        let (x, dy) = (sample(301, 1, 6.0), sample(301, 2, 1.0));
        let upstream = dy.to_f64();
        let loss = |x: &[f64]| x.iter().zip(&upstream).map(|(x, dy)| x * wide(*x) * dy).sum::<f64>();
        gradient_check(loss, &x, &silu_vjp(&x, &dy).unwrap(), 2e-6);
        let (x, dy) = (sample_of(&[4, 14], 3, 3.0), sample_of(&[4, 7], 4, 1.0));
        let upstream = dy.to_f64();
        let loss = |x: &[f64]| {
            let rows = x.chunks(14).zip(upstream.chunks(7));
            rows.map(|(row, dy)| (0..7).map(|i| row[i] * wide(row[i]) * row[7 + i] * dy[i]).sum::<f64>())
                .sum()
        };
        gradient_check(loss, &x, &swiglu_vjp(&x, &dy).unwrap(), 2e-6);
    }

    #[test]
    fn far_out_stays_finite_and_bits_do_not_depend_on_threads() {
        let ends = super::value(vec![-1e30, -200.0, 0.0, 200.0, 1e30], &[5]);
        assert_eq!(sigmoid(&ends).unwrap().to_f32(), [0.0, 0.0, 0.5, 1.0, 1.0]);
        let ones = super::value(vec![1.0; 5], &[5]);
        assert!(silu_vjp(&ends, &ones).unwrap().to_f32().iter().all(|x| x.is_finite()));
        let (x, dy) = (sample_of(&[999, 202], 1, 4.0), sample_of(&[999, 101], 2, 1.0));
        same_bits(|| vec![silu(&x).unwrap(), swiglu(&x).unwrap(), swiglu_vjp(&x, &dy).unwrap()]);
    }

    #[test]
    fn refuses_what_is_not_plain_f32() {
        assert_refuses(&[8], |x| sigmoid(x).is_none());
        assert_refuses(&[2, 8], |x| swiglu(x).is_none());
    }
}
