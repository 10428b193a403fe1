//! The one place where actions are performed, between frames.

use std::path::PathBuf;
use std::sync::Arc;

use egui::Context;
use graft_engine::adapters::PRESETS;
use graft_engine::project::{bytes_text, parse_bytes};

use super::App;
use crate::actions::{Action, RunAction};
use crate::document::Document;
use crate::edits;
use crate::files::FileEvent;
use crate::palette::Palette;
use crate::problems::Severity;
use crate::state::ThemeChoice;
use crate::view::{Budget, Camera, DockTab, Follow, Selected};

impl App {
    /// Does what a view asked for.
    pub(super) fn perform(&mut self, ctx: &Context, action: Action) {
        match action {
            Action::Runs(action) => self.perform_run(action),
            // Where runs are looked at, undo is about them.
            Action::Undo if self.view.tab == DockTab::Runs && self.library.can_restore() => {
                self.perform_run(RunAction::Restore);
            }
            Action::Open | Action::SaveAs | Action::New | Action::ChooseData => self.ask(&action),
            Action::Save if self.document.as_ref().is_some_and(Document::is_new) => self.ask(&Action::SaveAs),
            Action::Save => {
                self.save();
            }
            Action::Train => self.train(),
            Action::TogglePause => self.session.toggle_pause(),
            Action::Stop => self.session.stop(),
            Action::Fit => self.view.camera.follow = Follow::All,
            Action::ToggleTheme => {
                let dark = ctx.global_style().visuals.dark_mode;
                self.choose_theme(ctx, if dark { ThemeChoice::Light } else { ThemeChoice::Dark });
            }
            Action::FollowTheme => self.choose_theme(ctx, ThemeChoice::System),
            Action::OpenPath(_) | Action::OpenUnsaved(_) | Action::BeginAround(_) | Action::CloseProject => {
                self.guarded(ctx, action);
            }
            Action::ClearRecent => self.store.change(|settings| settings.recent.clear()),
            Action::Locate(path) => self.locate(path),
            Action::NextRegion => self.regions.next(ctx),
            Action::ShowPalette => self.palette = Some(Palette::default()),
            Action::ShowHelp => self.help = true,
            Action::ShowDifference => self.show_difference(),
            Action::ShowTab(tab) => self.view.tab = tab,
            Action::Retry => {
                self.builder.retry();
                self.planner.retry();
                self.timelines.retry();
            }
            Action::CheckDevices => self.devices.check(),
            Action::Restore if !self.is_locked() => self.restore(),
            Action::ShowUnsaved => self.show_recovered(),
            Action::ForgetUnsaved => self.forget_recovered(),
            Action::Select(selected) => self.select(selected),
            Action::Graph(action) => self.graph(ctx, action),
            Action::NextHeat => self.view.heat = self.view.heat.next(),
            Action::ShowHeat(heat) => self.view.heat = heat,
            Action::ShowOrigin(origin) => self.view.origin = origin,
            Action::ToggleCut => self.view.cut_hidden ^= true,
            Action::FitBudget => self.fit_budget(),
            Action::FitInto(bytes) => {
                self.view.budget = Budget { text: bytes_text(bytes), bytes: Some(bytes), complaint: None };
                self.view.tab = DockTab::Plan;
            }
            Action::ToggleFold(path) => self.toggle_fold(&path),
            Action::ShowStage(stage) => self.view.stage = stage,
            Action::ChooseKind(kind) => self.view.kind = kind,
            Action::Reload if !self.is_locked() => {
                self.banner = None;
                if let Some(document) = &mut self.document {
                    let result = document.reload().map_err(|error| error.to_string());
                    self.files.remember(document.path());
                    self.fail(result);
                }
            }
            Action::KeepMine => {
                self.banner = None;
                if let Some(document) = &mut self.document {
                    self.files.remember(document.path());
                    // The file says something else from now on, whatever was edited before.
                    document.lost_file();
                }
            }
            Action::Dismiss => self.banner = None,
            Action::Close(answer) => self.answer(ctx, answer),
            edit => {
                if !self.is_locked() {
                    self.edit(edit);
                }
            }
        }
    }

