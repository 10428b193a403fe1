//! Adapters on the canvas: a tab beside the weight that they modify, or a card on an edge.

use egui::{Align2, Stroke, StrokeKind, pos2};

use super::detail::Detail;
use super::interact::{adapter_of, mark_rects};
use super::paint::Paint;
use super::shapes::Card;
use crate::format;
use crate::icons;
use crate::theme::{KindStyle, bold, mono};

impl Paint<'_> {
    fn adapter_text(&self, card: &Card) -> Option<(KindStyle, &'static str, String)> {
        let placement = self.scene.project.adapters.get(adapter_of(card)?)?;
        let kind = placement.kind.kind();
        let tag = kind.settings().first().map_or_else(String::new, |setting| {
            let letter: String = setting.name.chars().take(1).collect();
            match setting.chosen() {
                Some(chosen) => chosen.to_owned(),
                None => format!("{letter}{}", format::number(setting.value)),
            }
        });
        Some((self.theme.kind(kind.letter()), kind.name(), tag))
    }

    pub(super) fn tab(&self, card: &Card) {
        let Some((kind, _, tag)) = self.adapter_text(card) else { return };
        let zoom = self.zoom();
        let rect = self.snapped(card.rect);
        let radius = 5.0 * zoom;
        self.painter.rect(rect, radius, kind.tint, Stroke::new(1.25, kind.color), StrokeKind::Inside);
        self.stripe(card, rect);
        self.ring(card, rect, radius);
        let badge = pos2(rect.left() + 13.0 * zoom, rect.center().y);
        if self.detail() >= Detail::Names {
            icons::badge(&self.painter, kind, badge, 14.0 * zoom, self.theme.ink);
        }
        if self.detail() >= Detail::Plain {
            let at = pos2(rect.left() + 23.0 * zoom, rect.center().y);
            self.text(at, Align2::LEFT_CENTER, &tag, &mono(10.0), kind.color);
        }
    }

    pub(super) fn adapter(&self, card: &Card) {
        let Some((kind, name, tag)) = self.adapter_text(card) else { return };
        let (theme, zoom) = (self.theme, self.zoom());
        let rect = self.snapped(card.rect);
        let radius = 7.0 * zoom;
        self.painter.rect(rect, radius, kind.tint, Stroke::new(1.25, kind.color), StrokeKind::Inside);
        self.stripe(card, rect);
        self.ring(card, rect, radius);
        if self.detail() == Detail::Outlines {
            return;
        }
        icons::badge(
            &self.painter,
            kind,
            pos2(rect.left() + 18.0 * zoom, rect.center().y),
            18.0 * zoom,
            theme.ink,
        );
        let x = rect.left() + 32.0 * zoom;
        let (_, freeze) = mark_rects(card);
        if let Some(mark) = freeze {
            self.freeze_icon(card.freeze, self.projection.rect(mark).center(), 14.0 * zoom);
        }
        if card.detail.is_empty() && self.detail() < Detail::Full {
            let at = pos2(x, rect.center().y);
            self.text(at, Align2::LEFT_CENTER, name, &bold(12.0), theme.text);
            return;
        }
        if card.detail.is_empty() {
            let up = pos2(x, rect.center().y - 7.0 * zoom);
            self.text(up, Align2::LEFT_CENTER, name, &bold(12.0), theme.text);
            let down = pos2(x, rect.center().y + 8.0 * zoom);
            self.text(down, Align2::LEFT_CENTER, &tag, &mono(10.0), kind.color);
            return;
        }
        let title = self.text(pos2(x, rect.center().y), Align2::LEFT_CENTER, name, &bold(13.0), theme.text);
        let after = pos2(title.right() + 8.0 * zoom, rect.center().y);
        self.text(after, Align2::LEFT_CENTER, &tag, &mono(10.0), kind.color);
        let right = pos2(rect.right() - 30.0 * zoom, rect.center().y);
        let value = self.heat.and_then(|heat| heat.text(card));
        let color = if value.is_some() { theme.text } else { theme.label };
        let detail = value.unwrap_or_else(|| card.detail.clone());
        self.text(right, Align2::RIGHT_CENTER, &detail, &mono(11.0), color);
    }
}
