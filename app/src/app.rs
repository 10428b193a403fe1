//! The window: panels around the canvas, and the one place where actions are performed.

mod asking;
mod behind;
mod closing;
mod document_files;
mod frame;
mod graph;
mod held;
mod keeping;
mod perform;
mod read;
mod regions;
mod runs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::{Context, Id, Key, KeyboardShortcut, Ui};
use graft_engine::adapters::AdapterSpec;
use graft_engine::memory::machine_bytes;

use crate::actions::Action;
use crate::canvas::Canvas;
use crate::commands;
use crate::devices::Devices;
use crate::difference::{self, Difference};
use crate::document::Document;
use crate::files::Files;
use crate::graph_actions;
use crate::library::Library;
use crate::measured::Measurements;
use crate::model::Builder;
use crate::overlays::{self, Banner};
use crate::palette::{self, Palette};
use crate::panels::Desk;
use crate::planner::{Clock, Planner, Subject};
use crate::previews::{Previews, Wanted, Which};
use crate::problems::{self, Problem};
use crate::samples::Samples;
use crate::session::{Session, State};
use crate::sources::Sources;
use crate::state::{Store, Unsaved};
use crate::textures::Textures;
use crate::theme::{self};
use crate::timeline::Timelines;
use crate::view::{DockTab, Selected, View};
use crate::whatif::WhatIf;

/// What the window starts with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The project to open; none for the empty state.
    pub project: Option<PathBuf>,
    /// Where run folders go.
    pub runs: PathBuf,
    /// Where predicted times come from.
    pub clock: Clock,
    /// Where recent projects, the theme and unsaved edits are kept; nothing is kept without.
    pub state: Option<PathBuf>,
    /// What the process is said to hold beside a stage, in bytes; measured unless it is given.
    pub process_bytes: Option<u64>,
    /// The folder of sample projects.
    pub samples: Option<PathBuf>,
}

