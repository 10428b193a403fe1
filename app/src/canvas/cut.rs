//! The line where a cache could stand, drawn across the graph at the nodes whose values it would keep, with its price.

use egui::{Align2, Id, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use graft_engine::graph::is_below;
use graft_engine::project::bytes_text;

use super::Projection;
use super::shapes::{Card, Cut, Flow, Layout, Look};
use crate::format;
use crate::icons::{self, Icon};
use crate::model::Model;
use crate::outlook::Outlook;
use crate::theme::{Theme, medium, mono};

/// How far beside a card the line goes, in layout points.
const BESIDE: f32 = 7.0;
/// How far below a card of the main flow, in layout points.
const BELOW: f32 = 15.0;
/// How far below a card the edge of the frozen side may be to be the same line.
const NEAR: f32 = 60.0;

/// Where the line goes, in layout points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Course {
    /// Straight across.
    Level(f32),
    /// Below what comes before it, up at `x`, above what comes after it.
    Step { low: f32, x: f32, high: f32 },
    /// From top to bottom.
    Upright(f32),
}

impl Course {
    /// Its height at the left edge, unless it goes from top to bottom.
    pub(super) const fn at_left(self) -> Option<f32> {
        match self {
            Self::Level(y) | Self::Step { low: y, .. } => Some(y),
            Self::Upright(_) => None,
        }
    }
}

/// The line after the last of the kept nodes that is drawn.
pub(super) fn course(model: &Model, layout: &Layout, after: &[String], flow: Flow) -> Option<Course> {
    let graph = &model.graph;
    let place = |path: &&String| {
        let id = graph.find(path);
        id.and_then(|id| graph.order().iter().position(|other| *other == id))
    };
    let last = after.iter().max_by_key(place)?;
    let card = holder(layout, last)?;
    let part = model.part(&card.path).filter(|_| !matches!(card.look, Look::Node | Look::Sum));
    let inside = part.is_some_and(|part| part.output != graph.find(last));
    let rect = card.rect;
    if flow == Flow::Across {
        let edge = match layout.cut {
            Some(Cut::RightOf(x)) if !inside && (x - rect.right()).abs() < NEAR => x,
            _ if inside => rect.center().x,
            _ => rect.right() + BELOW,
        };
        return Some(Course::Upright(edge));
    }
    // What nothing stands beside belongs to the flow from top to bottom.
    let beside = |other: &&Card| {
        other.path != card.path
            && !matches!(other.look, Look::Group | Look::Input)
            && other.rect.y_range().intersects(rect.y_range())
            && !other.rect.contains_rect(rect)
            && !rect.contains_rect(other.rect)
    };
    let alone = card.look != Look::Tile && !layout.cards.iter().any(|other| beside(&other));
    if !alone {
        let x = if inside && card.look == Look::Tile {
            // Along the block's edge, not through its number.
            rect.left()
        } else if inside {
            rect.center().x
        } else {
            rect.right() + if card.look == Look::Tile { 2.0 } else { BESIDE }
        };
        // Tiles stand close below the name of what they are in.
        let away = if card.look == Look::Tile { 3.0 } else { BESIDE };
        return Some(Course::Step { low: rect.bottom() + away, x, high: rect.top() - away });
    }
    Some(Course::Level(match layout.cut {
        Some(Cut::Below(y)) if !inside && (0.0..NEAR).contains(&(y - rect.bottom())) => y,
        _ if inside => rect.center().y,
        _ => rect.bottom() + BELOW,
    }))
}

/// The innermost card that a node is drawn as or in.
fn holder<'a>(layout: &'a Layout, path: &str) -> Option<&'a Card> {
    let exact = |card: &&Card| card.path == path && matches!(card.look, Look::Node | Look::Sum);
    let around = |card: &&Card| {
        !matches!(card.look, Look::Group | Look::Node | Look::Sum | Look::Input) && is_below(path, &card.path)
    };
    let cards = || layout.cards.iter();
    cards().find(exact).or_else(|| cards().filter(around).max_by_key(|card| card.path.len()))
}

/// What the cut costs, as one line and as the whole story.
fn price(outlook: &Outlook) -> Option<(String, String, String)> {
    let cut = outlook.plan.cut.as_ref()?;
    let short = format!("{} a sample", bytes_text(cut.bytes_per_sample));
    let all = format!("{short}, {}", bytes_text(cut.bytes_total));
    let pays = match cut.break_even_epoch {
        _ if !outlook.timed => "A cache could stand here".to_owned(),
        Some(epoch) => format!("A cache pays off in epoch {epoch}"),
        None => "A cache does not pay off".to_owned(),
    };
    Some((short, all, pays))
}

