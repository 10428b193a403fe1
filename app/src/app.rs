//! The window: panels around the canvas, and the one place where actions are performed.

mod closing;
mod document_files;
mod perform;
mod runs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::{Context, Frame, Panel, Stroke, Ui};

use crate::actions::{Action, shortcuts};
use crate::canvas::{Canvas, Scene};
use crate::document::Document;
use crate::files::Files;
use crate::library::Library;
use crate::measured::Measurements;
use crate::model::Builder;
use crate::overlays::{self, Banner};
use crate::panels::{Desk, dock, heat, inspector, outline, status, top_bar};
use crate::planner::{Clock, Planner, Subject};
use crate::session::{Session, State};
use crate::sources::Sources;
use crate::theme::{self, Theme};
use crate::view::{DockTab, View};

/// What the window starts with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The project to open; none for the empty state.
    pub project: Option<PathBuf>,
    /// Where run folders go.
    pub runs: PathBuf,
    /// Where predicted times come from.
    pub clock: Clock,
}

/// Graft's window.
#[derive(Debug)]
pub struct App {
    document: Option<Document>,
    /// Why no document is open.
    refusal: Option<String>,
    builder: Builder,
    planner: Planner,
    session: Session,
    library: Library,
    measurements: Measurements,
    files: Files,
    view: View,
    canvas: Canvas,
    banner: Option<Banner>,
    /// What the builder last complained of, so that a dismissed message does not come back.
    told: Option<String>,
    actions: Vec<Action>,
    runs: PathBuf,
    closing: Stage,
    was_busy: bool,
    /// The stage that the run was last seen in; the views follow it.
    running_stage: Option<usize>,
}

/// How far closing the window has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nobody asked.
    #[default]
    Open,
    /// Unsaved changes: the question is shown.
    Asking,
    /// The run is being saved.
    Waiting,
    /// Nothing stands in the way.
    Ready,
}

