//! The window, driven by its accessibility tree: editing, training, files.
#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use egui::{Event, Key, Modifiers, ViewportCommand, ViewportEvent, ViewportId};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable as _;
use graft_app::session::State;
use graft_app::{App, Options, theme};
use graft_engine::project::{self, Project};
use graft_tests::{repository, tiny_project};
use tempfile::TempDir;

/// A window over a tiny project in a folder of its own.
struct Window {
    harness: Harness<'static, Option<App>>,
    path: PathBuf,
    _folder: TempDir,
}

/// The tiny project with its data found from anywhere.
fn tiny() -> Project {
    let digits = std::path::absolute(repository("assets/digits")).unwrap();
    project::set(&tiny_project(), "data.folder", &format!("{:?}", digits.display().to_string())).unwrap()
}

impl Window {
    fn open(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.ron");
        std::fs::write(&path, text).unwrap();
        let options =
            Options { project: Some(path.clone()), runs: folder.path().join("runs"), measures: false };
        let harness =
            Harness::builder().with_size([1600.0, 1000.0]).with_context_setup(theme::install).build_ui_state(
                move |ui, app: &mut Option<App>| {
                    let app = app.get_or_insert_with(|| App::new(ui.ctx(), options.clone()).unwrap());
                    app.logic(ui.ctx());
                    app.ui(ui);
                },
                None,
            );
        Self { harness, path, _folder: folder }
    }

    fn tiny() -> Self {
        let mut window = Self::open(&project::to_text(&tiny()).unwrap());
        window.until("the model is there", |window| window.has("Card model.head"));
        window
    }

    fn app(&self) -> &App {
        self.harness.state().as_ref().unwrap()
    }

    fn project(&self) -> &Project {
        self.app().document().unwrap().project()
    }

    fn text(&self) -> String {
        project::to_text(self.project()).unwrap()
    }

    fn has(&self, label: &str) -> bool {
        self.harness.query_by_label(label).is_some()
    }

    fn says(&self, part: &str) -> bool {
        self.harness.query_by_label_contains(part).is_some()
    }

    /// Steps until something holds; other threads need time to answer.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
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
    fn click(&mut self, label: &str) {
        self.until(label, |window| window.has(label) && window.app().builder().is_settled());
        self.harness.run_steps(3);
        self.harness.get_by_label(label).click();
        self.harness.run_steps(3);
    }

    fn keys(&mut self, modifiers: Modifiers, key: Key) {
        self.harness.key_press_modifiers(modifiers, key);
        self.harness.run_steps(3);
    }
}

#[test]
fn placing_editing_undo_and_redo() {
    let mut window = Window::tiny();
    let before = window.text();
    assert!(!window.has("Place LoRA at model.temporal.blocks.0.attention.key"), "folded at first");
    window.click("Block model.temporal.blocks.0");
    window.click("Place LoRA at model.temporal.blocks.0.attention.key");
    assert_eq!(window.project().adapters.len(), 4);
    assert_eq!(window.project().adapters[3].at, "model.temporal.blocks.0.attention.key");
    window.until("the adapter is drawn", |window| {
        window.has("LoRA model.temporal.blocks.0.attention.key.adapter_3")
    });
    window.click("Rank");
    window.harness.event(Event::Text("5".to_owned()));
    window.harness.run_steps(2);
    window.keys(Modifiers::NONE, Key::Enter);
    let setting = window.project().adapters[3].kind.kind().settings()[0].clone();
    assert_eq!((setting.name, setting.value), ("rank", 5.0));
    let after = window.text();
    window.keys(Modifiers::COMMAND, Key::Z);
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), before);
    assert_eq!(window.app().document().unwrap().undo_label(), None);
    window.keys(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    window.keys(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z);
    assert_eq!(window.text(), after);
    assert_eq!(project::load(&window.path).unwrap().adapters.len(), 3, "nothing is saved yet");
    window.keys(Modifiers::COMMAND, Key::S);
    assert_eq!(project::to_text(&project::load(&window.path).unwrap()).unwrap(), after);
    assert!(window.says("Project tiny, saved"));
}

