//! Draws a laid-out graph: flat rectangles, circles, polylines and text, snapped to whole pixels.

use egui::{Align2, Color32, FontId, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Vec2, pos2, vec2};
use graft_engine::adapters::AdapterSpec;

use super::detail::Detail;
use super::heat::HeatMap;
use super::interact::{chosen, is_selected, mark_rects};
use super::layout::HEADER;
use super::shapes::{Card, Layout, Look, Plus};
use super::{Projection, Scene};
use crate::icons::{self, Icon};
use crate::model::Freeze;
use crate::theme::{KindStyle, Theme, bold, medium, mono, regular};
use crate::view::View;

/// How far outside the canvas a card still reaches into it: rings, badges and arrowheads.
const REACH: f32 = 24.0;

/// What painting reads.
pub(super) struct Paint<'a> {
    pub(super) painter: Painter,
    pub(super) theme: &'static Theme,
    pub(super) projection: Projection,
    pub(super) scene: Scene<'a>,
    pub(super) view: &'a View,
    pub(super) palette: &'a [AdapterSpec],
    pub(super) hovered_plus: Option<String>,
    pub(super) heat: Option<HeatMap<'a>>,
    /// Where the line of the cache meets the canvas's left edge, on the screen.
    pub(super) cut_at: Option<f32>,
}