impl App {
    /// A window in this context.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn new(ctx: &Context, options: Options) -> std::io::Result<Self> {
        theme::install(ctx);
        let waker = || {
            let ctx = ctx.clone();
            move || ctx.request_repaint()
        };
        let sources = Sources::default();
        let mut app = Self {
            document: None,
            refusal: None,
            builder: Builder::start(sources.clone(), waker())?,
            planner: Planner::start(&sources, options.clock, waker)?,
            session: Session::start(waker())?,
            library: Library::start(options.runs.clone(), waker)?,
            measurements: Measurements::start(waker())?,
            files: Files::new(waker()),
            view: View::default(),
            canvas: Canvas::default(),
            banner: None,
            told: None,
            actions: Vec::new(),
            runs: options.runs,
            closing: Stage::Open,
            was_busy: false,
            running_stage: None,
        };
        if let Some(path) = options.project {
            app.open(&path);
        }
        Ok(app)
    }

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

    /// What runs measured.
    #[must_use]
    pub const fn measurements(&self) -> &Measurements {
        &self.measurements
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

    fn is_locked(&self) -> bool {
        self.session.state().is_busy()
    }

    /// Takes in what other threads have told. Called once before each frame.
    pub fn logic(&mut self, ctx: &Context) {
        if self.session.poll() {
            ctx.request_repaint();
        }
        self.session.smooth(self.view.plots.smoothing);
        self.read_runs();
        self.builder.poll();
        self.planner.poll();
        self.measurements.poll();
        for profile in self.session.take_profiles() {
            self.measurements.take(profile);
        }
        if let (Some(model), Some(document)) = (self.builder.model(), &self.document) {
            self.measurements.look(model, document.project());
        }
        while let Some(event) = self.files.poll() {
            self.file_event(event);
        }
        let dropped =
            ctx.input(|input| input.raw.dropped_files.first().map(|file| file.path().to_path_buf()));
        if let Some(path) = dropped {
            self.open_other(&path);
        }
        let busy = self.is_locked();
        if let State::Failed(error) = self.session.state()
            && self.was_busy
            && !busy
        {
            self.banner = Some(Banner::Error(error.clone()));
            // Without a step there is nothing to plot; the graph gets its room back.
            self.view.dock_tall &= !self.session.series().steps.is_empty();
        }
        let ended = self.was_busy && !busy;
        self.was_busy = busy;
        if ended {
            self.ended();
        }
        let running = self.session.series().stage().map(|stage| stage.index).filter(|_| busy);
        if running != self.running_stage {
            self.running_stage = running;
            self.view.stage = running.unwrap_or(self.view.stage);
        }
        if let Some(document) = &self.document {
            let stages = document.project().stages.len();
            self.view.stage = self.view.stage.min(stages.saturating_sub(1));
            self.builder.ask(document.revision(), self.view.stage, document.project(), document.base());
            let subject = Subject {
                revision: document.revision(),
                stage: self.view.stage,
                project: Arc::clone(document.project()),
                base: document.base(),
                idle: !busy,
            };
            let budget = self.view.budget.bytes.filter(|_| self.view.tab == DockTab::Plan);
            self.planner.ask(&subject, budget);
        }
        if self.told.as_deref() != self.builder.error() {
            self.told = self.builder.error().map(str::to_owned);
            match (&self.told, &self.banner) {
                (Some(error), _) => self.banner = Some(Banner::Error(error.clone())),
                (None, Some(Banner::Error(_))) => self.banner = None,
                _ => {}
            }
        }
        self.close(ctx);
    }

    /// One frame.
    pub fn ui(&mut self, ui: &mut Ui) {
        let mut actions = std::mem::take(&mut self.actions);
        self.keys(ui, &mut actions);
        self.frame(ui, &mut actions);
        let hovering = self.view.hovering.take();
        if self.view.hovered != hovering {
            self.view.hovered = hovering;
            ui.ctx().request_repaint();
        }
        if self.closing == Stage::Asking
            && let Some(document) = &self.document
        {
            overlays::unsaved(ui.ctx(), &document.project().name, &mut actions);
        }
        for action in actions {
            self.perform(ui.ctx(), action);
        }
        let idle =
            ui.input(|input| !input.pointer.any_down()) && ui.memory(|memory| memory.focused().is_none());
        if idle && let Some(document) = &mut self.document {
            document.end_gesture();
        }
    }

    fn keys(&self, ui: &Ui, actions: &mut Vec<Action>) {
        let typing = ui.ctx().text_edit_focused();
        let locked = self.is_locked();
        for shortcut in shortcuts() {
            let plain = shortcut.keys.modifiers.is_none();
            if typing && plain || locked && !shortcut.while_training {
                continue;
            }
            if ui.input_mut(|input| input.consume_shortcut(&shortcut.keys)) {
                actions.push(shortcut.action);
            }
        }
    }

    /// All panels.
    fn frame(&mut self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let theme = Theme::of(ui);
        let Self {
            document,
            builder,
            planner,
            session,
            library,
            measurements,
            view,
            canvas,
            banner,
            refusal,
            closing,
            ..
        } = self;
        let locked = session.state().is_busy();
        let desk = Desk {
            document: document.as_ref(),
            model: builder.model(),
            planner,
            session,
            measured: measurements.shown(),
            locked,
        };
        let bar = || Frame::new().fill(theme.panel);
        let whole = ui.available_size();
        Panel::top("top bar").exact_size(48.0).resizable(false).frame(bar()).show(ui, |ui| {
            top_bar::ui(ui, desk, actions);
        });
        Panel::bottom("status").exact_size(24.0).resizable(false).frame(bar()).show(ui, |ui| {
            status::ui(ui, desk);
        });
        let narrow = whole.x < 1280.0;
        // In a narrow window the sides give their room to the canvas.
        let side = |least: f32, usual: f32| if narrow { least } else { usual };
        // Runs need the room of what is about one model's parts, whether one or several are chosen: a table that
        // moves under the pointer cannot be ticked.
        let comparing = view.tab == DockTab::Runs && view.dock_tall;
        let outline = Panel::left("outline").frame(bar()).size_range(200.0..=side(232.0, 420.0));
        if !comparing {
            outline.default_size(side(232.0, 272.0)).show(ui, |ui| outline::ui(ui, desk, view, actions));
        }
        let panel = Panel::right("inspector").frame(bar()).size_range(220.0..=side(236.0, 460.0));
        if !comparing {
            panel.default_size(side(230.0, 312.0)).show(ui, |ui| inspector::ui(ui, desk, view, actions));
        }
        let tall = view.dock_tall;
        let height =
            if tall { (ui.available_height() - 150.0).max(208.0) } else { (0.26 * whole.y).min(190.0) };
        let id = if tall { "tall dock" } else { "dock" };
        let panel = Panel::bottom(id)
            .frame(bar())
            .default_size(height)
            .size_range(120.0..=(whole.y - 220.0).max(140.0));
        panel.show(ui, |ui| dock::ui(ui, desk, library, view, actions));
        view.differing = match desk.model.filter(|_| comparing) {
            Some(model) => {
                let sites: Vec<&str> = model.graph.sites().iter().map(|site| site.path.as_str()).collect();
                crate::runs::differing_sites(library, &sites)
            }
            None => Vec::new(),
        };
        let canvas_rect = ui.available_rect_before_wrap();
        if let (Some(document), Some(model)) = (desk.document, desk.model) {
            let scene = Scene {
                model,
                project: document.project(),
                locked,
                outlook: desk.outlook(),
                measured: desk.measured_for(view),
            };
            canvas.ui(ui, scene, view, actions);
            overlays::stages(ui, canvas_rect, desk, view, actions);
            overlays::zoom(ui, canvas_rect, view, actions);
            heat::ui(ui, canvas_rect, desk, view, canvas.hottest(), actions);
            lock(ui, canvas_rect, locked);
        } else {
            let message = match (refusal, builder.error()) {
                (Some(error), _) => Some(("The project could not be opened", error.as_str())),
                (None, Some(error)) => Some(("The model could not be built", error)),
                (None, None) => None,
            };
            let building = desk.document.is_some() && builder.error().is_none();
            overlays::empty(ui, canvas_rect, message, building, actions);
        }
        let shown_elsewhere = desk.model.is_none() && !matches!(banner, Some(Banner::ChangedOnDisk));
        if let Some(banner) = banner.as_ref().filter(|_| !shown_elsewhere && *closing != Stage::Asking) {
            overlays::banner(ui, canvas_rect, banner, actions);
        }
    }
}

