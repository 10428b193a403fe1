//! Making a stored tensor fit a parameter of another shape, where the parameter allows it.

use super::Tensor;
use crate::graph::Fit;
use crate::tensor::elements;

/// The values for a parameter of `shape`, or `None` when the tensor cannot be made to fit.
#[must_use]
pub(super) fn fit(tensor: &Tensor, shape: &[usize], how: Fit) -> Option<Vec<f32>> {
    if tensor.shape == shape {
        return Some(tensor.data.clone());
    }
    match how {
        Fit::Exact => same_elements(tensor, shape),
        Fit::Scalar => (tensor.data.len() == 1 && elements(shape) == 1).then(|| tensor.data.clone()),
        Fit::Inflate { average } => inflate(tensor, shape, average),
        Fit::ResampleRows { prefix } => {
            let ([_, from, width], [1, to, wanted]) = (&tensor.shape[..], shape) else { return None };
            (width == wanted && *from > prefix && *to > prefix)
                .then(|| resample_rows(&tensor.data, prefix, from - prefix, to - prefix, *width))
        }
    }
}

/// Leading axes of 1 may differ: `[1, width]` against `[1, 1, width]`.
fn same_elements(tensor: &Tensor, shape: &[usize]) -> Option<Vec<f32>> {
    let strip = |s: &[usize]| s.iter().skip_while(|e| **e == 1).copied().collect::<Vec<_>>();
    (strip(&tensor.shape) == strip(shape)).then(|| tensor.data.clone())
}

/// `[out, channels, rows, columns] → [out, channels, frames, rows, columns]`.
#[expect(clippy::cast_precision_loss, reason = "a tubelet has few frames")]
fn inflate(tensor: &Tensor, shape: &[usize], average: bool) -> Option<Vec<f32>> {
    let ([out, channels, rows, columns], [o, c, frames, r, k]) = (&tensor.shape[..], shape) else {
        return None;
    };
    if (out, channels, rows, columns) != (o, c, r, k) {
        return None;
    }
    let pixels = rows * columns;
    let mut data = vec![0.0; elements(shape)];
    for (kernel, source) in tensor.data.chunks(pixels).enumerate() {
        for frame in 0..*frames {
            let target = &mut data[(kernel * frames + frame) * pixels..][..pixels];
            if average {
                for (t, s) in target.iter_mut().zip(source) {
                    *t = s / *frames as f32;
                }
            } else if frame == frames / 2 {
                target.copy_from_slice(source);
            }
        }
    }
    Some(data)
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
        let central = fit(&kernel, &[1, 2, 2, 1, 1], Fit::Inflate { average: false }).unwrap();
        assert_eq!(central, [0.0, 3.0, 0.0, 4.0]);
        let average = fit(&kernel, &[1, 2, 2, 1, 1], Fit::Inflate { average: true }).unwrap();
        assert_eq!(average, [1.5, 1.5, 2.0, 2.0]);
        assert!(fit(&kernel, &[1, 3, 2, 1, 1], Fit::Inflate { average: true }).is_none());
        assert!(fit(&kernel, &[1, 2, 2, 1], Fit::Exact).is_none());
    }
}