/// Graft's window.
#[derive(Debug)]
pub struct App {
    document: Option<Document>,
    /// Why no document is open.
    refusal: Option<String>,
    problems: problems::Known,
    store: Store,
    kept: keeping::Kept,
    devices: Devices,
    samples: Samples,
    previews: Previews,
    textures: Textures,
    /// Samples that the latest evaluation tells of.
    judged: Previews,
    judged_textures: Textures,
    palette: Option<Palette>,
    help: bool,
    difference: Option<Difference>,
    /// Edits that an earlier window left behind, until the user has said what becomes of them.
    recovered: Option<Unsaved>,
    /// What is done once the question about unsaved changes is answered.
    pending: Option<Action>,
    /// Undo is about a deleted run.
    undoes_runs: bool,
    builder: Builder,
    planner: Planner,
    what_if: WhatIf,
    timelines: Timelines,
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
    held: held::Held,
    /// The recent project that is being looked for.
    locating: Option<PathBuf>,
    regions: regions::Regions,
    /// Main memory, which devices of the processor share.
    main_memory: Option<u64>,
    /// The adapter that pasting places.
    copied: Option<AdapterSpec>,
    runs: PathBuf,
    closing: Stage,
    was_busy: bool,
    behind: behind::Behind,
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

/// What panels read of the program: a macro rather than a method, so that views can be borrowed beside it.
macro_rules! desk {
    ($app:ident) => {
        Desk {
            document: $app.document.as_ref(),
            model: $app.builder.model().filter(|_| $app.document.is_some()),
            build_error: $app.builder.error().filter(|_| $app.document.is_some()),
            lacks_data: $app.builder.lacks_data(),
            planner: &$app.planner,
            what_if: &$app.what_if,
            timelines: &$app.timelines,
            session: &$app.session,
            measured: $app.measurements.shown(),
            locked: $app.is_locked(),
            elsewhere: $app.trains_elsewhere(),
            waiting: $app.library.queue().len(),
            undoes_runs: $app.undoes_runs,
            budget_bytes: $app.view.budget.bytes,
            machine_bytes: $app.main_memory.filter(|_| {
                $app.document
                    .as_ref()
                    .is_some_and(|document| $crate::app::shares_main_memory(&document.project().device))
            }),
        }
    };
}

/// Whether a device's tensors lie in the processor's memory.
fn shares_main_memory(device: &str) -> bool {
    matches!(device, "flex" | "tch")
}

use desk;

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
            problems: problems::Known::default(),
            store: Store::open(options.state),
            kept: keeping::Kept::default(),
            devices: Devices::start(waker())?,
            samples: Samples::start(options.samples.as_deref(), sources.clone(), waker())?,
            previews: Previews::start(sources.clone(), waker())?,
            judged: Previews::start(sources.clone(), waker())?,
            judged_textures: Textures::default(),
            textures: Textures::default(),
            palette: None,
            help: false,
            difference: None,
            recovered: None,
            pending: None,
            undoes_runs: false,
            builder: Builder::start(sources.clone(), waker())?,
            planner: Planner::start(&sources, options.clock, options.process_bytes, waker)?,
            what_if: WhatIf::start(sources.clone(), waker())?,
            timelines: Timelines::start(sources, waker())?,
            session: Session::start(waker())?,
            library: Library::start(options.runs.clone(), waker)?,
            measurements: Measurements::start(waker())?,
            files: Files::new(waker()),
            view: View::default(),
            canvas: Canvas::default(),
            banner: None,
            told: None,
            actions: Vec::new(),
            held: held::Held::default(),
            locating: None,
            regions: regions::Regions::default(),
            main_memory: machine_bytes(),
            copied: None,
            runs: options.runs,
            closing: Stage::Open,
            was_busy: false,
            behind: behind::Behind::default(),
            running_stage: None,
        };
        app.apply_theme(ctx);
        if let Some(path) = options.project {
            app.open(&path);
        }
        Ok(app)
    }

    /// Whether a run of this window goes on.
    const fn is_busy(&self) -> bool {
        self.session.state().is_busy()
    }

    /// Whether the project must not be edited: a run of it goes on. One of another project has its own frozen copy.
    fn is_locked(&self) -> bool {
        self.is_busy() && self.document.as_ref().is_none_or(|document| self.session.is_of(document))
    }

    /// Takes in what other threads have told. Called once before each frame.
    pub fn logic(&mut self, ctx: &Context) {
        if self.session.poll() {
            ctx.request_repaint();
        }
        self.session.smooth(self.view.plots.smoothing);
        self.read_runs();
        self.undoes_runs = self.view.tab == DockTab::Runs && self.library.can_restore();
        self.builder.poll();
        self.planner.poll();
        self.measurements.poll();
        self.devices.poll();
        self.previews.poll();
        self.judged.poll();
        self.what_if.poll();
        self.timelines.poll();
        if self.document.is_none() {
            self.samples.look();
        }
        let own = self.document.as_ref().is_none_or(|document| self.session.is_of(document));
        for profile in self.session.take_profiles() {
            if own {
                self.measurements.take(profile);
            }
        }
        if let (Some(model), Some(document)) = (self.builder.model(), &self.document) {
            self.measurements.look(model, document.project());
        }
        while let Some(event) = self.files.poll() {
            self.file_event(ctx, event);
        }
        let dropped =
            ctx.input(|input| input.raw.dropped_files.first().map(|file| file.path().to_path_buf()));
        if let Some(path) = dropped {
            self.guarded(ctx, Action::OpenPath(path));
        }
        let busy = self.is_busy();
        if let State::Failed(error) = self.session.state()
            && self.was_busy
            && !busy
        {
            // Of a run from the queue it is not plain whose it was.
            let message = match desk!(self).foreign_run() {
                Some(name) => format!("The run of {name} failed: {error}"),
                None => error.clone(),
            };
            self.banner = Some(Banner::Error(message));
            // Without a step there is nothing to plot; the graph gets its room back.
            self.view.dock_tall &= !self.session.series().steps.is_empty();
        }
        let ended = self.was_busy && !busy;
        self.was_busy = busy;
        self.planner.run(busy);
        if ended {
            self.ended();
        }
        self.wait_behind(ctx);
        // A run of another project, from the queue, goes through stages of its own.
        let own = self.document.as_ref().is_none_or(|document| self.session.is_of(document));
        let running = self.session.series().stage().and_then(|stage| stage.listed).filter(|_| busy && own);
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
            if self.view.tab == DockTab::Data
                && let Some(stage) = document.project().stages.get(self.view.stage)
            {
                self.previews.ask(Wanted {
                    data: document.project().data.clone(),
                    view: stage.view(),
                    base: document.base(),
                    split: self.view.data.split,
                    samples: Which::From(self.view.data.first),
                });
            }
        }
        self.ask_judged();
        self.ask_what_if();
        self.ask_timeline();
        self.keep(ctx);
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
        // Menus and fields take Escape first; what is left of it ends or unselects something.
        let escapes = !egui::Popup::is_any_open(ui.ctx())
            && !ui.ctx().text_edit_focused()
            && !self.is_covered()
            && ui.input(|input| input.key_pressed(Key::Escape));
        self.keys(ui, &mut actions);
        let tab = self.view.tab;
        self.frame(ui, &mut actions);
        if self.view.tab != tab {
            self.forget_refusal();
        }
        if escapes {
            actions.push(Action::Select(self.above()));
        }
        let hovering = self.view.hovering.take();
        if self.view.hovered != hovering {
            self.view.hovered = hovering;
            ui.ctx().request_repaint();
        }
        self.over(ui.ctx(), &mut actions);
        self.perform_held(ui.ctx());
        for action in actions {
            self.take(ui.ctx(), action);
        }
        let idle =
            ui.input(|input| !input.pointer.any_down()) && ui.memory(|memory| memory.focused().is_none());
        if idle && let Some(document) = &mut self.document {
            document.end_gesture();
        }
    }

    /// What lies over everything: questions, the palette, the keys, differences.
    fn over(&mut self, ctx: &Context, actions: &mut Vec<Action>) {
        if self.is_asking()
            && let Some(document) = &self.document
        {
            overlays::unsaved(ctx, &document.project().name, self.pending.is_none(), actions);
            return;
        }
        let desk = desk!(self);
        if self.palette.as_mut().is_some_and(|state| !palette::ui(ctx, desk, state, actions)) {
            self.palette = None;
        }
        if self.help && !palette::help(ctx) {
            self.help = false;
        }
        if self.difference.as_ref().is_some_and(|found| !difference::ui(ctx, found, actions)) {
            self.difference = None;
        }
    }

    /// Whether the question about unsaved changes is shown.
    fn is_asking(&self) -> bool {
        self.closing == Stage::Asking || self.pending.is_some()
    }

    /// Whether something over the window takes the keys.
    fn is_covered(&self) -> bool {
        self.palette.is_some() || self.help || self.difference.is_some() || self.is_asking()
    }

    /// All that would stop a run now.
    #[must_use]
    pub fn problems(&self) -> std::rc::Rc<[Problem]> {
        let desk = desk!(self);
        self.problems.get(desk, &self.devices, &self.view, self.refusal.as_deref())
    }

    fn keys(&self, ui: &Ui, actions: &mut Vec<Action>) {
        if self.is_covered() {
            return;
        }
        let typing = ui.ctx().text_edit_focused();
        let desk = desk!(self);
        for command in commands::keyed() {
            let Some(keys) = command.keys else { continue };
            let plain = keys.modifiers.is_none();
            // Arrows and Enter belong to what has the keyboard.
            let focused = ui.memory(egui::Memory::focused).filter(|id| *id != Id::unique("canvas"));
            let taken = plain && is_walk(keys.logical_key) && focused.is_some();
            if taken || typing && types(keys) || keys.logical_key == Key::Escape {
                continue;
            }
            if command.blocked(desk).is_none() && ui.input_mut(|input| input.consume_shortcut(&keys)) {
                actions.push(command.action.clone());
            }
        }
        if !typing {
            actions.extend(ui.input(|input| graph_actions::clipboard(&input.events)));
        }
    }

    /// What lies one level above the selection.
    fn above(&self) -> Selected {
        let Selected::Part(path) = &self.view.selected else { return Selected::Nothing };
        let known = |path: &&str| self.builder.model().is_some_and(|model| model.part(path).is_some());
        let parents =
            std::iter::successors(Some(path.as_str()), |path| Some(path.rsplit_once('.')?.0)).skip(1);
        let parent = parents.filter(|parent| *parent != "model").find(known);
        parent.map_or(Selected::Nothing, |parent| Selected::Part(parent.to_owned()))
    }
}

