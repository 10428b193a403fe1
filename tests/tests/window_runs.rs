//! The window's runs, driven by its accessibility tree: the table, comparing, following, the queue, plots.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::path::{Path, PathBuf};

use egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use graft_app::session::State;
use graft_app::view::PlotsPage;
use graft_engine::memory::Counting;
use graft_engine::project::{self, Project};
use graft_engine::runs::{
    Event, EventBody, Notes, RunOptions, RunState, SweepOptions, queued, sweep, train, variants,
};
use graft_engine::train::Control;
use graft_tests::repository;
use graft_tests::window::{Window, tiny};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn runs_of(window: &Window) -> PathBuf {
    window.path.with_file_name("runs")
}

/// Performs a project outside of the window, which has read its run to the end afterwards.
fn perform(project: &Project, window: &mut Window) -> PathBuf {
    let options = RunOptions { runs: runs_of(window) };
    let base = repository("projects");
    let folder = train(project, &base, &options, &Control::new(), &mut |_| {}).unwrap().folder;
    window.until("the run is read", |window| finished(window).contains(&folder));
    folder
}

/// The runs that the window knows to be over.
fn finished(window: &Window) -> Vec<PathBuf> {
    let rows = window.app().library().rows().iter();
    rows.filter(|row| row.entry.state == RunState::Finished).map(|row| row.entry.path.clone()).collect()
}

