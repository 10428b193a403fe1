//! Evaluation on held-out data, untracked and in inference mode: of classes where the data have `labels`, else of masks.

mod classes;
mod masks;

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use self::classes::Classes;
use self::masks::Masks;
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
    /// Mean cross-entropy without smoothing; of masks, mean binary cross-entropy of a pixel.
    pub loss: f64,
    /// `top1` and `top5` as shares of all samples, `top5` only with more than five classes. Of masks, `dice` and `iou`: the
    /// Dice coefficient and the intersection over union at a probability of a half, means over samples.
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

/// Share of samples whose label got the highest score.
const TOP1: &str = "top1";
/// Mean Dice coefficient.
const DICE: &str = "dice";

/// The metric that evaluations are compared by: its name for people, and its value.
#[must_use]
pub fn headline(metrics: &BTreeMap<String, f64>) -> Option<(&'static str, f64)> {
    let known = [(TOP1, "top-1"), (DICE, "Dice")];
    known.into_iter().find_map(|(name, title)| Some((title, *metrics.get(name)?)))
}

impl Evaluation {
    /// What it is compared by (see [`headline`]); 0 where nothing was seen.
    #[must_use]
    pub fn score(&self) -> f64 {
        headline(&self.metrics).map_or(0.0, |(_, value)| value)
    }

    /// Share of samples whose label got the highest score.
    #[must_use]
    pub fn top1(&self) -> f64 {
        self.metrics.get(TOP1).copied().unwrap_or(0.0)
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
    let (mut classes, mut masks) = (Classes::default(), Masks::default());
    let (mut skipped, mut has_masks) = (0, false);
    while let Some((batch, _)) = batches.next(&mut params, device, batch)? {
        if control.wish() == Wish::Stop {
            // Now, and not whenever the last of the threads that read ahead has ended.
            if let Some(features) = features {
                features.flush();
            }
            return Ok(None);
        }
        // Where a sample is missing, rows are not those that were planned.
        let places = places.next().filter(|_| batch.skipped.is_empty());
        skipped += batch.skipped.len();
        let (samples, labels, wanted) = (batch.len(), batch.labels().to_vec(), batch.masks().to_vec());
        if labels.is_empty() && wanted.is_empty() {
            continue;
        }
        let values = inference.run(upload_given(batch, graph, given, device))?;
        let Some(value) = values.get(&logits).map(crate::tensor::Value::to_f32) else { continue };
        if !labels.is_empty() {
            classes.add(&value, &labels, places.as_deref().unwrap_or_default());
        } else if value.len() == wanted.len() {
            masks.add(&value, &wanted, samples);
            has_masks = true;
        }
    }
    if let Some(features) = features {
        features.flush();
    }
    let found = if has_masks { masks.finish() } else { classes.finish() };
    Ok(Some(Evaluation { skipped, ..found }))
}
