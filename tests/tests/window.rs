//! The window, driven by its accessibility tree: editing, training, files.

use std::path::Path;
use std::time::Duration;

use egui::{Event, Key, Modifiers, ViewportCommand};
use egui_kittest::kittest::Queryable as _;
use graft_app::format;
use graft_app::session::State;
use graft_app::view::{Heat, Origin};
use graft_engine::memory::Counting;
use graft_engine::plan::Calibration;
use graft_engine::project::{self, Project};
use graft_tests::window::{Window, tiny};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
    assert!(window.has("Open a project"));
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

#[test]
fn predicted_totals_follow_an_edit_and_undo() {
    let mut window = Window::tiny();
    let before = window.predicted();
    let trained = window.app().builder().model().unwrap().trained;
    let shown = format::bytes(before.0);
    assert!(window.has(&format!("Predicted peak: {shown}")), "in the top bar");
    assert!(window.has(&format!("Predicted step: {}", format::UNKNOWN)), "no times are known here");
    assert!(window.says(&format!("Trainable: {}", format::whole(trained))));
    // With the spatial transformer trained as well, more is kept for backward.
    window.click("Thaw model.spatial in the outline");
    let after = window.predicted();
    assert!(after.1 > before.1, "{before:?}, then {after:?}");
    window.click("Plan");
    let activations = format::bytes(after.1);
    assert!(window.has(&format!("Predicted activations: {activations}")), "by cause");
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.predicted(), before);
}

#[test]
fn a_stage_that_cannot_be_built_shows_no_old_prediction() {
    let mut window = Window::tiny();
    window.predicted();
    window.click("Rule Bridge model.bridge");
    window.type_into("Rule text", "model.bridgge");
    window.keys(Modifiers::NONE, Key::Enter);
    window.until("the prediction is gone", |window| {
        window.has(&format!("Predicted peak: {}", format::UNKNOWN))
    });
    window.keys(Modifiers::COMMAND, Key::Z);
    window.predicted();
    assert!(!window.has(&format!("Predicted peak: {}", format::UNKNOWN)));
}

#[test]
fn heat_goes_from_none_to_bytes_to_milliseconds() {
    let mut window = Window::tiny();
    window.predicted();
    assert!(!window.says("Legend of"));
    window.keys(Modifiers::NONE, Key::H);
    assert_eq!(window.app().view().heat, Heat::Bytes);
    assert!(window.says("Legend of kept bytes, predicted, up to"));
    window.click("Row model.temporal");
    let outlook = window.app().planner().outlook().unwrap();
    let kept = outlook.heat.region("model.temporal").unwrap().bytes.unwrap();
    assert!(kept > 0);
    let frozen = outlook.heat.region("model.spatial").unwrap().bytes.unwrap();
    assert!(frozen < kept / 4, "what is frozen keeps little: {frozen} of {kept}");
    let text = format!("Kept bytes, predicted: {}", format::bytes(kept));
    assert!(window.has(&text), "in the inspector");
    window.keys(Modifiers::NONE, Key::H);
    assert!(window.has("Legend of milliseconds: this device is not measured yet"));
    window.click("Heat none");
    assert_eq!(window.app().view().heat, Heat::Off);
    assert!(!window.says("Legend of"));
}

#[test]
fn the_cut_is_drawn_with_its_price_until_it_is_switched_off() {
    let mut window = Window::tiny();
    window.predicted();
    assert!(window.says("Cut, predicted: "), "with its price");
    window.keys(Modifiers::NONE, Key::C);
    assert!(!window.says("Cut, predicted: "));
    window.click("Show the cut");
    assert!(window.says("Cut, predicted: "));
    window.click("Show stage 1");
    window.predicted();
    assert!(!window.says("Cut, predicted: "), "where everything trains there is none");
}

#[test]
fn a_fit_is_applied_as_one_step_and_undone() {
    let wide = project::set(&tiny(), "stages.1.freeze", "[]").unwrap();
    let mut window = Window::open(&project::to_text(&wide).unwrap());
    window.until("the model is there", |window| window.has("Card model.head"));
    let (peak, _) = window.predicted();
    let before = window.text();
    window.click("Plan");
    // What cannot be reached says how far it goes.
    window.type_into("Memory budget", "1KiB");
    window.click("Fit into the budget");
    window.until("the floor is told", |window| window.says("Does not fit into 1.0 KiB"));
    let floor = window.app().planner().fit(1024).unwrap().unwrap().floor.bytes;
    assert!(floor < peak, "{floor} of {peak}");
    window.type_into("Memory budget", &u64::midpoint(floor, peak).to_string());
    window.click("Fit into the budget");
    window.until("there is a choice", |window| window.has("Apply"));
    assert!(window.says("Largest batch that fits at once"));
    assert!(window.says("Option 1: "));
    window.click("Apply");
    let spec = window.project().stages[1].as_train().unwrap();
    assert!(spec.accumulate > 2 || !spec.recompute.is_empty(), "{spec:?}");
    assert_eq!(spec.batch, 16, "the samples of a step stay");
    assert!(window.app().document().unwrap().undo_label().unwrap().starts_with("Fit into "));
    window.until("it fits", |window| window.says("as it is"));
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), before);
}