fn id(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// A project that takes one step, so that a test of the window takes no time.
fn brief(name: &str) -> Project {
    let mut project = project::set(&tiny(), "stages.1.epochs", "1").unwrap();
    name.clone_into(&mut project.name);
    project
}

#[test]
fn runs_of_the_command_line_appear_with_notes_deleting_and_undo() {
    let mut window = Window::tiny();
    window.click("Runs");
    assert!(window.app().library().rows().is_empty());
    let first = perform(&brief("first"), &mut window);
    let label = format!("Run {}, finished", id(&first));
    window.until("it appears by itself", |window| window.has(&label));
    let row = window.app().library().row(&first).unwrap().entry.clone();
    assert!(row.score.is_some() && row.peak_bytes.is_some() && row.trainable.is_some());
    assert_eq!((row.state, row.device.as_str(), row.steps), (RunState::Finished, "flex", 6));
    window.click("Taller dock");
    window.click(&label);
    window.type_into("Tags", "keep, small");
    window.type_into("Note", "the first one");
    window.keys(Modifiers::NONE, Key::Enter);
    window.until("it is kept", |_| Notes::read(&first).note == "the first one");
    assert_eq!(Notes::read(&first).tags, ["keep", "small"]);
    window.type_into("Filter runs", "no such run");
    assert!(!window.has(&label));
    window.type_into("Filter runs", "small");
    assert!(window.has(&label), "found by its tag");
    window.click("Delete");
    assert!(!first.exists() && !window.has(&label));
    window.until("it can be taken back", |window| window.has("Undo delete"));
    window.click("Sort by Run");
    window.keys(Modifiers::COMMAND, Key::Z);
    assert!(first.join("events.jsonl").is_file());
    window.until("it is back", |window| window.has(&label));
}

#[test]
fn chosen_runs_are_compared_against_the_first() {
    let mut window = Window::tiny();
    let mut second = project::set(&brief("second"), "stages.1.batch", "8").unwrap();
    second.adapters.remove(1);
    let paths = [brief("first"), second].map(|project| perform(&project, &mut window));
    window.click("Runs");
    for path in &paths {
        window.click(&format!("Compare {}", id(path)));
    }
    assert_eq!(window.app().library().chosen(), paths);
    window.until("both are read", |window| window.has("Plot of compared runs, 2 curves"));
    assert!(window.says("Settings that differ, 1 of "));
    assert!(window.says("stages.1.Train.batch: 16 | 8"), "by path");
    assert!(window.has("Placements that differ, 1 of 3 rules"));
    assert!(window.has("Placement model.temporal.blocks.*.attention.{query,value}"));
    assert!(window.has("Run 2: nothing"));
    assert!(window.says("Against the first, "));
    assert!(window.says("Peak memory: "), "what it costs");
    assert!(window.has("Scatter of 2 runs"));
    window.harness.run_steps(2);
    let differing = &window.app().view().differing;
    assert!(differing.iter().any(|site| site == "model.temporal.blocks.0.attention.query"), "{differing:?}");
    assert!(!differing.iter().any(|site| site.starts_with("model.bridge")), "{differing:?}");
    // The first one chosen is what the others are judged against.
    window.click(&format!("Compare {}", id(&paths[0])));
    window.click(&format!("Compare {}", id(&paths[0])));
    window.until("the other way round", |window| window.says("stages.1.Train.batch: 8 | 16"));
}

#[test]
fn a_finished_run_opens_as_its_project() {
    let mut window = Window::tiny();
    let other = perform(&brief("other"), &mut window);
    window.click("Runs");
    window.click(&format!("Run {}, finished", id(&other)));
    window.click("Open project");
    assert_eq!(*window.project(), brief("other"));
    let base = window.app().document().unwrap().base();
    assert_eq!(base, std::path::absolute(repository("projects")).unwrap(), "its paths lead where they led");
    window.until("its curves are there", |window| {
        window.app().session().series().steps.len() == 6 && *window.app().session().state() == State::Finished
    });
    window.click("Plots");
    window.until("drawn", |window| window.has("Plot of Loss, 6 points"));
    assert!(project::load(&other.join("project.ron")).is_ok(), "what the run keeps stays");
}

#[test]
fn a_window_that_is_opened_later_follows_a_run_that_goes_on() {
    let window = Window::tiny();
    let runs = runs_of(&window);
    let long = project::set(&tiny(), "stages.1.epochs", "2000").unwrap();
    let control = std::sync::Arc::new(Control::new());
    let (steer, place) = (std::sync::Arc::clone(&control), runs.clone());
    let run = std::thread::Builder::new().name("another program".to_owned());
    let run = run.spawn(move || {
        let options = RunOptions { runs: place };
        train(&long, &repository("projects"), &options, &steer, &mut |_| {}).unwrap();
    });
    let run = run.unwrap();
    while graft_engine::runs::run_folders(&runs).is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut window = window.again();
    window.until("steps of the other run", |window| {
        *window.app().session().state() == State::Following && window.app().session().series().steps.len() > 3
    });
    assert!(window.says("Status: Training elsewhere"));
    assert!(!window.has("Stop"), "only who performs it can stop it");
    let seen = window.app().session().series().steps.len();
    window.until("more of them", |window| window.app().session().series().steps.len() > seen);
    control.set(graft_engine::train::Wish::Stop);
    run.join().unwrap();
    window.until("its end", |window| window.says("Status: Stopped"));
}

#[test]
fn training_during_a_run_waits_its_turn_and_survives_a_restart() {
    let long = project::set(&tiny(), "stages.1.epochs", "2000").unwrap();
    let mut window = Window::open(&project::to_text(&long).unwrap());
    window.click("Train");
    window.until("it runs", |window| window.app().session().series().steps.len() > 2);
    window.click("Queue");
    window.keys(Modifiers::COMMAND, Key::Enter);
    let runs = runs_of(&window);
    assert_eq!(queued(&runs).len(), 2);
    assert_eq!(queued(&runs)[0].project, long, "a frozen copy");
    window.click("Runs");
    window.until("the list", |window| window.has("Waiting 2: tiny"));
    // Another one, of another name, moves up and the two that are too long go.
    graft_engine::runs::enqueue(&runs, &brief("brief"), &repository("projects")).unwrap();
    window.until("it is seen", |window| window.has("Waiting 3: brief"));
    window.click("Move brief up");
    window.click("Move brief up");
    assert_eq!(queued(&runs)[0].project.name, "brief");
    for left in [1, 0] {
        let last = window.harness.query_all_by_label("Cancel tiny").last().unwrap();
        last.click();
        // The list is read away from the window's thread.
        window.until("one has gone", |window| {
            window.harness.query_all_by_label("Cancel tiny").count() == left
                && queued(&runs).len() == left + 1
        });
    }
    assert_eq!(queued(&runs).len(), 1);
    window.click("Stop");
    window.until("it is stopped", |window| window.says("Status: Stopped"));
    assert_eq!(queued(&runs).len(), 1, "a stop is a stop");
    let mut window = window.again();
    window.click("Runs");
    window.click("Start the queue");
    window.until("it ran", |window| window.says("Status: Finished"));
    assert!(queued(&runs).is_empty());
    assert!(window.app().session().series().run.starts_with("brief-"));
}

#[test]
fn the_next_one_starts_when_a_run_ends() {
    let mut window = Window::open(&project::to_text(&brief("one")).unwrap());
    window.until("the model is there", |window| window.has("Card model.head"));
    graft_engine::runs::enqueue(&runs_of(&window), &brief("two"), &repository("projects")).unwrap();
    window.until("it is seen", |window| window.app().library().queue().len() == 1);
    window.click("Train");
    window.until("the second one is done", |window| {
        window.app().session().series().run.starts_with("two-")
            && *window.app().session().state() == State::Finished
    });
    assert!(window.app().library().queue().is_empty());
    // It is of another project than is open, and is shown as such.
    window.harness.run_steps(3);
    assert!(window.says("Status: Finished · run of two · "));
    assert!(window.says("A run of two, not of the project that is open"));
    assert_eq!(window.project().name, "one");
}

#[test]
fn while_a_run_goes_on_it_can_be_asked_for_things() {
    let long = project::set(&tiny(), "stages.1.epochs", "2000").unwrap();
    let mut window = Window::open(&project::to_text(&long).unwrap());
    window.click("Train");
    window.until("it runs", |window| window.app().session().series().steps.len() > 4);
    window.keys(Modifiers::NONE, Key::P);
    window.click("Evaluate now");
    window.click("Checkpoint now");
    window.type_into("Learning rate factor", "0.5");
    window.keys(Modifiers::NONE, Key::Enter);
    window.until("all three are answered", |window| window.app().session().series().asked.len() == 3);
    window.click("Log");
    assert!(window.says("asked for learning rate × 0.5"));
    assert!(window.says("asked for an evaluation"));
    window.click("Go on");
    window.click("Stop");
    window.until("it is stopped", |window| window.says("Status: Stopped"));
    let folder = PathBuf::from(&window.app().session().series().folder);
    let events = graft_engine::runs::RunFolder::events(&folder).unwrap();
    let asked = |event: &&Event| matches!(event.body, EventBody::Asked { .. });
    assert_eq!(events.iter().filter(asked).count(), 3, "the log explains itself");
}

#[test]
fn plots_are_smoothed_exported_and_told_by_class() {
    let mut window = Window::open(&project::to_text(&brief("one")).unwrap());
    window.click("Train");
    window.until("the run is finished", |window| window.says("Status: Finished"));
    window.until("all plots", |window| window.has("Plot of Gradient norm, 6 points"));
    assert!(window.has("Plot of Learning rate, 6 points"));
    let folder = PathBuf::from(&window.app().session().series().folder).join("plots");
    window.click("Export plot of Loss");
    window.click("Numbers as CSV");
    let text = std::fs::read_to_string(folder.join("loss.csv")).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("step,")).count(), 6);
    assert!(window.says("Wrote "));
    window.click("Export plot of Memory");
    window.click("Curves as SVG");
    assert!(std::fs::read_to_string(folder.join("memory.svg")).unwrap().contains("<polyline"));
    window.click("Classes");
    assert_eq!(window.app().view().plots.page, PlotsPage::Classes);
    assert!(window.says("Confusion of "));
    assert!(window.harness.query_all_by_label_contains("Sample ").count() > 1);
    window.until("their pictures are read", |window| window.app().judged().page().is_some());
    let told = window.app().session().series().classes.as_ref().unwrap().predictions.clone();
    let page = window.app().judged().page().unwrap().as_ref().unwrap();
    assert_eq!(page.samples.len(), told.len());
    for (sample, found) in page.samples.iter().zip(&told) {
        let sample = sample.as_ref().unwrap();
        assert_eq!(sample.index, found.index);
        assert!(!sample.frames.is_empty());
    }
    window.click("Curves");
    let (rail, raw) = (window.harness.get_by_label("Smoothing").rect(), |window: &Window| {
        let steps = &window.app().session().series().steps;
        steps.iter().all(|point| (point.smooth - point.loss).abs() < 1e-12)
    });
    assert!(!raw(&window));
    window.harness.drag_at(rail.center());
    window.harness.drop_at(rail.left_center());
    window.harness.run_steps(3);
    assert!(raw(&window), "not smoothed at all");
}