/// Whether a text field uses these keys itself: what types, and what edits or moves in text.
fn types(keys: KeyboardShortcut) -> bool {
    use Key::{A, C, F1, F6, K, N, V, W, X, Y, Z};
    let edits = matches!(keys.logical_key, A | C | K | N | V | W | X | Y | Z);
    keys.modifiers.is_none() && !matches!(keys.logical_key, F1 | F6) || keys.modifiers.command && edits
}

/// Whether controls that have the keyboard use the key themselves.
const fn is_walk(key: egui::Key) -> bool {
    use egui::Key::{ArrowDown, ArrowLeft, ArrowRight, ArrowUp, Enter};
    matches!(key, ArrowDown | ArrowLeft | ArrowRight | ArrowUp | Enter)
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        Self::logic(self, ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        Self::ui(self, ui);
    }
}

/// The folder of sample projects: below the working directory, or next to or above the program.
#[must_use]
pub fn sample_folder() -> Option<PathBuf> {
    let name = Path::new("projects");
    let holds = |folder: &Path| folder.join("vivit_frozen_spatial.ron").is_file();
    if holds(name) {
        return Some(name.to_path_buf());
    }
    let program = std::env::current_exe().ok()?;
    program.ancestors().skip(1).map(|folder| folder.join(name)).find(|folder| holds(folder))
}