#[test]
fn a_drag_of_a_slider_is_one_step() {
    let mut window = Window::tiny();
    window.click("Rule Bridge model.bridge");
    let before = window.text();
    let width = |window: &Window| window.project().adapters[0].kind.kind().settings()[0].value;
    assert!((width(&window) - 4.0).abs() < 1e-9);
    let rail = window.harness.get_by_label("Width slider").rect();
    window.harness.drag_at(rail.center());
    window.harness.run_steps(2);
    let middle = width(&window);
    for share in [0.6, 0.7, 0.8] {
        window.harness.hover_at(egui::pos2(rail.left() + share * rail.width(), rail.center().y));
        window.harness.run_steps(2);
    }
    window.harness.drop_at(egui::pos2(rail.left() + 0.8 * rail.width(), rail.center().y));
    window.harness.run_steps(3);
    assert!(middle > 4.0 && width(&window) > middle, "{middle}, then {}", width(&window));
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), before);
}

#[test]
fn removing_takes_the_selected_rule_off() {
    let mut window = Window::tiny();
    window.click("Rule Bridge model.bridge");
    assert!(window.says("Inspector Bridge"));
    window.keys(Modifiers::NONE, Key::Delete);
    assert_eq!(window.project().adapters.len(), 2);
    window.until("the site is free again", |window| window.has("Place Bridge at model.bridge"));
}

#[test]
fn freezing_a_part_writes_a_rule_and_shows() {
    let mut window = Window::tiny();
    let rules = |window: &Window| {
        let spec = window.project().stages[1].as_train().unwrap();
        spec.freeze.clone()
    };
    assert_eq!(rules(&window), ["model.spatial"]);
    window.click("Freeze model.head in the outline");
    assert_eq!(rules(&window), ["model.spatial", "model.head"]);
    window.click("Thaw model.head in the outline");
    assert_eq!(rules(&window), ["model.spatial"]);
    // On the canvas as well, and by key for what is selected.
    window.click("Freeze model.head");
    assert_eq!(rules(&window), ["model.spatial", "model.head"]);
    window.click("Row model.head");
    window.until("the model follows", |window| window.has("Thaw model.head"));
    window.keys(Modifiers::NONE, Key::F);
    assert_eq!(rules(&window), ["model.spatial"]);
}

#[test]
fn a_rule_that_matches_nothing_names_the_nearest_and_the_graph_stays() {
    let mut window = Window::tiny();
    window.click("Rule Bridge model.bridge");
    window.click("Rule text");
    window.keys(Modifiers::COMMAND, Key::A);
    window.harness.event(Event::Text("model.bridgge".to_owned()));
    window.harness.run_steps(2);
    window.keys(Modifiers::NONE, Key::Enter);
    assert_eq!(window.project().adapters[0].at, "model.bridgge");
    window.until("the complaint shows", |window| window.says("the nearest are `model.bridge`"));
    assert!(window.has("Card model.temporal"), "the rest is still drawn");
}

#[test]
fn a_run_from_train_to_finished() {
    let mut window = Window::tiny();
    let before = window.text();
    assert!(window.says("Status: Ready"));
    window.click("Train");
    assert!(window.app().session().state().is_busy());
    window.keys(Modifiers::NONE, Key::Delete);
    assert!(window.has("Freeze model.head in the outline"), "still shown, but locked");
    window.harness.get_by_label("Freeze model.head in the outline").click();
    window.until("the run is finished", |window| window.says("Status: Finished"));
    assert_eq!(window.text(), before, "a run locks the project");
    assert_eq!(*window.app().session().state(), State::Finished);
    window.harness.run_steps(3);
    // 48 samples in batches of 16: one epoch, then two.
    assert!(window.has("Plot of Loss, 9 points"));
    assert!(window.has("Plot of Step time, 9 points"));
    assert!(window.has("Plot of Memory, 9 points"));
    assert!(window.says("Plot of Accuracy, 4 points"), "three on validation, one on test");
    let series = window.app().session().series();
    assert_eq!(series.stages.len(), 2);
    assert!(Path::new(&series.folder).join("events.jsonl").is_file());
    window.click("Log");
    assert!(window.says("finished 9 steps"));
}

