//! Icons on a 16-point grid, drawn as polylines, and the badges of adapter kinds.

use std::f32::consts::TAU;

use egui::epaint::{CubicBezierShape, PathShape, PathStroke};
use egui::{Align2, Color32, Painter, Pos2, Rect, Shape, Stroke, Vec2, pos2, vec2};

use crate::theme::{KindStyle, bold};

/// What an icon shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    /// Frozen.
    Snowflake,
    /// Trainable.
    Flame,
    /// Partly frozen: half a snowflake, half a flame would not be legible, so a divided square.
    Mixed,
    /// Frozen, but a gradient passes: an arrow back through a ring.
    Passing,
    /// Find.
    Search,
    /// Folded.
    ChevronRight,
    /// Unfolded.
    ChevronDown,
    /// Add, zoom in.
    Plus,
    /// Zoom out.
    Minus,
    /// Earlier in a list.
    Up,
    /// Close, dismiss.
    Cross,
    /// Fine.
    Check,
    /// One step back.
    Undo,
    /// One step forward.
    Redo,
    /// Show everything.
    Fit,
    /// Compute device.
    Device,
    /// Open.
    Folder,
    /// Save.
    Save,
    /// Editing is locked.
    Lock,
    /// Careful.
    Warning,
    /// Start.
    Play,
    /// Pause.
    Pause,
    /// Stop.
    Stop,
    /// Light or dark.
    Theme,
    /// A clip.
    Film,
    /// A bottom panel.
    Dock,
    /// Time.
    Clock,
    /// Remove.
    Bin,
    /// Colour by cost: three bars of growing height.
    Heat,
    /// A line across a connection.
    Cut,
    /// All commands.
    Menu,
}

