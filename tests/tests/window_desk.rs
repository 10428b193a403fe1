//! What stands around the canvas, driven by its accessibility tree: commands by name, problems and what mends them,
//! unsaved work that outlives the window, the first page, devices, data.

use egui::{Event, Key, Modifiers};
use egui_kittest::kittest::Queryable as _;
use graft_app::planner::Clock;
use graft_app::problems::Severity;
use graft_app::view::{DockTab, Heat};
use graft_app::whatif::Change;
use graft_app::{Options, commands};
use graft_engine::memory::Counting;
use graft_engine::project;
use graft_engine::tensor::Stream;
use graft_tests::repository;
use graft_tests::window::{Window, tiny};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn type_text(window: &mut Window, text: &str) {
    window.harness.event(Event::Text(text.to_owned()));
    window.harness.run_steps(2);
}

/// Gives a command by its name in the palette.
fn command(window: &mut Window, name: &str) {
    window.keys(Modifiers::COMMAND, Key::K);
    assert!(window.has("Command"), "the palette is open");
    type_text(window, name);
    window.keys(Modifiers::NONE, Key::Enter);
}

#[test]
fn a_command_is_found_by_letters_and_given_by_enter() {
    let mut window = Window::tiny();
    command(&mut window, "heat kept bytes");
    assert_eq!(window.app().view().heat, Heat::Bytes);
    assert!(!window.has("Command"), "the palette is closed");
    command(&mut window, "show log");
    assert_eq!(window.app().view().tab, DockTab::Log);
    let before = window.text();
    command(&mut window, "place preset Houlsby");
    assert_ne!(window.text(), before);
    window.keys(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::P);
    type_text(&mut window, "redo");
    assert!(window.says("Nothing to redo"), "what cannot be done says why");
    window.keys(Modifiers::NONE, Key::Enter);
    window.keys(Modifiers::NONE, Key::Escape);
    assert!(!window.has("Command"));
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), before);
}

#[test]
fn letters_typed_into_the_palette_are_no_shortcuts() {
    let mut window = Window::tiny();
    let heat = window.app().view().heat;
    window.keys(Modifiers::COMMAND, Key::K);
    for key in [Key::H, Key::C, Key::F, Key::Num1] {
        window.keys(Modifiers::NONE, key);
    }
    assert_eq!(window.app().view().heat, heat);
    assert!(!window.app().view().cut_hidden);
}

#[test]
fn the_sheet_of_keys_lists_every_command_that_has_one() {
    let mut window = Window::tiny();
    window.keys(Modifiers::NONE, Key::F1);
    for command in commands::keyed() {
        let Some(keys) = command.keys_text() else { continue };
        let name = format!("{keys}: {}", command.title);
        assert!(window.has(&name), "{name}");
    }
    window.keys(Modifiers::NONE, Key::Escape);
    assert!(!window.says("Ctrl Z: Undo"));
}

#[test]
fn a_problem_is_mended_by_its_button_and_until_then_nothing_is_run() {
    let mut broken = tiny();
    broken.adapters[0].at = "model.brigde".to_owned();
    broken.device = "tch".to_owned();
    let mut window = Window::open(&project::to_text(&broken).unwrap());
    window.until("both problems are known", |window| {
        let problems = window.app().problems();
        problems.iter().filter(|problem| problem.severity == Severity::Error).count() == 2
    });
    window.click("Train");
    assert_eq!(window.app().view().tab, DockTab::Problems, "a run would fail: its reasons are shown instead");
    assert!(!window.path.with_file_name("runs").exists(), "and no run folder is made");
    window.click("Use model.bridge");
    assert_eq!(window.project().adapters[0].at, "model.bridge");
    window.click("Use flex");
    assert_eq!(window.project().device, "flex");
    window.until("nothing is wrong any more", |window| window.app().problems().is_empty());
    window.keys(Modifiers::COMMAND, Key::Z);
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), project::to_text(&broken).unwrap());
}

#[test]
fn edits_outlive_a_window_that_ends_without_asking() {
    let mut window = Window::tiny();
    let before = window.text();
    window.click("Freeze model.head in the outline");
    let edited = window.text();
    assert_ne!(edited, before);
    let kept = window.folder.path().join("state").join("unsaved");
    window.until("the edit is kept", |_| kept.read_dir().is_ok_and(|mut files| files.next().is_some()));
    assert_eq!(project::to_text(&project::load(&window.path).unwrap()).unwrap(), before, "not in the file");
    // As after `kill -9`: the window is gone, the files stay.
    let mut window = window.again();
    window.until("the offer is made", |window| window.has("Take them"));
    assert_eq!(window.text(), before, "nothing is taken unasked");
    window.click("Take them");
    assert_eq!(window.text(), edited);
    window.keys(Modifiers::COMMAND, Key::S);
    let mut window = window.again();
    window.until("the model is there", |window| window.has("Card model.head"));
    assert!(!window.has("Take them"), "what is saved is not offered again");
    assert_eq!(window.text(), edited);
}

