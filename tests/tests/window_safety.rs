//! Nothing is lost unasked: questions before changes go, files that change or vanish, work that outlives the window.

use egui::{Event, Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use graft_app::Options;
use graft_app::planner::Clock;
use graft_app::view::Selected;
use graft_engine::memory::Counting;
use graft_engine::project;
use graft_tests::repository;
use graft_tests::window::Window;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FREEZE: &str = "Freeze model.head in the outline";

fn wait_for_kept(window: &mut Window) {
    let kept = window.folder.path().join("state").join("unsaved");
    let is_kept = |entry: std::fs::DirEntry| entry.path().extension().is_some_and(|it| it == "ron");
    window.until("the edits are kept", |_| kept.read_dir().is_ok_and(|files| files.flatten().any(is_kept)));
}

#[test]
fn new_edits_do_not_replace_what_an_earlier_window_left() {
    let mut window = Window::tiny();
    window.click(FREEZE);
    let left = window.text();
    wait_for_kept(&mut window);
    let mut window = window.again();
    window.until("the offer is made", |window| window.has("Take them"));
    // Before the question is answered: another edit, kept as well, then undone.
    window.click("Freeze model.temporal in the outline");
    wait_for_kept(&mut window);
    assert!(window.has("Take them"), "the offer stands");
    window.keys(Modifiers::COMMAND, Key::Z);
    window.click("Take them");
    assert_eq!(window.text(), left);
}

#[test]
fn the_first_page_tells_of_changes_that_were_kept() {
    let mut window = Window::tiny();
    let before = window.text();
    window.click(FREEZE);
    let left = window.text();
    wait_for_kept(&mut window);
    let options = Options {
        runs: window.folder.path().join("runs"),
        clock: Clock::Given(None),
        state: Some(window.folder.path().join("state")),
        ..Options::default()
    };
    let mut page = Window { harness: graft_tests::window::harness(options), ..window };
    let row = "Open recent tiny, unsaved changes kept";
    page.until("it is told", |page| page.has(row));
    page.harness.get_by_label(row).click();
    page.until("it is open", |page| page.app().document().is_some());
    assert_eq!(page.text(), before, "nothing is taken unasked");
    page.click("Show what differs");
    assert!(page.says("+ ") && page.says("\"model.head\""), "the line that is new");
    let over = page.harness.query_all_by_label("Take them").last();
    over.expect("it can be taken from there as well").click();
    page.harness.run_steps(3);
    assert_eq!(page.text(), left);
    assert!(!page.says("not saved"), "the difference is closed");
}

#[test]
fn keeping_mine_leaves_the_project_unsaved() {
    let mut window = Window::tiny();
    let mine = window.text();
    let other = project::set(window.project(), "seed", "77").unwrap();
    project::save(&other, &window.path).unwrap();
    window.until("the change is noticed", |window| window.has("Keep mine"));
    window.keys(Modifiers::COMMAND, Key::S);
    assert_eq!(
        project::load(&window.path).unwrap().seed,
        77,
        "the other program's file is not overwritten unasked"
    );
    window.click("Keep mine");
    assert!(window.app().document().unwrap().is_dirty(), "the file says something else");
    window.keys(Modifiers::COMMAND, Key::S);
    assert_eq!(project::to_text(&project::load(&window.path).unwrap()).unwrap(), mine);
    assert!(!window.app().document().unwrap().is_dirty());
}

#[test]
fn a_file_that_vanishes_is_told_of_and_written_again() {
    let mut window = Window::tiny();
    std::fs::remove_file(&window.path).unwrap();
    window.until("it is told", |window| window.says("The project's file is gone"));
    assert!(window.app().document().unwrap().is_dirty());
    window.keys(Modifiers::COMMAND, Key::S);
    assert!(window.path.is_file());
    assert!(!window.says("The project's file is gone"), "it is there again");
    assert!(!window.app().document().unwrap().is_dirty());
}

#[test]
fn what_was_refused_covers_nothing_and_goes_with_the_next_thing_that_is_done() {
    let mut window = Window::tiny();
    window.keys(Modifiers::NONE, Key::A);
    window.until("it is told", |window| window.says("Message: LoRA is not placed"));
    window.harness.run_steps(3);
    let message = window.harness.get_by_label_contains("Message: LoRA is not placed").rect();
    let below = window.harness.get_by_label("Show stage 1").rect();
    assert!(message.bottom() <= below.top(), "the canvas begins below it");
    window.click("Block model.temporal.blocks.0");
    assert!(!window.says("is not placed"), "something else was done");
    window.keys(Modifiers::NONE, Key::Escape);
    window.keys(Modifiers::NONE, Key::Escape);
    window.keys(Modifiers::NONE, Key::Escape);
    window.keys(Modifiers::NONE, Key::A);
    window.until("it is told again", |window| window.says("is not placed"));
    window.click("Log");
    assert!(!window.says("is not placed"), "another tab is looked at");
}

#[test]
fn closing_a_project_asks_first_and_keys_do_not_pass_the_question() {
    let mut window = Window::tiny();
    let before = window.text();
    window.click(FREEZE);
    let edited = window.text();
    window.keys(Modifiers::COMMAND, Key::W);
    assert!(window.has("Save and go on"));
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), edited, "no edit behind the question");
    window.keys(Modifiers::NONE, Key::Escape);
    assert!(!window.has("Save and go on"), "Escape is no");
    assert!(window.app().document().is_some());
    window.keys(Modifiers::COMMAND, Key::W);
    window.click("Discard");
    assert!(window.app().document().is_none());
    assert_eq!(project::to_text(&project::load(&window.path).unwrap()).unwrap(), before);
}

