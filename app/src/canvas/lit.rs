//! What a search or a rule that is being typed matches, lit up where it is drawn: the thing itself, or what holds it.

use std::collections::HashSet;

use egui::{Align2, Color32, Rect, Stroke, StrokeKind, Vec2, vec2};
use graft_engine::graph::is_below;

use super::Scene;
use super::detail::Detail;
use super::paint::Paint;
use super::shapes::{Layout, Look};
use crate::reach;
use crate::theme::{Theme, mono};
use crate::view::View;

/// What is lit of a layout.
#[derive(Debug, Default)]
pub(super) struct Lit {
    /// What it was made from: the layout's number, and the search or the rule.
    made_from: Option<(u64, Option<usize>, String)>,
    /// Cards by their place in the layout, with how many matches they hold; none for a match itself.
    cards: Vec<(usize, Option<usize>)>,
    /// Sites that have no card of their own, by their place among the spots.
    spots: Vec<usize>,
    /// The adapter whose rule is typed.
    adapter: Option<usize>,
}

impl Lit {
    /// Brings it up to date.
    pub(super) fn update(&mut self, number: u64, layout: &Layout, scene: Scene<'_>, view: &View) {
        let source = match (&view.rule_draft, &view.graph.find) {
            (Some((index, rule)), _) => Some((number, Some(*index), rule.clone())),
            (None, Some(find)) => Some((number, None, find.text.clone())),
            (None, None) => None,
        };
        if source == self.made_from {
            return;
        }
        *self = Self { made_from: source, ..Self::default() };
        let matched = match (&view.rule_draft, &view.graph.find) {
            (Some((index, rule)), _) => {
                self.adapter = Some(*index);
                let spec = scene.project.adapters.get(*index).map(|placement| &placement.kind);
                let covered = spec.and_then(|spec| reach::draft(scene.model, spec, rule).ok());
                covered.map(|covered| covered.matched).unwrap_or_default()
            }
            (None, Some(find)) => find.matches.clone(),
            (None, None) => return,
        };
        let all: HashSet<&str> = matched.iter().map(String::as_str).collect();
        for (place, card) in layout.cards.iter().enumerate() {
            if all.contains(card.path.as_str()) && card.look != Look::Sum {
                self.cards.push((place, None));
            } else if matches!(card.look, Look::Card | Look::Tile) {
                let held = matched.iter().filter(|path| is_below(path, &card.path)).count();
                if held > 0 {
                    self.cards.push((place, Some(held)));
                }
            }
        }
        let carded = |path: &str| layout.cards.iter().any(|card| card.path == path);
        let spots = layout.spots.iter().enumerate();
        self.spots = spots
            .filter(|(_, spot)| all.contains(spot.site.as_str()) && !carded(&spot.site))
            .map(|(place, _)| place)
            .collect();
    }
}

impl Paint<'_> {
    /// Rings around matches, and numbers at what holds some.
    pub(super) fn lit(&self, lit: &Lit, layout: &Layout) {
        if lit.cards.is_empty() && lit.spots.is_empty() {
            return;
        }
        let color = self.lit_color(lit.adapter);
        let clip = self.painter.clip_rect();
        let stroke = Stroke::new(1.75, color);
        for &(place, held) in &lit.cards {
            let Some(card) = layout.cards.get(place) else { continue };
            let rect = self.snapped(card.rect);
            if !clip.intersects(rect) {
                continue;
            }
            match held {
                None => {
                    self.painter.rect_stroke(
                        rect.expand(1.5),
                        6.0 * self.zoom(),
                        stroke,
                        StrokeKind::Outside,
                    );
                }
                Some(_) if card.look == Look::Tile || self.detail() < Detail::Plain => {
                    self.painter.rect_stroke(rect, 5.0 * self.zoom(), stroke, StrokeKind::Inside);
                }
                Some(held) => {
                    let text = held.to_string();
                    let galley = self.painter.layout_no_wrap(text, mono(10.0), self.theme.ink);
                    let size = galley.size() + vec2(10.0, 2.0);
                    let pill = Rect::from_center_size(rect.right_top() - vec2(20.0, 0.0), size);
                    self.painter.rect_filled(pill, 7, color);
                    let at = Align2::CENTER_CENTER.anchor_size(pill.center(), galley.size()).min;
                    self.painter.galley(at, galley, self.theme.ink);
                }
            }
        }
        for &place in &lit.spots {
            let Some(spot) = layout.spots.get(place) else { continue };
            if let Some(node) = spot.node {
                let rect = self.snapped(node).expand(1.5);
                self.painter.rect_stroke(rect, 6.0 * self.zoom(), stroke, StrokeKind::Outside);
            } else {
                let at = self.projection.point(spot.center);
                self.painter.circle(at, (9.0 * self.zoom()).max(4.0), color.gamma_multiply(0.35), stroke);
            }
        }
    }

    fn lit_color(&self, adapter: Option<usize>) -> Color32 {
        let theme: &Theme = self.theme;
        adapter.and_then(|index| self.kind(index)).map_or(theme.brand, |kind| kind.color)
    }
}

/// A square around a point.
pub(super) fn around(center: egui::Pos2, size: f32) -> Rect {
    Rect::from_center_size(center, Vec2::splat(size))
}
