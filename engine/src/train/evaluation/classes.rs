//! How well classes are told: cross-entropy, top-1, top-5, which is taken for which, and some samples.

use std::collections::BTreeMap;

use super::{Evaluation, MOST_CLASSES, Prediction};

/// Wrong predictions that are kept, and right ones.
const EXAMPLES: usize = 8;

/// Sums over samples.
#[derive(Default)]
pub(super) struct Classes {
    loss: f64,
    top1: usize,
    top5: usize,
    width: usize,
    samples: usize,
    confusion: Vec<Vec<u64>>,
    wrong: Vec<Prediction>,
    right: Vec<Prediction>,
}

impl Classes {
    /// Takes `logits` `[labels, classes]`; `places` are those of the rows in the split, where they are known.
    pub(super) fn add(&mut self, logits: &[f32], labels: &[i64], places: &[usize]) {
        self.width = logits.len() / labels.len();
        if self.width <= MOST_CLASSES && self.confusion.is_empty() {
            self.confusion = vec![vec![0; self.width]; self.width];
        }
        for (number, (row, &label)) in logits.chunks(self.width).zip(labels).enumerate() {
            let Some(own) = usize::try_from(label).ok().and_then(|label| row.get(label)).copied() else {
                continue;
            };
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|&x| f64::from(x - largest).exp()).sum();
            self.loss += sum.ln() - f64::from(own - largest);
            // Ties count against the model, so that a constant output scores nothing.
            let index = usize::try_from(label).unwrap_or(0);
            let above = row.iter().enumerate().filter(|&(i, &x)| i != index && x >= own).count();
            self.top1 += usize::from(above < 1);
            self.top5 += usize::from(above < 5);
            self.samples += 1;
            // Of equal scores another class's counts first, as above.
            let guess = (0..row.len()).find(|&i| i != index && row[i] >= largest).unwrap_or(index);
            if let Some(count) = self.confusion.get_mut(index).and_then(|counts| counts.get_mut(guess)) {
                *count += 1;
            }
            let kept = if guess == index { &mut self.right } else { &mut self.wrong };
            if let Some(&place) = places.get(number).filter(|_| kept.len() < EXAMPLES) {
                let share = f64::from(row[guess] - largest).exp() / sum;
                let share = (share * 1e4).round() / 1e4;
                kept.push(Prediction { index: place, label: index, guess, share });
            }
        }
    }

    /// Means over samples, and what else was seen.
    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^52")]
    pub(super) fn finish(self) -> Evaluation {
        let count = self.samples.max(1) as f64;
        let mut metrics = BTreeMap::from([(super::TOP1.to_owned(), self.top1 as f64 / count)]);
        if self.width > 5 {
            metrics.insert("top5".to_owned(), self.top5 as f64 / count);
        }
        Evaluation {
            loss: self.loss / count,
            metrics,
            samples: self.samples,
            skipped: 0,
            confusion: self.confusion,
            predictions: self.wrong.into_iter().chain(self.right).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_loss() {
        let mut tally = Classes::default();
        tally.add(&[3.0, 1.0, 2.0, 0.0, 0.0, 0.0], &[0, 1], &[4, 5]);
        let result = tally.finish();
        assert!((result.top1() - 0.5).abs() < 1e-12, "a tie is no hit");
        assert_eq!(result.samples, 2);
        let first = -(3f64.exp() / (3f64.exp() + 1f64.exp() + 2f64.exp())).ln();
        assert!((result.loss - f64::midpoint(first, 3f64.ln())).abs() < 1e-6);
        assert!(!result.metrics.contains_key("top5"));
        assert_eq!(
            result.confusion,
            [[1, 0, 0], [1, 0, 0], [0, 0, 0]],
            "the diagonal is what counts as right"
        );
        let places: Vec<(usize, usize, usize)> =
            result.predictions.iter().map(|found| (found.index, found.label, found.guess)).collect();
        assert_eq!(places, [(5, 1, 0), (4, 0, 0)], "the wrong ones first");
        assert!((result.predictions[0].share - 0.3333).abs() < 1e-9);
    }
}
