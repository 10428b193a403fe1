//! Whose run it is and whose turn: runs of other programs and of other projects, driven by the accessibility tree.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::Queryable as _;
use graft_app::session::State;
use graft_app::view::DockTab;
use graft_engine::memory::Counting;
use graft_engine::project::{self, Project};
use graft_engine::runs::{EventBody, RunOptions, RunState, enqueue, queued, run_folders, train};
use graft_engine::train::{Control, Wish};
use graft_tests::repository;
use graft_tests::window::{Window, tiny};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn named(name: &str, epochs: usize) -> Project {
    let mut project = project::set(&tiny(), "stages.1.epochs", &epochs.to_string()).unwrap();
    name.clone_into(&mut project.name);
    project
}

fn id(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// A run that another program performs.
struct Elsewhere {
    control: Arc<Control>,
    thread: JoinHandle<PathBuf>,
}

impl Elsewhere {
    /// Begins a run, and waits until its folder is there.
    fn begin(project: Project, runs: &Path, wish: Wish) -> Self {
        let control = Arc::new(Control::new());
        control.set(wish);
        let (steer, options) = (Arc::clone(&control), RunOptions { runs: runs.to_path_buf() });
        let thread = std::thread::Builder::new().name("another program".to_owned());
        let run =
            move || train(&project, &repository("projects"), &options, &steer, &mut |_| {}).unwrap().folder;
        let thread = thread.spawn(run).unwrap();
        while run_folders(runs).is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self { control, thread }
    }
}

/// A run that was stopped after the first evaluation of its last stage: nothing was tested.
fn stopped(project: &Project, runs: &Path) -> PathBuf {
    let (control, options) = (Control::new(), RunOptions { runs: runs.to_path_buf() });
    let mut stop = |event: &graft_engine::runs::Event| {
        if matches!(event.body, EventBody::Eval { stage: 1, .. }) {
            control.set(Wish::Stop);
        }
    };
    train(project, &repository("projects"), &options, &control, &mut stop).unwrap().folder
}

#[test]
fn behind_a_run_of_another_program_a_project_waits_and_a_stop_is_a_stop() {
    let window = Window::tiny();
    let runs = window.path.with_file_name("runs");
    let other = Elsewhere::begin(named("long", 2000), &runs, Wish::Run);
    let mut window = window.again();
    window.until("it is followed", |window| *window.app().session().state() == State::Following);
    window.click("Queue");
    assert_eq!(queued(&runs).len(), 1, "it waits");
    window.keys(Modifiers::COMMAND, Key::Enter);
    assert_eq!((queued(&runs).len(), run_folders(&runs).len()), (2, 1), "nothing competes");
    window.until("it is told", |window| window.says(" · 2 wait"));
    window.click("Runs");
    window.until("words say when", |window| window.says("another program trains; the next one starts"));
    other.control.set(Wish::Stop);
    other.thread.join().unwrap();
    window.until("its end", |window| window.says("Status: Stopped"));
    window.until("a run could begin", |window| window.has("Train"));
    assert_eq!((queued(&runs).len(), run_folders(&runs).len()), (2, 1));
}

#[test]
fn what_waits_behind_another_programs_run_begins_after_it() {
    let window = Window::open(&project::to_text(&named("mine", 1)).unwrap());
    let runs = window.path.with_file_name("runs");
    let other = Elsewhere::begin(named("brief", 1), &runs, Wish::Pause);
    let mut window = window.again();
    window.until("it is followed", |window| *window.app().session().state() == State::Following);
    window.click("Queue");
    window.click("Stages");
    other.control.set(Wish::Run);
    other.thread.join().unwrap();
    window.until("the own run is done", |window| {
        let session = window.app().session();
        session.series().run.starts_with("mine-") && *session.state() == State::Finished
    });
    assert!(queued(&runs).is_empty());
    assert_eq!(window.app().view().tab, DockTab::Stages, "nobody asked for another tab");
}

#[test]
fn while_another_projects_run_goes_on_the_open_one_is_edited_and_nothing_jumps() {
    let mut window = Window::open(&project::to_text(&named("one", 150)).unwrap());
    window.until("the model is there", |window| window.has("Card model.head"));
    let runs = window.path.with_file_name("runs");
    enqueue(&runs, &named("two", 2000), &repository("projects")).unwrap();
    window.until("it is seen", |window| window.app().library().queue().len() == 1);
    window.click("Train");
    window.until("the own run goes on", |window| window.app().session().series().steps.len() > 2);
    let before = window.text();
    window.harness.get_by_label("Freeze model.head in the outline").click();
    window.harness.run_steps(3);
    assert_eq!(window.text(), before, "locked during a run of its own");
    window.harness.get_by_label("Runs").click();
    window.harness.run_steps(3);
    window.until("the other run goes on", |window| {
        let series = window.app().session().series();
        series.run.starts_with("two-") && series.steps.len() > 2
    });
    assert_eq!(window.app().view().tab, DockTab::Runs, "nobody asked for another tab");
    assert!(window.says("Run of two: Stage "), "whose progress it is");
    assert!(!window.says("Measured peak") && !window.says("Measured step"), "not beside other predictions");
    assert!(window.says("Predicted peak: "));
    window.click("Stages");
    window.click("Smaller dock");
    window.click("Freeze model.head in the outline");
    assert_ne!(window.text(), before, "the run has a copy of its own project");
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), before);
    window.predicted();
    window.click("Stop");
    window.until("it is stopped", |window| window.says("Status: Stopped"));
}

