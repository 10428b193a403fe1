//! What an edge carries: the tensor's shape, told under the pointer.

use egui::epaint::CubicBezierShape;
use egui::{Color32, Pos2, Rect, Response, Stroke, Ui, pos2};

use super::Projection;
use super::shapes::{Course, Layout, Wire};
use crate::theme::Theme;

/// How near the pointer must be, in points.
const NEAR: f32 = 6.0;

/// The wire under the pointer.
fn under(layout: &Layout, projection: Projection, at: Pos2) -> Option<&Wire> {
    let told = layout.wires.iter().filter(|wire| !wire.shape.is_empty());
    let reach = NEAR / projection.zoom;
    let here = projection.back(Rect::from_min_max(at, at)).min;
    let around = told.filter(|wire| Rect::from_points(&wire.points).expand(reach).contains(here));
    let measured = around.map(|wire| (distance(wire, here), wire)).filter(|(far, _)| *far <= reach);
    measured.min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, wire)| wire)
}

/// How far a point is from a wire, in layout points.
fn distance(wire: &Wire, at: Pos2) -> f32 {
    let bent = wire.course == Course::Bent;
    let (Some(&first), Some(&last)) = (wire.points.first(), wire.points.last()) else { return f32::INFINITY };
    if !bent {
        let pairs = wire.points.windows(2).map(|pair| to_segment(pair[0], pair[1], at));
        return pairs.fold(f32::INFINITY, f32::min);
    }
    // The bend in a few straight pieces.
    let middle = f32::midpoint(first.x, last.x);
    let controls = [first, pos2(middle, first.y), pos2(middle, last.y), last];
    let curve = CubicBezierShape::from_points_stroke(controls, false, Color32::TRANSPARENT, Stroke::NONE);
    let points: Vec<Pos2> = (0..=8u8).map(|step| curve.sample(f32::from(step) / 8.0)).collect();
    points.windows(2).map(|pair| to_segment(pair[0], pair[1], at)).fold(f32::INFINITY, f32::min)
}

fn to_segment(from: Pos2, to: Pos2, at: Pos2) -> f32 {
    let along = to - from;
    let share = if along.length_sq() > 0.0 { (at - from).dot(along) / along.length_sq() } else { 0.0 };
    at.distance(from + along * share.clamp(0.0, 1.0))
}

/// Tells the shape of what is on the wire under the pointer, if nothing else is there.
pub(super) fn ui(ui: &Ui, layout: &Layout, projection: Projection, background: &Response) {
    let Some(at) = background.hover_pos().filter(|_| background.hovered()) else { return };
    let Some(wire) = under(layout, projection, at) else { return };
    let theme = Theme::of(ui);
    let color = if wire.gradient { theme.trainable } else { theme.body };
    if wire.course != Course::Bent {
        let points = wire.points.iter().map(|&point| projection.point(point)).collect();
        ui.painter().line(points, Stroke::new(2.5, color));
    }
    let gradient = if wire.gradient { "a gradient passes" } else { "no gradient passes" };
    background.clone().on_hover_text_at_pointer(format!("{}\n{gradient}", wire.shape));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pointer_finds_the_wire_that_it_is_on() {
        let wire = |points: &[(f32, f32)], course, shape: &str| Wire {
            points: points.iter().map(|&(x, y)| pos2(x, y)).collect(),
            gradient: false,
            arrow: true,
            course,
            label: String::new(),
            shape: shape.to_owned(),
        };
        let wires = vec![
            wire(&[(0.0, 0.0), (100.0, 0.0), (100.0, 50.0)], Course::Straight, "16×768"),
            wire(&[(0.0, 20.0), (100.0, 80.0)], Course::Bent, "16×64"),
        ];
        let layout = Layout { wires, ..Layout::default() };
        let projection = Projection { corner: pos2(10.0, 10.0), offset: egui::Vec2::ZERO, zoom: 2.0 };
        let shape = |x: f32, y: f32| {
            under(&layout, projection, projection.point(pos2(x, y))).map(|wire| wire.shape.clone())
        };
        assert_eq!(shape(50.0, 1.0).as_deref(), Some("16×768"));
        assert_eq!(shape(100.0, 25.0).as_deref(), Some("16×768"));
        assert_eq!(shape(50.0, 50.0).as_deref(), Some("16×64"), "the middle of the bend");
        assert_eq!(shape(10.0, 40.0), None);
    }
}