impl Paint<'_> {
    pub(super) fn all(&self, layout: &Layout, canvas: Rect) {
        self.ground(layout, canvas);
        let seen = self.projection.back(canvas.expand(REACH));
        let cards = || layout.cards.iter().filter(|card| seen.intersects(card.rect));
        for card in cards().filter(|card| card.look == Look::Group) {
            self.group(card);
        }
        for wire in layout.wires.iter().filter(|wire| seen.intersects(Rect::from_points(&wire.points))) {
            self.wire(wire);
        }
        for mark in layout.marks.iter().filter(|mark| seen.contains(mark.center)) {
            self.mark(mark.center, &mark.text);
        }
        for card in cards().filter(|card| card.look != Look::Group) {
            match card.look {
                Look::Sum => self.sum(card),
                Look::Tile => self.tile(card),
                Look::Tab => self.tab(card),
                Look::Adapter => self.adapter(card),
                Look::Node => self.node(card),
                _ => self.card(card),
            }
        }
        // While a kind is carried, the sites themselves show what takes it.
        if self.detail() >= Detail::Names && self.view.graph.carried.is_none() {
            for plus in layout.pluses.iter().filter(|plus| seen.contains(plus.center)) {
                self.plus(plus);
            }
        }
    }

    pub(super) fn detail(&self) -> Detail {
        Detail::of(self.zoom())
    }

    pub(super) fn zoom(&self) -> f32 {
        self.projection.zoom
    }

    fn scaled(&self, font: &FontId) -> FontId {
        // Half points keep the glyph atlas small while zooming.
        let size = (font.size * self.zoom() * 2.0).round() / 2.0;
        FontId::new(size.max(4.0), font.family.clone())
    }

    pub(super) fn text(&self, at: Pos2, align: Align2, text: &str, font: &FontId, color: Color32) -> Rect {
        self.painter.text(at, align, text, self.scaled(font), color)
    }

    /// A lane's name on its residual line, or the small circle where a lane begins and ends.
    fn mark(&self, center: Pos2, text: &str) {
        let at = self.projection.point(center);
        let theme = self.theme;
        if text.is_empty() {
            self.painter.circle(at, 3.0 * self.zoom(), theme.panel, Stroke::new(1.25, theme.edge));
            return;
        }
        if self.detail() < Detail::Plain {
            return;
        }
        let galley = self.painter.layout_no_wrap(text.to_owned(), self.scaled(&regular(11.0)), theme.label);
        let rect = Align2::CENTER_CENTER.anchor_size(at, galley.size());
        self.painter.rect_filled(rect.expand2(vec2(8.0, 0.0)), 0, theme.panel);
        self.painter.galley(rect.min, galley, theme.label);
    }

    pub(super) fn ring(&self, card: &Card, rect: Rect, radius: f32) {
        if is_selected(self.view, card) {
            let stroke = Stroke::new(2.0, self.theme.selection);
            self.painter.rect_stroke(rect.expand(3.0), radius + 3.0, stroke, StrokeKind::Outside);
        }
    }

    fn is_hovered(&self, card: &Card) -> bool {
        self.view.hovered.as_deref() == Some(card.path.as_str())
    }

    pub(super) fn snapped(&self, rect: Rect) -> Rect {
        let pixels = self.painter.pixels_per_point();
        let snap = |value: f32| (value * pixels).round() / pixels;
        let rect = self.projection.rect(rect);
        Rect::from_min_max(
            pos2(snap(rect.left()), snap(rect.top())),
            pos2(snap(rect.right()), snap(rect.bottom())),
        )
    }

    fn group(&self, card: &Card) {
        let theme = self.theme;
        let rect = self.snapped(card.rect);
        let radius = 8.0 * self.zoom();
        self.painter.rect(rect, radius, theme.panel, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
        self.stripe(card, rect);
        let header = Rect::from_min_size(rect.min, vec2(rect.width(), HEADER * self.zoom()));
        if self.is_hovered(card) {
            self.painter.rect_filled(header.shrink(1.0), radius, theme.raised);
        }
        self.ring(card, rect, radius);
        self.header(card);
    }

    fn card(&self, card: &Card) {
        let theme = self.theme;
        let rect = self.snapped(card.rect);
        let radius = if card.look == Look::Input { rect.height() / 2.0 } else { 7.0 * self.zoom() };
        let line = if self.is_hovered(card) { theme.label } else { theme.outline };
        let fill = self.warmed(card, theme.card);
        self.painter.rect(rect, radius, fill, Stroke::new(1.0, line), StrokeKind::Inside);
        self.stripe(card, rect);
        self.ring(card, rect, radius);
        self.header(card);
    }

    /// Fold mark, freeze mark, name, badges and count in one line.
    fn header(&self, card: &Card) {
        let (theme, zoom) = (self.theme, self.zoom());
        let rect = self.snapped(card.rect);
        let height =
            if card.look == Look::Input { card.rect.height() } else { HEADER.min(card.rect.height()) };
        let middle = rect.top() + height * zoom / 2.0;
        let (fold, freeze) = mark_rects(card);
        let mut x = rect.left() + 12.0 * zoom;
        let detail = self.detail();
        if let (Some(mark), Some(unfolded)) = (fold.filter(|_| detail >= Detail::Plain), card.unfolded) {
            let icon = if unfolded { Icon::ChevronDown } else { Icon::ChevronRight };
            icons::paint(&self.painter, icon, self.projection.rect(mark).center(), 13.0 * zoom, theme.label);
            x = self.projection.rect(mark).right();
        }
        if card.look == Look::Input {
            icons::paint(&self.painter, Icon::Film, pos2(x + 8.0 * zoom, middle), 14.0 * zoom, theme.body);
            x += 22.0 * zoom;
        }
        if let Some(mark) = freeze.filter(|_| detail >= Detail::Plain) {
            self.freeze_icon(card.freeze, self.projection.rect(mark).center(), 15.0 * zoom);
            x = self.projection.rect(mark).right() + 2.0 * zoom;
        }
        let title = self.text(pos2(x, middle), Align2::LEFT_CENTER, &card.title, &bold(13.0), theme.text);
        x = title.right() + 6.0 * zoom;
        if !card.note.is_empty() && detail >= Detail::Plain {
            let note =
                self.text(pos2(x, middle), Align2::LEFT_CENTER, &card.note, &regular(11.0), theme.label);
            x = note.right() + 6.0 * zoom;
        }
        let mut right = rect.right() - 16.0 * zoom;
        // A value takes the place of the weights while the overlay is on.
        let value = self.heat.filter(|_| card.look != Look::Input).and_then(|heat| heat.text(card));
        let color = if value.is_some() { theme.text } else { theme.label };
        let words = value.filter(|_| !card.detail.is_empty()).unwrap_or_else(|| card.detail.clone());
        if detail >= Detail::Plain && !words.is_empty() {
            let words = self.text(pos2(right, middle), Align2::RIGHT_CENTER, &words, &mono(11.0), color);
            right = words.left() - 8.0 * zoom;
        }
        if card.look != Look::Input {
            self.badges(card, x, right, middle);
        }
    }

    /// A folded region's adapters with their numbers of sites.
    fn badges(&self, card: &Card, left: f32, right: f32, middle: f32) {
        let zoom = self.zoom();
        let mut x = right;
        for (&index, &sites) in card.adapters.iter().rev() {
            let Some(kind) = self.kind(index) else { continue };
            if sites > 1 && self.detail() >= Detail::Plain {
                let count = self.text(
                    pos2(x, middle),
                    Align2::RIGHT_CENTER,
                    &sites.to_string(),
                    &mono(10.0),
                    kind.color,
                );
                x = count.left() - 2.0 * zoom;
            }
            let size = 15.0 * zoom;
            if x - size < left {
                return;
            }
            icons::badge(&self.painter, kind, pos2(x - size / 2.0, middle), size, self.theme.ink);
            x -= size + 6.0 * zoom;
        }
    }

    pub(super) fn kind(&self, adapter: usize) -> Option<KindStyle> {
        let placement = self.scene.project.adapters.get(adapter)?;
        Some(self.theme.kind(placement.kind.kind().letter()))
    }

    pub(super) fn freeze_icon(&self, freeze: Freeze, center: Pos2, size: f32) {
        freeze_icon(&self.painter, self.theme, freeze, center, size);
    }

    fn tile(&self, card: &Card) {
        let (theme, zoom) = (self.theme, self.zoom());
        let rect = self.snapped(card.rect);
        let radius = 5.0 * zoom;
        let open = card.unfolded == Some(true);
        let fill = if open || self.is_hovered(card) { theme.active } else { theme.raised };
        let stroke = if open { Stroke::new(1.0, theme.edge) } else { Stroke::NONE };
        self.painter.rect(rect, radius, self.warmed(card, fill), stroke, StrokeKind::Inside);
        self.stripe(card, rect);
        self.ring(card, rect, radius);
        if self.detail() == Detail::Outlines {
            return;
        }
        let center = rect.center_top();
        self.text(
            center + vec2(0.0, 10.0 * zoom),
            Align2::CENTER_CENTER,
            &card.title,
            &medium(11.0),
            theme.text,
        );
        let icon = center + vec2(0.0, 25.0 * zoom);
        let count = card.adapters.len().min(2);
        if count == 0 {
            self.freeze_icon(card.freeze, icon, 12.0 * zoom);
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most three marks")]
        let step = |i: usize| vec2((i as f32 - count as f32 / 2.0) * 11.0 * zoom, 0.0);
        self.freeze_icon(card.freeze, icon + step(0), 11.0 * zoom);
        for (i, &index) in card.adapters.keys().take(2).enumerate() {
            if let Some(kind) = self.kind(index) {
                icons::badge(&self.painter, kind, icon + step(i + 1), 9.0 * zoom, theme.ink);
            }
        }
    }

    fn node(&self, card: &Card) {
        let (theme, zoom) = (self.theme, self.zoom());
        let rect = self.snapped(card.rect);
        let radius = 5.0 * zoom;
        let fill = self.warmed(card, if self.is_hovered(card) { theme.active } else { theme.raised });
        self.painter.rect(rect, radius, fill, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
        self.stripe(card, rect);
        self.ring(card, rect, radius);
        match self.detail() {
            Detail::Outlines => return,
            Detail::Names => {
                self.text(rect.center(), Align2::CENTER_CENTER, &card.title, &medium(12.0), theme.text);
                return;
            }
            Detail::Plain | Detail::Full => {}
        }
        let with_detail = !card.detail.is_empty() && self.detail() == Detail::Full;
        let (_, freeze) = mark_rects(card);
        let x = if let Some(mark) = freeze {
            let center = self.projection.rect(mark).center();
            self.freeze_icon(card.freeze, center, 14.0 * zoom);
            center.x + 11.0 * zoom
        } else if with_detail {
            rect.left() + 11.0 * zoom
        } else {
            self.text(rect.center(), Align2::CENTER_CENTER, &card.title, &medium(12.0), theme.text);
            return;
        };
        if with_detail {
            let title = rect.center().y - 7.0 * zoom;
            self.text(pos2(x, title), Align2::LEFT_CENTER, &card.title, &medium(12.0), theme.text);
            let detail = rect.center().y + 8.0 * zoom;
            self.text(pos2(x, detail), Align2::LEFT_CENTER, &card.detail, &mono(9.5), theme.label);
        } else {
            let at = pos2(x, rect.center().y);
            self.text(at, Align2::LEFT_CENTER, &card.title, &medium(12.0), theme.text);
        }
    }

    fn sum(&self, card: &Card) {
        let rect = self.projection.rect(card.rect);
        let theme = self.theme;
        self.painter.circle(rect.center(), rect.width() / 2.0, theme.raised, Stroke::new(1.0, theme.outline));
        if self.detail() >= Detail::Plain {
            icons::paint(&self.painter, Icon::Plus, rect.center(), 11.0 * self.zoom(), theme.body);
        }
    }

    /// A free site: faint until the pointer comes near, in the kind's colour under it.
    fn plus(&self, plus: &Plus) {
        if self.scene.locked {
            return;
        }
        let (theme, zoom) = (self.theme, self.zoom());
        let center = self.projection.point(plus.center);
        let kind = chosen(plus, self.view.kind)
            .and_then(|kind| self.palette.get(kind))
            .map(|spec| theme.kind(spec.kind().letter()));
        let Some(kind) = kind else { return };
        if self.hovered_plus.as_deref() == Some(plus.site.as_str()) {
            self.painter.circle_filled(center, 10.0 * zoom.max(0.7), kind.color);
            icons::paint(&self.painter, Icon::Plus, center, 14.0 * zoom.max(0.7), theme.ink);
            return;
        }
        let near = self.painter.ctx().pointer_hover_pos().is_some_and(|at| at.distance(center) < 60.0);
        let fits = plus.kinds.contains(&self.view.kind);
        let color = if near && fits { kind.color } else { theme.faint };
        let radius = 7.0 * zoom;
        self.painter.circle_filled(center, radius, theme.well);
        let circle: Vec<Pos2> = (0..=24u8)
            .map(|i| center + Vec2::angled(f32::from(i) / 24.0 * std::f32::consts::TAU) * radius)
            .collect();
        self.painter.extend(Shape::dashed_line(&circle, Stroke::new(1.1, color), 2.5, 2.0));
        icons::paint(&self.painter, Icon::Plus, center, 10.0 * zoom, color);
    }
}

/// Snowflake, flame, the divided circle between them, or the arrow that goes back through what is frozen.
pub(crate) fn freeze_icon(painter: &Painter, theme: &Theme, freeze: Freeze, center: Pos2, size: f32) {
    let (icon, color) = match freeze {
        Freeze::Nothing => return,
        Freeze::Frozen => (Icon::Snowflake, theme.frozen),
        Freeze::Passing => (Icon::Passing, theme.passing()),
        Freeze::Trainable => (Icon::Flame, theme.trainable),
        Freeze::Mixed => (Icon::Mixed, theme.trainable),
    };
    icons::paint(painter, icon, center, size, color);
}
