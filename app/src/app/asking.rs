//! What is asked of other threads before a frame, beside models and plans.

use graft_engine::data::Split;

use super::App;
use crate::outlook::Outlook;
use crate::previews::{Wanted, Which};
use crate::shown;
use crate::view::{DockTab, PlotsPage, Selected};
use crate::whatif::{Change, Now};

impl App {
    /// Asks for the samples that the latest evaluation tells of, while they are looked at, as that stage of the run read
    /// them.
    pub(super) fn ask_judged(&mut self) {
        let looking = self.view.tab == DockTab::Plots && self.view.plots.page == PlotsPage::Classes;
        let Some((project, base)) = self.session.project().filter(|_| looking) else { return };
        let Some(classes) = &self.session.series().classes else { return };
        let stage = classes.stage.and_then(|stage| project.stages.get(stage));
        let split = Split::ALL.into_iter().find(|split| split.name() == classes.split);
        if let (Some(stage), Some(split)) = (stage, split) {
            self.judged.ask(Wanted {
                data: project.data.clone(),
                view: shown::view(stage),
                base: base.to_path_buf(),
                split,
                samples: Which::These(classes.predictions.iter().map(|found| found.index).collect()),
            });
        }
    }

    /// Asks which parts train in which stages, once the prediction says what the process holds. Problems of stages that
    /// are not shown are known from this as well.
    pub(super) fn ask_timeline(&mut self) {
        let Some(document) = &self.document else { return };
        if self.planner.is_current() && !self.is_locked() {
            let predicted = self.planner.outlook().and_then(Outlook::predicted);
            let process = predicted.map_or(0, |found| found.process_bytes);
            let (revision, times) = (document.revision(), self.planner.calibration());
            self.timelines.ask(revision, document.project(), document.base(), times, process);
        }
    }

    /// Asks what a change that is thought of would cost, once model and prediction are those of the document.
    pub(super) fn ask_what_if(&mut self) {
        let (Some(document), Some(model)) = (&self.document, self.builder.model()) else { return };
        if !self.builder.is_settled() || !self.planner.is_current() || self.is_locked() {
            return;
        }
        // What the pointer is over comes before what is selected.
        let change = match (&self.view.graph.thought, &self.view.selected) {
            (Some((site, kind)), _) => Change::With { site: site.clone(), kind: *kind },
            (None, Selected::Adapter { index, .. }) => Change::Without(*index),
            (None, _) => return,
        };
        let Some(predicted) = self.planner.outlook().and_then(Outlook::predicted) else { return };
        let now = Now {
            revision: document.revision(),
            project: document.project(),
            base: document.base(),
            model,
            times: self.planner.calibration(),
            process_bytes: predicted.process_bytes,
        };
        self.what_if.ask(&now, change);
    }
}
