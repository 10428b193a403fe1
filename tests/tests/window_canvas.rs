//! The canvas, driven by the accessibility tree: folding, walking, searching, placing in every way.
#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::time::Duration;

use egui::{Event, Key, Modifiers, Pos2};
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use graft_app::view::{Heat, Origin, Selected};
use graft_engine::memory::Counting;
use graft_engine::project::{self, Project};
use graft_tests::large::{Frames, project_text};
use graft_tests::window::{Window, tiny};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The tiny project with three blocks in its temporal transformer, so that there is something alike.
fn three() -> Window {
    let project = project::set(&tiny(), "model.temporal.blocks", "3").unwrap();
    let mut window = Window::open(&project::to_text(&Project { adapters: Vec::new(), ..project }).unwrap());
    window.until("the model is there", |window| window.has("Card model.head"));
    window
}

fn unfolded(window: &Window, path: &str) -> bool {
    window.app().view().unfolded.contains(path)
}

fn rules(window: &Window) -> Vec<&str> {
    window.project().adapters.iter().map(|placement| placement.at.as_str()).collect()
}

/// The middle of a control.
fn middle(window: &Window, label: &str) -> Pos2 {
    window.harness.get_by_label(label).rect().center()
}

/// Drags from a control to a point and lets go there.
fn drag(window: &mut Window, from: &str, to: Pos2) {
    hold(window, from, to);
    window.harness.drop_at(to);
    window.harness.run_steps(3);
}

/// Drags from a control to a point and keeps the button down.
fn hold(window: &mut Window, from: &str, to: Pos2) {
    window.until("it is settled", |window| window.app().builder().is_settled() && window.has(from));
    window.harness.run_steps(3);
    let begin = middle(window, from);
    window.harness.drag_at(begin);
    window.harness.run_steps(2);
    for share in [0.1, 0.5, 1.0] {
        window.harness.hover_at(begin + (to - begin) * share);
        window.harness.run_steps(2);
    }
}

fn undo_gives(window: &mut Window, text: &str) {
    window.keys(Modifiers::COMMAND, Key::Z);
    assert_eq!(window.text(), text, "one step back");
}

/// Nothing moves, so nothing is drawn: the next frame waits for a cause.
#[test]
fn a_window_at_rest_asks_for_no_frame() {
    let mut frames = Frames::open(&project_text());
    frames.unfold_all();
    let graph = &frames.app.builder().model().unwrap().graph;
    assert!(graph.nodes().len() > 1000, "{} nodes", graph.nodes().len());
    assert_eq!(frames.app.view().unfolded.iter().filter(|path| path.contains(".blocks.")).count(), 24);
    let (wanted, meshes) = frames.frame();
    assert!(meshes > 0);
    assert!(wanted > Duration::from_hours(1), "the next frame is wanted after {wanted:?}");
    // The pointer over the graph is a cause, and no longer one once it rests.
    frames.event(Event::PointerMoved(Pos2::new(760.0, 420.0)));
    frames.rest();
    let (wanted, _) = frames.frame();
    assert!(wanted > Duration::from_hours(1), "the next frame is wanted after {wanted:?}");
}

