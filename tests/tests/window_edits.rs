//! Edits in the window: what they do in every kind of stage, and what follows them.
#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use graft_engine::memory::Counting;
use graft_engine::project::{self, Project};
use graft_engine::train::{EvaluateSpec, RepeatSpec, StageSpec, TrainSpec};
use graft_tests::window::{Window, tiny};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn window(project: &Project) -> Window {
    let mut window = Window::open(&project::to_text(project).unwrap());
    window.until("the model is there", |window| window.has("Card model.head"));
    window
}

/// The tiny project, its last stage repeated for two values with an evaluation before it.
fn repeated() -> Project {
    let mut project = tiny();
    let last = project.stages.pop().unwrap();
    project.stages.push(StageSpec::Repeat(RepeatSpec {
        variable: "epochs".to_owned(),
        over: vec!["1".to_owned(), "2".to_owned()],
        into: vec!["1.epochs".to_owned()],
        stages: vec![StageSpec::Evaluate(EvaluateSpec::default()), last],
    }));
    project
}

fn inner(project: &Project) -> &TrainSpec {
    let StageSpec::Repeat(repeat) = project.stages.last().unwrap() else { panic!("no repetition") };
    repeat.stages[1].as_train().unwrap()
}

#[test]
fn a_repetition_is_edited_in_the_stage_that_it_shows() {
    let mut window = window(&repeated());
    let before = inner(window.project()).clone();
    window.click("Freeze model.head in the outline");
    assert_eq!(inner(window.project()).freeze.last().map(String::as_str), Some("model.head"));
    window.click("Thaw model.head in the outline");
    assert_eq!(*inner(window.project()), before);
    // Placing in a part that a rule freezes as a whole: the part stays frozen, the adapter trains.
    window.click("Block model.temporal.blocks.0");
    let key = "model.temporal.blocks.0.attention.key";
    window.click(&format!("Freeze {key}"));
    assert_eq!(inner(window.project()).freeze.last().map(String::as_str), Some(key));
    window.click(&format!("Place LoRA at {key}"));
    let adapter = format!("{key}.adapter_{}", window.project().adapters.len() - 1);
    window.until("the adapter is there", |window| {
        window.app().builder().model().unwrap().part(&adapter).is_some()
    });
    let model = window.app().builder().model().unwrap();
    assert_eq!(model.complaint, None);
    assert!(!model.part(&adapter).unwrap().freeze.is_frozen());
}

#[test]
fn the_timeline_edits_what_a_repetition_shows() {
    let mut window = window(&repeated());
    window.click("Timeline");
    let last = window.project().stages.len();
    let cell = format!("Head in stage {last}: trainable");
    window.until("the stages are worked out", |window| window.has(&cell));
    window.click(&cell);
    assert!(
        inner(window.project()).freeze.contains(&"model.head".to_owned()),
        "{:?}",
        inner(window.project())
    );
}

#[test]
fn where_nothing_trains_nothing_is_frozen_and_the_marks_say_so() {
    let mut project = tiny();
    project.stages.push(StageSpec::Evaluate(EvaluateSpec::default()));
    let mut window = window(&project);
    let before = window.text();
    let disabled =
        |window: &Window, label: &str| window.harness.get_by_label(label).accesskit_node().is_disabled();
    assert!(disabled(&window, "Thaw model.head in the outline"));
    assert!(disabled(&window, "Thaw model.head"), "on the canvas");
    window.click("Row model.head");
    assert!(disabled(&window, "Make trainable"), "in the inspector");
    assert!(window.has("Nothing trains in this stage"));
    window.keys(Modifiers::NONE, Key::F);
    window.click("Thaw model.head in the outline");
    window.click("Thaw model.head");
    assert_eq!(window.text(), before);
    // The stage before it can be edited still.
    let stage = project.stages.len() - 1;
    window.click(&format!("Show stage {stage}"));
    window.until("the other stage is there", |window| window.has("Freeze model.head in the outline"));
    assert!(!disabled(&window, "Freeze model.head in the outline"));
}