    /// Actions that change the project.
    fn edit(&mut self, action: Action) {
        let model = self.current_model().map(Arc::clone);
        let model = model.as_deref();
        let Some(document) = &mut self.document else { return };
        let mut result = Ok(());
        match action {
            Action::Undo => {
                document.undo();
            }
            Action::Redo => {
                document.redo();
            }
            Action::ToggleFreeze(path) => {
                if let Some(model) = model {
                    edits::toggle_freeze(document, model, &path);
                }
            }
            Action::FreezeSelected => {
                if let (Selected::Part(path), Some(model)) = (&self.view.selected, model) {
                    edits::toggle_freeze(document, model, path);
                }
            }
            Action::Place { site, kind } => {
                if let Some(model) = model
                    && let Some(index) = edits::place(document, model, &site, kind)
                {
                    self.view.selected = Selected::Adapter { index, site: Some(site) };
                }
            }
            Action::PlacePreset(number) => {
                if let Some(preset) = PRESETS.get(number) {
                    let index = edits::place_preset(document, model, preset);
                    self.view.selected = Selected::Adapter { index, site: None };
                }
            }
            Action::RemoveAdapter(index) => {
                edits::remove(document, index);
                self.view.selected = Selected::Nothing;
            }
            Action::RemoveSelected => {
                if let Selected::Adapter { index, .. } = self.view.selected {
                    edits::remove(document, index);
                    self.view.selected = Selected::Nothing;
                }
            }
            Action::Set { adapter, name, value } => result = edits::set(document, adapter, name, value),
            Action::Resize { larger } => {
                if let Selected::Adapter { index, .. } = self.view.selected {
                    result = edits::resize(document, model, index, larger);
                }
            }
            Action::SetRule { adapter, rule } => {
                edits::set_rule(document, model, adapter, &rule);
                if let Selected::Adapter { site, .. } = &mut self.view.selected {
                    *site = None;
                }
            }
            Action::SetStage { stage, path, value } => {
                result = edits::set_stage(document, stage, path, &value);
            }
            Action::TakeCacheOut(stage) => edits::take_cache_out(document, stage),
            Action::ApplyFit { budget, path, settings } => {
                result = edits::apply_fit(document, budget, &path, &settings);
            }
            Action::SetDevice(name) => edits::set_device(document, &name),
            Action::SetTrained { path, stages } => {
                if let Ok(timeline) = self.timelines.latest() {
                    let graph = |stage: usize| {
                        timeline.columns.get(stage)?.model.as_ref().ok().map(|model| &model.graph)
                    };
                    edits::set_trained(document, &path, &stages, graph);
                }
            }
            Action::UseAdapters(stage, uses) => edits::use_adapters(document, stage, uses),
            _ => {}
        }
        self.fail(result);
    }

    /// Takes the typed budget; what is wrong with it stands below the field.
    fn fit_budget(&mut self) {
        let budget = &mut self.view.budget;
        if budget.text.trim().is_empty() {
            // Nothing typed is no budget, not a wrong one.
            (budget.bytes, budget.complaint) = (None, None);
            return;
        }
        match parse_bytes(&budget.text) {
            Ok(bytes) => {
                budget.bytes = Some(bytes);
                budget.complaint = None;
            }
            Err(error) => {
                budget.bytes = None;
                budget.complaint = Some(error);
            }
        }
    }

    fn ask(&mut self, action: &Action) {
        let folder = self.document.as_ref().map_or_else(|| PathBuf::from("projects"), Document::base);
        let result = match (action, &self.document) {
            (Action::SaveAs, Some(document)) => self.files.ask_save(document.path()),
            (Action::SaveAs, None) => Ok(()),
            (Action::ChooseData, _) if self.is_locked() => Ok(()),
            (Action::Open | Action::New, _) if self.is_busy() => Ok(()),
            (Action::New, _) => self.files.ask_folder("Choose a model's folder", &folder, FileEvent::New),
            (Action::ChooseData, _) => {
                self.files.ask_folder("Choose a folder with one sub-folder a class", &folder, FileEvent::Data)
            }
            _ => self.files.ask_open(&folder),
        };
        self.fail(result.map_err(|error| format!("the dialog could not be shown: {error}")));
    }

    fn train(&mut self) {
        if self.is_busy() {
            return self.enqueue();
        }
        if self.problems().iter().any(|problem| problem.severity == Severity::Error) {
            self.view.tab = DockTab::Problems;
            return;
        }
        if self.waits_for_others() {
            return self.enqueue_behind();
        }
        let Some(document) = &self.document else { return };
        let result = self.session.train(document.project(), document.base(), self.runs.clone());
        if result.is_ok() {
            self.begun();
        }
        self.fail(result.map_err(|error| error.to_string()));
    }

    /// A run begins because it was asked for: the views make room for it.
    pub(super) fn begun(&mut self) {
        self.view.tab = DockTab::Plots;
        self.view.dock_tall = true;
        self.view.camera = Camera::default();
        self.banner = None;
        self.begun_by_itself();
    }

    /// A run begins because its turn has come: what is looked at stays.
    pub(super) fn begun_by_itself(&mut self) {
        self.view.plots.rate = 1.0;
        self.was_busy = true;
    }
}