#[test]
fn blocks_fold_into_one_card_and_unfold_one_or_all() {
    let mut window = three();
    assert!(!unfolded(&window, "model.temporal"));
    window.click("Row model.temporal");
    window.keys(Modifiers::NONE, Key::E);
    assert!(unfolded(&window, "model.temporal"));
    window.keys(Modifiers::NONE, Key::E);
    assert!(!unfolded(&window, "model.temporal"), "the same key folds");
    window.click("Block model.temporal.blocks.0");
    window.click("Block model.temporal.blocks.2");
    assert!(!unfolded(&window, "model.temporal.blocks.0"), "one at a time");
    window.keys(Modifiers::SHIFT, Key::E);
    for block in 0..3 {
        assert!(window.has(&format!("Card model.temporal.blocks.{block}.attention.key")), "block {block}");
    }
    assert!(!unfolded(&window, "model.spatial"));
    window.click("Block model.temporal.blocks.1");
    assert!(!unfolded(&window, "model.temporal.blocks.1"));
    assert!(unfolded(&window, "model.temporal.blocks.0"), "the others stay open");
    while window.app().view().selected != Selected::Nothing {
        window.keys(Modifiers::NONE, Key::Escape);
    }
    window.keys(Modifiers::SHIFT, Key::E);
    assert!(unfolded(&window, "model.spatial.blocks.0"), "without a selection all stacks");
    window.keys(Modifiers::SHIFT, Key::E);
    assert!(!window.app().view().unfolded.iter().any(|path| path.contains(".blocks.")));
}

#[test]
fn the_graph_is_found_by_path_and_brought_into_view() {
    let mut window = three();
    window.keys(Modifiers::NONE, Key::Slash);
    window.harness.event(Event::Text("BLOCKS.1.mlp.fc1".to_owned()));
    window.harness.run_steps(3);
    assert!(window.has("Found: 1"), "temporal has three blocks, spatial one");
    window.keys(Modifiers::NONE, Key::Enter);
    window.harness.run_steps(3);
    assert!(window.has("Found: 1 of 1"));
    assert_eq!(window.app().view().selected, Selected::Part("model.temporal.blocks.1.mlp.fc1".to_owned()));
    let card = middle(&window, "Card model.temporal.blocks.1.mlp.fc1");
    let canvas = window.harness.get_by_label("Graph").rect();
    assert!(canvas.contains(card), "{card:?} in {canvas:?}");
    window.keys(Modifiers::COMMAND, Key::A);
    window.harness.event(Event::Text("model.temporal.blocks.*.attention.{query,key}".to_owned()));
    window.harness.run_steps(3);
    assert!(window.has("Found: 6"), "a rule finds as well");
    for (enter, at) in
        [(Modifiers::NONE, 1), (Modifiers::NONE, 2), (Modifiers::SHIFT, 1), (Modifiers::SHIFT, 6)]
    {
        window.keys(enter, Key::Enter);
        window.harness.run_steps(2);
        assert!(window.has(&format!("Found: {at} of 6")), "{at}");
    }
    window.keys(Modifiers::NONE, Key::Escape);
    assert!(!window.has("Find on the graph"));
    let here = window.app().view().selected.clone();
    assert_ne!(here, Selected::Nothing, "closing keeps the selection");
    // The levels around it.
    window.click("Level model.temporal");
    assert_eq!(window.app().view().selected, Selected::Part("model.temporal".to_owned()));
}

#[test]
fn a_rule_that_is_found_places_the_kind() {
    let mut window = three();
    let before = window.text();
    window.keys(Modifiers::NONE, Key::Slash);
    window.harness.event(Event::Text("model.temporal.**.{query,value}".to_owned()));
    window.harness.run_steps(3);
    window.click("Place LoRA at 6 sites");
    assert_eq!(rules(&window), ["model.temporal.**.{query,value}"]);
    window.until("the sites show", |window| {
        window.has("Matched model.temporal.blocks.0.attention.query")
            && window.has("Near model.temporal.blocks.0.attention.key")
    });
    undo_gives(&mut window, &before);
}

#[test]
fn a_rule_matches_while_it_is_typed() {
    let mut window = Window::tiny();
    let before = window.text();
    window.click("Rule LoRA model.temporal.blocks.*.attention.{query,value}");
    assert!(!window.has("Matched model.temporal.blocks.0.attention.key"));
    window.click("Rule text");
    window.keys(Modifiers::COMMAND, Key::A);
    window.harness.event(Event::Text("model.temporal.blocks.*.attention.key".to_owned()));
    window.harness.run_steps(3);
    assert!(window.has("Matched model.temporal.blocks.0.attention.key"), "live");
    assert!(window.has("Near model.temporal.blocks.0.attention.query"));
    assert_eq!(window.text(), before, "nothing is changed yet");
}

