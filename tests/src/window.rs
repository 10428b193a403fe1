//! The window, driven by its accessibility tree.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test may end at whatever is wrong")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use egui::{Event, Key, Modifiers, ViewportCommand, ViewportEvent, ViewportId};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use graft_app::planner::Clock;
use graft_app::{App, Options, theme};
use graft_engine::plan::Calibration;
use graft_engine::project::{self, Project};
use tempfile::TempDir;

use crate::{repository, tiny_project};

/// A window over a tiny project in a folder of its own.
pub struct Window {
    /// Steps the window and finds its controls.
    pub harness: Harness<'static, Option<App>>,
    /// The project file.
    pub path: PathBuf,
    /// Where it keeps what it writes.
    pub folder: TempDir,
}

/// The tiny project with its data found from anywhere.
#[must_use]
pub fn tiny() -> Project {
    let digits = std::path::absolute(repository("assets/digits")).unwrap();
    project::set(&tiny_project(), "data.folder", &format!("{:?}", digits.display().to_string())).unwrap()
}

/// A window of 1,600 × 1,000 points that starts with these options.
#[must_use]
pub fn harness(options: Options) -> Harness<'static, Option<App>> {
    Harness::builder().with_size([1600.0, 1000.0]).with_context_setup(theme::install).build_ui_state(
        move |ui, app: &mut Option<App>| {
            let app = app.get_or_insert_with(|| App::new(ui.ctx(), options.clone()).unwrap());
            app.logic(ui.ctx());
            app.ui(ui);
        },
        None,
    )
}

impl Window {
    /// A window over a project file with this text.
    #[must_use]
    pub fn open(text: &str) -> Self {
        Self::timed(text, None)
    }

    /// A window that knows what ops take.
    #[must_use]
    pub fn timed(text: &str, times: Option<Calibration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.ron");
        std::fs::write(&path, text).unwrap();
        let clock = Clock::Given(times.map(Arc::new));
        let options = Options {
            project: Some(path.clone()),
            runs: folder.path().join("runs"),
            clock,
            state: Some(folder.path().join("state")),
            ..Options::default()
        };
        let harness = harness(options);
        Self { harness, path, folder }
    }

    /// Another window over the same files.
    #[must_use]
    pub fn again(self) -> Self {
        let options = Options {
            project: Some(self.path.clone()),
            runs: self.path.with_file_name("runs"),
            clock: Clock::Given(None),
            state: Some(self.path.with_file_name("state")),
            ..Options::default()
        };
        Self { harness: harness(options), ..self }
    }

    /// A window over the tiny project, once its model is drawn.
    #[must_use]
    pub fn tiny() -> Self {
        let mut window = Self::open(&project::to_text(&tiny()).unwrap());
        window.until("the model is there", |window| window.has("Card model.head"));
        window
    }

    /// The program.
    #[must_use]
    pub fn app(&self) -> &App {
        self.harness.state().as_ref().unwrap()
    }

    /// The project as it is now.
    #[must_use]
    pub fn project(&self) -> &Project {
        self.app().document().unwrap().project()
    }

    /// The project's text.
    #[must_use]
    pub fn text(&self) -> String {
        project::to_text(self.project()).unwrap()
    }

    /// Whether a control of this name is there.
    #[must_use]
    pub fn has(&self, label: &str) -> bool {
        self.harness.query_by_label(label).is_some()
    }

    /// Whether a control's name has this part.
    #[must_use]
    pub fn says(&self, part: &str) -> bool {
        self.harness.query_all_by_label_contains(part).next().is_some()
    }

    /// The whole name of the control whose name has this part.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn label_with(&self, part: &str) -> String {
        let found = self.harness.query_all_by_label_contains(part).next();
        found.and_then(|node| node.accesskit_node().label()).unwrap()
    }

    /// Steps until something holds; other threads need time to answer.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        loop {
            self.harness.step();
            if holds(self) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(40), "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(4));
        }
    }

    /// Clicks what has this name, once it is there and what it stands on has come to rest.
    pub fn click(&mut self, label: &str) {
        self.until(label, |window| window.has(label) && window.app().builder().is_settled());
        self.harness.run_steps(3);
        self.harness.get_by_label(label).click();
        self.harness.run_steps(3);
    }

    /// Presses a key, once what it is about has come to rest.
    pub fn keys(&mut self, modifiers: Modifiers, key: Key) {
        self.until("the model is there", |window| window.app().builder().is_settled());
        self.harness.key_press_modifiers(modifiers, key);
        self.harness.run_steps(3);
    }

    /// Asks the window to close, as its frame's cross does; what it answers.
    pub fn ask_to_close(&mut self) -> Vec<ViewportCommand> {
        let root = self.harness.input_mut().viewports.entry(ViewportId::ROOT).or_default();
        root.events.push(ViewportEvent::Close);
        self.harness.step();
        let commands = self.commands();
        self.harness.input_mut().viewports.entry(ViewportId::ROOT).or_default().events.clear();
        commands
    }

    /// What the last frame asked of the window system.
    #[must_use]
    pub fn commands(&self) -> Vec<ViewportCommand> {
        let output = &self.harness.output().viewport_output;
        output.get(&ViewportId::ROOT).map(|viewport| viewport.commands.clone()).unwrap_or_default()
    }

    /// The predicted totals, once they are of what is shown.
    pub fn predicted(&mut self) -> (u64, u64) {
        self.until("the prediction is current", |window| {
            window.app().builder().is_settled()
                && window.app().planner().is_current()
                && window.app().planner().outlook().is_some()
        });
        self.harness.run_steps(2);
        let outlook = self.app().planner().outlook().unwrap();
        let found = outlook.predicted().unwrap();
        (found.peak_bytes, found.activations_bytes)
    }

    /// Types into the field of this name, in place of what stands there.
    pub fn type_into(&mut self, field: &str, text: &str) {
        self.click(field);
        self.keys(Modifiers::COMMAND, Key::A);
        self.harness.event(Event::Text(text.to_owned()));
        self.harness.run_steps(2);
    }
}