#[test]
fn the_difference_to_the_file_is_shown_line_by_line() {
    let mut window = Window::tiny();
    window.click("Freeze model.head in the outline");
    command(&mut window, "differs from the file");
    assert!(window.says("+ ") && window.says("\"model.head\""), "the line that is new");
    window.click("Reload");
    assert!(!window.app().document().unwrap().is_dirty());
    assert_eq!(window.app().document().unwrap().undo_label(), Some("Reload from disk"));
}

#[test]
fn the_first_page_opens_samples_and_remembers_them() {
    let window = Window::tiny();
    let state = window.folder.path().join("state");
    let options = Options {
        runs: window.folder.path().join("runs"),
        clock: Clock::Given(None),
        state: Some(state),
        samples: Some(repository("projects")),
        ..Options::default()
    };
    let mut page = Window { harness: graft_tests::window::harness(options), ..window };
    page.until("recent and samples are listed", |page| {
        page.has("Open recent tiny") && page.has("Open sample digits_vit")
    });
    // Each sample that comes with all it needs is drawn from its real model.
    page.until("all are built", |page| page.app().samples().is_settled());
    for sample in page.app().samples().list() {
        let details = sample.details.as_ref().unwrap();
        let needs_more = sample.name == "dinov2_moving_digits";
        assert!(details.is_ok() || needs_more, "{}: {details:?}", sample.name);
        assert!(details.as_ref().map_or(needs_more, |details| details.trained > 0), "{}", sample.name);
    }
    assert_eq!(page.app().samples().list()[0].name, "vivit_frozen_spatial", "where a newcomer begins");
    page.until("devices are known", |page| page.says("Device flex: Works here"));
    page.harness.get_by_label("Samples of: Audio").click();
    page.harness.run_steps(3);
    assert!(!page.has("Open sample digits_vit") && page.has("Open sample 13_ast"));
    page.harness.get_by_label("Samples of: All").click();
    page.harness.run_steps(3);
    page.harness.get_by_label("Open sample 04_precision").click();
    page.until("it is open", |page| page.app().document().is_some());
    assert_eq!(page.project().name, "04_precision");
    page.keys(Modifiers::COMMAND, Key::W);
    page.until("the first page is back", |page| page.has("Open recent 04_precision"));
}

#[test]
fn samples_of_the_data_are_shown_as_the_stage_reads_them() {
    let mut window = Window::tiny();
    window.click("Data");
    window.until("samples are read", |window| {
        window
            .app()
            .previews()
            .page()
            .is_some_and(|page| page.as_ref().is_ok_and(|page| !page.samples.is_empty()))
    });
    let Some(Ok(page)) = window.app().previews().page() else { panic!("samples") };
    let first = page.samples[0].as_ref().unwrap();
    assert!(first.frames.len() > 1, "clips move");
    assert!(window.says("Sample 1: "));
    window.click("Samples of the split: test");
    window.until("other samples are read", |window| {
        window.app().previews().page().is_some_and(|page| page.as_ref().is_ok_and(|page| page.number > 1))
    });
}

/// One thing to do to the project, by a number.
fn edit(window: &mut Window, choice: usize) {
    let labels = [
        "Freeze model.head in the outline",
        "Freeze model.spatial in the outline",
        "Freeze model.temporal in the outline",
        "Adapters in stage 1",
        "Adapters in stage 2",
    ];
    match choice {
        label @ 0..5 => {
            let thaw = labels[label].replace("Freeze", "Thaw");
            let label = if window.has(labels[label]) { labels[label].to_owned() } else { thaw };
            if window.has(&label) {
                window.harness.get_by_label(&label).click();
                window.harness.run_steps(3);
            }
        }
        5 => command(window, "place preset Pfeiffer"),
        6 => command(window, "place preset AdaptFormer"),
        7 => {
            command(window, "select rule");
            window.keys(Modifiers::NONE, Key::Delete);
        }
        8 => window.keys(Modifiers::COMMAND, Key::Z),
        _ => window.keys(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z),
    }
    window.until("the model follows", |window| window.app().builder().is_settled());
}

