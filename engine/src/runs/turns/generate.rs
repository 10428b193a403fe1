//! A turn that writes a data set.

use super::super::outcome::RunError;
use super::super::run::Run;
use super::Standing;
use crate::project::generated;
use crate::train::{Ended, GenerateSpec, generate};
use crate::weights::LoadReport;

impl Run<'_, '_> {
    pub(super) fn generate(
        &mut self,
        spec: &GenerateSpec,
        standing: &mut Standing,
        report: &LoadReport,
    ) -> Result<Ended, RunError> {
        self.announce(&standing.turn, report, 0, 0, 1, None);
        let Standing { turn, built, params, source, .. } = standing;
        let path = generated(self.folder.path(), &spec.name);
        let samples = generate(spec, &built.graph, params, source, &self.device, self.control, &path)?;
        let Some(samples) = samples else { return Ok(Ended::Stopped) };
        let shown = path.strip_prefix(self.folder.path()).unwrap_or(&path).display().to_string();
        let turn = turn.clone();
        self.done(&turn, vec![shown], samples as u64);
        Ok(Ended::Finished)
    }
}