#[test]
fn arrow_keys_walk_the_graph_in_the_order_of_the_data() {
    let mut window = three();
    window.click("Row model.temporal");
    let at = |window: &Window| match &window.app().view().selected {
        Selected::Part(path) => path.clone(),
        other => panic!("{other:?}"),
    };
    window.keys(Modifiers::NONE, Key::ArrowRight);
    assert_eq!(at(&window), "model.temporal.blocks.0", "into it");
    window.keys(Modifiers::NONE, Key::ArrowLeft);
    assert_eq!(at(&window), "model.temporal");
    window.keys(Modifiers::NONE, Key::ArrowDown);
    assert_eq!(at(&window), "model.cls", "over it");
    window.keys(Modifiers::NONE, Key::ArrowUp);
    assert_eq!(at(&window), "model.temporal.blocks.2", "back to what came before");
    window.keys(Modifiers::NONE, Key::Enter);
    assert!(unfolded(&window, "model.temporal.blocks.2"), "Enter expands");
    window.keys(Modifiers::NONE, Key::ArrowRight);
    assert_eq!(at(&window), "model.temporal.blocks.2.attention.norm");
    // From the first to the last, each once, and no further.
    let mut seen = Vec::new();
    for _ in 0..60 {
        window.keys(Modifiers::NONE, Key::ArrowRight);
        let here = at(&window);
        if seen.last() == Some(&here) {
            break;
        }
        assert!(!seen.contains(&here), "{here} twice");
        seen.push(here);
    }
    assert_eq!(seen.last().map(String::as_str), Some("model.head"));
}

#[test]
fn a_kind_is_dragged_onto_a_site_a_block_or_all_blocks() {
    let mut window = three();
    let before = window.text();
    // A folded transformer: one rule for all its blocks.
    let card = middle(&window, "Card model.temporal") - egui::vec2(60.0, 20.0);
    drag(&mut window, "Kind LoRA", card);
    assert_eq!(rules(&window), ["model.temporal.blocks.*.attention.{query,value}"]);
    undo_gives(&mut window, &before);
    // The tile of a block stands for all of them, with Alt for itself.
    let tile = middle(&window, "Block model.temporal.blocks.1");
    drag(&mut window, "Kind LoRA", tile);
    assert_eq!(rules(&window), ["model.temporal.blocks.*.attention.{query,value}"]);
    undo_gives(&mut window, &before);
    hold(&mut window, "Kind LoRA", tile);
    window.harness.event(Event::ModifiersChanged(Modifiers::ALT));
    window.harness.run_steps(2);
    window.harness.drop_at(tile);
    window.harness.run_steps(3);
    window.harness.event(Event::ModifiersChanged(Modifiers::NONE));
    assert_eq!(rules(&window), ["model.temporal.blocks.1.attention.{query,value}"]);
    undo_gives(&mut window, &before);
    // An open block's own site.
    window.click("Block model.temporal.blocks.1");
    let node = middle(&window, "Card model.temporal.blocks.1.attention.key");
    drag(&mut window, "Kind LoRA", node);
    assert_eq!(rules(&window), ["model.temporal.blocks.1.attention.key"]);
    undo_gives(&mut window, &before);
}

#[test]
fn where_a_kind_may_not_go_nothing_is_placed_and_escape_cancels() {
    let mut window = three();
    let before = window.text();
    window.click("Block model.temporal.blocks.1");
    // A bridge does not go on a weight.
    let node = middle(&window, "Card model.temporal.blocks.1.attention.key");
    drag(&mut window, "Kind Bridge", node);
    assert_eq!(window.text(), before);
    hold(&mut window, "Kind LoRA", node);
    window.keys(Modifiers::NONE, Key::Escape);
    window.harness.drop_at(node);
    window.harness.run_steps(3);
    assert_eq!(window.text(), before, "cancelled");
    assert_ne!(window.app().view().selected, Selected::Nothing, "the key only dropped what was carried");
}

