//! How well masks are found: binary cross-entropy, Dice coefficient, intersection over union.

use std::collections::BTreeMap;

use super::Evaluation;

/// Sums over samples.
#[derive(Default)]
pub(super) struct Masks {
    loss: f64,
    dice: f64,
    iou: f64,
    samples: usize,
}

impl Masks {
    /// Takes `logits` and `masks`, both `[samples, pixels]`. A pixel is taken to be in the mask where its logit is above 0,
    /// and belongs there where the mask is above a half; two empty masks agree wholly.
    #[expect(clippy::cast_precision_loss, reason = "pixel counts are far below 2^52")]
    pub(super) fn add(&mut self, logits: &[f32], masks: &[f32], samples: usize) {
        let pixels = (masks.len() / samples.max(1)).max(1);
        for (row, mask) in logits.chunks(pixels).zip(masks.chunks(pixels)) {
            let (mut both, mut found, mut wanted, mut loss) = (0usize, 0usize, 0usize, 0.0);
            for (&x, &g) in row.iter().zip(mask) {
                let (is_found, is_wanted) = (x > 0.0, g > 0.5);
                found += usize::from(is_found);
                wanted += usize::from(is_wanted);
                both += usize::from(is_found && is_wanted);
                let (x, g) = (f64::from(x), f64::from(g));
                loss += x.max(0.0) + (-x.abs()).exp().ln_1p() - x * g;
            }
            let (sum, either) = (found + wanted, found + wanted - both);
            self.dice += if sum == 0 { 1.0 } else { 2.0 * both as f64 / sum as f64 };
            self.iou += if either == 0 { 1.0 } else { both as f64 / either as f64 };
            self.loss += loss / pixels as f64;
            self.samples += 1;
        }
    }

    /// Means over samples.
    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^52")]
    pub(super) fn finish(self) -> Evaluation {
        let count = self.samples.max(1) as f64;
        let mean = |sum: f64| sum / count;
        let metrics = [(super::DICE, mean(self.dice)), ("iou", mean(self.iou))];
        let metrics: BTreeMap<String, f64> = metrics.map(|(name, value)| (name.to_owned(), value)).into();
        Evaluation { loss: mean(self.loss), metrics, samples: self.samples, ..Evaluation::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps_and_loss() {
        let mut tally = Masks::default();
        // Two of four found pixels are wanted, and one is missed; then nothing is found where nothing is.
        tally.add(&[1.0, 2.0, 3.0, 1.0, -1.0, -9.0], &[1.0, 1.0, 0.0, 0.0, 1.0, 0.0], 1);
        tally.add(&[-1.0; 6], &[0.0; 6], 1);
        let Evaluation { samples, loss, metrics, .. } = tally.finish();
        assert_eq!(samples, 2);
        assert!((metrics["dice"] - f64::midpoint(4.0 / 7.0, 1.0)).abs() < 1e-12);
        assert!((metrics["iou"] - f64::midpoint(2.0 / 5.0, 1.0)).abs() < 1e-12);
        let cost = |x: f64, g: f64| (1.0 + x.exp()).ln() - x * g;
        let first: f64 = [(1.0, 1.0), (2.0, 1.0), (3.0, 0.0), (1.0, 0.0), (-1.0, 1.0), (-9.0, 0.0)]
            .map(|(x, g)| cost(x, g))
            .iter()
            .sum();
        assert!((loss - f64::midpoint(first / 6.0, cost(-1.0, 0.0))).abs() < 1e-9, "{loss}");
    }
}
