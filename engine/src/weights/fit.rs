//! Making a stored tensor fit a parameter of another shape, where the parameter allows it.

use super::Tensor;
use crate::graph::Fit;
use crate::tensor::elements;

/// How a tensor's values become a parameter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// As they are.
    Same,
    /// Spread over frames.
    Inflate { average: bool },
    /// Rows behind the first `prefix` are resampled.
    ResampleRows { prefix: usize },
}

/// How a tensor of shape `from` is made to fit a parameter of shape `to`, or `None` when it cannot be.
#[must_use]
pub(super) fn manner(from: &[usize], to: &[usize], how: Fit) -> Option<Manner> {
    if from == to {
        return Some(Manner::Same);
    }
    match how {
        // Leading axes of 1 may differ: `[1, width]` against `[1, 1, width]`.
        Fit::Exact => {
            fn strip(shape: &[usize]) -> impl Iterator<Item = &usize> {
                shape.iter().skip_while(|extent| **extent == 1)
            }
            strip(from).eq(strip(to)).then_some(Manner::Same)
        }
        Fit::Scalar => (elements(from) == 1 && elements(to) == 1).then_some(Manner::Same),
        Fit::Inflate { average } => {
            let ([out, channels, rows, columns], [o, c, _, r, k]) = (from, to) else { return None };
            ([out, channels, rows, columns] == [o, c, r, k]).then_some(Manner::Inflate { average })
        }
        Fit::ResampleRows { prefix } => {
            let ([_, from, width], [1, to, wanted]) = (from, to) else { return None };
            (width == wanted && *from > prefix && *to > prefix).then_some(Manner::ResampleRows { prefix })
        }
    }
}

/// The values for a parameter of shape `to`, in a manner that [`manner`] found for these shapes.
#[must_use]
pub(super) fn fit(tensor: Tensor, to: &[usize], manner: Manner) -> Vec<f32> {
    match manner {
        Manner::Same => tensor.data,
        Manner::Inflate { average } => inflate(&tensor, to, average),
        Manner::ResampleRows { prefix } => {
            let (from, width) = (tensor.shape[1], tensor.shape[2]);
            resample_rows(&tensor.data, prefix, from - prefix, to[1] - prefix, width)
        }
    }
}

/// `[out, channels, rows, columns] → [out, channels, frames, rows, columns]`.
#[expect(clippy::cast_precision_loss, reason = "a tubelet has few frames")]
fn inflate(tensor: &Tensor, shape: &[usize], average: bool) -> Vec<f32> {
    let (frames, pixels) = (shape[2], shape[3] * shape[4]);
    let mut data = vec![0.0; elements(shape)];
    for (kernel, source) in tensor.data.chunks(pixels).enumerate() {
        for frame in 0..frames {
            let target = &mut data[(kernel * frames + frame) * pixels..][..pixels];
            if average {
                for (t, s) in target.iter_mut().zip(source) {
                    *t = s / frames as f32;
                }
            } else if frame == frames / 2 {
                target.copy_from_slice(source);
            }
        }
    }
    data
}

/// Resamples the rows of a `[prefix + from, width]` table to `[prefix + to, width]`, linearly with the end
/// points aligned (as SciPy's `zoom` of order 1 does); the prefix rows stay.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "row numbers are small and not negative"
)]
pub fn resample_rows(data: &[f32], prefix: usize, from: usize, to: usize, width: usize) -> Vec<f32> {
    let mut result = data[..prefix * width].to_vec();
    let rows = &data[prefix * width..];
    for target in 0..to {
        let position = if to == 1 { 0.0 } else { target as f64 * (from - 1) as f64 / (to - 1) as f64 };
        let low = (position.floor() as usize).min(from - 1);
        let high = (low + 1).min(from - 1);
        let share = position - low as f64;
        for column in 0..width {
            let (a, b) = (f64::from(rows[low * width + column]), f64::from(rows[high * width + column]));
            result.push((a + (b - a) * share) as f32);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy's `zoom` (methods, section 1).
    #[test]
    fn rows_resample_as_scipy_does() {
        let squares: Vec<f32> = (0..8).map(|i| (i * i) as f32).collect();
        let golden = [
            0.0, 0.636_364, 1.818_182, 3.727_273, 6.727_273, 10.272_727, 14.727_273, 20.090_909, 26.0, 33.0,
            40.727_273, 49.0,
        ];
        for (got, want) in resample_rows(&squares, 0, 8, 12, 1).iter().zip(golden) {
            assert!((got - want).abs() < 1e-5, "{got} {want}");
        }
        let four = resample_rows(&[9.0, 0.0, 1.0, 2.0, 3.0], 1, 4, 8, 1);
        assert_eq!(four[0], 9.0);
        for (i, got) in four[1..].iter().enumerate() {
            assert!((got - i as f32 * 3.0 / 7.0).abs() < 1e-6);
        }
    }

    #[test]
    fn kernels_spread_over_the_central_frame_or_all() {
        let kernel = Tensor { shape: vec![1, 2, 1, 1], data: vec![3.0, 4.0] };
        let spread = |average| {
            let shape = [1, 2, 2, 1, 1];
            let manner = manner(&kernel.shape, &shape, Fit::Inflate { average }).unwrap();
            fit(kernel.clone(), &shape, manner)
        };
        assert_eq!(spread(false), [0.0, 3.0, 0.0, 4.0]);
        assert_eq!(spread(true), [1.5, 1.5, 2.0, 2.0]);
        assert!(manner(&kernel.shape, &[1, 3, 2, 1, 1], Fit::Inflate { average: true }).is_none());
        assert!(manner(&kernel.shape, &[1, 2, 2, 1], Fit::Exact).is_none());
    }
}