#[test]
fn a_kind_is_drawn_along_the_blocks() {
    let mut window = three();
    let before = window.text();
    window.click("Block model.temporal.blocks.0");
    // From a plus over the tiles of the other blocks: the like site of each.
    let to = middle(&window, "Block model.temporal.blocks.1");
    hold(&mut window, "Place LoRA at model.temporal.blocks.0.attention.key", to);
    let last = middle(&window, "Block model.temporal.blocks.2");
    window.harness.hover_at(last);
    window.harness.run_steps(2);
    window.harness.drop_at(last);
    window.harness.run_steps(3);
    let found = rules(&window);
    let all = found.iter().any(|rule| rule.starts_with("model.temporal.blocks.*.attention."));
    assert!(all, "{found:?}");
    assert!(window.app().document().unwrap().undo_label().unwrap().starts_with("Place LoRA at "));
    undo_gives(&mut window, &before);
}

#[test]
fn a_kind_goes_on_everything_that_is_selected_in_one_step() {
    let mut window = three();
    let before = window.text();
    window.click("Block model.temporal.blocks.0");
    window.click("Card model.temporal.blocks.0.attention.key");
    window.harness.event(Event::ModifiersChanged(Modifiers::SHIFT));
    for name in ["attention.query", "mlp.fc1"] {
        let label = format!("Card model.temporal.blocks.0.{name}");
        window.harness.get_by_label(&label).click_modifiers(Modifiers::SHIFT);
        window.harness.run_steps(3);
    }
    window.harness.event(Event::ModifiersChanged(Modifiers::NONE));
    assert_eq!(window.app().view().graph.also.len(), 2);
    window.click("Place LoRA on all");
    let mut found = rules(&window);
    found.sort_unstable();
    assert_eq!(found, ["model.temporal.blocks.0.attention.{key,query}", "model.temporal.blocks.0.mlp.fc1"]);
    undo_gives(&mut window, &before);
    // One thing and the key.
    window.click("Card model.temporal.blocks.0.attention.key");
    window.keys(Modifiers::NONE, Key::A);
    assert_eq!(rules(&window), ["model.temporal.blocks.0.attention.key"]);
    window.click("Copy to like sites");
    assert_eq!(rules(&window), ["model.temporal.blocks.*.attention.key"]);
}

#[test]
fn an_adapter_is_copied_with_its_settings() {
    let mut window = three();
    window.click("Block model.temporal.blocks.0");
    window.click("Card model.temporal.blocks.0.attention.key");
    window.keys(Modifiers::NONE, Key::A);
    window.type_into("Rank", "5");
    window.keys(Modifiers::NONE, Key::Enter);
    window.harness.event(Event::Copy);
    window.harness.run_steps(2);
    window.click("Card model.temporal.blocks.0.mlp.fc2");
    window.harness.event(Event::Paste("anything".to_owned()));
    window.harness.run_steps(3);
    assert_eq!(rules(&window), ["model.temporal.blocks.0.attention.key", "model.temporal.blocks.0.mlp.fc2"]);
    let rank = |index: usize| window.project().adapters[index].kind.kind().settings()[0].value;
    assert_eq!((rank(0), rank(1)), (5.0, 5.0));
}

#[test]
fn the_heat_counts_parameters_and_work() {
    let mut window = Window::tiny();
    window.predicted();
    for (heat, words) in [(Heat::Parameters, "parameters"), (Heat::Work, "multiply-adds")] {
        window.click(&format!("Heat {words}"));
        assert_eq!(window.app().view().heat, heat);
        assert!(window.says(&format!("Legend of {words}, predicted, up to ")));
        assert_eq!(window.app().view().origin, Origin::Predicted);
    }
}