/// Draws the line with its label.
pub(super) fn draw(
    ui: &Ui,
    course: Course,
    outlook: &Outlook,
    projection: Projection,
    canvas: Rect,
    layout: &Layout,
    map: Option<Rect>,
) {
    let theme = Theme::of(ui);
    let at = |x: f32, y: f32| projection.point(pos2(x, y));
    let (points, anchor): (Vec<Pos2>, Pos2) = match course {
        Course::Level(y) => {
            let y = at(0.0, y).y.round();
            (vec![pos2(canvas.left(), y), pos2(canvas.right(), y)], pos2(canvas.right() - 12.0, y))
        }
        Course::Step { low, x, high } => {
            let (low, high) = (at(x, low), at(x, high));
            let ends = (pos2(canvas.left(), low.y), pos2(canvas.right(), high.y));
            (vec![ends.0, low, high, ends.1], ends.1 - vec2(12.0, 0.0))
        }
        Course::Upright(x) => {
            let x = at(x, 0.0).x.round();
            (vec![pos2(x, canvas.top()), pos2(x, canvas.bottom())], pos2(x, canvas.top() + 53.0))
        }
    };
    ui.painter().extend(Shape::dashed_line(&points, Stroke::new(1.5, theme.frozen), 6.0, 4.0));
    let Some((short, all, pays)) = price(outlook) else { return };
    let content = layout.cards.iter().map(|card| card.rect.right()).fold(f32::NEG_INFINITY, f32::max);
    let room = canvas.right() - at(content, 0.0).x - 18.0;
    // The map of the graph keeps its corner: beside it the label stands at its left.
    let beside = map.filter(|map| map.expand(24.0).y_range().contains(anchor.y));
    let anchor = beside.map_or(anchor, |map| pos2(map.left() - 12.0, anchor.y));
    label(ui, canvas, anchor, course, room, [&short, &all, &pays], outlook);
}

/// The label: two lines where there is room beside the graph, else one.
fn label(
    ui: &Ui,
    canvas: Rect,
    anchor: Pos2,
    course: Course,
    room: f32,
    [short, all, pays]: [&str; 3],
    outlook: &Outlook,
) {
    let theme = Theme::of(ui);
    let wide = |text: &str, font| ui.painter().layout_no_wrap(text.to_owned(), font, theme.text).size().x;
    let full = wide(pays, medium(11.0)).max(wide(all, mono(10.0))) + 38.0;
    let is_full = room >= full && !matches!(course, Course::Upright(_));
    let size = if is_full { vec2(full, 42.0) } else { vec2(wide(short, mono(10.0)) + 34.0, 20.0) };
    let corner = match course {
        // In the strip the label stands on the side that has room for it.
        Course::Upright(_) if anchor.x + size.x + 12.0 > canvas.right() => {
            anchor - vec2(size.x + 6.0, size.y / 2.0)
        }
        Course::Upright(_) => anchor + vec2(6.0, -size.y / 2.0),
        _ => anchor - vec2(size.x, size.y / 2.0),
    };
    let rect = Rect::from_min_size(corner, size);
    // The stages, the zoom and the heat keep their corners; in the strip it stands between them and the graph.
    let free = canvas.shrink2(vec2(4.0, if matches!(course, Course::Upright(_)) { 4.0 } else { 44.0 }));
    if !free.contains_rect(rect) {
        return;
    }
    ui.painter().rect(rect, 7, theme.card, Stroke::new(1.0, theme.frozen), StrokeKind::Inside);
    let icon = pos2(rect.left() + 14.0, if is_full { rect.top() + 14.0 } else { rect.center().y });
    icons::paint(ui.painter(), Icon::Save, icon, 13.0, theme.frozen);
    let x = rect.left() + 26.0;
    if is_full {
        let y = rect.top() + 14.0;
        let color = if outlook.plan.cut.as_ref().is_some_and(|cut| cut.break_even_epoch.is_some()) {
            theme.brand
        } else {
            theme.text
        };
        ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, pays, medium(11.0), color);
        let below = pos2(x, rect.top() + 30.0);
        ui.painter().text(below, Align2::LEFT_CENTER, all, mono(10.0), theme.body);
    } else {
        ui.painter().text(pos2(x, rect.center().y), Align2::LEFT_CENTER, short, mono(10.0), theme.body);
    }
    let response = ui.interact(rect, Id::unique("cut price"), Sense::hover());
    let told = format!("Cut, predicted: {all}, {pays}");
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &told));
    response.on_hover_ui(|ui| hover(ui, outlook));
}

fn hover(ui: &mut Ui, outlook: &Outlook) {
    let (Some(cut), Some(predicted)) = (&outlook.plan.cut, outlook.predicted()) else { return };
    ui.label("What a cache of the frozen side's values would cost. All of it is predicted.");
    for path in &cut.after {
        ui.label(egui::RichText::new(path).font(mono(10.5)));
    }
    ui.label(format!(
        "{} samples, {} in all",
        format::whole(outlook.plan.samples as u64),
        bytes_text(cut.bytes_total)
    ));
    ui.label(format!("spares {} multiply-adds a sample", format::short(cut.multiply_adds_per_sample)));
    if outlook.timed {
        let [before, with, build] =
            [predicted.step_secs, cut.step_secs, cut.build_secs].map(format::step_time);
        ui.label(format!("step {before} → {with}, built in {build}"));
    }
}