#[test]
fn a_sweep_stands_together_and_is_drawn_against_what_it_swept() {
    let mut window = Window::tiny();
    let mut project = brief("ranks");
    let text = project::to_text(&project).unwrap();
    let listed = "variants: [
        (name: \"two\", set: [(\"adapters.1.kind.Lora.rank\", \"2\")]),
        (name: \"four\", set: [(\"adapters.1.kind.Lora.rank\", \"4\")]),
    ],";
    let text = format!("{}{listed})", text.trim_end().strip_suffix(')').unwrap());
    project = project::parse(&text, Path::new("ranks.ron")).unwrap();
    assert_eq!(project.variants.len(), 2, "{text}");
    let options =
        SweepOptions { seeds: 2, only: Vec::new(), run: RunOptions { runs: runs_of(&window) }, reuse: false };
    sweep(&project, &repository("projects"), &options, &Control::new(), &mut |_| {}).unwrap();
    window.until("all are read", |window| finished(window).len() == 4);
    window.click("Runs");
    window.until("its runs stand below its name", |window| window.says("Sweep ranks-"));
    let sweep = window.app().library().rows()[0].entry.sweep.clone().unwrap().sweep;
    window.click(&format!("Sweep {sweep}"));
    assert_eq!(window.app().library().chosen().len(), 4);
    window.until("all are read", |window| window.has("Plot of compared runs, 4 curves"));
    // One row a variant, the second against the first over both seeds.
    let rows = variants(&window.app().library().rows().iter().map(|row| &row.entry).collect::<Vec<_>>());
    assert_eq!(
        rows.iter().map(|row| (row.variant.as_str(), row.seeds)).collect::<Vec<_>>(),
        [("two", 2), ("four", 2)]
    );
    let (mean, half) = rows[1].difference.unwrap();
    assert!(window.says("Variant two, 2, ") && window.says(", first, "));
    let told = format!("{:+.2} ± {:.2}", 100.0 * mean, 100.0 * half.unwrap()).replace('-', "−");
    assert!(window.says(&told), "{told}");
    window.click("Top-1 % against: peak, MiB");
    window.click("adapters.1.kind.Lora.rank");
    assert!(window.has("Top-1 % against: adapters.1.kind.Lora.rank"));
    assert!(window.has("Scatter of 4 runs"));
}
