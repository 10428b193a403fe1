//! Draws the connections: polylines with round corners or one bend, an arrowhead, and the shape beside them.

use egui::epaint::CubicBezierShape;
use egui::{Align2, Color32, Pos2, Shape, Stroke, pos2, vec2};

use super::detail::Detail;
use super::paint::Paint;
use super::shapes::{Course, Wire};
use crate::theme::mono;

impl Paint<'_> {
    pub(super) fn wire(&self, wire: &Wire) {
        let theme = self.theme;
        let color = if wire.gradient { theme.trainable } else { theme.edge };
        let width = if wire.course == Course::Residual { 1.0 } else { 1.5 };
        let stroke = Stroke::new(width, color);
        let mut points: Vec<Pos2> = wire.points.iter().map(|&point| self.projection.point(point)).collect();
        let (Some(&first), Some(&last)) = (points.first(), points.last()) else { return };
        let before = points[points.len().saturating_sub(2)];
        let bent = wire.course == Course::Bent && (first.y - last.y).abs() > 1.0;
        let head = 6.0 * self.zoom().clamp(0.6, 1.0);
        let direction = if bent { vec2(1.0, 0.0) } else { (last - before).normalized() };
        if wire.arrow
            && let Some(end) = points.last_mut()
        {
            *end -= direction * head;
        }
        if bent {
            let end = last - direction * if wire.arrow { head } else { 0.0 };
            let middle = f32::midpoint(first.x, end.x);
            let controls = [first, pos2(middle, first.y), pos2(middle, end.y), end];
            self.painter.add(CubicBezierShape::from_points_stroke(
                controls,
                false,
                Color32::TRANSPARENT,
                stroke,
            ));
        } else {
            self.painter.line(rounded(&points, 8.0 * self.zoom()), stroke);
        }
        if wire.arrow {
            let side = direction.rot90() * head * 0.66;
            let back = last - direction * head;
            self.painter.add(Shape::convex_polygon(
                vec![last, back + side, back - side],
                color,
                Stroke::NONE,
            ));
        }
        if !wire.label.is_empty() && self.detail() == Detail::Full {
            // Beside the wire's first stretch, away from where it turns.
            let middle = if points.len() == 2 { first.lerp(last, 0.5) } else { first.lerp(points[1], 0.5) };
            let turns_right = points.get(2).is_some_and(|next| next.x > first.x);
            let (side, align) =
                if turns_right { (-8.0, Align2::RIGHT_CENTER) } else { (8.0, Align2::LEFT_CENTER) };
            self.text(middle + vec2(side, 0.0), align, &wire.label, &mono(10.0), theme.label);
        }
    }
}

/// A polyline with round corners.
fn rounded(points: &[Pos2], radius: f32) -> Vec<Pos2> {
    let mut result = Vec::with_capacity(points.len() * 4);
    for (i, &corner) in points.iter().enumerate() {
        let (Some(&before), Some(&after)) = (i.checked_sub(1).and_then(|i| points.get(i)), points.get(i + 1))
        else {
            result.push(corner);
            continue;
        };
        let reach = radius.min(corner.distance(before) / 2.0).min(corner.distance(after) / 2.0);
        let begin = corner + (before - corner).normalized() * reach;
        let end = corner + (after - corner).normalized() * reach;
        for step in 0..=6u8 {
            let t = f32::from(step) / 6.0;
            result.push(begin.lerp(corner, t).lerp(corner.lerp(end, t), t));
        }
    }
    result
}