/// Corner points of strokes, each stroke a polyline on the 16-point grid.
const fn strokes(icon: Icon) -> &'static [&'static [(f32, f32)]] {
    match icon {
        Icon::Menu => &[&[(3.0, 4.5), (13.0, 4.5)], &[(3.0, 8.0), (13.0, 8.0)], &[(3.0, 11.5), (13.0, 11.5)]],
        Icon::Snowflake => &[
            &[(8.0, 1.5), (8.0, 14.5)],
            &[(2.4, 4.75), (13.6, 11.25)],
            &[(2.4, 11.25), (13.6, 4.75)],
            &[(6.2, 2.8), (8.0, 4.4), (9.8, 2.8)],
            &[(6.2, 13.2), (8.0, 11.6), (9.8, 13.2)],
        ],
        Icon::Passing => &[
            &[(1.5, 8.0), (14.5, 8.0)],
            &[(4.6, 4.9), (1.5, 8.0), (4.6, 11.1)],
            &[(8.0, 2.2), (12.0, 4.4), (12.0, 6.2)],
            &[(12.0, 9.8), (12.0, 11.6), (8.0, 13.8), (6.2, 12.9)],
            &[(6.2, 3.1), (8.0, 2.2)],
        ],
        Icon::Search => &[&[(10.4, 10.4), (14.0, 14.0)]],
        Icon::ChevronRight => &[&[(6.0, 4.0), (10.0, 8.0), (6.0, 12.0)]],
        Icon::ChevronDown => &[&[(4.0, 6.0), (8.0, 10.0), (12.0, 6.0)]],
        Icon::Plus => &[&[(8.0, 3.0), (8.0, 13.0)], &[(3.0, 8.0), (13.0, 8.0)]],
        Icon::Minus => &[&[(3.0, 8.0), (13.0, 8.0)]],
        Icon::Up => &[&[(8.0, 13.0), (8.0, 3.5)], &[(4.0, 7.5), (8.0, 3.5), (12.0, 7.5)]],
        Icon::Cross => &[&[(4.0, 4.0), (12.0, 12.0)], &[(12.0, 4.0), (4.0, 12.0)]],
        Icon::Check => &[&[(3.0, 8.5), (6.5, 12.0), (13.0, 4.5)]],
        Icon::Undo => &[
            &[(6.0, 3.0), (3.0, 6.0), (6.0, 9.0)],
            &[(3.0, 6.0), (10.0, 6.0), (12.4, 7.0), (13.4, 9.5), (12.4, 12.0), (10.0, 13.0), (7.0, 13.0)],
        ],
        Icon::Redo => &[
            &[(10.0, 3.0), (13.0, 6.0), (10.0, 9.0)],
            &[(13.0, 6.0), (6.0, 6.0), (3.6, 7.0), (2.6, 9.5), (3.6, 12.0), (6.0, 13.0), (9.0, 13.0)],
        ],
        Icon::Fit => &[
            &[(2.5, 6.0), (2.5, 2.5), (6.0, 2.5)],
            &[(10.0, 2.5), (13.5, 2.5), (13.5, 6.0)],
            &[(13.5, 10.0), (13.5, 13.5), (10.0, 13.5)],
            &[(6.0, 13.5), (2.5, 13.5), (2.5, 10.0)],
        ],
        Icon::Device => &[
            &[(4.0, 4.0), (12.0, 4.0), (12.0, 12.0), (4.0, 12.0), (4.0, 4.0)],
            &[(6.0, 2.0), (6.0, 4.0)],
            &[(10.0, 2.0), (10.0, 4.0)],
            &[(6.0, 12.0), (6.0, 14.0)],
            &[(10.0, 12.0), (10.0, 14.0)],
            &[(2.0, 6.0), (4.0, 6.0)],
            &[(2.0, 10.0), (4.0, 10.0)],
            &[(12.0, 6.0), (14.0, 6.0)],
            &[(12.0, 10.0), (14.0, 10.0)],
        ],
        Icon::Folder => {
            &[&[(2.0, 4.0), (6.2, 4.0), (7.6, 5.6), (14.0, 5.6), (14.0, 12.5), (2.0, 12.5), (2.0, 4.0)]]
        }
        Icon::Save => &[
            &[(3.0, 3.0), (11.0, 3.0), (13.0, 5.0), (13.0, 13.0), (3.0, 13.0), (3.0, 3.0)],
            &[(5.5, 3.0), (5.5, 6.5), (10.0, 6.5), (10.0, 3.0)],
            &[(5.5, 13.0), (5.5, 9.5), (10.5, 9.5), (10.5, 13.0)],
        ],
        Icon::Lock => &[
            &[(4.0, 7.5), (12.0, 7.5), (12.0, 13.5), (4.0, 13.5), (4.0, 7.5)],
            &[(5.5, 7.5), (5.5, 5.0), (6.4, 3.2), (8.0, 2.5), (9.6, 3.2), (10.5, 5.0), (10.5, 7.5)],
        ],
        Icon::Warning => &[
            &[(8.0, 2.5), (14.5, 13.5), (1.5, 13.5), (8.0, 2.5)],
            &[(8.0, 6.5), (8.0, 9.8)],
            &[(8.0, 11.5), (8.0, 11.9)],
        ],
        Icon::Film => &[
            &[(2.0, 3.5), (14.0, 3.5), (14.0, 12.5), (2.0, 12.5), (2.0, 3.5)],
            &[(5.0, 3.5), (5.0, 12.5)],
            &[(11.0, 3.5), (11.0, 12.5)],
            &[(2.0, 8.0), (5.0, 8.0)],
            &[(11.0, 8.0), (14.0, 8.0)],
        ],
        Icon::Dock => {
            &[&[(2.0, 3.0), (14.0, 3.0), (14.0, 13.0), (2.0, 13.0), (2.0, 3.0)], &[(2.0, 9.0), (14.0, 9.0)]]
        }
        Icon::Clock => &[&[(8.0, 5.0), (8.0, 8.0), (10.0, 9.5)]],
        Icon::Bin => &[
            &[(2.5, 4.5), (13.5, 4.5)],
            &[(4.0, 4.5), (4.8, 13.5), (11.2, 13.5), (12.0, 4.5)],
            &[(6.0, 4.5), (6.0, 2.5), (10.0, 2.5), (10.0, 4.5)],
        ],
        Icon::Heat => &[
            &[(2.5, 13.5), (13.5, 13.5)],
            &[(4.0, 13.5), (4.0, 10.0)],
            &[(8.0, 13.5), (8.0, 6.5)],
            &[(12.0, 13.5), (12.0, 2.5)],
        ],
        Icon::Cut => &[
            &[(8.0, 1.5), (8.0, 5.5)],
            &[(8.0, 10.5), (8.0, 14.5)],
            &[(1.5, 8.0), (4.0, 8.0)],
            &[(6.5, 8.0), (9.5, 8.0)],
            &[(12.0, 8.0), (14.5, 8.0)],
        ],
        Icon::Flame | Icon::Mixed | Icon::Play | Icon::Pause | Icon::Stop | Icon::Theme => &[],
    }
}

