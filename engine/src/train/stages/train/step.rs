//! One optimiser step: micro-batches walked, gradients gathered, clipped and applied.

use std::collections::HashMap;
use std::time::Instant;

use super::super::super::optimiser::Optimiser;
use super::super::super::step::clip_factor;
use super::{Stage, StepReport, TrainError};
use crate::data::Batch;
use crate::exec::{Inputs, Walk, Watcher, upload_given};
use crate::graph::Take;
use crate::tensor::Value;
use crate::weights::Params;

impl Stage<'_> {
    /// One optimiser step on a batch. `report` says which step of how many it is, and gets what it took.
    ///
    /// # Errors
    /// When the walk fails, the batch is empty or the loss is no number.
    pub fn step(
        &self,
        batch: Batch,
        params: &mut Params,
        optimiser: &mut Optimiser,
        report: &mut StepReport,
        watcher: &mut dyn Watcher,
    ) -> Result<(), TrainError> {
        report.skipped = batch.skipped.len();
        if let Some(skipped) = batch.skipped.first() {
            report.skipped_example = format!("{}: {}", skipped.what, skipped.why);
        }
        report.samples = batch.len();
        let rate_factor = self.spec.schedule.factor(report.step - 1, report.steps);
        report.learning_rate = self.spec.optimiser.learning_rate() * rate_factor;
        if let Some(scale) = report.rate_scale {
            report.learning_rate *= scale;
        }
        if report.samples == 0 {
            return Err(TrainError::NoSamples { skipped: report.skipped });
        }
        let mut gradients = Gradients::default();
        let parts = batch.split(report.samples.div_ceil(self.spec.accumulate));
        let (schedule, given) = match self.caching {
            None => (&self.step.schedule, &[][..]),
            Some(caching) => (&caching.rest, caching.after()),
        };
        let whole = parts.len() == 1;
        for (number, part) in parts.into_iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
            let share = part.len() as f64 / report.samples as f64;
            let walk = Walk {
                graph: &self.step.graph,
                schedule,
                seed: self.drawn_from(),
                // A micro-batch draws its own numbers: position (stage, step, part).
                step: ((self.index as u64) << 48) | (report.step << 8) | number as u64,
            };
            let inputs = upload_given(part, &self.step.graph, given, self.device);
            let rate = report.learning_rate;
            let mut sink = |params: &mut Params, path: &str, gradient: Value, take| {
                let gradient = if whole { gradient } else { gradient.mul_scalar(share) };
                match take {
                    Take::Step => {
                        gradients.squares.push(gradient.sum_of_squares());
                        optimiser.apply(params, path, gradient, rate);
                    }
                    _ => gradients.add(path, gradient),
                }
            };
            let outcome = walk.run_watched(params, &inputs, &mut sink, watcher)?;
            report.phases.frozen_forward_secs += outcome.phases.frozen_forward_secs;
            report.phases.trainable_forward_secs += outcome.phases.trainable_forward_secs;
            report.phases.backward_secs += outcome.phases.backward_secs;
            let scalar = |id| outcome.values.get(&id).map_or(f64::NAN, Value::to_scalar);
            report.loss += scalar(self.step.loss) * share;
            if self.step.terms.len() > 1 {
                for term in &self.step.terms {
                    // A term on a branch that was not run adds nothing.
                    let value = outcome.values.get(&term.node).map_or(0.0, Value::to_scalar);
                    *report.losses.entry(term.name.clone()).or_default() += value * share;
                }
            }
        }
        if !report.loss.is_finite() {
            return Err(TrainError::NotFinite {
                loss: report.loss,
                step: report.step,
                learning_rate: report.learning_rate,
            });
        }
        let begin = Instant::now();
        report.grad_norm = gradients.norm();
        let factor = self.spec.clip_norm.map_or(1.0, |limit| clip_factor(report.grad_norm, limit));
        for (path, gradient) in gradients.waiting {
            let gradient = if factor < 1.0 { gradient.mul_scalar(factor) } else { gradient };
            optimiser.apply(params, &path, gradient, report.learning_rate);
        }
        if let Some(after) = &self.step.after {
            let walk = Walk { graph: &self.step.graph, schedule: after, seed: self.seed, step: report.step };
            walk.run(params, &Inputs::new(), &mut |_, _, _, _| {})?;
        }
        report.optimizer_secs = begin.elapsed().as_secs_f64();
        Ok(())
    }
}

/// Gradients of one step: those that wait for the optimiser, in the order in which they came, and the squares of
/// those that did not.
#[derive(Default)]
struct Gradients {
    waiting: Vec<(String, Value)>,
    places: HashMap<String, usize>,
    squares: Vec<Value>,
}

impl Gradients {
    /// A part of the batch may lack a gradient that another has: its branch got no rows.
    fn add(&mut self, path: &str, gradient: Value) {
        if let Some(&place) = self.places.get(path) {
            let sum = &mut self.waiting[place].1;
            *sum = sum.clone().add(gradient);
        } else {
            self.places.insert(path.to_owned(), self.waiting.len());
            self.waiting.push((path.to_owned(), gradient));
        }
    }

    /// Root of the sum of all squares, read from the device once.
    fn norm(&mut self) -> f64 {
        let waiting = self.waiting.iter().map(|(_, gradient)| gradient.sum_of_squares());
        let squares: Vec<Value> = self.squares.drain(..).chain(waiting).collect();
        if squares.is_empty() {
            return 0.0;
        }
        Value::concat(squares, 0).to_f64().iter().sum::<f64>().sqrt()
    }
}
