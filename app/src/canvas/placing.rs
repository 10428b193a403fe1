//! Carrying a kind to a place, and drawing one over several: what would take it lights up, what would not fades and says
//! why.

use std::collections::HashMap;
use std::sync::Arc;

use egui::{Align2, Color32, LayerId, Order, Pos2, Rect, Shape, Stroke, StrokeKind, Ui, pos2, vec2};
use graft_engine::adapters::{AdapterSpec, Illegal};
use graft_engine::graph::is_below;

use super::lit::around;
use super::shapes::{Card, Layout, Look};
use super::{Projection, Scene};
use crate::actions::Action;
use crate::graph_actions::GraphAction;
use crate::icons;
use crate::model::Model;
use crate::reach;
use crate::theme::{KindStyle, Theme, bold, mono, regular};
use crate::view::{Painted, View};

/// How near the pointer must be to a site, in points.
const NEAR: f32 = 15.0;

/// Within this distance a site shows that it refuses, in points.
const AROUND: f32 = 110.0;

/// Where a kind may go, for one model and one kind.
#[derive(Debug, Default)]
pub(super) struct Legality {
    of: Option<(Arc<Model>, usize)>,
    /// Why not, by the site's path; none where it may.
    sites: HashMap<String, Option<Illegal>>,
    /// Sites that it would go to, by the path of a region or op.
    meant: HashMap<String, Vec<String>>,
}

impl Legality {
    fn update(&mut self, model: &Arc<Model>, kind: usize, spec: &AdapterSpec) {
        let same = self.of.as_ref().is_some_and(|(old, of)| Arc::ptr_eq(old, model) && *of == kind);
        if same {
            return;
        }
        let refusal = |site: &str| reach::refusal(model, spec, site);
        let base = model.graph.sites().iter().filter(|site| !site.is_of_adapter());
        self.sites = base.map(|site| (site.path.clone(), refusal(&site.path))).collect();
        self.meant.clear();
        self.of = Some((Arc::clone(model), kind));
    }

    fn allows(&self, site: &str) -> bool {
        matches!(self.sites.get(site), Some(None))
    }

    fn meant(&mut self, model: &Model, spec: &AdapterSpec, path: &str) -> &[String] {
        self.meant.entry(path.to_owned()).or_insert_with(|| reach::sites(model, spec, path))
    }
}

/// What the pointer is over.
enum Target {
    /// These sites would take it, in words.
    Sites(Vec<String>, String),
    /// It may not go here, and why.
    Refused(String, String),
}

/// What everything here reads.
#[derive(Clone, Copy)]
pub(super) struct Stage<'a> {
    pub(super) layout: &'a Layout,
    pub(super) projection: Projection,
    pub(super) scene: Scene<'a>,
    pub(super) palette: &'a [AdapterSpec],
    pub(super) canvas: Rect,
}

/// Shows what is carried or drawn, and places it where it is let go.
pub(super) fn ui(
    ui: &Ui,
    legality: &mut Legality,
    stage: Stage<'_>,
    view: &mut View,
    actions: &mut Vec<Action>,
) {
    let kind = view.graph.carried.or(view.graph.painted.as_ref().map(|painted| painted.kind));
    let Some(kind) = kind else { return };
    let Some(spec) = stage.palette.get(kind).filter(|_| !stage.scene.locked) else {
        view.graph.carried = None;
        view.graph.painted = None;
        return;
    };
    legality.update(stage.scene.model, kind, spec);
    let (pointer, released, down, alone) = ui.input(|input| {
        let pointer = input.pointer.latest_pos();
        (pointer, input.pointer.any_released(), input.pointer.any_down(), input.modifiers.alt)
    });
    if !released && !down {
        view.graph.carried = None;
        view.graph.painted = None;
        return;
    }
    let theme = Theme::of(ui);
    let style = theme.kind(spec.kind().letter());
    let over = pointer.filter(|at| stage.canvas.contains(*at));
    if let Some(painted) = &mut view.graph.painted {
        if let Some(at) = over {
            extend(painted, legality, stage, at);
        }
        show(ui, legality, stage, spec, style, &painted.sites);
        if let Some(at) = over {
            let text = format!("{} at {} sites", spec.kind().name(), painted.sites.len());
            tell(ui, at, style, &text, "let go to place · Esc cancels", false);
        }
        // Let go outside, a stroke places nothing.
        if released && over.is_none() {
            view.graph.painted = None;
        } else if released {
            let sites = std::mem::take(&mut painted.sites);
            actions.push(Action::Graph(GraphAction::PlaceAt { sites, kind }));
            view.graph.painted = None;
        }
        return;
    }
    let target = over.and_then(|at| target(legality, stage, spec, at, alone));
    let chosen: &[String] = match &target {
        Some(Target::Sites(sites, _)) => sites,
        _ => &[],
    };
    show(ui, legality, stage, spec, style, chosen);
    if let Some(at) = pointer {
        match &target {
            Some(Target::Sites(_, words)) => {
                let title = format!("Place {}", spec.kind().name());
                tell(ui, at, style, &title, words, false);
            }
            Some(Target::Refused(site, why)) => tell(ui, at, style, why, site, true),
            None => tell(ui, at, style, spec.kind().name(), "", false),
        }
    }
    if released {
        if let Some(Target::Sites(sites, _)) = target {
            actions.push(Action::Graph(GraphAction::PlaceAt { sites, kind }));
        }
        view.graph.carried = None;
    }
}

