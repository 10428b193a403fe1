//! What lies under the graph: dots, the frozen side's tint and its edge.

use egui::{Align2, Rect, Shape, Stroke, Vec2, pos2, vec2};

use super::paint::Paint;
use super::shapes::{Cut, Layout};
use crate::theme::regular;

impl Paint<'_> {
    /// Dots, and the tint of the side without gradients with its edge.
    pub(super) fn ground(&self, layout: &Layout, canvas: Rect) {
        let theme = self.theme;
        self.painter.rect_filled(canvas, 0, theme.well);
        let frozen = match layout.cut {
            Some(Cut::Below(y)) => {
                let y = self.projection.point(pos2(0.0, y)).y;
                Some(Rect::from_min_max(
                    canvas.min,
                    pos2(canvas.right(), y.clamp(canvas.top(), canvas.bottom())),
                ))
            }
            Some(Cut::RightOf(x)) => {
                let x = self.projection.point(pos2(x, 0.0)).x;
                Some(Rect::from_min_max(
                    canvas.min,
                    pos2(x.clamp(canvas.left(), canvas.right()), canvas.bottom()),
                ))
            }
            Some(Cut::AllFrozen) => Some(canvas),
            None => None,
        };
        if let Some(frozen) = frozen {
            self.painter.rect_filled(frozen, 0, theme.frozen_tint);
        }
        self.dots(canvas);
        let stroke = Stroke::new(1.5, theme.frozen);
        match layout.cut {
            Some(Cut::Below(y)) => {
                let y = self.projection.point(pos2(0.0, y)).y.round();
                // Nearer to the top it would stand under the stages.
                let is_clear = y > canvas.top() + 96.0;
                if canvas.y_range().contains(y) {
                    let ends = [pos2(canvas.left(), y), pos2(canvas.right(), y)];
                    self.painter.extend(Shape::dashed_line(&ends, stroke, 6.0, 4.0));
                }
                let room = layout.cards.iter().map(|card| card.rect.left()).fold(f32::INFINITY, f32::min);
                let room = self.projection.point(pos2(room, 0.0)).x - canvas.left() - 24.0;
                let (above, below) = if room > 215.0 {
                    ("Frozen · no gradient reaches this side", "Gradients stop here")
                } else {
                    ("Frozen", "Trains")
                };
                // The line of the cache may run through the words.
                let is_free = |rows: std::ops::Range<f32>| self.cut_at.is_none_or(|at| !rows.contains(&at));
                if is_clear && room > 40.0 && canvas.y_range().contains(y) {
                    let left = canvas.left() + 16.0;
                    let font = regular(11.0);
                    if is_free(y - 26.0..y - 3.0) {
                        let at = pos2(left, y - 8.0);
                        self.painter.text(at, Align2::LEFT_BOTTOM, above, font.clone(), theme.frozen);
                    }
                    if is_free(y + 3.0..y + 26.0) {
                        let at = pos2(left, y + 8.0);
                        self.painter.text(at, Align2::LEFT_TOP, below, font, theme.trainable);
                    }
                }
            }
            Some(Cut::RightOf(x)) => {
                let x = self.projection.point(pos2(x, 0.0)).x.round();
                let ends = [pos2(x, canvas.top()), pos2(x, canvas.bottom())];
                self.painter.extend(Shape::dashed_line(&ends, stroke, 6.0, 4.0));
            }
            Some(Cut::AllFrozen) => {
                let at = canvas.left_bottom() + vec2(16.0, -12.0);
                let text = "Nothing trains in this stage";
                self.painter.text(at, Align2::LEFT_BOTTOM, text, regular(11.0), theme.frozen);
            }
            None => {}
        }
    }

    fn dots(&self, canvas: Rect) {
        let color = self.theme.line.gamma_multiply(0.9);
        let mut mesh = egui::Mesh::default();
        let mut y = canvas.top() + 12.0;
        while y < canvas.bottom() {
            let mut x = canvas.left() + 12.0;
            while x < canvas.right() {
                mesh.add_colored_rect(Rect::from_min_size(pos2(x, y), Vec2::splat(1.0)), color);
                x += 24.0;
            }
            y += 24.0;
        }
        self.painter.add(Shape::mesh(mesh));
    }
}
