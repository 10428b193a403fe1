//! Cross-entropy of class scores, loss and gradient in one pass.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "extents are small, and constants worked out in f64 are used in f32"
)]

use super::flex::{Plain, build, rows_per_task, value};
use super::simd::{Kernel, LANES, add_lanes, exp, max_row, run, sum_row};
use crate::tensor::Value;

/// Mean cross-entropy of `logits` `[rows, classes]` against one class a row, and the gradient
/// `[rows, classes]` of that mean.
///
/// With `smoothing` s the target is `1 − s` on the label plus `s / classes` on every class.
/// `None` also when the number of labels is not that of rows or a label is not a class.
#[must_use]
pub fn cross_entropy(logits: &Value, labels: &[i64], smoothing: f64) -> Option<(f32, Value)> {
    let logits = Plain::of(logits)?;
    let &[rows, classes] = logits.shape().as_slice() else {
        return None;
    };
    if labels.len() != rows {
        return None;
    }
    let labels: Vec<usize> = labels
        .iter()
        .map(|&label| usize::try_from(label).ok().filter(|&label| label < classes))
        .collect::<Option<_>>()?;
    let input = logits.data();
    let rows_per_chunk = rows_per_task(classes);
    let chunk = rows_per_chunk * classes;
    let (gradient, losses) = build(input.len(), chunk, |index, gradient| {
        let input = &input[index * chunk..][..gradient.len()];
        let labels = &labels[index * rows_per_chunk..][..gradient.len() / classes];
        run(Rows { input, gradient, labels, classes, smoothing, count: rows })
    });
    let loss = losses.iter().sum::<f64>() / rows as f64;
    Some((loss as f32, value(gradient, &[rows, classes])))
}

struct Rows<'a> {
    input: &'a [f32],
    gradient: &'a mut [f32],
    labels: &'a [usize],
    classes: usize,
    smoothing: f64,
    /// Rows of the whole batch.
    count: usize,
}

impl Kernel for Rows<'_> {
    /// Sum of the rows' losses.
    type Output = f64;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f64 {
        let share = 1.0 / self.count as f32;
        let everywhere = (self.smoothing / self.classes as f64) as f32 * share;
        let on_label = (1.0 - self.smoothing) as f32 * share;
        let rows = self.input.chunks_exact(self.classes);
        let rows = rows.zip(self.gradient.chunks_exact_mut(self.classes)).zip(self.labels);
        let mut total = 0.0;
        for ((row, gradient), &label) in rows {
            let largest = max_row(row);
            let sum = exponentials::<FUSED>(row, largest, gradient);
            let factor = share / sum;
            for element in gradient.iter_mut() {
                *element = *element * factor - everywhere;
            }
            gradient[label] -= on_label;
            // Everything is taken relative to the largest score, which keeps the digits.
            let label_score = f64::from(row[label] - largest);
            let mut loss = f64::from(sum).ln() - (1.0 - self.smoothing) * label_score;
            if self.smoothing != 0.0 {
                let mean_score = f64::from(sum_row(row, |x| x - largest)) / self.classes as f64;
                loss -= self.smoothing * mean_score;
            }
            total += loss;
        }
        total
    }
}

/// Writes `exp(x − largest)` for each `x` of the row and returns the sum.
#[inline(always)]
fn exponentials<const FUSED: bool>(row: &[f32], largest: f32, output: &mut [f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    let (output_blocks, output_rest) = output.as_chunks_mut::<LANES>();
    for (block, output) in blocks.iter().zip(output_blocks) {
        for i in 0..LANES {
            output[i] = exp::<FUSED>(block[i] - largest);
            lanes[i] += output[i];
        }
    }
    for (lane, (&x, output)) in lanes.iter_mut().zip(rest.iter().zip(output_rest)) {
        *output = exp::<FUSED>(x - largest);
        *lane += *output;
    }
    add_lanes(lanes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_refuses, gradient_check, same_bits, sample_of};
    use super::cross_entropy;

    fn labels(rows: usize, classes: usize) -> Vec<i64> {
        (0..rows).map(|row| i64::try_from(row * 7 % classes).unwrap()).collect()
    }

    fn reference(logits: &[f64], labels: &[i64], smoothing: f64) -> f64 {
        let classes = logits.len() / labels.len();
        let losses = logits.chunks(classes).zip(labels).map(|(row, &label)| {
            let log_sum = row.iter().map(|v| v.exp()).sum::<f64>().ln();
            let mean = row.iter().sum::<f64>() / classes as f64;
            let label = row[usize::try_from(label).unwrap()];
            log_sum - (1.0 - smoothing) * label - smoothing * mean
        });
        losses.sum::<f64>() / labels.len() as f64
    }

    #[test]
    fn loss_and_gradient_against_finite_differences() {
        for (rows, classes) in [(1, 7), (5, 1), (4, 33)] {
            for smoothing in [0.0, 0.1] {
                let (x, labels) = (sample_of(&[rows, classes], 1, 4.0), labels(rows, classes));
                let (loss, gradient) = cross_entropy(&x, &labels, smoothing).unwrap();
                let expected = reference(&x.to_f64(), &labels, smoothing);
                assert!((f64::from(loss) - expected).abs() < 2e-6, "{loss} against {expected}");
                gradient_check(|x| reference(x, &labels, smoothing), &x, &gradient, 1e-6);
            }
        }
    }

    #[test]
    fn many_chunks() {
        let (x, labels) = (sample_of(&[900, 101], 2, 8.0), labels(900, 101));
        let (loss, _) = cross_entropy(&x, &labels, 0.1).unwrap();
        assert!((f64::from(loss) - reference(&x.to_f64(), &labels, 0.1)).abs() < 5e-6);
        same_bits(|| vec![cross_entropy(&x, &labels, 0.1).unwrap().1]);
    }

    #[test]
    fn refuses_wrong_labels_and_what_is_not_plain_f32() {
        let x = sample_of(&[2, 3], 1, 1.0);
        assert!(cross_entropy(&x, &[0, 3], 0.0).is_none());
        assert!(cross_entropy(&x, &[0, -1], 0.0).is_none());
        assert!(cross_entropy(&x, &[0], 0.0).is_none());
        assert_refuses(&[2, 3], |x| cross_entropy(x, &[0, 1], 0.0).is_none());
    }
}
