//! How well classes are told: cross-entropy, top-1, top-5.

use std::collections::BTreeMap;

/// Sums over samples.
#[derive(Default)]
pub(super) struct Classes {
    loss: f64,
    top1: usize,
    top5: usize,
    width: usize,
    samples: usize,
}

impl Classes {
    /// Takes `logits` `[labels, classes]`.
    pub(super) fn add(&mut self, logits: &[f32], labels: &[i64]) {
        self.width = logits.len() / labels.len();
        for (row, &label) in logits.chunks(self.width).zip(labels) {
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
        }
    }

    /// Number of samples, mean loss, and shares of samples by name.
    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^52")]
    pub(super) fn finish(self) -> (usize, f64, BTreeMap<String, f64>) {
        let count = self.samples.max(1) as f64;
        let mut metrics = BTreeMap::from([(super::TOP1.to_owned(), self.top1 as f64 / count)]);
        if self.width > 5 {
            metrics.insert("top5".to_owned(), self.top5 as f64 / count);
        }
        (self.samples, self.loss / count, metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_loss() {
        let mut tally = Classes::default();
        tally.add(&[3.0, 1.0, 2.0, 0.0, 0.0, 0.0], &[0, 1]);
        let (samples, loss, metrics) = tally.finish();
        assert!((metrics["top1"] - 0.5).abs() < 1e-12, "a tie is no hit");
        assert_eq!(samples, 2);
        let first = -(3f64.exp() / (3f64.exp() + 1f64.exp() + 2f64.exp())).ln();
        assert!((loss - f64::midpoint(first, 3f64.ln())).abs() < 1e-6);
        assert!(!metrics.contains_key("top5"));
    }
}
