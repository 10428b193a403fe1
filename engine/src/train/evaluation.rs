//! Evaluation on held-out data: loss, top-1 and top-5, untracked and in inference mode.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::caching::Batches;
use super::stages::{TrainError, planned_in_order, prefetch_threads};
use super::{Control, Wish};
use crate::cache::Features;
use crate::data::{Loader, Source, Split};
use crate::exec::{Inference, upload_given};
use crate::graph::Graph;
use crate::weights::Params;

/// What an evaluation found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean cross-entropy without smoothing.
    pub loss: f64,
    /// `top1` and `top5` as shares of all samples; `top5` only with more than five classes.
    pub metrics: BTreeMap<String, f64>,
    /// Samples seen.
    pub samples: usize,
    /// Samples that could not be read.
    pub skipped: usize,
    /// How often a sample of each class (row) was taken for each class (column); of no more than [`MOST_CLASSES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion: Vec<Vec<u64>>,
    /// The first samples that were taken for another class, and the first that were not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<Prediction>,
}

/// Classes that are told apart in an evaluation's `confusion`; with more of them the log would grow long.
pub const MOST_CLASSES: usize = 40;
/// Wrong predictions that are kept, and right ones.
const EXAMPLES: usize = 8;

/// One sample and what the model took it for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Its place in the split.
    pub index: usize,
    /// Its class.
    pub label: usize,
    /// The class of the highest score.
    pub guess: usize,
    /// The probability that the model gives that class, to four digits.
    pub share: f64,
}

impl Evaluation {
    /// Share of samples whose label got the highest score.
    #[must_use]
    pub fn top1(&self) -> f64 {
        self.metrics.get("top1").copied().unwrap_or(0.0)
    }
}

/// Evaluates a model on a split, whole or its first `limit` samples. Stops early when asked to; then `None`.
/// `features` are what a cache holds of this split, for this model.
///
/// # Errors
/// When the data fail or the model has no head.
#[expect(clippy::too_many_arguments, reason = "what an evaluation depends on, each of another kind")]
pub fn evaluate(
    graph: &Graph,
    params: &Params,
    source: &Arc<dyn Source>,
    split: Split,
    limit: Option<usize>,
    batch: usize,
    device: &Device,
    control: &Control,
    features: Option<&Arc<Features>>,
) -> Result<Option<Evaluation>, TrainError> {
    let logits = graph.output("logits").ok_or(super::step::StepError::NoHead)?;
    let given = features.map_or(&[][..], |features| features.given());
    let mut inference = Inference::from_given(graph, params, &[logits], given)?;
    let plan = planned_in_order(source, split, limit, batch);
    let mut places = plan.clone().into_iter();
    let threads = prefetch_threads();
    let mut batches = match features {
        None => Batches::Read(Loader::new(Arc::clone(source), split, plan, threads, 4)),
        Some(features) => Batches::Kept(Arc::clone(features), features.loader(plan, threads, 4)),
    };
    let mut params = params.clone();
    let mut tally = Tally::default();
    while let Some((batch, _)) = batches.next(&mut params, device, batch)? {
        if control.wish() == Wish::Stop {
            return Ok(None);
        }
        // Where a sample is missing, rows are not those that were planned.
        let places = places.next().filter(|_| batch.skipped.is_empty());
        tally.skipped += batch.skipped.len();
        if batch.labels().is_empty() {
            continue;
        }
        let labels = batch.labels().to_vec();
        let values = inference.run(upload_given(batch, graph, given, device))?;
        if let Some(value) = values.get(&logits) {
            tally.add(&value.to_f32(), &labels, places.as_deref().unwrap_or_default());
        }
    }
    features.map_or(Ok(()), |features| features.flush())?;
    Ok(Some(tally.finish()))
}

#[derive(Default)]
struct Tally {
    loss: f64,
    top1: usize,
    top5: usize,
    classes: usize,
    samples: usize,
    skipped: usize,
    confusion: Vec<Vec<u64>>,
    wrong: Vec<Prediction>,
    right: Vec<Prediction>,
}

impl Tally {
    /// `places` are those of the rows in the split, where they are known.
    fn add(&mut self, logits: &[f32], labels: &[i64], places: &[usize]) {
        self.classes = logits.len() / labels.len();
        if self.classes <= MOST_CLASSES && self.confusion.is_empty() {
            self.confusion = vec![vec![0; self.classes]; self.classes];
        }
        for (number, (row, &label)) in logits.chunks(self.classes).zip(labels).enumerate() {
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

    #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^52")]
    fn finish(self) -> Evaluation {
        let count = self.samples.max(1) as f64;
        let mut metrics = BTreeMap::from([("top1".to_owned(), self.top1 as f64 / count)]);
        if self.classes > 5 {
            metrics.insert("top5".to_owned(), self.top5 as f64 / count);
        }
        Evaluation {
            loss: self.loss / count,
            metrics,
            samples: self.samples,
            skipped: self.skipped,
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
        let mut tally = Tally::default();
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
