use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use graft_engine::project::{Project, parse};

use super::shapes::{Card, Cut, Layout, Look};
use super::*;
use crate::model::{Builder, Freeze};

fn project() -> Project {
    let text = "(version: 1, name: \"a\", \
        model: Vivit(spatial: Vit(width: 16, blocks: 3, heads: 2, mlp: 24, patch: 8), \
                     temporal: (blocks: 2, heads: 2, mlp: 24)), \
        data: MovingDigits(folder: \"../assets/digits\", frames: 8, size: 24, digit: 12, train: 8, \
                           validation: 4, test: 4), \
        adapters: [(at: \"model.bridge\", kind: Bridge(width: 4)), \
                   (at: \"model.temporal.blocks.*.attention.{query,value}\", kind: Lora(rank: 2)), \
                   (at: \"model.temporal.blocks.0.{P1,P4}\", kind: Bottleneck(width: 3)), \
                   (at: \"model.temporal.blocks.0.P1\", kind: Bottleneck(width: 2))], \
        stages: [Train(freeze: [\"model.spatial\"])])";
    parse(text, Path::new("a.ron")).unwrap()
}

fn model(project: Project) -> Arc<Model> {
    let base = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../projects");
    let mut builder = Builder::start(crate::sources::Sources::default(), || {}).unwrap();
    builder.ask(0, 0, &Arc::new(project), base);
    let begin = Instant::now();
    while builder.model().is_none() && begin.elapsed() < Duration::from_secs(30) {
        builder.poll();
        assert_eq!(builder.error(), None);
        std::thread::sleep(Duration::from_millis(2));
    }
    Arc::clone(builder.model().unwrap())
}