#[test]
fn runs_without_a_test_stay_among_those_that_are_compared() {
    let mut window = Window::tiny();
    let runs = window.path.with_file_name("runs");
    let untested = stopped(&named("stopped", 20), &runs);
    let options = RunOptions { runs };
    let base = repository("projects");
    let done = train(&named("done", 1), &base, &options, &Control::new(), &mut |_| {}).unwrap().folder;
    window.until("both are read", |window| {
        let state = |path: &PathBuf| window.app().library().row(path).map(|row| row.entry.state);
        state(&untested) == Some(RunState::Stopped) && state(&done) == Some(RunState::Finished)
    });
    window.click("Runs");
    let label = format!("Run {}, stopped", id(&untested));
    window.click(&label);
    assert!(!window.has("Tags"), "a low dock has no room");
    window.click("Show this run");
    window.until("all of it", |window| window.has("Tags") && window.has("Note"));
    window.click(&format!("Compare {}", id(&done)));
    window.until("both are drawn", |window| {
        window.has("Scatter of 2 runs, 1 by validation") && window.app().is_settled()
    });
    assert!(window.has("Hollow: validation, 1 run has no test score"));
    // What there is nothing to compare with is told as it is.
    let score = window.app().library().row(&done).unwrap().entry.score.unwrap();
    assert!(window.has(&format!("Test top-1: – | {:.1}", 100.0 * score)));
    // In a small window as well.
    window.harness.set_size(vec2(1024.0, 640.0));
    window.until("all of it", |window| {
        window.has("Plot of compared runs, 2 curves")
            && window.has("Scatter of 2 runs, 1 by validation")
            && window.says("Against the first, ")
    });
}

#[test]
fn a_narrow_window_tells_what_is_measured_and_all_of_a_stage() {
    let mut window = Window::open(&project::to_text(&named("one", 2000)).unwrap());
    window.harness.set_size(vec2(1296.0, 816.0));
    window.click("Stages");
    let stage = window.harness.get_by_label("Stage 2").rect();
    window.harness.hover_at(stage.left_top() + vec2(6.0, 6.0));
    window.until("the whole text", |window| window.says("steps · AdamW, rate "));
    window.click("Train");
    window.until("steps are done", |window| window.app().session().series().steps.len() > 20);
    window.harness.run_steps(3);
    assert!(
        window.says("Measured step: ") && window.says("Measured peak: ") && window.says("Stage ends in: ")
    );
    assert!(window.says("rate ×"));
    window.click("Stop");
    window.until("it is stopped", |window| window.says("Status: Stopped"));
}