#[test]
fn the_view_goes_to_the_selection_and_by_the_small_map() {
    let mut window = three();
    window.keys(Modifiers::SHIFT, Key::E);
    window.until("all is open", |window| window.has("Card model.temporal.blocks.0.attention.key"));
    window.click("Card model.temporal.blocks.0.attention.key");
    let zoom = window.app().view().camera.zoom;
    window.keys(Modifiers::NONE, Key::Num2);
    assert!(window.app().view().camera.zoom > zoom, "closer to what is selected");
    let offset = window.app().view().camera.offset;
    let map = window.harness.get_by_label("Minimap").rect();
    let low = map.center() + egui::vec2(0.0, 0.4 * map.height());
    window.harness.drag_at(low);
    window.harness.run_steps(2);
    window.harness.drop_at(low);
    window.harness.run_steps(2);
    assert!(window.app().view().camera.offset.y < offset.y, "further down the graph");
    window.keys(Modifiers::NONE, Key::Num1);
    assert!(!window.has("Minimap"), "all of it is in view");
}

#[test]
fn a_rectangle_selects_what_it_touches() {
    let mut window = three();
    window.click("Block model.temporal.blocks.0");
    window.until("it is open", |window| window.has("Card model.temporal.blocks.0.attention.query"));
    window.harness.run_steps(3);
    let rect = |name: &str| {
        window.harness.get_by_label(&format!("Card model.temporal.blocks.0.attention.{name}")).rect()
    };
    let (from, to) = (rect("query").left_top() - egui::vec2(4.0, 4.0), rect("key").center());
    let offset = window.app().view().camera.offset;
    window.harness.event(Event::ModifiersChanged(Modifiers::SHIFT));
    window.harness.drag_at(from);
    window.harness.run_steps(2);
    for share in [0.3, 0.7, 1.0] {
        window.harness.hover_at(from + (to - from) * share);
        window.harness.run_steps(2);
    }
    window.harness.drop_at(to);
    window.harness.event(Event::ModifiersChanged(Modifiers::NONE));
    window.harness.run_steps(3);
    assert_eq!(window.app().view().camera.offset, offset, "it does not pan");
    let also: Vec<&String> = window.app().view().graph.also.iter().collect();
    assert_eq!(
        window.app().view().selected,
        Selected::Part("model.temporal.blocks.0.attention.query".to_owned())
    );
    assert_eq!(also, ["model.temporal.blocks.0.attention.key"]);
}

/// What can be pressed, moved or typed into says what it is, on the canvas and around it.
#[test]
fn every_control_has_a_name() {
    use egui::accesskit::Role;
    let mut window = three();
    window.keys(Modifiers::SHIFT, Key::E);
    window.until("all is open", |window| window.has("Block model.temporal.blocks.0"));
    window.click("Row model.temporal");
    let controls = |window: &Window| {
        let roles = [
            Role::Button,
            Role::CheckBox,
            Role::RadioButton,
            Role::Link,
            Role::Slider,
            Role::SpinButton,
            Role::TextInput,
            Role::ComboBox,
            Role::TreeItem,
            Role::ListItem,
            Role::Canvas,
        ];
        let all = window.harness.root().children_recursive();
        let named = all.map(|node| (node.accesskit_node().role(), node.accesskit_node().label()));
        named.filter(|(role, _)| roles.contains(role)).collect::<Vec<_>>()
    };
    for open in [false, true] {
        if open {
            window.keys(Modifiers::NONE, Key::Slash);
        }
        let found = controls(&window);
        assert!(found.len() > 60, "{} controls", found.len());
        let nameless: Vec<_> = found
            .iter()
            .filter(|(_, name)| name.as_ref().is_none_or(|name| name.trim().is_empty()))
            .collect();
        assert!(nameless.is_empty(), "search open: {open}: {nameless:?}");
    }
}