/// Adds the site under the pointer to a stroke; over a block's tile the one like the first.
fn extend(painted: &mut Painted, legality: &Legality, stage: Stage<'_>, at: Pos2) {
    let Stage { layout, projection, .. } = stage;
    let near = |center: Pos2| projection.point(center).distance(at) < NEAR;
    let spot = layout
        .spots
        .iter()
        .find(|spot| near(spot.center) || spot.node.is_some_and(|node| projection.rect(node).contains(at)));
    let found = spot.map(|spot| spot.site.clone()).or_else(|| {
        let tile = layout
            .cards
            .iter()
            .find(|card| card.look == Look::Tile && projection.rect(card.rect).contains(at))?;
        in_block(painted.sites.first()?, &tile.path)
    });
    if let Some(site) = found.filter(|site| legality.allows(site))
        && !painted.sites.contains(&site)
        && stage.scene.model.adapters_at(&site).is_empty()
    {
        painted.sites.push(site);
    }
}

/// The site at the same place in another block of the same stack.
fn in_block(site: &str, block: &str) -> Option<String> {
    let (stack, _) = block.rsplit_once('.')?;
    let rest = site.strip_prefix(stack)?.strip_prefix('.')?;
    let (_, inside) = rest.split_once('.')?;
    Some(format!("{block}.{inside}"))
}

/// What is under the pointer: a site, else the node or region there.
fn target(
    legality: &mut Legality,
    stage: Stage<'_>,
    spec: &AdapterSpec,
    at: Pos2,
    alone: bool,
) -> Option<Target> {
    let Stage { layout, projection, scene, .. } = stage;
    let distance = |center: Pos2| projection.point(center).distance(at);
    let nearest = layout
        .spots
        .iter()
        .filter(|spot| distance(spot.center) < NEAR)
        .min_by(|a, b| distance(a.center).total_cmp(&distance(b.center)));
    let holds = |node: Option<Rect>| node.is_some_and(|node| projection.rect(node).contains(at));
    let spot = nearest.or_else(|| layout.spots.iter().find(|spot| holds(spot.node)));
    if let Some(spot) = spot {
        return Some(match legality.sites.get(&spot.site) {
            Some(None) => Target::Sites(vec![spot.site.clone()], spot.site.clone()),
            Some(Some(why)) => Target::Refused(spot.site.clone(), format!("Not here: {why}")),
            None => return None,
        });
    }
    let under = |card: &&Card| projection.rect(card.rect).contains(at);
    let card = layout
        .cards
        .iter()
        .rev()
        .filter(|card| !matches!(card.look, Look::Sum | Look::Input))
        .filter(under)
        .min_by(|a, b| a.rect.area().total_cmp(&b.rect.area()))?;
    // A block of a folded stack stands for all of them unless it is asked for alone.
    let path = match card.path.rsplit_once('.') {
        Some((stack, _)) if card.look == Look::Tile && !alone => stack,
        _ => card.path.as_str(),
    };
    let sites = legality.meant(scene.model, spec, path).to_vec();
    if sites.is_empty() {
        let inside = scene.model.graph.sites().iter().find(|site| is_below(&site.path, path));
        let why = inside.and_then(|site| legality.sites.get(&site.path).copied().flatten());
        let why = why.map_or_else(|| "no site in it".to_owned(), |why| why.to_string());
        return Some(Target::Refused(path.to_owned(), format!("Not here: {why}")));
    }
    let rules = reach::rules(scene.model, spec, &sites);
    let mut words = rules.first().cloned().unwrap_or_default();
    if sites.len() > 1 {
        words = format!("{words} · {} sites", sites.len());
    }
    if card.look == Look::Tile && !alone {
        words.push_str(" · Alt: this block only");
    }
    Some(Target::Sites(sites, words))
}