#[test]
fn pause_stop_and_the_project_is_free_again() {
    let long = project::set(&tiny(), "stages.1.epochs", "2000").unwrap();
    let mut window = Window::open(&project::to_text(&long).unwrap());
    window.click("Train");
    window.until("steps are done", |window| window.app().session().series().steps.len() > 4);
    window.keys(Modifiers::NONE, Key::P);
    assert!(window.says("Status: Paused"));
    // The step under way is still done; then nothing moves.
    let [done, later] = [0, 1].map(|_| {
        std::thread::sleep(Duration::from_millis(200));
        window.harness.run_steps(3);
        window.app().session().series().steps.len()
    });
    assert_eq!(done, later, "a paused run does no steps");
    window.click("Go on");
    window.until("it goes on", |window| window.app().session().series().steps.len() > done);
    window.click("Stop");
    window.until("it is stopped", |window| window.says("Status: Stopped"));
    window.click("Freeze model.head in the outline");
    window.until("editing works", |window| window.has("Thaw model.head in the outline"));
}

#[test]
fn a_wrong_file_shows_its_message() {
    let mut window = Window::open("(version: 1, nmae: \"tiny\")");
    window.harness.run_steps(3);
    assert!(window.says("unknown field `nmae`"), "what is wrong");
    assert!(window.says("did you mean `name`"), "and what would do");
    assert!(window.has("Open…"));
    assert!(window.app().document().is_none());
}

#[test]
fn a_changed_file_is_noticed_and_reloaded() {
    let mut window = Window::tiny();
    let renamed = Project { name: "renamed".to_owned(), ..tiny() };
    std::fs::write(&window.path, project::to_text(&renamed).unwrap()).unwrap();
    window.until("the banner shows", |window| window.says("The project changed on disk"));
    assert_eq!(window.project().name, "tiny", "nothing is taken unasked");
    window.click("Reload");
    assert_eq!(window.project().name, "renamed");
    assert!(!window.says("The project changed on disk"));
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.project().name, "tiny", "reloading can be undone");
}

impl Window {
    /// Asks the window to close, as its frame's cross does; what it answers.
    fn ask_to_close(&mut self) -> Vec<ViewportCommand> {
        let root = self.harness.input_mut().viewports.entry(ViewportId::ROOT).or_default();
        root.events.push(ViewportEvent::Close);
        self.harness.step();
        let commands = self.commands();
        self.harness.input_mut().viewports.entry(ViewportId::ROOT).or_default().events.clear();
        self.harness.run_steps(3);
        commands
    }

    fn commands(&self) -> Vec<ViewportCommand> {
        let output = &self.harness.output().viewport_output;
        output.get(&ViewportId::ROOT).map(|viewport| viewport.commands.clone()).unwrap_or_default()
    }
}

#[test]
fn closing_asks_about_unsaved_changes() {
    let mut window = Window::tiny();
    window.click("Freeze model.head in the outline");
    assert!(window.ask_to_close().contains(&ViewportCommand::CancelClose));
    window.click("Cancel");
    assert!(!window.has("Save and close"));
    assert!(window.ask_to_close().contains(&ViewportCommand::CancelClose));
    window.harness.get_by_label("Save and close").click();
    window.until("it closes", |window| window.commands().contains(&ViewportCommand::Close));
    let loaded = project::load(&window.path).unwrap();
    let spec = loaded.stages[1].as_train().unwrap();
    assert_eq!(spec.freeze, ["model.spatial", "model.head"], "saved before closing");
}

#[test]
fn closing_while_training_stops_and_saves_first() {
    let long = project::set(&tiny(), "stages.1.epochs", "2000").unwrap();
    let mut window = Window::open(&project::to_text(&long).unwrap());
    window.click("Train");
    window.until("steps are done", |window| window.app().session().series().steps.len() > 4);
    assert!(window.ask_to_close().contains(&ViewportCommand::CancelClose), "the run is saved first");
    window.until("it closes", |window| window.commands().contains(&ViewportCommand::Close));
    assert_eq!(*window.app().session().state(), State::Stopped);
}
