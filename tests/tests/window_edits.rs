//! Edits in the window: what they do in every kind of stage, and what follows them.
#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use graft_app::view::{DockTab, Selected};
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
    // It opens at the last stage that trains.
    assert!(window.has("Freeze model.head in the outline"));
    window.click(&format!("Show stage {}", project.stages.len()));
    window.until("the last stage is there", |window| window.has("Thaw model.head in the outline"));
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

/// Presses a key at once, whether or not the model has followed the edit before.
fn press(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.harness.key_press_modifiers(modifiers, key);
    window.harness.step();
}

fn settled(window: &mut Window) {
    window.until("all is done", |window| window.app().builder().is_settled());
    window.harness.run_steps(3);
    window.until("all is done", |window| window.app().builder().is_settled());
}

#[test]
fn what_is_pressed_twice_at_once_ends_where_it_began() {
    let mut window = Window::tiny();
    window.click("Row model.head");
    let before = window.text();
    for times in [2, 4] {
        for _ in 0..times {
            press(&mut window, Modifiers::NONE, Key::F);
        }
        window.until("all is done", |window| window.text() == before && window.app().builder().is_settled());
        settled(&mut window);
        assert_eq!(window.text(), before);
        assert_eq!(window.app().document().unwrap().undo_label(), Some("Thaw head"));
    }
    // What comes after waits in line: undo takes the second edit back, not the first.
    for (modifiers, key) in
        [(Modifiers::NONE, Key::F), (Modifiers::NONE, Key::F), (Modifiers::COMMAND, Key::Z)]
    {
        press(&mut window, modifiers, key);
    }
    window.until("it is taken back", |window| {
        let document = window.app().document().unwrap();
        document.redo_label() == Some("Thaw head") && document.undo_label() == Some("Freeze head")
    });
    settled(&mut window);
    assert_eq!(window.app().document().unwrap().redo_label(), Some("Thaw head"));
}

#[test]
fn the_selection_stays_with_its_adapter() {
    let mut window = Window::tiny();
    let kinds = |window: &Window| -> Vec<String> {
        window.project().adapters.iter().map(|placement| placement.at.clone()).collect()
    };
    let rules = kinds(&window);
    assert_eq!(rules.len(), 3);
    let last = |window: &mut Window| {
        let placement = window.project().adapters.last().unwrap().clone();
        window.click(&format!("Rule {} {}", placement.kind.kind().name(), placement.at));
    };
    let selected = |window: &Window| match &window.app().view().selected {
        Selected::Adapter { index, .. } => Some(window.project().adapters[*index].at.clone()),
        _ => None,
    };
    // The first is removed; undo and redo move the last one's number.
    let first = window.project().adapters[0].clone();
    window.click(&format!("Rule {} {}", first.kind.kind().name(), first.at));
    window.keys(Modifiers::NONE, Key::Delete);
    last(&mut window);
    assert_eq!(selected(&window).as_ref(), rules.last());
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(kinds(&window), rules);
    assert_eq!(selected(&window).as_ref(), rules.last(), "after undo");
    window.keys(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);
    assert_eq!(window.project().adapters.len(), 2);
    assert_eq!(selected(&window).as_ref(), rules.last(), "after redo");
    // The file says otherwise: the selected one is not there any more.
    let mut other = (**window.app().document().unwrap().project()).clone();
    other.adapters.pop();
    std::fs::write(&window.path, project::to_text(&other).unwrap()).unwrap();
    window.click("Reload");
    assert_eq!(window.project().adapters.len(), 1);
    assert_eq!(window.app().view().selected, Selected::Nothing);
}

#[test]
fn what_is_gone_is_not_selected_beside_either() {
    let mut window = Window::tiny();
    window.click("Row model.head");
    window.click("Block model.temporal.blocks.0");
    let key = "model.temporal.blocks.0.attention.key";
    window.click(&format!("Place LoRA at {key}"));
    let adapter = format!("{key}.adapter_3");
    window.until("it is there", |window| window.has(&format!("LoRA {adapter}")));
    window.click("Row model.head");
    settled(&mut window);
    window.harness.get_by_label(&format!("LoRA {adapter}")).click_modifiers(Modifiers::SHIFT);
    window.harness.run_steps(3);
    assert!(window.app().view().graph.also.contains(&adapter), "{:?}", window.app().view().graph.also);
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.project().adapters.len(), 3);
    assert!(window.app().view().graph.also.is_empty());
    assert_eq!(window.app().view().selected, Selected::Part("model.head".to_owned()));
}

/// Of the parameters below a path: how many of the base model's train, how many of adapters' do not, and how many do.
fn states(window: &Window, path: &str) -> (usize, usize, usize) {
    let model = window.app().builder().model().unwrap();
    let below = |at: &str| at == path || at.starts_with(&format!("{path}."));
    let inside = model.graph.params().filter(|(_, at, _)| below(at));
    let (mut base, mut frozen, mut trained) = (0, 0, 0);
    for (id, _, leaf) in inside {
        match (leaf.placement, model.is_tracked(id)) {
            (None, trains) => base += usize::from(trains),
            (Some(_), false) => frozen += 1,
            (Some(_), true) => trained += 1,
        }
    }
    (base, frozen, trained)
}

