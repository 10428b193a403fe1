//! What waits: edits are about the model that is shown, so one that comes before the model has followed the edit before
//! it is performed once it has. And what follows edits: the selection stays with what was selected.

use std::collections::VecDeque;
use std::sync::Arc;

use egui::Context;
use graft_engine::project::Project;

use super::App;
use crate::actions::Action;
use crate::edits::follow::{Place, follow};
use crate::edits::renumber;
use crate::graph_actions::GraphAction;
use crate::model::Model;
use crate::overlays::Banner;
use crate::view::{DockTab, Selected};

/// Actions that wait, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Held {
    actions: VecDeque<Action>,
    /// The revision whose model the selection was last held against.
    seen: u64,
}

impl Held {
    /// Another document was opened.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Whether an action is about the model of the stage that is shown.
const fn needs_model(action: &Action) -> bool {
    use GraphAction::{AddHere, CopyToLike, Paste, PlaceAt, PlaceRule};
    matches!(
        action,
        Action::ToggleFreeze(_)
            | Action::FreezeSelected
            | Action::Place { .. }
            | Action::Graph(AddHere | Paste | PlaceAt { .. } | PlaceRule { .. } | CopyToLike)
    )
}

/// Whether an action reads that model, but can do without where there is none.
const fn reads_model(action: &Action) -> bool {
    needs_model(action) || matches!(action, Action::PlacePreset(_) | Action::SetRule { .. })
}

/// Whether an action neither changes nor reads project, stage and selection, so that it need not wait in line.
const fn passes(action: &Action) -> bool {
    use Action::{
        Dismiss, Fit, FollowTheme, NextHeat, Runs, ShowHeat, ShowHelp, ShowOrigin, ShowPalette, ShowTab,
        Stop, ToggleCut, TogglePause, ToggleTheme,
    };
    matches!(
        action,
        Dismiss
            | Fit
            | FollowTheme
            | NextHeat
            | Runs(_)
            | ShowHeat(_)
            | ShowHelp
            | ShowOrigin(_)
            | ShowPalette
            | ShowTab(_)
            | Stop
            | ToggleCut
            | TogglePause
            | ToggleTheme
    )
}

impl App {
    /// The model of the stage that is shown, as the project is now.
    pub(super) fn current_model(&self) -> Option<&Arc<Model>> {
        let document = self.document.as_ref()?;
        self.builder.model_of(document.revision(), self.view.stage, &document.base())
    }

    /// Performs an action, or keeps it until what it is about is known.
    pub(super) fn take(&mut self, ctx: &Context, action: Action) {
        let waits = !self.held.actions.is_empty() && !passes(&action);
        if waits || self.is_early(&action) {
            self.held.actions.push_back(action);
        } else {
            self.follow(ctx, action);
        }
    }

    /// Performs what has waited long enough.
    pub(super) fn perform_held(&mut self, ctx: &Context) {
        self.prune();
        while let Some(action) = self.held.actions.pop_front() {
            if self.is_early(&action) {
                self.held.actions.push_front(action);
                return;
            }
            self.follow(ctx, action);
            // What was done has to be seen, and its model asked for.
            ctx.request_repaint();
        }
    }

    /// Whether what an action is about has not been worked out yet.
    fn is_early(&self, action: &Action) -> bool {
        let Some(document) = self.document.as_ref().filter(|_| !self.is_locked()) else { return false };
        match action {
            // Cells are clicked where the stages are shown, and only there they are worked out.
            Action::SetTrained { .. } => {
                self.view.tab == DockTab::Timeline && !self.timelines.is_of(document.revision())
            }
            Action::Train => !self.has_answer(),
            action => reads_model(action) && !self.has_answer(),
        }
    }

    /// Whether the builder has answered for the project as it is now, if only by an error.
    fn has_answer(&self) -> bool {
        let Some(document) = &self.document else { return true };
        self.builder.has_answered(document.revision(), self.view.stage, &document.base())
    }

    /// Performs an action; the selection stays with the adapters that it was about.
    fn follow(&mut self, ctx: &Context, action: Action) {
        if needs_model(&action)
            && !self.is_locked()
            && self.document.is_some()
            && self.current_model().is_none()
        {
            let error = self.builder.error().unwrap_or("there is no model to edit");
            return self.fail(Err(error.to_owned()));
        }
        self.forget_refusal();
        let before = self.document.as_ref().map(|document| Arc::clone(document.project()));
        let (selected, draft) = (self.view.selected.clone(), self.view.rule_draft.clone());
        self.perform(ctx, action);
        let after = self.document.as_ref().map(|document| Arc::clone(document.project()));
        if let (Some(before), Some(after)) = (before, after)
            && !Arc::ptr_eq(&before, &after)
        {
            self.renumber(&before, &after, &selected, draft.as_ref());
        }
    }

    /// What was refused before is old once something else is done.
    pub(super) fn forget_refusal(&mut self) {
        if matches!(self.banner, Some(Banner::Refused(_))) {
            self.banner = None;
        }
    }

    /// Takes the selection from one list of adapters to another. What the action selected itself stays.
    fn renumber(
        &mut self,
        before: &Project,
        after: &Project,
        selected: &Selected,
        draft: Option<&(usize, String)>,
    ) {
        let places = follow(&before.adapters, &after.adapters);
        let place = |index: usize| places.get(index).copied().flatten();
        let number = |index: usize| place(index).filter(|place| place.stays).map(|place| place.index);
        if self.view.selected == *selected {
            self.view.selected = match selected {
                Selected::Nothing => Selected::Nothing,
                Selected::Part(path) => {
                    renumber::rule(path, &number).map_or(Selected::Nothing, Selected::Part)
                }
                Selected::Adapter { index, site } => match place(*index) {
                    Some(Place { index, stays }) => {
                        let site = site.as_ref().filter(|_| stays);
                        let site = site.and_then(|site| renumber::rule(site, &number));
                        Selected::Adapter { index, site }
                    }
                    None => Selected::Nothing,
                },
            };
        }
        if self.view.rule_draft.as_ref() == draft {
            self.view.rule_draft = draft.and_then(|(index, text)| Some((number(*index)?, text.clone())));
        }
        let also = std::mem::take(&mut self.view.graph.also);
        self.view.graph.also = also.iter().filter_map(|path| renumber::rule(path, &number)).collect();
    }

    /// Once the model has followed an edit, what it has no more is not selected either.
    fn prune(&mut self) {
        let Some(revision) = self.document.as_ref().map(crate::document::Document::revision) else { return };
        if self.held.seen == revision {
            return;
        }
        let Some(model) = self.current_model().map(Arc::clone) else { return };
        self.held.seen = revision;
        let is_there = |path: &str| {
            model.part(path).is_some()
                || model.graph.find(path).is_some()
                || model.graph.sites().iter().any(|site| site.path == path)
        };
        self.view.graph.also.retain(|path| is_there(path));
        if matches!(&self.view.selected, Selected::Part(path) if !is_there(path)) {
            self.view.selected = Selected::Nothing;
        }
    }
}