/// Draws an icon of `size` points around `center`.
pub fn paint(painter: &Painter, icon: Icon, center: Pos2, size: f32, color: Color32) {
    let scale = size / 16.0;
    let origin = center - Vec2::splat(size / 2.0);
    let at = |x: f32, y: f32| origin + vec2(x, y) * scale;
    let stroke = Stroke::new((1.3 * scale.max(0.8)).max(0.8), color);
    match icon {
        Icon::Flame => flame(painter, &at, color),
        Icon::Mixed => {
            painter.circle_stroke(center, 5.0 * scale, stroke);
            let half: Vec<Pos2> = (0..=12u8)
                .map(|i| {
                    let angle = TAU * (f32::from(i) / 24.0 - 0.25);
                    center + vec2(angle.cos(), angle.sin()) * 5.0 * scale
                })
                .collect();
            painter.add(Shape::convex_polygon(half, color, Stroke::NONE));
        }
        Icon::Theme => {
            painter.circle_stroke(center, 5.5 * scale, stroke);
            let half: Vec<Pos2> = (0..=12u8)
                .map(|i| {
                    let angle = TAU * (f32::from(i) / 24.0 + 0.25);
                    center + vec2(angle.cos(), angle.sin()) * 5.5 * scale
                })
                .collect();
            painter.add(Shape::convex_polygon(half, color, Stroke::NONE));
        }
        Icon::Play => {
            let corners = vec![at(4.5, 3.0), at(13.0, 8.0), at(4.5, 13.0)];
            painter.add(Shape::convex_polygon(corners, color, Stroke::NONE));
        }
        Icon::Pause => {
            for x in [4.0, 9.2] {
                painter.rect_filled(Rect::from_min_max(at(x, 3.0), at(x + 2.8, 13.0)), 1, color);
            }
        }
        Icon::Stop => {
            painter.rect_filled(Rect::from_min_max(at(3.5, 3.5), at(12.5, 12.5)), 2, color);
        }
        _ => {
            if icon == Icon::Clock {
                painter.circle_stroke(center, 6.0 * scale, stroke);
            }
            if icon == Icon::Search {
                painter.circle_stroke(at(7.0, 7.0), 4.6 * scale, stroke);
            }
            for line in strokes(icon) {
                painter.line(line.iter().map(|&(x, y)| at(x, y)).collect(), stroke);
            }
        }
    }
}

/// The flame is not convex: it is drawn as its outline's fan around a point that sees all of it.
fn flame(painter: &Painter, at: &dyn Fn(f32, f32) -> Pos2, color: Color32) {
    const CURVES: [[(f32, f32); 4]; 6] = [
        [(8.3, 1.2), (8.9, 3.8), (12.6, 5.6), (12.6, 9.6)],
        [(12.6, 9.6), (12.6, 12.6), (10.5, 14.8), (8.0, 14.8)],
        [(8.0, 14.8), (5.5, 14.8), (3.4, 12.7), (3.4, 9.9)],
        [(3.4, 9.9), (3.4, 7.9), (4.5, 6.7), (5.3, 5.6)],
        [(5.3, 5.6), (5.6, 6.8), (6.0, 7.4), (6.7, 7.9)],
        [(6.7, 7.9), (6.6, 5.4), (7.0, 3.0), (8.3, 1.2)],
    ];
    let mut outline = Vec::new();
    for curve in &CURVES {
        let points = curve.map(|(x, y)| at(x, y));
        let bezier = CubicBezierShape::from_points_stroke(points, false, color, Stroke::NONE);
        outline.extend(bezier.flatten(Some(0.1)).into_iter().skip(1));
    }
    let center = at(8.2, 9.9);
    let mut mesh = egui::Mesh::default();
    mesh.colored_vertex(center, color);
    for point in &outline {
        mesh.colored_vertex(*point, color);
    }
    let count = u32::try_from(outline.len()).unwrap_or(0);
    for i in 0..count {
        mesh.add_triangle(0, 1 + i, 1 + (i + 1) % count.max(1));
    }
    painter.add(Shape::mesh(mesh));
    // A mesh has hard edges; a thin line over them smooths the outline.
    painter.add(Shape::Path(PathShape {
        points: outline,
        closed: true,
        fill: Color32::TRANSPARENT,
        stroke: PathStroke::new(0.6, color),
    }));
}

/// Draws a kind's badge: its outline filled with its hue, and its letter where there is room.
pub fn badge(painter: &Painter, kind: KindStyle, center: Pos2, size: f32, ink: Color32) {
    let radius = size / 2.0 - 1.0;
    let (corners, shift) = kind.outline.corners();
    let points = corners.iter().map(|&(x, y)| center + vec2(x, y) * radius).collect();
    painter.add(Shape::convex_polygon(points, kind.color, Stroke::NONE));
    if size >= 10.0 {
        let at = center + vec2(0.0, shift * radius);
        painter.text(at, Align2::CENTER_CENTER, kind.letter, bold(size * 0.58), ink);
    }
}

/// The program's mark: a stem with two grafted branches.
pub fn mark(painter: &Painter, rect: Rect, ground: Color32, ink: Color32) {
    let scale = rect.width() / 20.0;
    painter.rect_filled(rect, 5.0 * scale, ground);
    let at = |x: f32, y: f32| rect.min + vec2(x, y) * scale;
    let stroke = Stroke::new(2.2 * scale, ink);
    painter.line(vec![at(10.0, 16.5), at(10.0, 9.0), at(5.5, 4.0)], stroke);
    painter.line(vec![at(10.0, 11.0), at(14.5, 6.0)], stroke);
    for end in [pos2(10.0, 16.5), pos2(5.5, 4.0), pos2(14.5, 6.0)] {
        painter.circle_filled(at(end.x, end.y), 1.1 * scale, ink);
    }
}
