//! The panels around the canvas. They read the state and push actions.

pub mod data;
pub mod dock;
pub mod heat;
pub mod inspector;
pub mod log;
pub mod outline;
pub mod plan;
pub mod problems;
pub mod selection;
pub mod stages;
pub mod status;
pub mod timeline;
pub mod too_much;
pub mod top_bar;
pub mod totals;
mod without;

use std::sync::Arc;

use crate::document::Document;
use crate::measured::Measured;
use crate::model::Model;
use crate::outlook::Outlook;
use crate::planner::Planner;
use crate::session::Session;
use crate::timeline::Timelines;
use crate::view::{Origin, View};
use crate::whatif::WhatIf;

/// What every panel reads.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "answers of other parts, each on its own")]
pub struct Desk<'a> {
    /// The project being edited, if one is open.
    pub document: Option<&'a Document>,
    /// The selected stage's model, if it could be built.
    pub model: Option<&'a Arc<Model>>,
    /// Why the newest model could not be built.
    pub build_error: Option<&'a str>,
    /// Whether that is because the data cannot be opened.
    pub lacks_data: bool,
    /// What is predicted.
    pub planner: &'a Planner,
    /// Which parts train in which stages.
    pub timelines: &'a Timelines,
    /// What changes would cost.
    pub what_if: &'a WhatIf,
    /// The run.
    pub session: &'a Session,
    /// What the newest run measured of the stage whose model is shown, or why nothing did.
    pub measured: Result<&'a Measured, &'a str>,
    /// Whether editing is locked because a run of the project goes on.
    pub locked: bool,
    /// Whether another program trains in the same folder, so that this window's projects wait.
    pub elsewhere: bool,
    /// How many projects wait in the queue.
    pub waiting: usize,
    /// Whether undo brings a deleted run back.
    pub undoes_runs: bool,
    /// The memory budget that was typed.
    pub budget_bytes: Option<u64>,
    /// What memory the project's device has, where that is known.
    pub machine_bytes: Option<u64>,
}

impl<'a> Desk<'a> {
    /// The prediction, where it is of the stage whose model is shown.
    #[must_use]
    pub fn outlook(&self) -> Option<&'a Outlook> {
        let shown = self.model?.stage;
        self.planner.outlook().filter(|outlook| outlook.stage == shown)
    }

    /// Whether a run of this window goes on, of this project or another one.
    #[must_use]
    pub const fn busy(&self) -> bool {
        self.session.state().is_busy()
    }

    /// Why parts can be neither frozen nor thawed in the stage that is shown.
    #[must_use]
    pub fn cannot_freeze(&self) -> Option<&'static str> {
        self.model.and_then(|model| model.cannot_freeze(self.locked))
    }

    /// The name of the project whose run is shown, where that is another one than is open.
    #[must_use]
    pub fn foreign_run(&self) -> Option<&'a str> {
        let document = self.document?;
        self.session.owner().filter(|_| !self.session.is_of(document))
    }

    /// The measurement, where the view asks for it rather than for the prediction.
    #[must_use]
    pub fn measured_for(&self, view: &View) -> Option<&'a Measured> {
        self.measured.ok().filter(|_| view.origin == Origin::Measured)
    }
}
