//! The whole graph in small, at the lower right of the canvas while a part of it is out of view. Dragging moves the view.

use egui::{Id, Mesh, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, vec2};

use super::shapes::{Layout, Look};
use crate::model::Freeze;
use crate::theme::Theme;
use crate::view::{Camera, Follow};

/// The most that it takes.
const MOST: Vec2 = vec2(176.0, 150.0);
/// A canvas smaller than this has no room for it.
const LEAST: Vec2 = vec2(520.0, 300.0);
/// Space around the graph in it.
const INSET: f32 = 6.0;

/// Where it stands, if it is shown.
pub(super) fn frame(layout: &Layout, canvas: Rect, camera: &Camera, locked: bool) -> Option<Rect> {
    let bounds = layout.bounds?;
    let shown = Rect::from_min_size(
        (bounds.min.to_vec2() * camera.zoom + camera.offset).to_pos2(),
        bounds.size() * camera.zoom,
    );
    let fits = Rect::from_min_size(Pos2::ZERO, canvas.size()).contains_rect(shown);
    if fits || canvas.width() < LEAST.x || canvas.height() < LEAST.y {
        return None;
    }
    let scale = scale(bounds);
    let size = (bounds.size() * scale + Vec2::splat(2.0 * INSET)).max(Vec2::splat(40.0));
    // The word about the lock stands below it.
    let foot = if locked { 44.0 } else { 10.0 };
    Some(Rect::from_min_size(canvas.right_bottom() - size - vec2(12.0, foot), size))
}

fn scale(bounds: Rect) -> f32 {
    ((MOST - Vec2::splat(2.0 * INSET)) / bounds.size().max(Vec2::splat(1.0))).min_elem()
}

/// Draws it and lets the view be dragged.
pub(super) fn ui(ui: &Ui, layout: &Layout, frame: Rect, canvas: Rect, camera: &mut Camera) {
    let Some(bounds) = layout.bounds else { return };
    let theme = Theme::of(ui);
    let scale = scale(bounds);
    let corner = frame.center() - bounds.size() * scale / 2.0;
    let small = |rect: Rect| {
        Rect::from_min_size(
            corner + (rect.min - bounds.min) * scale,
            (rect.size() * scale).max(Vec2::splat(1.0)),
        )
    };
    let response = ui.interact(frame, Id::unique("minimap"), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::ScrollView, true, "Minimap"));
    if let Some(pointer) = response.interact_pointer_pos() {
        let wanted = bounds.min + (pointer - corner) / scale;
        camera.offset = canvas.size() / 2.0 - wanted.to_vec2() * camera.zoom;
        camera.follow = Follow::Free;
    }
    let painter = ui.painter().with_clip_rect(frame);
    painter.rect(frame, 5, theme.panel, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    let mut mesh = Mesh::default();
    for card in &layout.cards {
        let color = match (card.look, card.freeze) {
            (Look::Group, _) => theme.raised,
            (Look::Sum | Look::Input, _) | (_, Freeze::Nothing) => theme.edge,
            (_, Freeze::Frozen) => theme.frozen,
            (_, Freeze::Passing) => theme.passing(),
            (_, Freeze::Trainable | Freeze::Mixed) => theme.trainable,
        };
        // What a folded region holds is drawn on it.
        let strength = if card.look == Look::Card { 0.45 } else { 0.8 };
        mesh.add_colored_rect(small(card.rect), color.gamma_multiply(strength));
    }
    painter.add(Shape::mesh(mesh));
    let seen = Rect::from_min_size((-camera.offset / camera.zoom).to_pos2(), canvas.size() / camera.zoom);
    let view = small(seen).intersect(frame.shrink(1.0));
    painter.rect_stroke(view, 3, Stroke::new(1.25, theme.selection), StrokeKind::Inside);
}