#[test]
fn text_fields_keep_the_keys_that_edit_text() {
    let mut window = Window::tiny();
    window.click(FREEZE);
    let edited = window.text();
    window.click("Log");
    window.click("Search the log");
    window.harness.event(Event::Text("abc".to_owned()));
    window.harness.run_steps(2);
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), edited, "undo in the field is the field's");
    window.keys(Modifiers::COMMAND, Key::W);
    assert!(window.app().document().is_some() && !window.has("Save and go on"));
}

#[test]
fn escape_leaves_a_rule_as_it_was_and_goes_one_level_up() {
    let mut window = Window::tiny();
    let before = window.text();
    window.click("Rule Bridge model.bridge");
    window.type_into("Rule text", "model.brid");
    window.keys(Modifiers::NONE, Key::Escape);
    assert_eq!(window.text(), before);
    window.click("Block model.temporal.blocks.0");
    assert!(window.app().view().selected.is_part("model.temporal.blocks.0"));
    window.keys(Modifiers::NONE, Key::Escape);
    assert!(window.app().view().selected.is_part("model.temporal.blocks"));
    window.keys(Modifiers::NONE, Key::Escape);
    assert!(window.app().view().selected.is_part("model.temporal"));
    window.keys(Modifiers::NONE, Key::Escape);
    assert_eq!(window.app().view().selected, Selected::Nothing);
}

#[test]
fn a_stage_that_is_not_shown_is_checked_too() {
    let window = Window::tiny();
    let broken = project::set(window.project(), "stages.0.train", "[\"model.nothing\"]").unwrap();
    let mut window = Window::open(&project::to_text(&broken).unwrap());
    assert_eq!(window.project().stages.len(), 2);
    window.until("the other stage's problem is known", |window| {
        window.app().view().stage == 1
            && window.app().problems().iter().any(|problem| problem.text.contains("model.nothing"))
    });
    window.click("Train");
    assert!(!window.path.with_file_name("runs").exists());
    window.click("Show it");
    assert_eq!(window.app().view().stage, 0);
}

#[test]
fn dialogs_answers_and_banners_change_nothing_during_a_run() {
    let mut window = Window::tiny();
    window.click(FREEZE);
    window.keys(Modifiers::COMMAND, Key::Z);
    let long = project::set(window.project(), "stages.1.epochs", "2000").unwrap();
    let mut window = Window::open(&project::to_text(&long).unwrap());
    window.click("Train");
    window.until("steps are done", |window| window.app().session().series().steps.len() > 2);
    let running = window.text();
    let other = project::set(window.project(), "seed", "78").unwrap();
    project::save(&other, &window.path).unwrap();
    window.until("the change is noticed", |window| window.has("Keep mine"));
    window.harness.get_by_label("Reload").click();
    window.harness.run_steps(3);
    assert_eq!(window.text(), running, "locked while training");
    window.keys(Modifiers::COMMAND, Key::Period);
    window.until("it has ended", |window| !window.app().session().state().is_busy());
}

#[test]
fn data_that_come_later_are_found_by_trying_again() {
    let window = Window::tiny();
    let digits = window.folder.path().join("later");
    let lost = project::set(window.project(), "data.folder", &format!("{:?}", digits.display().to_string()))
        .unwrap();
    let mut window = Window::open(&project::to_text(&lost).unwrap());
    window.until("it is told", |window| window.app().problems().iter().any(|it| it.text.contains("later")));
    assert!(window.says("The data could not be opened") && !window.says("The model could not be built"));
    std::fs::create_dir_all(&digits).unwrap();
    for file in std::fs::read_dir(repository("assets/digits")).unwrap().flatten() {
        std::fs::copy(file.path(), digits.join(file.file_name())).unwrap();
    }
    window.click("Problems");
    window.click("Try again");
    window.until("the model is there", |window| window.has("Card model.head"));
    window.until("nothing is wrong any more", |window| window.app().problems().is_empty());
}
