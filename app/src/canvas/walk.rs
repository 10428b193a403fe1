//! Going through the graph: what comes next in the order of the data, and what comes into view.

use egui::{Rect, Vec2};
use graft_engine::graph::is_below;

use super::interact::{FIT, selection_of};
use super::shapes::{Card, Layout, Look};
use crate::graph_actions::Step;
use crate::view::{Bring, Camera, Follow, Selected, Sight};

/// The room around what is brought into view, for what lies over the canvas at its edges.
const MARGIN: Vec2 = egui::vec2(40.0, 84.0);
/// What is this far from the canvas's edges is seen already; what lies over the canvas there covers no more.
const SEEN: Vec2 = egui::vec2(16.0, 46.0);
/// Zoom of the selection at most.
const CLOSE: f32 = 1.5;
/// Zoom at which names are read at least.
const READ: f32 = 0.5;

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

/// Moves the camera so that a place is in view, no further than that takes.
pub(super) fn bring(layout: &Layout, bring: &Bring, size: Vec2, camera: &mut Camera) {
    let Some(rect) = place(layout, &bring.paths) else { return };
    let within =
        |margin: Vec2| Rect::from_min_size(margin.to_pos2(), (size - 2.0 * margin).max(Vec2::splat(40.0)));
    let room = within(MARGIN);
    if bring.sight == Sight::Filling {
        let zoom = (room.size() / rect.size().max(Vec2::splat(1.0))).min_elem();
        camera.zoom = zoom.clamp(FIT, CLOSE);
        camera.offset = size / 2.0 - rect.center().to_vec2() * camera.zoom;
        camera.follow = Follow::Free;
        return;
    }
    if bring.sight == Sight::Legible && camera.zoom < READ {
        // What one goes to is to be read; the middle of the canvas stays where it is.
        let middle = size / 2.0;
        camera.offset = middle - (middle - camera.offset) * (READ / camera.zoom);
        camera.zoom = READ;
        camera.follow = Follow::Free;
    }
    let corner = |point: egui::Pos2| (point.to_vec2() * camera.zoom + camera.offset).to_pos2();
    let shown = Rect::from_min_max(corner(rect.min), corner(rect.max));
    let by = if within(SEEN).contains_rect(shown) {
        Vec2::ZERO
    } else {
        egui::vec2(scroll(shown.x_range(), room.x_range()), scroll(shown.y_range(), room.y_range()))
    };
    if by != Vec2::ZERO {
        camera.offset += by;
        camera.follow = Follow::Free;
    }
}

/// How far something has to move to lie within a room; of what is larger than it, its beginning.
fn scroll(shown: egui::Rangef, room: egui::Rangef) -> f32 {
    if shown.span() > room.span() {
        if room.contains(shown.min) { 0.0 } else { room.min - shown.min }
    } else if shown.min < room.min {
        room.min - shown.min
    } else {
        (room.max - shown.max).min(0.0)
    }
}

#[cfg(test)]
mod tests {
    use egui::Rangef;

    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers")]
    fn what_is_seen_stays_and_what_is_not_moves_just_enough() {
        let room = Rangef::new(40.0, 140.0);
        let by = |min: f32, max: f32| scroll(Rangef::new(min, max), room);
        assert_eq!([by(40.0, 60.0), by(120.0, 140.0)], [0.0, 0.0]);
        assert_eq!([by(20.0, 60.0), by(130.0, 160.0)], [20.0, -20.0]);
        // What does not fit shows where it begins.
        assert_eq!([by(50.0, 300.0), by(-50.0, 300.0), by(200.0, 400.0)], [0.0, 90.0, -160.0]);
    }
}