#[test]
fn presets_rules_and_copies_make_room_in_frozen_parts() {
    let mut window = Window::tiny();
    let before = window.text();
    assert_eq!(states(&window, "model.spatial"), (0, 0, 0), "frozen as a whole");
    // A preset over the whole model.
    window.keys(Modifiers::COMMAND, Key::K);
    window.harness.event(egui::Event::Text("place preset LoRA".to_owned()));
    window.harness.run_steps(2);
    window.keys(Modifiers::NONE, Key::Enter);
    assert_eq!(window.project().adapters.len(), 4);
    settled(&mut window);
    let (base, frozen, trained) = states(&window, "model.spatial");
    assert_eq!((base, frozen), (0, 0), "the part stays frozen, what was placed in it trains");
    assert!(trained > 0);
    assert!(window.has("In this stage: trainable"));
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), before, "one step");
    // A rule that reaches further than before.
    let rule = "model.temporal.blocks.*.attention.{query,value}";
    window.click(&format!("Rule LoRA {rule}"));
    window.type_into("Rule text", "model.**.attention.{query,value}");
    window.keys(Modifiers::NONE, Key::Enter);
    settled(&mut window);
    let (base, frozen, trained) = states(&window, "model.spatial");
    assert!(base == 0 && frozen == 0 && trained > 0, "{base} {frozen} {trained}");
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), before, "one step");
}

#[test]
fn copies_to_like_sites_make_room_in_frozen_blocks() {
    let project = project::set(&tiny(), "model.temporal.blocks", "3").unwrap();
    let project = project::set(&project, "stages.1.freeze", "[\"model.temporal.blocks.2\"]").unwrap();
    let mut window = window(&Project { adapters: Vec::new(), ..project });
    window.click("Block model.temporal.blocks.0");
    window.click("Place LoRA at model.temporal.blocks.0.attention.key");
    settled(&mut window);
    window.click("Copy to like sites");
    settled(&mut window);
    assert_eq!(window.project().adapters[0].at, "model.temporal.blocks.*.attention.key");
    let (base, frozen, trained) = states(&window, "model.temporal.blocks.2");
    assert!(base == 0 && frozen == 0 && trained > 0, "{base} {frozen} {trained}");
}

#[test]
fn the_inspector_counts_the_sites_that_train() {
    let mut project = tiny();
    project.adapters[1].at = "model.**.attention.{query,value}".to_owned();
    let mut window = window(&project);
    window.click("Rule LoRA model.**.attention.{query,value}");
    assert!(window.has("In this stage: 2 of 4 train, 2 frozen"));
    window.click("Rule Bridge model.bridge");
    assert!(window.has("In this stage: trainable"));
    window.click("Show stage 1");
    window.until("the other stage is there", |window| window.has("In this stage: not in this stage"));
}

#[test]
fn a_cache_with_nothing_to_keep_is_told_of_before_a_run() {
    let project = project::set(&tiny(), "stages.1.cache", "()").unwrap();
    let mut window = window(&project);
    let complains = |window: &Window| {
        window.app().problems().iter().any(|problem| problem.text.contains("nothing can be cached"))
    };
    window.until("the stages are known", |window| window.app().timelines().is_current());
    assert!(window.app().problems().is_empty(), "{:?}", window.app().problems());
    window.click("Thaw model.spatial in the outline");
    let before = window.text();
    settled(&mut window);
    assert!(complains(&window), "{:?}", window.app().problems());
    window.click("Train");
    assert_eq!(window.app().view().tab, DockTab::Problems);
    assert!(!window.path.with_file_name("runs").exists(), "no run is begun");
    // From another stage it is seen as well.
    window.click("Show stage 1");
    window.until("the stages are known", |window| window.app().timelines().is_current() && complains(window));
    window.click("Take the cache out");
    assert_eq!(window.project().stages[1].as_train().unwrap().cache, None);
    assert_eq!(window.app().document().unwrap().undo_label(), Some("Take the cache out of stage 2"));
    window.until("nothing is wrong any more", |window| window.app().problems().is_empty());
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), before, "one step");
}

#[test]
fn what_failed_is_no_problem_of_a_project_that_was_edited_since() {
    let mut window = Window::tiny();
    // No folder of runs can be made there.
    std::fs::write(window.path.with_file_name("runs"), "in the way").unwrap();
    window.until("the stages are known", |window| window.app().timelines().is_current());
    window.click("Train");
    window.until("it has failed", |window| {
        matches!(window.app().session().state(), graft_app::session::State::Failed(_))
    });
    let told = |window: &Window| {
        window.app().problems().iter().any(|problem| problem.text.starts_with("the last run failed"))
    };
    assert!(told(&window));
    window.click("Freeze model.head in the outline");
    assert!(!told(&window), "another project may not fail");
    window.keys(Modifiers::COMMAND, Key::Z);
    assert!(told(&window), "it is the one again that failed");
}