/// Says over the canvas why nothing can be edited.
fn lock(ui: &Ui, canvas: egui::Rect, locked: bool) {
    if !locked {
        return;
    }
    let theme = Theme::of(ui);
    let text = if canvas.width() < 560.0 { "Locked" } else { "Graph locked while training" };
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::regular(11.0), theme.body);
    let size = galley.size() + egui::vec2(36.0, 10.0);
    let rect = egui::Rect::from_min_size(canvas.right_bottom() - size - egui::vec2(12.0, 10.0), size);
    ui.painter().rect(rect, 6, theme.card, Stroke::new(1.0, theme.outline), egui::StrokeKind::Inside);
    let icon = egui::pos2(rect.left() + 14.0, rect.center().y);
    crate::icons::paint(ui.painter(), crate::icons::Icon::Lock, icon, 12.0, theme.label);
    let at = egui::pos2(rect.left() + 26.0, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, theme.body);
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        Self::logic(self, ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        Self::ui(self, ui);
    }
}

/// The sample project: below the working directory, or next to or above the program.
#[must_use]
pub fn sample_project() -> Option<PathBuf> {
    let name = Path::new("projects").join("vivit_frozen_spatial.ron");
    if name.is_file() {
        return Some(name);
    }
    let program = std::env::current_exe().ok()?;
    program.ancestors().skip(1).map(|folder| folder.join(&name)).find(|path| path.is_file())
}
