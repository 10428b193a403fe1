//! Keys, memory that does not suffice, files that are lost: the window driven by its accessibility tree.

use egui::{Key, Modifiers, Vec2};
use egui_kittest::kittest::Queryable as _;
use graft_app::Options;
use graft_app::planner::Clock;
use graft_app::problems::Severity;
use graft_app::theme::{DARK, LIGHT};
use graft_app::view::Selected;
use graft_engine::adapters::AdapterSpec;
use graft_engine::memory::Counting;
use graft_tests::large::project_text;
use graft_tests::window::{Window, harness};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn lora_rank(window: &Window) -> usize {
    let AdapterSpec::Lora(lora) = &window.project().adapters[1].kind else { panic!("LoRA") };
    lora.rank
}

#[test]
fn brackets_make_the_selected_adapter_smaller_and_larger() {
    let mut window = Window::tiny();
    let before = lora_rank(&window);
    // Nothing is selected: nothing happens.
    window.keys(Modifiers::NONE, Key::OpenBracket);
    assert_eq!(lora_rank(&window), before);
    let rule = window.project().adapters[1].at.clone();
    window.keys(Modifiers::COMMAND, Key::K);
    window.type_into("Command", &format!("Select rule LoRA {rule}"));
    window.keys(Modifiers::NONE, Key::Enter);
    assert!(matches!(window.app().view().selected, Selected::Adapter { index: 1, .. }));
    window.keys(Modifiers::NONE, Key::CloseBracket);
    assert_eq!(lora_rank(&window), 2 * before);
    window.keys(Modifiers::NONE, Key::OpenBracket);
    window.keys(Modifiers::NONE, Key::OpenBracket);
    assert_eq!(lora_rank(&window), (before / 2).max(1));
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(lora_rank(&window), before, "each press is a step");
}

#[test]
fn a_stage_over_the_budget_says_so_in_place_of_train_and_offers_what_helps() {
    let mut window = Window::tiny();
    window.predicted();
    assert!(window.has("Train"));
    let stage = window.app().view().stage;
    let batch = window.project().stages[stage].as_train().unwrap().batch;
    window.click("Plan");
    window.type_into("Memory budget", "64KiB");
    window.click("Fit into the budget");
    window.until("it does not fit", |window| window.says("Does not fit, over by"));
    assert!(!window.has("Train"));
    let label = window.label_with("Does not fit, over by");
    window.click(&label);
    assert!(window.has("Train all the same"));
    window.click(&format!("Batch of {} rather than {batch}", batch / 2));
    assert_eq!(window.project().stages[stage].as_train().unwrap().batch, batch / 2);
    window.until("it is planned anew", |window| window.app().planner().is_current());
    window.click("Problems");
    assert!(window.says(&format!("Problem: stage {} needs", stage + 1)));
    window.click("Plan");
    window.type_into("Memory budget", "64GiB");
    window.click("Fit into the budget");
    window.until("it fits", |window| window.has("Train"));
}

#[test]
fn f6_goes_through_the_parts_of_the_window_and_back() {
    let mut window = Window::tiny();
    // The inspector has controls once something is selected.
    window.click("Card model.head");
    // What is still being worked out may take a focused control's place.
    window.until("everything is there", |window| window.app().is_settled());
    window.harness.run_steps(2);
    let focused = |window: &Window| window.harness.ctx.memory(egui::Memory::focused);
    // The click gave the keyboard to the card: the walk begins there.
    let mut seen = Vec::new();
    for _ in 0..5 {
        window.keys(Modifiers::NONE, Key::F6);
        window.harness.run_steps(2);
        seen.push(focused(&window).unwrap());
    }
    let mut different = seen.clone();
    different.sort_by_key(egui::Id::value);
    different.dedup();
    assert_eq!(different.len(), 5, "top bar, outline, graph, inspector and dock");
    window.keys(Modifiers::NONE, Key::F6);
    window.harness.run_steps(2);
    assert_eq!(focused(&window), Some(seen[0]), "round and round");
    // In the graph arrows walk through it.
    let canvas = Some(egui::Id::unique("canvas"));
    for _ in 0..4 {
        if focused(&window) != canvas {
            window.keys(Modifiers::NONE, Key::F6);
            window.harness.run_steps(2);
        }
    }
    assert_eq!(focused(&window), canvas);
    let before = window.app().view().selected.clone();
    window.keys(Modifiers::NONE, Key::ArrowLeft);
    assert_eq!(focused(&window), canvas);
    assert_ne!(window.app().view().selected, before);
}

#[test]
fn space_pans_and_does_nothing_else() {
    let mut window = Window::tiny();
    let canvas = window.harness.get_by_label("Graph").rect();
    window.harness.hover_at(canvas.center());
    window.harness.run_steps(2);
    let before = window.app().view().camera.offset;
    window.harness.key_down(Key::Space);
    window.harness.run_steps(1);
    window.harness.hover_at(canvas.center() + Vec2::new(40.0, 25.0));
    window.harness.run_steps(2);
    window.harness.key_up(Key::Space);
    window.harness.run_steps(1);
    let after = window.app().view().camera.offset;
    assert_eq!(after - before, Vec2::new(40.0, 25.0));
    window.harness.hover_at(canvas.center());
    window.harness.run_steps(2);
    assert_eq!(window.app().view().camera.offset, after, "only while it is held");
    // With the keyboard on the graph it does not press the ground, which would select nothing.
    window.click("Card model.head");
    let selected = window.app().view().selected.clone();
    window.harness.ctx.memory_mut(|memory| memory.request_focus(egui::Id::unique("canvas")));
    window.harness.run_steps(2);
    window.harness.key_press(Key::Space);
    window.harness.run_steps(3);
    assert_eq!(window.app().view().selected, selected);
}

