//! Going through the graph: what comes next in the order of the data, and what comes into view.

use egui::{Rect, Vec2};
use graft_engine::graph::is_below;

use super::interact::{ZOOM, selection_of};
use super::shapes::{Card, Layout, Look};
use crate::graph_actions::Step;
use crate::view::{Bring, Camera, Follow, Selected};

/// The room around what is brought into view, for what lies over the canvas at its edges.
const MARGIN: Vec2 = egui::vec2(40.0, 84.0);
/// Zoom of the selection at most.
const CLOSE: f32 = 1.5;

/// What can be walked to, in the order of the data. An open block that has a frame is met there, not as a tile.
fn stops(layout: &Layout) -> Vec<&Card> {
    let framed = |path: &str| layout.cards.iter().any(|card| card.look == Look::Group && card.path == path);
    let is_stop = |card: &&Card| match card.look {
        Look::Sum => false,
        Look::Tile => card.unfolded != Some(true) || !framed(&card.path),
        _ => true,
    };
    layout.cards.iter().filter(is_stop).collect()
}

/// What a step from the selection leads to.
pub(super) fn step(layout: &Layout, selected: &Selected, step: Step) -> Option<Selected> {
    let stops = stops(layout);
    let here = stops.iter().position(|card| {
        let own = selection_of(card);
        own == *selected
            || matches!((&own, selected),
                (Selected::Adapter { index, .. }, Selected::Adapter { index: other, site: None }) if index == other)
    });
    let Some(here) = here else {
        // A lane has no card of its own; the walk begins inside it, otherwise at the beginning.
        let inside = match selected {
            Selected::Part(path) => stops.iter().find(|card| is_below(&card.path, path)),
            _ => None,
        };
        return inside.or_else(|| stops.first()).map(|card| selection_of(card));
    };
    let own = &stops[here].path;
    let beside = |card: &&&Card| !is_below(&card.path, own) && !is_below(own, &card.path);
    let found = match step {
        Step::Next => stops.get(here + 1),
        Step::Previous => here.checked_sub(1).and_then(|before| stops.get(before)),
        Step::NextBeside => stops[here + 1..].iter().find(beside),
        Step::PreviousBeside => stops[..here].iter().rev().find(beside),
    };
    found.map(|card| selection_of(card))
}

/// Where paths are drawn: as cards, else as what is inside, else as what is around.
pub(super) fn place(layout: &Layout, paths: &[String]) -> Option<Rect> {
    let cards = || layout.cards.iter();
    let one = |path: &String| {
        let drawn = |look: fn(Look) -> bool| {
            cards().filter(move |card| card.path == *path && look(card.look)).map(|card| card.rect)
        };
        let own = drawn(|look| look != Look::Tile).chain(drawn(|look| look == Look::Tile)).next();
        let inside =
            || cards().filter(|card| is_below(&card.path, path)).map(|card| card.rect).reduce(Rect::union);
        let around = || {
            let holders = cards().filter(|card| is_below(path, &card.path));
            holders.max_by_key(|card| card.path.len()).map(|card| card.rect)
        };
        own.or_else(inside).or_else(around)
    };
    paths.iter().filter_map(one).reduce(Rect::union)
}

/// Moves the camera so that a place is in view.
pub(super) fn bring(layout: &Layout, bring: &Bring, size: Vec2, camera: &mut Camera) {
    let Some(rect) = place(layout, &bring.paths) else { return };
    let room = (size - 2.0 * MARGIN).max(Vec2::splat(40.0));
    if bring.zooms {
        let zoom = (room / rect.size().max(Vec2::splat(1.0))).min_elem();
        camera.zoom = zoom.clamp(*ZOOM.start(), CLOSE);
    } else {
        // What one goes to is to be read.
        camera.zoom = camera.zoom.max(0.5);
        let shown = Rect::from_min_size(
            (rect.min.to_vec2() * camera.zoom + camera.offset).to_pos2(),
            rect.size() * camera.zoom,
        );
        if Rect::from_min_size(MARGIN.to_pos2(), room).contains_rect(shown) {
            return;
        }
    }
    camera.offset = size / 2.0 - rect.center().to_vec2() * camera.zoom;
    camera.follow = Follow::Free;
}