fn unfolded(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn check(layout: &Layout) {
    let bounds = layout.bounds.unwrap().expand(0.5);
    for card in &layout.cards {
        assert!(bounds.contains_rect(card.rect), "{} lies outside: {:?}", card.path, card.rect);
    }
    for plus in &layout.pluses {
        assert!(bounds.expand(12.0).contains(plus.center), "{} lies outside", plus.site);
    }
    let solid: Vec<&Card> = layout.cards.iter().filter(|card| card.look != Look::Group).collect();
    for (i, a) in solid.iter().enumerate() {
        for b in &solid[i + 1..] {
            let holds = |outer: &Card, inner: &Card| {
                outer.look == Look::Card && inner.look == Look::Tile && outer.rect.contains_rect(inner.rect)
            };
            let apart = !a.rect.shrink(0.5).intersects(b.rect.shrink(0.5));
            assert!(apart || holds(a, b) || holds(b, a), "{} and {} overlap", a.path, b.path);
        }
    }
    for group in layout.cards.iter().filter(|card| card.look == Look::Group) {
        let prefix = format!("{}.", group.path);
        for card in layout.cards.iter().filter(|card| card.path.starts_with(&prefix)) {
            assert!(group.rect.contains_rect(card.rect), "{} leaves {}", card.path, group.path);
        }
    }
}

#[test]
fn nothing_overlaps_however_it_is_unfolded() {
    let model = model(project());
    let all: Vec<&str> = model.parts.iter().map(|part| part.path.as_str()).collect();
    check(&layout(&model, &BTreeSet::new(), Flow::Down));
    check(&layout(&model, &BTreeSet::new(), Flow::Across));
    check(&layout(&model, &unfolded(&all), Flow::Down));
    for path in all {
        check(&layout(&model, &unfolded(&["model.temporal", "model.spatial", path]), Flow::Down));
    }
}

#[test]
fn adapters_stand_where_they_act_and_free_sites_offer_a_plus() {
    let model = model(project());
    let open = unfolded(&["model.temporal", "model.temporal.blocks.0"]);
    let layout = layout(&model, &open, Flow::Down);
    let count = |look: Look| layout.cards.iter().filter(|card| card.look == look).count();
    assert_eq!(count(Look::Tab), 2, "query and value");
    assert_eq!(count(Look::Adapter), 1 + 3, "the bridge, two at P1, one at P4");
    let sites: Vec<&str> = layout.pluses.iter().map(|plus| plus.site.as_str()).collect();
    for free in ["attention.key", "attention.output", "mlp.fc1", "mlp.fc2"] {
        let path = format!("model.temporal.blocks.0.{free}");
        assert!(sites.contains(&path.as_str()), "{path}");
    }
    assert!(sites.contains(&"model.head"), "{sites:?}");
    assert!(!sites.iter().any(|site| site.ends_with("query") || site.ends_with("P1")), "{sites:?}");
}

#[test]
fn the_frozen_side_ends_before_the_first_part_that_trains() {
    let frozen = model(project());
    let folded = layout(&frozen, &BTreeSet::new(), Flow::Down);
    let Some(Cut::Below(y)) = folded.cut else { panic!("no cut") };
    let top = |path: &str| folded.cards.iter().find(|card| card.path == path).unwrap().rect;
    assert!(y > top("model.spatial").bottom() && y < top("model.bridge.adapter_0").top());
    let mut whole = project();
    let spec = whole.stages[0].as_train_mut().unwrap();
    spec.freeze = vec!["model".to_owned()];
    assert_eq!(layout(&model(whole), &BTreeSet::new(), Flow::Down).cut, Some(Cut::AllFrozen));
    let mut free = project();
    let spec = free.stages[0].as_train_mut().unwrap();
    spec.freeze.clear();
    let free = layout(&model(free), &BTreeSet::new(), Flow::Down);
    assert_eq!(free.cut, None, "what has no weights is not frozen");
}

#[test]
fn the_cut_goes_below_a_card_beside_a_tile_and_up_through_the_strip() {
    let model = model(project());
    let kept = |path: &str| {
        let output = model.part(path).unwrap().output.unwrap();
        vec![model.graph.node(output).path.clone()]
    };
    let down = layout(&model, &unfolded(&[]), Flow::Down);
    let card = |layout: &Layout, path: &str| layout.cards.iter().find(|card| card.path == path).unwrap().rect;
    // Where the frozen side ends anyway, it is the same line.
    let Some(Cut::Below(edge)) = down.cut else { panic!("the spatial side is frozen") };
    let behind = cut::course(&model, &down, &kept("model.spatial"), Flow::Down);
    assert_eq!(behind, Some(cut::Course::Level(edge)));
    let tile = card(&down, "model.spatial.blocks.0");
    let Some(cut::Course::Step { low, x, high }) =
        cut::course(&model, &down, &kept("model.spatial.blocks.0"), Flow::Down)
    else {
        panic!("between two blocks it is a step")
    };
    assert!(low > tile.bottom() && high < tile.top() && x > tile.right());
    assert!(x < card(&down, "model.spatial.blocks.1").left(), "the next block lies behind it");
    let across = layout(&model, &unfolded(&[]), Flow::Across);
    let Some(cut::Course::Upright(x)) = cut::course(&model, &across, &kept("model.spatial"), Flow::Across)
    else {
        panic!("in the strip it goes from top to bottom")
    };
    assert!(x > card(&across, "model.spatial").right());
    assert_eq!(cut::course(&model, &down, &["model.nowhere".to_owned()], Flow::Down), None);
}

#[test]
fn frozen_parts_that_a_gradient_passes_are_told_apart() {
    let mut project = project();
    let spec = project.stages[0].as_train_mut().unwrap();
    spec.freeze.clear();
    spec.train = vec!["**.adapter_*".to_owned()];
    let model = model(project);
    let open = unfolded(&["model.temporal", "model.temporal.blocks.0"]);
    let layout = layout(&model, &open, Flow::Down);
    let state = |path: &str, look: Look| {
        let card = layout.cards.iter().find(|card| card.path == path && card.look == look);
        card.unwrap_or_else(|| panic!("{path}")).freeze
    };
    assert_eq!(state("model.spatial", Look::Card), Freeze::Frozen, "nothing passes in front of the adapters");
    assert_eq!(state("model.temporal", Look::Group), Freeze::Passing);
    assert_eq!(state("model.temporal.blocks.0.mlp.fc1", Look::Node), Freeze::Passing);
    assert_eq!(state("model.head", Look::Card), Freeze::Passing);
    assert_eq!(state("model.bridge.adapter_0", Look::Adapter), Freeze::Trainable);
    assert!(Freeze::Passing.is_frozen() && !Freeze::Mixed.is_frozen());
}

#[test]
fn every_edge_tells_a_shape_and_every_drawn_site_has_a_place() {
    let model = model(project());
    let all: Vec<&str> = model.parts.iter().map(|part| part.path.as_str()).collect();
    let layout = layout(&model, &unfolded(&all), Flow::Down);
    for wire in &layout.wires {
        assert!(wire.shape.contains(|c: char| c.is_ascii_digit()), "{wire:?}");
    }
    let spots: BTreeSet<&str> = layout.spots.iter().map(|spot| spot.site.as_str()).collect();
    for plus in &layout.pluses {
        assert!(spots.contains(plus.site.as_str()) || plus.site == "model.head", "{}", plus.site);
    }
    for taken in ["attention.query", "P1", "P4", "P0", "P2", "P5", "attention.norm"] {
        let site = format!("model.temporal.blocks.0.{taken}");
        assert!(spots.contains(site.as_str()), "{site}");
    }
}
