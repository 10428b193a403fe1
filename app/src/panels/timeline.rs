//! Rows are parts, bars are the stages in which they train; the ends of bars can be dragged.

use egui::{
    Align2, CursorIcon, Id, Pos2, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2,
    vec2,
};

use super::Desk;
use crate::actions::Action;
use crate::format;
use crate::icons;
use crate::model::Freeze;
use crate::theme::{Theme, bold, medium, mono, regular};
use crate::timeline::{Row, Timeline, dragged};
use crate::view::View;
use crate::widgets::{centre, focus_ring, shorten};

/// Height of a row, and of the head with names and peaks.
const ROW: f32 = 26.0;
const HEAD: f32 = 40.0;
/// Width of the parts' names.
const NAMES: f32 = 190.0;

/// Shows the panel.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, view: &View, actions: &mut Vec<Action>) {
    let timeline = match desk.timelines.latest() {
        Ok(timeline) if !timeline.columns.is_empty() => timeline,
        Ok(_) => return centre(ui, "Working out the stages…"),
        Err(error) => return centre(ui, error),
    };
    ScrollArea::vertical().id_salt("timeline").auto_shrink([false, false]).show(ui, |ui| {
        let rows = timeline.rows.len();
        #[expect(clippy::cast_precision_loss, reason = "a few dozen rows")]
        let size = vec2(ui.available_width(), HEAD + ROW * rows as f32 + 8.0);
        let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
        let edges = edges(timeline, rect);
        head(ui, rect, timeline, &edges, desk, view, actions);
        for (number, row) in timeline.rows.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a few dozen rows")]
            let top = rect.top() + HEAD + ROW * number as f32;
            let place = Rect::from_min_size(pos2(rect.left(), top), vec2(rect.width(), ROW));
            self::row(ui, place, row, &edges, desk, actions);
        }
    });
}

/// The x of each border between stages, the outer ones included; widths follow the epochs.
#[expect(clippy::cast_precision_loss, reason = "a few hundred epochs")]
fn edges(timeline: &Timeline, rect: Rect) -> Vec<f32> {
    let left = rect.left() + NAMES;
    let room = rect.right() - 16.0 - left;
    // A stage of one epoch beside one of a hundred still has to be seen.
    let weights: Vec<f32> = timeline.columns.iter().map(|column| (column.epochs as f32).sqrt()).collect();
    let all: f32 = weights.iter().sum();
    let mut x = left;
    let mut edges = vec![x];
    for weight in weights {
        x += room * weight / all.max(1.0);
        edges.push(x);
    }
    edges
}

fn head(
    ui: &Ui,
    rect: Rect,
    timeline: &Timeline,
    edges: &[f32],
    desk: Desk<'_>,
    view: &View,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    let goes_on = desk.locked && desk.foreign_run().is_none();
    let running = desk.session.series().stage().filter(|_| goes_on).and_then(|stage| stage.listed);
    for (index, column) in timeline.columns.iter().enumerate() {
        let own = Rect::from_min_max(
            pos2(edges[index], rect.top() + 2.0),
            pos2(edges[index + 1], rect.top() + HEAD - 2.0),
        );
        let response = ui.interact(own, Id::unique(("timeline stage", index)), Sense::click());
        let peak = column.peak_bytes.map(format::bytes);
        let name = format!("Timeline stage {}: {}", index + 1, column.name);
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, view.stage == index, &name));
        if view.stage == index || response.hovered() {
            ui.painter().rect_filled(
                own.shrink2(vec2(1.0, 0.0)),
                5,
                if view.stage == index { theme.active } else { theme.raised },
            );
        }
        let title = format!("{} · {}", index + 1, column.name);
        let title = shorten(ui, &title, &medium(12.0), own.width() - 12.0);
        ui.painter().text(own.min + vec2(6.0, 11.0), Align2::LEFT_CENTER, title, medium(12.0), theme.text);
        let about = match (&column.other, &peak) {
            (Some(other), Some(peak)) => format!("{other} · peak {peak}"),
            (Some(other), None) => other.clone(),
            (None, Some(peak)) => format!("{} epochs · peak {peak}", column.epochs),
            (None, None) => format!("{} epochs", column.epochs),
        };
        let about = shorten(ui, &about, &regular(11.0), own.width() - 12.0);
        ui.painter().text(own.min + vec2(6.0, 27.0), Align2::LEFT_CENTER, about, regular(11.0), theme.label);
        let x = edges[index];
        ui.painter().vline(x, rect.top() + 2.0..=rect.bottom() - 6.0, Stroke::new(1.0, theme.line));
        if running == Some(index) {
            let line =
                Rect::from_min_max(pos2(own.left(), own.bottom()), pos2(own.right(), own.bottom() + 2.0));
            ui.painter().rect_filled(line, 0, theme.brand);
        }
        focus_ring(ui, &response, own);
        if response.clicked() {
            actions.push(Action::ShowStage(index));
        }
        if let Err(error) = &column.model {
            response.on_hover_text(error);
        }
    }
}

