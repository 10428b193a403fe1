//! Layer normalisation over the last axis and its gradients.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "extents are small, and constants worked out in f64 are used in f32"
)]

use super::flex::{Plain, build, build_elements, rows_per_task, value};
use super::simd::{Kernel, LANES, add_lanes, multiply_add, padded, run, sum_row};
use crate::tensor::Value;

/// Rows that share one partial sum of the gradients of `gamma` and `beta`, at least: fewer would
/// make the partial sums of wide rows as large as the input.
const ROWS_PER_PARTIAL: usize = 32;

/// `(x − mean) / √(variance + epsilon) · gamma + beta` over the last axis, with the variance
/// divided by the number of elements: `x` `[.., width]`, `gamma` and `beta` `[width]`.
#[must_use]
pub fn layer_norm(x: &Value, gamma: &Value, beta: &Value, epsilon: f64) -> Option<Value> {
    let (x, gamma, beta) = (Plain::of(x)?, Plain::of(gamma)?, Plain::of(beta)?);
    let width = x.width();
    if gamma.shape() != [width] || beta.shape() != [width] {
        return None;
    }
    let input = x.data();
    let chunk = rows_per_task(width) * width;
    let output = build_elements(input.len(), chunk, |index, output| {
        let input = &input[index * chunk..][..output.len()];
        run(Forward { input, output, gamma: gamma.data(), beta: beta.data(), epsilon });
    });
    Some(value(output, &x.shape()))
}

/// Gradients with respect to `x` `[.., width]`, `gamma` `[width]` and `beta` `[width]`, those that
/// are `wanted`, from the input of the forward pass and the gradient `dy` `[.., width]` of its
/// output.
#[must_use]
pub fn layer_norm_vjp(
    x: &Value,
    gamma: &Value,
    dy: &Value,
    epsilon: f64,
    wanted: [bool; 3],
) -> Option<[Option<Value>; 3]> {
    let (x, gamma, dy) = (Plain::of(x)?, Plain::of(gamma)?, Plain::of(dy)?);
    let width = x.width();
    if gamma.shape() != [width] || dy.shape() != x.shape() {
        return None;
    }
    let chunk = rows_per_task(width).max(ROWS_PER_PARTIAL) * width;
    let (input, upstream, gamma) = (x.data(), dy.data(), gamma.data());
    let [dx_wanted, gamma_wanted, beta_wanted] = wanted;
    let sums_wanted = gamma_wanted || beta_wanted;
    let task = |start: usize, length: usize, gradient: Option<&mut [f32]>| {
        let mut sums = vec![0.0f32; if sums_wanted { 2 * width } else { 0 }];
        run(Backward {
            input: &input[start..][..length],
            upstream: &upstream[start..][..length],
            gamma,
            epsilon,
            gradient,
            sums: sums_wanted.then(|| sums.split_at_mut(width)),
        });
        sums
    };
    let (dx, partials) = if dx_wanted {
        let (dx, partials) =
            build(input.len(), chunk, |index, gradient| task(index * chunk, gradient.len(), Some(gradient)));
        (Some(value(dx, &x.shape())), partials)
    } else if sums_wanted {
        use rayon::prelude::*;
        let starts = (0..input.len().div_ceil(chunk)).into_par_iter().map(|index| index * chunk);
        let partials = starts.map(|start| task(start, chunk.min(input.len() - start), None)).collect();
        (None, partials)
    } else {
        (None, Vec::new())
    };
    let mut sums = vec![0.0f32; 2 * width];
    for partial in &partials {
        for (sum, part) in sums.iter_mut().zip(partial) {
            *sum += part;
        }
    }
    let beta_sum = sums.split_off(width);
    Some([dx, gamma_wanted.then(|| value(sums, &[width])), beta_wanted.then(|| value(beta_sum, &[width]))])
}

/// Mean of a row and 1 over its standard deviation, in two passes: the squares are taken of
/// differences from the mean, so that a large mean costs no digits.
#[inline(always)]
fn statistics(row: &[f32], epsilon: f64) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = sum_row(row, |x| x) / count;
    let variance = sum_row(row, |x| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + epsilon as f32).sqrt())
}