/// Lights up what takes the kind, fades what does not, and fills what is chosen.
fn show(
    ui: &Ui,
    legality: &mut Legality,
    stage: Stage<'_>,
    spec: &AdapterSpec,
    style: KindStyle,
    chosen: &[String],
) {
    let Stage { layout, projection, scene, canvas, .. } = stage;
    let theme = Theme::of(ui);
    let painter = ui.painter();
    let veil = theme.well.gamma_multiply(0.65);
    let zoom = projection.zoom;
    let seen = projection.back(canvas);
    let hand = ui.input(|input| input.pointer.latest_pos());
    for card in layout.cards.iter().filter(|card| seen.intersects(card.rect)) {
        let rect = projection.rect(card.rect);
        match card.look {
            Look::Node => {
                let takes = layout.spots.iter().any(|spot| {
                    spot.node.is_some_and(|node| node.min == card.rect.min) && legality.allows(&spot.site)
                });
                if !takes {
                    painter.rect_filled(rect, 5.0 * zoom, veil);
                }
            }
            Look::Card | Look::Tile => {
                let sites = legality.meant(scene.model, spec, &card.path);
                if sites.is_empty() {
                    painter.rect_filled(rect, 7.0 * zoom, veil);
                } else {
                    let full = chosen.iter().any(|site| is_below(site, &card.path));
                    let width = if full { 2.25 } else { 1.25 };
                    let stroke = Stroke::new(width, style.color);
                    painter.rect_stroke(rect, 6.0 * zoom, stroke, StrokeKind::Inside);
                }
            }
            Look::Input | Look::Adapter | Look::Tab => {
                painter.rect_filled(rect, 6.0 * zoom, veil);
            }
            Look::Group | Look::Sum => {}
        }
    }
    for spot in layout.spots.iter().filter(|spot| seen.contains(spot.center)) {
        let center = projection.point(spot.center);
        if chosen.contains(&spot.site) {
            painter.circle_filled(center, 10.0 * zoom.max(0.6), style.color);
            icons::badge(painter, style, center, 20.0 * zoom.max(0.6), theme.ink);
        } else if legality.allows(&spot.site) {
            let stroke = Stroke::new(1.75, style.color);
            painter.circle(center, 8.0 * zoom.max(0.5), style.tint, stroke);
        } else if hand.is_some_and(|at| at.distance(center) < AROUND) {
            let line = Stroke::new(1.25, theme.faint.gamma_multiply(0.6));
            let half = vec2(3.5, 3.5) * zoom.max(0.6);
            let turned = vec2(half.x, -half.y);
            painter.line_segment([center - half, center + half], line);
            painter.line_segment([center - turned, center + turned], line);
        }
    }
}

/// The badge at the pointer with a word or two.
fn tell(ui: &Ui, at: Pos2, style: KindStyle, title: &str, below: &str, refused: bool) {
    let theme = Theme::of(ui);
    let painter = ui.ctx().layer_painter(LayerId::new(Order::Tooltip, egui::Id::unique("carried")));
    let color = if refused { theme.error } else { theme.text };
    let font = if refused { regular(11.5) } else { bold(12.0) };
    let title = painter.layout_no_wrap(title.to_owned(), font, color);
    let below = painter.layout_no_wrap(below.to_owned(), mono(10.0), theme.label);
    let lines = if below.text().is_empty() { 18.0 } else { 34.0 };
    let size = vec2(title.size().x.max(below.size().x) + 44.0, lines + 8.0);
    let screen = ui.ctx().content_rect();
    let corner = at + vec2(16.0, 12.0);
    let corner = pos2(
        corner.x.min(screen.right() - size.x - 4.0).max(screen.left()),
        corner.y.min(screen.bottom() - size.y - 4.0),
    );
    let rect = Rect::from_min_size(corner, size);
    let line = if refused { theme.error } else { style.color };
    painter.rect(rect, 7, theme.popup, Stroke::new(1.25, line), StrokeKind::Inside);
    icons::badge(&painter, style, pos2(rect.left() + 18.0, rect.center().y), 20.0, theme.ink);
    if refused {
        let mark = around(pos2(rect.left() + 18.0, rect.center().y), 22.0);
        let stroke = Stroke::new(2.0, theme.error);
        painter.add(Shape::line_segment([mark.left_bottom(), mark.right_top()], stroke));
    }
    let x = rect.left() + 34.0;
    let first = Align2::LEFT_TOP.anchor_size(pos2(x, rect.top() + 5.0), title.size()).min;
    painter.galley(first, title, Color32::PLACEHOLDER);
    painter.galley(pos2(x, rect.top() + 23.0), below, Color32::PLACEHOLDER);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_stands_for_the_like_site_of_its_block() {
        let site = "model.temporal.blocks.0.attention.query";
        let there = in_block(site, "model.temporal.blocks.3");
        assert_eq!(there.as_deref(), Some("model.temporal.blocks.3.attention.query"));
        assert_eq!(in_block(site, "model.spatial.blocks.3"), None);
    }
}