fn row(ui: &Ui, place: Rect, row: &Row, edges: &[f32], desk: Desk<'_>, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let y = place.center().y;
    let mut x = place.left() + 14.0;
    let kind = row
        .adapter
        .and_then(|index| desk.document?.project().adapters.get(index))
        .map(|it| it.kind.kind().letter());
    if let Some(letter) = kind {
        icons::badge(ui.painter(), theme.kind(letter), pos2(x + 7.0, y), 15.0, theme.ink);
        x += 22.0;
    }
    let title = shorten(ui, &row.title, &bold(12.0), place.left() + NAMES - 8.0 - x);
    ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, title, bold(12.0), theme.text);
    let color = kind.map_or(theme.trainable, |letter| theme.kind(letter).color);
    for (stage, state) in row.states.iter().enumerate() {
        let cell =
            Rect::from_min_max(pos2(edges[stage], place.top()), pos2(edges[stage + 1], place.bottom()));
        cell_ui(ui, cell.shrink2(vec2(1.0, 4.0)), row, stage, *state, color, desk, actions);
    }
    if desk.locked {
        return;
    }
    for (edge, right) in ends(row) {
        handle(ui, pos2(edges[edge], y), row, edge, right, edges, actions);
    }
}

#[expect(clippy::too_many_arguments, reason = "one cell: where, of what, in which state")]
fn cell_ui(
    ui: &Ui,
    rect: Rect,
    row: &Row,
    column: usize,
    state: Option<Freeze>,
    color: egui::Color32,
    desk: Desk<'_>,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    let Some(state) = state else {
        let line = [rect.left_center() + vec2(4.0, 0.0), rect.right_center() - vec2(4.0, 0.0)];
        ui.painter().extend(egui::Shape::dashed_line(&line, Stroke::new(1.0, theme.line), 2.0, 4.0));
        return;
    };
    let trains = !state.is_frozen();
    let sense = if desk.locked { Sense::hover() } else { Sense::click() };
    let response = ui.interact(rect, Id::unique(("timeline cell", row.path.as_str(), column)), sense);
    let name = format!("{} in stage {}: {}", row.title, column + 1, state.word());
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, !desk.locked, trains, &name));
    if trains {
        let fill = color.gamma_multiply(if state == Freeze::Mixed { 0.16 } else { 0.3 });
        ui.painter().rect(rect, 4, fill, Stroke::new(1.25, color), StrokeKind::Inside);
    } else {
        // Where a gradient passes, the line has its colour: it costs memory though nothing learns.
        let color = if state == Freeze::Passing { theme.trainable } else { theme.outline };
        let line = [rect.left_center() + vec2(4.0, 0.0), rect.right_center() - vec2(4.0, 0.0)];
        ui.painter().line_segment(line, Stroke::new(1.0, color));
    }
    let word = if trains { state.word() } else { "" };
    if rect.width() > 70.0 {
        ui.painter().text(
            rect.left_center() + vec2(10.0, 0.0),
            Align2::LEFT_CENTER,
            word,
            mono(10.0),
            theme.body,
        );
    }
    focus_ring(ui, &response, rect);
    if response.clicked() {
        actions.push(Action::SetTrained { path: row.path.clone(), stages: vec![(column, !trains)] });
    }
    let hint = if trains { "Click to freeze it in this stage" } else { "Click to train it in this stage" };
    response.on_hover_text(format!("{name}\n{hint}"));
}

/// Ends of the spans: the edge, and whether the span lies before it.
fn ends(row: &Row) -> Vec<(usize, bool)> {
    let trains =
        |stage: usize| row.states.get(stage).is_some_and(|it| it.is_some_and(|state| !state.is_frozen()));
    let mut ends = Vec::new();
    for edge in 0..=row.states.len() {
        let before = edge > 0 && trains(edge - 1);
        if before != trains(edge) {
            ends.push((edge, before));
        }
    }
    ends
}

fn handle(ui: &Ui, at: Pos2, row: &Row, edge: usize, right: bool, edges: &[f32], actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let inward = if right { -4.0 } else { 4.0 };
    let rect = Rect::from_center_size(at + vec2(inward, 0.0), vec2(8.0, ROW - 8.0));
    let response = ui.interact(rect, Id::unique(("timeline end", row.path.as_str(), edge)), Sense::drag());
    let side = if right { "End" } else { "Beginning" };
    let name = format!("{side} of {} at stage {}", row.title, if right { edge } else { edge + 1 });
    response.widget_info(|| WidgetInfo::labeled(Role::Slider, true, &name));
    let response = response.on_hover_cursor(CursorIcon::ResizeHorizontal);
    if response.hovered() || response.dragged() {
        let line = Rect::from_center_size(rect.center(), vec2(2.0, rect.height() - 6.0));
        ui.painter().rect_filled(line, 1, theme.text);
    }
    let Some(pointer) = response.interact_pointer_pos() else { return };
    let nearest = |x: f32| {
        let distance = |edge: &usize| (edges[*edge] - x).abs();
        (0..edges.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(edge)
    };
    let to = nearest(pointer.x);
    if response.dragged() {
        let line = Stroke::new(1.5, theme.selection);
        ui.painter().vline(edges[to], at.y - ROW / 2.0..=at.y + ROW / 2.0, line);
    }
    if response.drag_stopped() {
        let stages = dragged(edge, to, right);
        if !stages.is_empty() {
            actions.push(Action::SetTrained { path: row.path.clone(), stages });
        }
    }
}
