//! Small pictures of where an adapter kind attaches: beside a weight, on it, at a port, between models, in a sequence.

use egui::{Color32, Painter, Rect, Stroke, StrokeKind, pos2, vec2};

use crate::theme::Theme;

/// Size of a picture, in points.
pub(crate) const SIZE: egui::Vec2 = vec2(52.0, 14.0);

/// Draws the picture of a place, as the engine words it; what is of the adapter has its hue.
pub(crate) fn paint(painter: &Painter, rect: Rect, place: &str, hue: Color32, theme: &Theme) {
    let line = Stroke::new(1.0, theme.edge);
    let y = rect.center().y;
    let at = |share: f32| rect.left() + share * rect.width();
    let frozen = |center: f32, y: f32, size: f32| {
        let own = Rect::from_center_size(pos2(center, y), vec2(size, 7.0));
        painter.rect(own, 2, theme.raised, line, StrokeKind::Inside);
    };
    let own = |center: f32, y: f32, size: f32| {
        painter.rect_filled(Rect::from_center_size(pos2(center, y), vec2(size, 6.0)), 2, hue);
    };
    if place.starts_with("beside") {
        let (above, below) = (rect.top() + 4.0, rect.bottom() - 3.5);
        painter.hline(rect.x_range(), above, line);
        frozen(at(0.5), above, 16.0);
        let side = Stroke::new(1.0, hue);
        let corners =
            [pos2(at(0.2), above), pos2(at(0.2), below), pos2(at(0.8), below), pos2(at(0.8), above)];
        painter.line(corners.to_vec(), side);
        own(at(0.4), below, 9.0);
        own(at(0.62), below, 9.0);
        return;
    }
    if place.starts_with("in a sequence") {
        for number in 0..6u8 {
            let x = at(0.1 + 0.16 * f32::from(number));
            if number < 2 { own(x, y, 6.0) } else { frozen(x, y, 6.0) }
        }
        return;
    }
    painter.hline(rect.x_range(), y, line);
    if place.starts_with("between") {
        frozen(at(0.18), y, 14.0);
        own(at(0.5), y, 11.0);
        frozen(at(0.82), y, 14.0);
    } else if place.starts_with("at a port") {
        frozen(at(0.26), y, 14.0);
        own(at(0.58), y, 11.0);
        // The way around a sub-layer, to the sum behind it.
        let top = rect.top() + 1.0;
        let around = [pos2(at(0.06), y), pos2(at(0.06), top), pos2(at(0.88), top), pos2(at(0.88), y)];
        painter.line(around.to_vec(), line);
        painter.circle(pos2(at(0.88), y), 2.5, theme.card, line);
    } else {
        let weight = Rect::from_center_size(pos2(at(0.5), y), vec2(22.0, 10.0));
        painter.rect(weight, 2, theme.raised, line, StrokeKind::Inside);
        own(at(0.5), y, 14.0);
    }
}
