//! A turn that changes what stands where.

use std::collections::BTreeSet;

use super::super::outcome::RunError;
use super::super::run::Run;
use super::Standing;
use crate::project::build_turn;
use crate::train::{Checkpoint, EditSpec, Ended, Folded, Optimiser, OptimiserSpec, Snapshot, TrainError};
use crate::weights::LoadReport;

impl Run<'_, '_> {
    pub(super) fn edit(
        &mut self,
        spec: &EditSpec,
        standing: &mut Standing,
        report: &LoadReport,
        from: Option<&Checkpoint>,
    ) -> Result<Ended, RunError> {
        self.announce(&standing.turn, report, 0, 0, 1, None);
        let present = standing.turn.present(self.project);
        let Standing { turn, built, params, source, last_step, .. } = standing;
        *last_step = 1;
        // A checkpoint of this stage is of what it left.
        let done_before = from.is_some_and(|checkpoint| checkpoint.position.step > 0);
        let mut changed = BTreeSet::new();
        if !done_before {
            let edited = spec.apply(&built.graph, params, &present, self.project.seed);
            changed = edited.map_err(TrainError::from)?;
            self.changed.extend(changed.iter().cloned());
        }
        let gone = turn.merged_after(self.project);
        let turn = turn.clone();
        *built = build_turn(self.project, self.base, &turn, &gone, source.as_ref())?;
        let names: BTreeSet<&str> = built.graph.nodes().iter().map(|node| node.path.as_str()).collect();
        let kept: Vec<String> = params.iter().map(|(path, _)| path.to_owned()).collect();
        for path in kept.iter().filter(|path| !names.contains(path.as_str())) {
            drop(params.take(path));
            self.changed.remove(path);
        }
        if !done_before {
            let optimiser = Optimiser::new(OptimiserSpec::default());
            let snapshot = Snapshot { params: &standing.params, optimiser: &optimiser, step: 1 };
            self.save(&turn, &snapshot, Folded::default(), None, false).map_err(TrainError::Observer)?;
            self.done(&turn, changed.into_iter().collect(), 0);
        }
        Ok(Ended::Finished)
    }
}
