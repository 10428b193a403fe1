//! A turn that measures.

use super::super::outcome::RunError;
use super::super::run::Run;
use super::Standing;
use crate::train::{
    Checkpoint, Ended, MeasureSpec, Measuring, Optimiser, OptimiserSpec, Snapshot, TrainError,
};
use crate::weights::LoadReport;

impl Run<'_, '_> {
    pub(super) fn measure(
        &mut self,
        spec: &MeasureSpec,
        standing: &mut Standing,
        report: &LoadReport,
        from: Option<Checkpoint>,
    ) -> Result<Ended, RunError> {
        let Standing { turn, built, params, source, last_step, .. } = standing;
        let device = self.device.clone();
        let measuring = Measuring { spec, model: &built.graph, source, device: &device };
        let steps = measuring.steps();
        *last_step = steps;
        self.announce(turn, report, 0, 1, steps, None);
        let mut folded = from.map(|checkpoint| checkpoint.folded).unwrap_or_default();
        let done_before = steps > 0 && folded.batches == steps;
        let (ended, filled) = measuring.run(params, &mut folded, self.control)?;
        if done_before {
            return Ok(ended);
        }
        let samples = folded.samples;
        let step = folded.batches;
        self.changed.extend(filled.iter().cloned());
        // What was folded so far goes on from here; a finished measurement is in its states.
        let optimiser = Optimiser::new(OptimiserSpec::default());
        let snapshot = Snapshot { params, optimiser: &optimiser, step };
        self.save(turn, &snapshot, folded, None, false).map_err(TrainError::Observer)?;
        if ended == Ended::Finished {
            self.done(turn, filled.into_iter().collect(), samples);
        }
        Ok(ended)
    }
}
