//! How compared runs are told apart: colour, marker and dash together.

use egui::{Color32, Painter, Pos2, Shape, Stroke, vec2};
use egui_plot::{LineStyle, MarkerShape};

use crate::theme::Theme;

/// How one run is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) color: Color32,
    pub(super) shape: MarkerShape,
    pub(super) line: LineStyle,
}

/// The mark of the run that was chosen in this place. The lists have no common divisor, so that many runs still
/// differ from each other.
pub(super) fn mark(theme: &Theme, place: usize) -> Mark {
    let kind = |letter| theme.kind(letter).color;
    let colors =
        [theme.text, theme.brand, theme.warning, theme.frozen, kind('L'), theme.trainable, kind('N')];
    let shapes =
        [MarkerShape::Circle, MarkerShape::Square, MarkerShape::Up, MarkerShape::Diamond, MarkerShape::Down];
    let lines = [LineStyle::Solid, LineStyle::Dashed { length: 6.0 }, LineStyle::Dotted { spacing: 4.0 }];
    Mark {
        color: colors[place % colors.len()],
        shape: shapes[place % shapes.len()],
        line: lines[place % lines.len()],
    }
}

/// Draws a mark's outline.
pub(super) fn paint(painter: &Painter, mark: Mark, center: Pos2, radius: f32) {
    let stroke = Stroke::new(1.5, mark.color);
    let at = |x: f32, y: f32| center + vec2(x, y) * radius;
    let corners = match mark.shape {
        MarkerShape::Square => vec![at(-0.85, -0.85), at(0.85, -0.85), at(0.85, 0.85), at(-0.85, 0.85)],
        MarkerShape::Up => vec![at(0.0, -1.0), at(1.0, 0.8), at(-1.0, 0.8)],
        MarkerShape::Down => vec![at(0.0, 1.0), at(-1.0, -0.8), at(1.0, -0.8)],
        MarkerShape::Diamond => vec![at(0.0, -1.1), at(1.1, 0.0), at(0.0, 1.1), at(-1.1, 0.0)],
        _ => {
            painter.circle_stroke(center, radius, stroke);
            return;
        }
    };
    painter.add(Shape::closed_line(corners, stroke));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_runs_all_look_different() {
        let marks: Vec<Mark> = (0..100).map(|place| mark(&crate::theme::DARK, place)).collect();
        for (place, one) in marks.iter().enumerate() {
            assert!(!marks[place + 1..].contains(one), "{place}");
        }
    }
}