struct Forward<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f64,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let width = self.gamma.len();
        let rows = self.input.chunks_exact(width);
        for (row, output) in rows.zip(self.output.chunks_exact_mut(width)) {
            let (mean, scale) = statistics(row, self.epsilon);
            let weights = self.gamma.iter().zip(self.beta);
            for ((y, &x), (&gamma, &beta)) in output.iter_mut().zip(row).zip(weights) {
                *y = multiply_add::<FUSED>((x - mean) * scale, gamma, beta);
            }
        }
    }
}

struct Backward<'a> {
    input: &'a [f32],
    upstream: &'a [f32],
    gamma: &'a [f32],
    epsilon: f64,
    /// Receives the gradient of the input.
    gradient: Option<&'a mut [f32]>,
    /// Gradients of gamma and beta, to be added to.
    sums: Option<(&'a mut [f32], &'a mut [f32])>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) {
        let width = self.gamma.len();
        let rows = self.input.chunks_exact(width).zip(self.upstream.chunks_exact(width));
        for (index, (row, upstream)) in rows.enumerate() {
            let (mean, scale) = statistics(row, self.epsilon);
            if let Some((gamma, beta)) = &mut self.sums {
                let sums = gamma.iter_mut().zip(beta.iter_mut());
                for ((gamma, beta), (&x, &dy)) in sums.zip(row.iter().zip(upstream)) {
                    *gamma = multiply_add::<FUSED>(dy, (x - mean) * scale, *gamma);
                    *beta += dy;
                }
            }
            if let Some(gradient) = &mut self.gradient {
                let gradient = &mut gradient[index * width..][..width];
                input_gradient::<FUSED>(row, upstream, self.gamma, mean, scale, gradient);
            }
        }
    }
}

/// `scale · (g − mean(g) − n · mean(g · n))` with `g = dy · gamma` and the normalised input `n`.
#[inline(always)]
fn input_gradient<const FUSED: bool>(
    row: &[f32],
    upstream: &[f32],
    gamma: &[f32],
    mean: f32,
    scale: f32,
    gradient: &mut [f32],
) {
    let mut sums = ([0.0; LANES], [0.0; LANES]);
    let (row_blocks, row_rest) = row.as_chunks();
    let (upstream_blocks, upstream_rest) = upstream.as_chunks();
    let (gamma_blocks, gamma_rest) = gamma.as_chunks();
    for ((row, upstream), gamma) in row_blocks.iter().zip(upstream_blocks).zip(gamma_blocks) {
        add_block::<FUSED>(row, upstream, gamma, mean, scale, &mut sums);
    }
    if !row_rest.is_empty() {
        // The padded gradients are 0 and so add nothing.
        let (row, upstream) = (padded(row_rest, 0.0), padded(upstream_rest, 0.0));
        let gamma = padded(gamma_rest, 0.0);
        add_block::<FUSED>(&row, &upstream, &gamma, mean, scale, &mut sums);
    }
    let (plain, weighted) = sums;
    let count = row.len() as f32;
    let plain = add_lanes(plain) / count;
    let weighted = add_lanes(weighted) / count;
    let pairs = row.iter().zip(upstream).zip(gamma);
    for (dx, ((&x, &dy), &gamma)) in gradient.iter_mut().zip(pairs) {
        let normalised = (x - mean) * scale;
        *dx = scale * multiply_add::<FUSED>(-normalised, weighted, dy * gamma - plain);
    }
}

