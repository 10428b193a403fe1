//! The window: panels around the canvas, and the one place where actions are performed.

use std::path::{Path, PathBuf};

use egui::{Context, Frame, Panel, Stroke, Ui, ViewportCommand};

use crate::actions::{Action, Closing, shortcuts};
use crate::canvas::{Canvas, Scene};
use crate::document::Document;
use crate::edits;
use crate::files::{FileEvent, Files};
use crate::model::Builder;
use crate::overlays::{self, Banner};
use crate::panels::{Desk, dock, inspector, outline, status, top_bar};
use crate::session::{Session, State};
use crate::theme::{self, Theme};
use crate::view::{Camera, DockTab, Follow, Selected, View};

/// What the window starts with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The project to open; none for the empty state.
    pub project: Option<PathBuf>,
    /// Where run folders go.
    pub runs: PathBuf,
}

/// Graft's window.
#[derive(Debug)]
pub struct App {
    document: Option<Document>,
    /// Why no document is open.
    refusal: Option<String>,
    builder: Builder,
    session: Session,
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
        let mut app = Self {
            document: None,
            refusal: None,
            builder: Builder::start(waker())?,
            session: Session::start(waker())?,
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
        self.builder.poll();
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
        self.was_busy = busy;
        let running = self.session.series().stage().map(|stage| stage.index).filter(|_| busy);
        if running != self.running_stage {
            self.running_stage = running;
            self.view.stage = running.unwrap_or(self.view.stage);
        }
        if let Some(document) = &self.document {
            let stages = document.project().stages.len();
            self.view.stage = self.view.stage.min(stages.saturating_sub(1));
            self.builder.ask(document.revision(), self.view.stage, document.project(), document.base());
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
        let Self { document, builder, session, view, canvas, banner, refusal, closing, .. } = self;
        let locked = session.state().is_busy();
        let desk = Desk { document: document.as_ref(), model: builder.model(), session, locked };
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
        let outline = Panel::left("outline").frame(bar()).size_range(200.0..=side(232.0, 420.0));
        outline.default_size(side(232.0, 272.0)).show(ui, |ui| outline::ui(ui, desk, view, actions));
        let panel = Panel::right("inspector").frame(bar()).size_range(220.0..=side(236.0, 460.0));
        panel.default_size(side(230.0, 312.0)).show(ui, |ui| inspector::ui(ui, desk, view, actions));
        let tall = view.dock_tall;
        let height =
            if tall { (ui.available_height() - 150.0).max(208.0) } else { (0.26 * whole.y).min(190.0) };
        let id = if tall { "tall dock" } else { "dock" };
        let panel = Panel::bottom(id)
            .frame(bar())
            .default_size(height)
            .size_range(120.0..=(whole.y - 220.0).max(140.0));
        panel.show(ui, |ui| dock::ui(ui, desk, view, actions));
        let canvas_rect = ui.available_rect_before_wrap();
        if let (Some(document), Some(model)) = (desk.document, desk.model) {
            let scene = Scene { model, project: document.project(), locked };
            canvas.ui(ui, scene, view, actions);
            overlays::stages(ui, canvas_rect, desk, view, actions);
            overlays::zoom(ui, canvas_rect, view, actions);
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

    fn open(&mut self, path: &Path) {
        match Document::open(path) {
            Ok(document) => {
                self.adopt(document);
                self.refusal = None;
            }
            Err(error) if self.document.is_some() => self.banner = Some(Banner::Error(error.to_string())),
            Err(error) => self.refusal = Some(error.to_string()),
        }
    }

    /// Opens a file in place of the open one, unless something would be lost.
    fn open_other(&mut self, path: &Path) {
        if self.is_locked() {
            return;
        }
        if self.document.as_ref().is_some_and(Document::is_dirty) {
            let message = "Save the changes first (Ctrl S): opening another project would lose them";
            self.banner = Some(Banner::Error(message.to_owned()));
        } else {
            self.open(path);
        }
    }

    fn adopt(&mut self, document: Document) {
        self.builder.clear();
        self.told = None;
        self.banner = None;
        // The last stage shows most: adapters are usually on, and something is frozen.
        let stage = document.project().stages.len().saturating_sub(1);
        self.view = View { stage, kind: self.view.kind, tab: self.view.tab, ..View::default() };
        self.view.expanded.extend(["model.spatial", "model.temporal"].map(str::to_owned));
        self.watch(document.path());
        self.document = Some(document);
    }

    fn watch(&mut self, path: &Path) {
        if let Err(error) = self.files.watch(path) {
            tracing::warn!("changes of the file will not be noticed: {error}: {}", path.display());
        }
    }

    fn file_event(&mut self, event: FileEvent) {
        match event {
            FileEvent::Open(path) => self.open_other(&path),
            FileEvent::SaveAs(path) => self.save_as(&path),
            FileEvent::Touched => {
                if self.document.as_ref().is_some_and(|document| self.files.differs(document.path())) {
                    self.banner = Some(Banner::ChangedOnDisk);
                }
            }
        }
    }

    fn fail(&mut self, result: Result<(), String>) {
        if let Err(error) = result {
            self.banner = Some(Banner::Error(error));
        }
    }

    fn save(&mut self) -> bool {
        let Some(document) = &mut self.document else { return true };
        let result = document.save().map_err(|error| error.to_string());
        self.files.remember(document.path());
        let saved = result.is_ok();
        if saved && self.banner == Some(Banner::ChangedOnDisk) {
            self.banner = None;
        }
        self.fail(result);
        saved
    }

    fn save_as(&mut self, path: &Path) {
        let Some(document) = &mut self.document else { return };
        let result = document.save_as(path).map_err(|error| error.to_string());
        let path = document.path().to_path_buf();
        if result.is_ok() {
            self.watch(&path);
        }
        self.fail(result);
    }

    fn perform(&mut self, ctx: &Context, action: Action) {
        match action {
            Action::Open | Action::SaveAs => self.ask(&action),
            Action::Save => {
                self.save();
            }
            Action::Train => self.train(),
            Action::TogglePause => self.session.toggle_pause(),
            Action::Stop => self.session.stop(),
            Action::Fit => self.view.camera.follow = Follow::All,
            Action::ToggleTheme => {
                let dark = ctx.global_style().visuals.dark_mode;
                ctx.set_theme(if dark { egui::Theme::Light } else { egui::Theme::Dark });
            }
            Action::Select(selected) => {
                self.view.rule_draft = None;
                self.view.selected = selected;
            }
            Action::ToggleFold(path) => self.toggle_fold(&path),
            Action::ShowStage(stage) => self.view.stage = stage,
            Action::ChooseKind(kind) => self.view.kind = kind,
            Action::Reload => {
                self.banner = None;
                if let Some(document) = &mut self.document {
                    let result = document.reload().map_err(|error| error.to_string());
                    self.files.remember(document.path());
                    self.fail(result);
                }
            }
            Action::KeepMine => {
                self.banner = None;
                if let Some(document) = &self.document {
                    self.files.remember(document.path());
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
        let Some(document) = &mut self.document else { return };
        let model = self.builder.model().filter(|model| model.stage == self.view.stage);
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
            Action::SetRule { adapter, rule } => {
                edits::set_rule(document, adapter, &rule);
                if let Selected::Adapter { site, .. } = &mut self.view.selected {
                    *site = None;
                }
            }
            Action::SetStage { stage, path, value } => {
                result = edits::set_stage(document, stage, path, &value);
            }
            Action::UseAdapters(stage, uses) => edits::use_adapters(document, stage, uses),
            _ => {}
        }
        // After undo the selected adapter may be gone.
        if let Selected::Adapter { index, .. } = self.view.selected
            && index >= document.project().adapters.len()
        {
            self.view.selected = Selected::Nothing;
        }
        self.fail(result);
    }

    fn ask(&mut self, action: &Action) {
        let folder = self.document.as_ref().map_or_else(|| PathBuf::from("projects"), Document::base);
        let result = match (action, &self.document) {
            (Action::SaveAs, Some(document)) => self.files.ask_save(document.path()),
            (Action::SaveAs, None) => Ok(()),
            _ if self.is_locked() => Ok(()),
            _ => self.files.ask_open(&folder),
        };
        self.fail(result.map_err(|error| format!("the dialog could not be shown: {error}")));
    }

    fn train(&mut self) {
        let Some(document) = &self.document else { return };
        if self.is_locked() {
            return;
        }
        let result = self.session.train(document.project(), document.base(), self.runs.clone());
        if result.is_ok() {
            self.view.tab = DockTab::Plots;
            self.view.dock_tall = true;
            self.view.camera = Camera::default();
            self.banner = None;
            self.was_busy = true;
        }
        self.fail(result.map_err(|error| error.to_string()));
    }

    /// Folds or unfolds. One block of a stack is open at a time; opening one opens what is around it.
    fn toggle_fold(&mut self, path: &str) {
        if self.view.unfolded.remove(path) {
            return;
        }
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let is_block =
            path.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
        if is_block {
            let sibling = |other: &String| {
                other
                    .strip_prefix(parent)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
            };
            self.view.unfolded.retain(|other| !sibling(other));
            let mut above = parent;
            while let Some((next, _)) = above.rsplit_once('.') {
                self.view.unfolded.insert(above.to_owned());
                above = next;
            }
        }
        self.view.unfolded.insert(path.to_owned());
    }

    fn answer(&mut self, ctx: &Context, answer: Closing) {
        self.closing = match answer {
            Closing::Discard => Stage::Waiting,
            Closing::Save if self.save() => Stage::Waiting,
            Closing::Save | Closing::Cancel => Stage::Open,
        };
        ctx.request_repaint();
    }

    /// Closing asks about unsaved changes, then lets the run save itself, then closes.
    fn close(&mut self, ctx: &Context) {
        let asked = ctx.input(|input| input.viewport().close_requested());
        if asked && self.closing != Stage::Ready {
            let dirty = self.document.as_ref().is_some_and(Document::is_dirty);
            if self.closing == Stage::Open {
                self.closing = if dirty { Stage::Asking } else { Stage::Waiting };
            }
            if self.closing == Stage::Asking || self.is_locked() {
                ctx.send_viewport_cmd(ViewportCommand::CancelClose);
            }
        }
        if self.closing == Stage::Waiting {
            self.session.stop();
            if !self.is_locked() {
                self.closing = Stage::Ready;
                ctx.send_viewport_cmd(ViewportCommand::Close);
            }
        }
    }
}

/// Says over the canvas why nothing can be edited.
fn lock(ui: &Ui, canvas: egui::Rect, locked: bool) {
    if !locked {
        return;
    }
    let theme = Theme::of(ui);
    let text = "Graph locked while training";
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