#[test]
fn any_edits_undone_give_the_document_back_and_redone_the_last_one() {
    for seed in 0..3 {
        let mut window = Window::tiny();
        let before = window.text();
        let mut draws = Stream::new(seed, "edits").at(0);
        for _ in 0..12 {
            edit(&mut window, draws.below(10));
        }
        // What an undo in the middle left in the future is redone first, so that the end is the end.
        while window.app().document().unwrap().redo_label().is_some() {
            window.keys(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);
        }
        let after = window.text();
        while window.app().document().unwrap().undo_label().is_some() {
            window.keys(Modifiers::COMMAND, Key::Z);
        }
        assert_eq!(window.text(), before, "seed {seed}");
        assert!(!window.app().document().unwrap().is_dirty());
        while window.app().document().unwrap().redo_label().is_some() {
            window.keys(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);
        }
        assert_eq!(window.text(), after, "seed {seed}");
    }
}

#[test]
fn the_inspector_tells_what_the_stage_would_cost_without_an_adapter() {
    let mut window = Window::tiny();
    let (with, _) = window.predicted();
    let trained = window.app().planner().outlook().unwrap().plan.params_trainable.unwrap();
    window.click("Rule Bridge model.bridge");
    let index = 0;
    window.until("the answer is there", |window| {
        window.app().what_if().answer(&Change::Without(index)).is_some()
    });
    window.harness.run_steps(2);
    let then = window.app().what_if().answer(&Change::Without(index)).unwrap().unwrap();
    assert!(window.says("Without it"));
    // The same as taking it off indeed.
    window.keys(Modifiers::NONE, Key::Delete);
    let (without, _) = window.predicted();
    assert_eq!(then.peak_bytes, Some(without));
    assert_eq!(Some(then.trainable), window.app().planner().outlook().unwrap().plan.params_trainable);
    assert!(then.trainable < trained && without <= with);
}

#[test]
fn the_timeline_trains_and_freezes_parts_in_stages_as_one_step() {
    let mut window = Window::tiny();
    let before = window.text();
    window.click("Timeline");
    window.until("the stages are worked out", |window| window.app().timelines().is_current());
    window.harness.run_steps(2);
    let timeline = window.app().timelines().latest().unwrap();
    assert_eq!(timeline.columns.len(), window.project().stages.len());
    assert!(timeline.columns.iter().all(|column| column.peak_bytes.is_some()), "each stage has its peak");
    assert!(window.has("Spatial in stage 2: frozen"));
    // By its end: the span of the first stage is drawn out over the second.
    let end = window.harness.get_by_label("End of Spatial at stage 1").rect().center();
    let second = window.harness.get_by_label("Spatial in stage 2: frozen").rect();
    window.harness.drag_at(end);
    window.harness.run_steps(2);
    window.harness.hover_at(egui::pos2(second.right() - 6.0, end.y));
    window.harness.run_steps(2);
    window.harness.drop_at(egui::pos2(second.right() - 6.0, end.y));
    window.until("it trains there", |window| window.has("Spatial in stage 2: trainable"));
    assert_eq!(window.app().document().unwrap().undo_label(), Some("Train spatial in stage 2"));
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), before);
    // By a click.
    window.until("it is frozen again", |window| window.has("Head in stage 2: trainable"));
    window.click("Head in stage 2: trainable");
    window.until("it is frozen", |window| window.says("Head in stage 2: frozen"));
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), before);
}

#[test]
fn over_a_free_site_stands_what_a_click_would_cost() {
    let mut window = Window::tiny();
    let (now, _) = window.predicted();
    window.click("Block model.temporal.blocks.0");
    let name = "Place LoRA at model.temporal.blocks.0.attention.key";
    window.until("the site is drawn", |window| window.has(name));
    window.harness.run_steps(4);
    let at = window.harness.get_by_label(name).rect().center();
    window.harness.hover_at(at);
    let site = "model.temporal.blocks.0.attention.key".to_owned();
    let change = Change::With { site, kind: 0 };
    window.until("the answer is there", |window| window.app().what_if().answer(&change).is_some());
    let then = window.app().what_if().answer(&change).unwrap().unwrap();
    window.until("it is told", |window| window.says("Peak memory"));
    window.harness.get_by_label(name).click();
    window.harness.run_steps(2);
    let (placed, _) = window.predicted();
    assert_eq!(then.peak_bytes, Some(placed), "as predicted before the click");
    assert_ne!(placed, now);
}
