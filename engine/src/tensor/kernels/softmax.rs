//! Softmax over the last axis and its gradient.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]

use super::flex::{Plain, build_elements, rows_per_task, value};
use super::simd::{Kernel, LANES, add_lanes, dot_row, exp, max_row, padded, run};
use crate::tensor::Value;

/// Softmax over the last axis: `[.., width] → [.., width]`.
///
/// An element of −∞ gets exactly 0; a row of nothing but −∞ becomes not-a-number.
#[must_use]
pub fn softmax_last(x: &Value) -> Option<Value> {
    let x = Plain::of(x)?;
    let (input, width) = (x.data(), x.width());
    let chunk = rows_per_task(width) * width;
    let output = build_elements(input.len(), chunk, |index, output| {
        output.copy_from_slice(&input[index * chunk..][..output.len()]);
        run(SoftmaxRows { rows: output, width });
    });
    Some(value(output, &x.shape()))
}

/// Gradient with respect to the input of [`softmax_last`] from its output `y` and the gradient
/// `dy` of that, both `[.., width]`: `y · (dy − Σ dy·y)`.
#[must_use]
pub fn softmax_last_vjp(y: &Value, dy: &Value) -> Option<Value> {
    let (y, dy) = (Plain::of(y)?, Plain::of(dy)?);
    if y.shape() != dy.shape() {
        return None;
    }
    let (output, upstream, width) = (y.data(), dy.data(), y.width());
    let chunk = rows_per_task(width) * width;
    let gradient = build_elements(output.len(), chunk, |index, gradient| {
        let start = index * chunk;
        gradient.copy_from_slice(&upstream[start..][..gradient.len()]);
        let probabilities = &output[start..][..gradient.len()];
        run(SoftmaxRowsBackward { probabilities, gradient, width, scale: 1.0 });
    });
    Some(value(gradient, &y.shape()))
}

/// Softmax of every row of `width` elements, in place.
pub(super) struct SoftmaxRows<'a> {
    pub(super) rows: &'a mut [f32],
    pub(super) width: usize,
}

impl Kernel for SoftmaxRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for row in self.rows.chunks_exact_mut(self.width) {
            let largest = max_row(row);
            let mut lanes = [0.0f32; LANES];
            let (blocks, rest) = row.as_chunks_mut::<LANES>();
            for block in blocks {
                for (lane, element) in lanes.iter_mut().zip(block) {
                    *element = exp::<FUSED>(*element - largest);
                    *lane += *element;
                }
            }
            if !rest.is_empty() {
                // exp(−∞) = 0: the padding adds nothing.
                let mut block = padded(rest, f32::NEG_INFINITY);
                for (lane, element) in lanes.iter_mut().zip(&mut block) {
                    *element = exp::<FUSED>(*element - largest);
                    *lane += *element;
                }
                for (element, &exponential) in rest.iter_mut().zip(&block) {
                    *element = exponential;
                }
            }
            let factor = 1.0 / add_lanes(lanes);
            for element in row {
                *element *= factor;
            }
        }
    }
}

/// Turns `gradient`, rows of the gradient of softmax's output, into `scale` times the gradient of
/// its input, in place.
pub(super) struct SoftmaxRowsBackward<'a> {
    pub(super) probabilities: &'a [f32],
    pub(super) gradient: &'a mut [f32],
    pub(super) width: usize,
    pub(super) scale: f32,
}

impl Kernel for SoftmaxRowsBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let rows = self.probabilities.chunks_exact(self.width);
        for (row, gradient) in rows.zip(self.gradient.chunks_exact_mut(self.width)) {
            let mean = dot_row::<FUSED>(row, gradient);
            for (gradient, &probability) in gradient.iter_mut().zip(row) {
                *gradient = self.scale * probability * (*gradient - mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, assert_refuses, device, gradient_check, same_bits, sample_of};
    use super::{softmax_last, softmax_last_vjp};
    use crate::tensor::Value;

    fn reference(x: &[f64], width: usize) -> Vec<f64> {
        x.chunks(width)
            .flat_map(|row| {
                let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = row.iter().map(|v| (v - largest).exp()).sum();
                row.iter().map(move |v| (v - largest).exp() / sum).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn forward_against_f64_and_burn() {
        for (rows, width) in [(5, 1), (3, 7), (9, 33), (2, 3), (700, 97), (3, 20_001)] {
            let x = sample_of(&[rows, width], 5, 10.0);
            let y = softmax_last(&x).unwrap();
            assert_eq!(y.shape(), [rows, width]);
            assert_close(&y.to_f64(), &reference(&x.to_f64(), width), 3e-7);
            assert_close(&y.to_f64(), &x.softmax(1).to_f64(), 1e-6);
        }
    }

    #[test]
    fn gradient_against_finite_differences() {
        for (rows, width) in [(4, 1), (3, 7), (2, 33)] {
            let (x, dy) = (sample_of(&[rows, width], 6, 3.0), sample_of(&[rows, width], 7, 1.0));
            let dx = softmax_last_vjp(&softmax_last(&x).unwrap(), &dy).unwrap();
            let upstream = dy.to_f64();
            let loss =
                |x: &[f64]| reference(x, width).iter().zip(&upstream).map(|(y, dy)| y * dy).sum::<f64>();
            gradient_check(loss, &x, &dx, 1e-6);
        }
    }

    #[test]
    fn masked_elements_get_nothing() {
        let x = vec![f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY, 1.0];
        let y = softmax_last(&Value::from_f32(x, &[1, 4], &device())).unwrap();
        assert_eq!(y.to_f32(), [0.0, 0.5, 0.0, 0.5]);
    }

    #[test]
    fn same_bits_over_many_chunks() {
        let (x, dy) = (sample_of(&[900, 65], 8, 4.0), sample_of(&[900, 65], 9, 1.0));
        same_bits(|| {
            let y = softmax_last(&x).unwrap();
            let dx = softmax_last_vjp(&y, &dy).unwrap();
            vec![y, dx]
        });
    }

    #[test]
    fn refuses_what_is_not_plain_f32() {
        assert_refuses(&[2, 8], |x| softmax_last(x).is_none());
        assert_refuses(&[2, 8], |x| softmax_last_vjp(x, x).is_none());
    }
}