#[test]
fn a_lost_recent_project_says_so_and_offers_to_be_located() {
    let folder = tempfile::tempdir().unwrap();
    let (state, path) = (folder.path().join("state"), folder.path().join("gone.ron"));
    std::fs::copy(graft_tests::repository("projects").join("vivit_frozen_spatial.ron"), &path).unwrap();
    let options = Options { project: Some(path.clone()), state: Some(state.clone()), ..Options::default() };
    drop(harness(options));
    std::fs::remove_file(&path).unwrap();
    let mut window = harness(Options { state: Some(state), ..Options::default() });
    window.run_steps(3);
    assert!(window.query_by_label("Locate gone").is_some());
}

#[test]
fn each_sample_project_opens_with_nothing_in_the_way_of_a_run() {
    let mut files: Vec<_> = std::fs::read_dir(graft_tests::repository("projects"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
        // Its model has to be fetched first.
        .filter(|path| !path.ends_with("dinov2_moving_digits.ron"))
        .collect();
    files.sort();
    assert!(files.len() >= 12);
    let folder = tempfile::tempdir().unwrap();
    for path in files {
        let options = Options {
            project: Some(path.clone()),
            runs: folder.path().join("runs"),
            clock: Clock::Given(None),
            ..Options::default()
        };
        let mut window = harness(options);
        let begin = std::time::Instant::now();
        loop {
            window.step();
            let app = window.state().as_ref().unwrap();
            if app.builder().is_settled() && app.planner().is_current() && app.timelines().is_current() {
                break;
            }
            assert!(begin.elapsed().as_secs() < 60, "{}", path.display());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let app = window.state().as_ref().unwrap();
        let wrong: Vec<String> = app
            .problems()
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| problem.text.clone())
            .collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
        assert!(app.planner().error().is_none(), "{}: {:?}", path.display(), app.planner().error());
    }
}

#[test]
fn fitting_shows_all_of_24_open_blocks() {
    let mut window = Window::open(&project_text());
    window.until("the model is there", |window| window.has("Card model.head"));
    window.keys(Modifiers::SHIFT, Key::E);
    window.keys(Modifiers::NONE, Key::Num1);
    window.harness.run_steps(3);
    let canvas = window.harness.get_by_label("Graph").rect();
    for label in
        ["Card model.blocks.0.attention.key", "Card model.blocks.23.attention.key", "Card model.head"]
    {
        let card = window.harness.get_by_label(label).rect();
        assert!(canvas.contains_rect(card), "{label}: {card:?} in {canvas:?}");
    }
    // From there the wheel goes on without a jump.
    let zoom = window.app().view().camera.zoom;
    assert!(zoom < 0.1, "{zoom}");
    window.click("Zoom in");
    let closer = window.app().view().camera.zoom;
    assert!((closer / zoom - 1.25).abs() < 0.01, "{zoom} to {closer}");
}

#[test]
fn walking_over_what_is_seen_moves_nothing() {
    let mut window = Window::tiny();
    window.keys(Modifiers::SHIFT, Key::E);
    window.keys(Modifiers::NONE, Key::Num1);
    window.click("Row model.temporal");
    let camera = |window: &Window| (window.app().view().camera.offset, window.app().view().camera.zoom);
    let before = camera(&window);
    for _ in 0..12 {
        let selected = window.app().view().selected.clone();
        window.keys(Modifiers::NONE, Key::ArrowRight);
        assert_ne!(window.app().view().selected, selected);
        assert_eq!(camera(&window), before, "{:?}", window.app().view().selected);
    }
}

/// The colour that a text is drawn in, where it is.
fn ink(window: &Window, part: &str) -> Option<egui::Color32> {
    let mut texts = window.harness.output().shapes.iter().filter_map(|shape| match &shape.shape {
        egui::Shape::Text(text) if text.galley.text().contains(part) => Some(text),
        _ => None,
    });
    let row = texts.find_map(|text| text.galley.rows.first())?;
    Some(row.visuals.mesh.vertices.first()?.color)
}

#[test]
fn why_a_device_is_missing_can_be_read() {
    let mut window = Window::tiny();
    window.until("devices are known", |window| !window.app().devices().rows().is_empty());
    let rows = window.app().devices().rows();
    let reason = rows.iter().find_map(|row| row.reason.clone()).expect("no build has all devices");
    window.harness.get_by_label("Device flex").click();
    window.harness.run_steps(4);
    let color = ink(&window, &reason);
    assert!([DARK.body, LIGHT.body].map(Some).contains(&color), "not faded: {color:?}");
}

#[test]
fn what_has_no_room_beside_a_title_is_told_under_the_pointer() {
    let mut window = Window::tiny();
    window.click("Rule Bridge model.bridge");
    let whole = "residual bottleneck between two transformers";
    assert!(!window.says(whole));
    let at = window.harness.get_by_label("Settings").rect().center();
    window.harness.hover_at(at);
    window.until("it is told", |window| window.says(whole));
}