/// Adds `g` to the first sums and `g · n` to the second.
#[inline(always)]
fn add_block<const FUSED: bool>(
    row: &[f32; LANES],
    upstream: &[f32; LANES],
    gamma: &[f32; LANES],
    mean: f32,
    scale: f32,
    (plain, weighted): &mut ([f32; LANES], [f32; LANES]),
) {
    for i in 0..LANES {
        let g = upstream[i] * gamma[i];
        plain[i] += g;
        weighted[i] = multiply_add::<FUSED>(g, (row[i] - mean) * scale, weighted[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        assert_close, assert_refuses, device, gradient_check, same_bits, sample, sample_of,
    };
    use super::{layer_norm, layer_norm_vjp};
    use crate::tensor::Value;

    const EPSILON: f64 = 1e-5;

    fn reference(x: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
        let width = gamma.len();
        x.chunks(width)
            .flat_map(|row| {
                let mean = row.iter().sum::<f64>() / width as f64;
                let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
                let scale = 1.0 / (variance + EPSILON).sqrt();
                let weights = gamma.iter().zip(beta);
                row.iter().zip(weights).map(|(v, (g, b))| (v - mean) * scale * g + b).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn forward_against_f64_and_burn() {
        for (rows, width) in [(5, 1), (3, 7), (9, 33), (700, 97), (3, 20_001)] {
            let x = sample_of(&[rows, width], 1, 3.0);
            let (gamma, beta) = (sample(width, 2, 2.0), sample(width, 3, 1.0));
            let y = layer_norm(&x, &gamma, &beta, EPSILON).unwrap();
            let expected = reference(&x.to_f64(), &gamma.to_f64(), &beta.to_f64());
            assert_close(&y.to_f64(), &expected, 2e-6);
            if width > 1 {
                assert_close(&y.to_f64(), &x.layer_norm(gamma, beta, EPSILON).to_f64(), 4e-6);
            }
        }
    }

    #[test]
    fn a_large_mean_costs_no_digits() {
        // Multiples of 1/16 around 10000 are exact in f32; E[x²] − E[x]² would lose them all.
        let x: Vec<f32> = (0..256).map(|i| 10_000.0 + (i % 16) as f32 / 16.0).collect();
        let x = Value::from_f32(x, &[2, 128], &device());
        let (gamma, beta) = (sample(128, 2, 2.0), sample(128, 3, 1.0));
        let y = layer_norm(&x, &gamma, &beta, EPSILON).unwrap();
        let expected = reference(&x.to_f64(), &gamma.to_f64(), &beta.to_f64());
        assert_close(&y.to_f64(), &expected, 2e-3);
    }

    #[test]
    fn gradients_against_finite_differences() {
        for (rows, width) in [(4, 2), (3, 7), (5, 33)] {
            let x = sample_of(&[rows, width], 4, 2.0);
            let (gamma, beta) = (sample(width, 5, 2.0), sample(width, 6, 1.0));
            let dy = sample_of(&[rows, width], 7, 1.0);
            let upstream = dy.to_f64();
            let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| {
                let y = reference(x, gamma, beta);
                y.iter().zip(&upstream).map(|(y, dy)| y * dy).sum::<f64>()
            };
            let (wide_x, wide_gamma) = (x.to_f64(), gamma.to_f64());
            let wide_beta = beta.to_f64();
            let [dx, dgamma, dbeta] = layer_norm_vjp(&x, &gamma, &dy, EPSILON, [true; 3]).unwrap();
            gradient_check(|x| loss(x, &wide_gamma, &wide_beta), &x, &dx.unwrap(), 1e-5);
            gradient_check(|g| loss(&wide_x, g, &wide_beta), &gamma, &dgamma.unwrap(), 5e-6);
            gradient_check(|b| loss(&wide_x, &wide_gamma, b), &beta, &dbeta.unwrap(), 5e-6);
        }
    }

    #[test]
    fn gives_only_what_is_wanted_and_the_same_numbers() {
        let (x, dy) = (sample_of(&[1200, 48], 8, 2.0), sample_of(&[1200, 48], 9, 1.0));
        let gamma = sample(48, 10, 1.0);
        let all = layer_norm_vjp(&x, &gamma, &dy, EPSILON, [true; 3]).unwrap();
        let all = all.map(|v| v.unwrap().to_f32());
        for bits in 0..8u8 {
            let wanted = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
            let some = layer_norm_vjp(&x, &gamma, &dy, EPSILON, wanted).unwrap();
            for i in 0..3 {
                assert_eq!(some[i].is_some(), wanted[i]);
                if let Some(value) = &some[i] {
                    assert_eq!(value.to_f32(), all[i]);
                }
            }
        }
    }

    #[test]
    fn same_bits_over_many_chunks() {
        let (x, dy) = (sample_of(&[1501, 33], 11, 4.0), sample_of(&[1501, 33], 12, 1.0));
        let gamma = sample(33, 13, 1.0);
        same_bits(|| {
            let mut all = vec![layer_norm(&x, &gamma, &gamma, EPSILON).unwrap()];
            let gradients = layer_norm_vjp(&x, &gamma, &dy, EPSILON, [true; 3]).unwrap();
            all.extend(gradients.into_iter().flatten());
            all
        });
    }

    #[test]
    fn refuses_what_is_not_plain_f32() {
        let row = sample(8, 1, 1.0);
        assert_refuses(&[2, 8], |x| layer_norm(x, &row, &row, EPSILON).is_none());
        assert_refuses(&[2, 8], |x| layer_norm_vjp(x, &row, x, EPSILON, [true; 3]).is_none());
    }
}
