//! What the program shows of itself, to its shell and to tests.

use super::App;
use crate::devices::Devices;
use crate::document::Document;
use crate::library::Library;
use crate::measured::Measurements;
use crate::model::Builder;
use crate::planner::Planner;
use crate::previews::Previews;
use crate::samples::Samples;
use crate::session::{Session, State};
use crate::timeline::Timelines;
use crate::view::View;
use crate::whatif::WhatIf;

impl App {
    /// The project being edited.
    #[must_use]
    pub const fn document(&self) -> Option<&Document> {
        self.document.as_ref()
    }

    /// The run.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// The models.
    #[must_use]
    pub const fn builder(&self) -> &Builder {
        &self.builder
    }

    /// The predictions.
    #[must_use]
    pub const fn planner(&self) -> &Planner {
        &self.planner
    }

    /// Samples that the latest evaluation tells of.
    #[must_use]
    pub const fn judged(&self) -> &Previews {
        &self.judged
    }

    /// What runs measured.
    #[must_use]
    pub const fn measurements(&self) -> &Measurements {
        &self.measurements
    }

    /// What changes would cost.
    #[must_use]
    pub const fn what_if(&self) -> &WhatIf {
        &self.what_if
    }

    /// Which parts train in which stages.
    #[must_use]
    pub const fn timelines(&self) -> &Timelines {
        &self.timelines
    }

    /// The sample projects.
    #[must_use]
    pub const fn samples(&self) -> &Samples {
        &self.samples
    }

    /// The devices.
    #[must_use]
    pub const fn devices(&self) -> &Devices {
        &self.devices
    }

    /// Samples of the data.
    #[must_use]
    pub const fn previews(&self) -> &Previews {
        &self.previews
    }

    /// All runs.
    #[must_use]
    pub const fn library(&self) -> &Library {
        &self.library
    }

    /// What the views show.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// Whether nothing is being read or worked out for the window: what it shows now stays until somebody does
    /// something, unless a run goes on.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let edited = if self.document.is_some() {
            self.builder.is_settled() && self.planner.is_current() && self.planner.is_idle()
        } else {
            self.samples.is_settled()
        };
        let asked = [
            self.what_if.is_idle(),
            self.timelines.is_idle(),
            self.measurements.is_idle(),
            self.previews.is_idle(),
            self.judged.is_idle(),
            self.devices.is_idle(),
            self.library.is_idle(),
        ];
        edited && asked.iter().all(|idle| *idle) && *self.session.state() != State::Following
    }
}
