//! What comes after the last turn: the test, the model's own files, the last event.

use super::super::event::EventBody;
use super::super::outcome::{Outcome, RunError, RunSummary};
use super::super::run::{Run, overlay};
use super::Standing;
use crate::data::Split;
use crate::memory::Meter;
use crate::train::{Checkpoint, Position, StageSpec, Wish, evaluate};
use crate::weights::save_model;

impl Run<'_, '_> {
    /// Tests the last stage's weights, the best ones where it trained, and writes the base model as a folder when
    /// it was changed and nothing stands beside it.
    pub(super) fn finish(&mut self, standing: Standing, meter: &mut Meter) -> Result<RunSummary, RunError> {
        let Standing { turn, built, mut params, source, best, last_step } = standing;
        let train = turn.spec.as_train();
        if train.is_some()
            && let Some(checkpoint) = Checkpoint::read(&self.folder.checkpoints(), "best")?
            && turn.at(0) == turn_of(&checkpoint)
        {
            overlay(&mut params, checkpoint.params, &self.device);
        }
        let batch = train.map_or(32, |spec| spec.batch.div_ceil(spec.accumulate));
        let has_test = source.len(Split::Test) > 0 && built.graph.output("logits").is_some();
        let tested_already = matches!(&turn.spec, StageSpec::Evaluate(spec) if spec.split == Split::Test);
        let test = if has_test && !tested_already {
            let (graph, device) = (&built.graph, &self.device);
            let features = match &self.caching {
                Some(caching) => caching.evaluation(graph, &params, &source, Split::Test)?,
                None => None,
            };
            let features = features.as_ref();
            evaluate(graph, &params, &source, Split::Test, None, batch, device, self.control, features)?
        } else {
            None
        };
        if let Some(caching) = &self.caching
            && train.is_some_and(|spec| spec.cache.is_some())
        {
            let totals = caching.totals();
            let trouble = caching.trouble();
            self.cached(&turn, totals, trouble);
        }
        if let Some(test) = &test {
            self.evaluated(&turn, train.map_or(0, |spec| spec.epochs), last_step, Split::Test, test, true);
        } else if has_test && !tested_already && self.control.wish() == Wish::Stop {
            // Everything is trained and saved; going on means to test.
            self.emit(EventBody::Stopped { steps: self.total_steps });
            return Ok(self.summary(Outcome::Stopped, None, best, meter));
        }
        let base_changed = built
            .graph
            .params()
            .any(|(_, path, leaf)| leaf.placement.is_none() && self.changed.contains(path));
        let alone = built.graph.params().all(|(_, _, leaf)| leaf.placement.is_none());
        if base_changed && alone {
            let folder = self.folder.path().join("model");
            save_model(&built.graph, &params, &built.architecture.config(), &folder)?;
        }
        let summary = self.summary(Outcome::Finished, test, best, meter);
        #[expect(clippy::cast_precision_loss, reason = "sample counts are far below 2^52")]
        let samples_per_sec = if self.step_secs > 0.0 { self.samples as f64 / self.step_secs } else { 0.0 };
        self.emit(EventBody::Finished {
            secs: summary.secs,
            steps: self.total_steps,
            metrics: summary.test.as_ref().map(|t| t.metrics.clone()).unwrap_or_default(),
            peak_bytes: summary.peak_bytes,
            samples_per_sec,
        });
        Ok(summary)
    }
}

fn turn_of(checkpoint: &Checkpoint) -> Position {
    Position { step: 0, ..checkpoint.position }
}
