//! Small marks on the sites at which compared runs do not place the same.

use egui::{Painter, Shape, Stroke, pos2, vec2};

use super::Projection;
use super::shapes::{Layout, Look};
use crate::theme::Theme;

/// A small diamond at the corner of each card that is such a site, or has one folded in it.
pub(super) fn draw(
    painter: &Painter,
    theme: &Theme,
    layout: &Layout,
    projection: Projection,
    sites: &[String],
) {
    for card in layout.cards.iter().filter(|card| card.look != Look::Group) {
        let inside = |site: &String| {
            site == &card.path || site.strip_prefix(&card.path).is_some_and(|rest| rest.starts_with('.'))
        };
        if !sites.iter().any(inside) {
            continue;
        }
        let center = projection.rect(card.rect).right_top() + vec2(-2.0, 2.0);
        let corners = [(0.0, -5.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0)];
        let corners = corners.map(|(x, y)| pos2(center.x + x, center.y + y)).to_vec();
        painter.add(Shape::convex_polygon(corners, theme.warning, Stroke::new(1.5, theme.well)));
    }
}