#[test]
fn wrong_and_unreachable_budgets_say_what_would_do() {
    let mut window = Window::tiny();
    window.predicted();
    window.click("Plan");
    window.type_into("Memory budget", "3 parsecs");
    window.click("Fit into the budget");
    assert!(window.says("`3 parsecs` is no number of bytes; write it as 512MiB"));
    // An empty field is no budget.
    window.type_into("Memory budget", "1KiB");
    window.keys(Modifiers::COMMAND, Key::A);
    window.keys(Modifiers::NONE, Key::Backspace);
    window.keys(Modifiers::NONE, Key::Enter);
    assert!(!window.says("is no number of bytes"));
    window.type_into("Memory budget", "1KiB");
    window.keys(Modifiers::NONE, Key::Enter);
    window.until("the floor is told", |window| window.says("Does not fit into 1.0 KiB: the least is "));
    assert!(window.says("stand whatever the batch"), "and why");
    assert!(!window.has("Apply"));
}

#[test]
fn with_times_the_step_the_heat_and_the_fit_are_timed() {
    let times = Calibration { fingerprint: "test".to_owned(), overhead: 1e-4, ..Calibration::default() };
    let mut window = Window::timed(&project::to_text(&tiny()).unwrap(), Some(times));
    window.until("the model is there", |window| window.has("Card model.head"));
    window.predicted();
    let step = |window: &Window| {
        let found = window.app().planner().outlook().unwrap().predicted().unwrap().clone();
        (found.step_secs, found.samples_per_sec)
    };
    let (secs, pace) = step(&window);
    assert!(secs > 0.0);
    let shown = format!("Predicted step: {} {pace:.0} samples/s", format::step_time(secs));
    assert!(window.has(&shown), "{shown}");
    window.click("Heat milliseconds");
    assert!(window.says("Legend of milliseconds, predicted, up to"));
    assert!(window.says("pays off in epoch") || window.says("does not pay off"));
    window.click("Thaw model.spatial in the outline");
    window.predicted();
    assert!(step(&window).0 > secs, "backward through the spatial transformer takes longer");
    window.click("Plan");
    window.type_into("Memory budget", "64GiB");
    window.click("Fit into the budget");
    window.until("it fits", |window| window.says("Fits into 64.0 GiB as it is"));
    assert!(window.says("1.00 times as long"));
}

/// Clicking what a run has not measured yet changes nothing; after it the graph shows its values, here and in a window
/// that is opened later, until an edit brings nodes that the run did not have.
#[test]
fn after_a_run_the_heat_can_be_measured() {
    let mut window = Window::tiny();
    window.predicted();
    window.click("Heat milliseconds");
    assert!(window.has("Heat measured: no run of this project has measured this stage yet"));
    window.harness.get_by_label_contains("Heat measured: ").click();
    window.harness.run_steps(2);
    assert_eq!(window.app().view().origin, Origin::Predicted);
    window.click("Train");
    window.until("the run is finished", |window| window.says("Status: Finished"));
    window.click("Heat measured");
    assert!(window.says("Legend of milliseconds, measured, up to "));
    assert!(!window.says("changed since the run"));
    window.click("Heat kept bytes");
    assert!(window.says("Legend of kept bytes, measured, up to "));
    // A folded part's value is the sum of its nodes', and differs from part to part.
    let kept =
        |window: &Window, path: &str| window.app().measurements().shown().unwrap().heat.region(path).unwrap();
    let (temporal, head) = (kept(&window, "model.temporal"), kept(&window, "model.head"));
    assert!(temporal.bytes.unwrap() > head.bytes.unwrap() && temporal.secs.unwrap() > head.secs.unwrap());
    window.click("Row model.temporal");
    let bytes = format::bytes(temporal.bytes.unwrap());
    assert!(window.has(&format!("Kept bytes, measured: {bytes}")), "in the inspector");
    // From the log of the run.
    let mut window = window.again();
    window.until("the model is there", |window| window.has("Card model.head"));
    window.predicted();
    window.click("Heat milliseconds");
    window.click("Heat measured");
    assert!(window.says("Legend of milliseconds, measured, up to "));
    assert_eq!(kept(&window, "model.temporal"), temporal);
    window.click("Block model.temporal.blocks.0");
    window.click("Place LoRA at model.temporal.blocks.0.attention.key");
    window.until("the adapter is drawn", |window| {
        window.has("LoRA model.temporal.blocks.0.attention.key.adapter_3")
    });
    assert!(window.says("nodes changed since the run"));
    let adapter = "model.temporal.blocks.0.attention.key.adapter_3";
    assert_eq!(window.app().measurements().shown().unwrap().heat.region(adapter), None, "it has no heat");
    // A run with another batch kept other bytes: they are not told as this project's.
    window.click("Stages");
    window.type_into("Batch of stage 2", "8");
    window.keys(Modifiers::NONE, Key::Enter);
    window.until("nothing holds any more", |window| window.says("measured it with batch 16 rather than 8"));
    assert!(!window.says("Kept bytes, measured"));
    window.keys(Modifiers::COMMAND, Key::Z);
    window.until("it holds again", |window| window.says("Legend of milliseconds, measured, up to "));
    window.click("Show stage 1");
    window.until("the other stage is there", |window| {
        window.app().builder().is_settled() && window.app().builder().model().unwrap().stage == 0
    });
    window.harness.run_steps(2);
    assert!(window.says("Legend of milliseconds, measured, up to "));
    assert!(!window.says("changed since the run"), "that stage has no adapters");
}
