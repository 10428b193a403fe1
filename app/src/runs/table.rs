//! The table of runs: a header to sort by, and one line a run.

use egui::{Align2, Color32, Id, Pos2, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use graft_engine::runs::RunState;

use super::marks;
use super::order::Line;
use crate::actions::{Action, RunAction};
use crate::format;
use crate::icons::{self, Icon};
use crate::library::{Library, Row};
use crate::theme::{Theme, medium, mono, regular};
use crate::view::{Column, RunsView};
use crate::widgets::{focus_ring, shorten, shorten_front};

const LINE: f32 = 26.0;
/// Room for a check box and a mark.
const LEAD: f32 = 52.0;

/// Height of the whole table.
pub(super) fn height(lines: &[Line<'_>]) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "few lines")]
    let count = lines.len() as f32;
    (count + 1.0) * LINE + 6.0
}

/// Left and right end of each column; the name takes what the others leave, and so do tags after the last.
fn columns(rect: Rect) -> Vec<(Column, f32, f32)> {
    let width = |column: Column| match column {
        Column::Name => 0.0,
        Column::State => 88.0,
        Column::Score | Column::Loss => 62.0,
        Column::Trainable => 74.0,
        Column::Peak | Column::Time => 78.0,
        Column::Device => 64.0,
        Column::Began => 122.0,
    };
    let mut shown: Vec<Column> = Column::ALL.to_vec();
    // In a narrow table the columns that tell least go first.
    for column in [Column::Device, Column::Began, Column::Loss, Column::Time, Column::Trainable] {
        let needed: f32 = shown.iter().map(|column| width(*column)).sum();
        if LEAD + 150.0 + needed > rect.width() {
            shown.retain(|other| *other != column);
        }
    }
    let others: f32 = shown.iter().map(|column| width(*column)).sum();
    let name = (rect.width() - LEAD - others - 16.0).max(60.0);
    let mut x = rect.left() + LEAD;
    let mut result = Vec::new();
    for column in shown {
        let width = if column == Column::Name { name } else { width(column) };
        result.push((column, x, x + width - 10.0));
        x += width;
    }
    result
}

pub(super) fn ui(
    ui: &mut Ui,
    library: &Library,
    lines: &[Line<'_>],
    view: &mut RunsView,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    ui.spacing_mut().item_spacing.y = 0.0;
    header(ui, view);
    if lines.is_empty() {
        let text = if library.rows().is_empty() {
            "No run yet. Train makes one; those of the command line appear here as well"
        } else {
            "No run fits the filter"
        };
        let rect = ui.available_rect_before_wrap();
        ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, regular(12.0), theme.label);
        return;
    }
    let scroll = egui::ScrollArea::vertical().id_salt("runs").auto_shrink([false, false]);
    scroll.show_rows(ui, LINE, lines.len(), |ui, range| {
        for line in &lines[range] {
            match line {
                Line::Sweep(name, members) => sweep(ui, name, members, library, actions),
                Line::Run(row, inner) => run(ui, row, *inner, library, actions),
            }
        }
    });
}

fn header(ui: &mut Ui, view: &mut RunsView) {
    let theme = Theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::hover());
    for (column, left, right) in columns(rect) {
        let cell = Rect::from_x_y_ranges(left..=right, rect.y_range());
        let response = ui.interact(cell, Id::unique(("sort runs", column.title())), Sense::click());
        let sorted = view.sort == column;
        let name = format!("Sort by {}", column.title());
        response.widget_info(|| WidgetInfo::selected(Role::ColumnHeader, true, sorted, &name));
        if response.clicked() {
            view.ascending = if sorted { !view.ascending } else { !column.is_number() };
            if column == Column::Began && !sorted {
                view.ascending = false;
            }
            view.sort = column;
        }
        let color = if sorted || response.hovered() { theme.text } else { theme.label };
        let (at, align) = anchor(column, cell);
        let text = ui.painter().text(at, align, column.title(), regular(11.0), color);
        if sorted {
            let x = if column.is_number() { text.left() - 8.0 } else { text.right() + 8.0 };
            let tip = if view.ascending { -2.5 } else { 2.5 };
            let y = cell.center().y;
            let points = [pos2(x - 3.5, y - tip), pos2(x, y + tip), pos2(x + 3.5, y - tip)];
            ui.painter().line(points.to_vec(), Stroke::new(1.3, theme.text));
        }
        focus_ring(ui, &response, cell.shrink(2.0));
    }
    ui.painter().hline(rect.x_range(), rect.bottom(), Stroke::new(1.0, theme.line));
}

fn anchor(column: Column, cell: Rect) -> (Pos2, Align2) {
    if column.is_number() {
        (cell.right_center(), Align2::RIGHT_CENTER)
    } else {
        (cell.left_center(), Align2::LEFT_CENTER)
    }
}

fn sweep(ui: &mut Ui, name: &str, members: &[&Row], library: &Library, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::click());
    let all = members.iter().all(|row| library.chosen().contains(&row.entry.path));
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, all, format!("Sweep {name}")));
    if response.hovered() {
        ui.painter().rect_filled(rect, 0, theme.raised);
    }
    let count = format!("sweep, {} runs", members.len());
    let text = shorten(ui, name, &medium(12.0), rect.width() - 160.0);
    let at = pos2(rect.left() + 14.0, rect.center().y);
    let text = ui.painter().text(at, Align2::LEFT_CENTER, text, medium(12.0), theme.text);
    let after = pos2(text.right() + 8.0, rect.center().y);
    ui.painter().text(after, Align2::LEFT_CENTER, count, regular(11.0), theme.label);
    focus_ring(ui, &response, rect.shrink(2.0));
    if response.on_hover_text("Compare all runs of this sweep").clicked() {
        let paths = members.iter().map(|row| row.entry.path.clone()).collect();
        actions.push(Action::Runs(RunAction::ChooseAll(paths)));
    }
}

fn run(ui: &mut Ui, row: &Row, inner: bool, library: &Library, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let entry = &row.entry;
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::click());
    let place = library.chosen().iter().position(|path| *path == entry.path);
    let name = format!("Run {}, {}", entry.id, entry.state.word());
    response.widget_info(|| WidgetInfo::selected(Role::Row, true, place.is_some(), &name));
    let fill = if place.is_some() { theme.active } else { theme.raised };
    if place.is_some() || response.hovered() {
        ui.painter().rect_filled(rect, 0, fill);
    }
    let check = Rect::from_center_size(pos2(rect.left() + 19.0, rect.center().y), vec2(13.0, 13.0));
    let toggle = ui.interact(check.expand(5.0), Id::unique(("choose run", &entry.id)), Sense::click());
    let label = format!("Compare {}", entry.id);
    toggle.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, place.is_some(), &label));
    tick(ui, check, place.is_some());
    focus_ring(ui, &toggle, check);
    focus_ring(ui, &response, rect.shrink(2.0));
    if let Some(place) = place {
        let mark = marks::mark(theme, place);
        let edge = Rect::from_min_size(rect.min, vec2(2.0, rect.height()));
        ui.painter().rect_filled(edge, 0, mark.color);
        marks::paint(ui.painter(), mark, pos2(rect.left() + 39.0, rect.center().y), 4.5);
    }
    for (column, left, right) in columns(rect) {
        let left = if inner && column == Column::Name { left + 12.0 } else { left };
        let cell = Rect::from_x_y_ranges(left..=right, rect.y_range());
        cell_ui(ui, row, column, cell, place.is_some());
    }
    if toggle.clicked() {
        actions.push(Action::Runs(RunAction::Choose { path: entry.path.clone(), add: true }));
        return;
    }
    if response.double_clicked() {
        actions.push(Action::Runs(RunAction::Open(entry.path.clone())));
    } else if response.clicked() {
        let add = ui.input(|input| input.modifiers.command || input.modifiers.shift);
        actions.push(Action::Runs(RunAction::Choose { path: entry.path.clone(), add }));
    }
    let mut hint = entry.path.display().to_string();
    for line in [entry.error.as_deref(), Some(row.notes.note.as_str())].into_iter().flatten() {
        if !line.is_empty() {
            hint += "\n";
            hint += line;
        }
    }
    response.on_hover_text(hint);
}

fn tick(ui: &Ui, rect: Rect, on: bool) {
    let theme = Theme::of(ui);
    if on {
        ui.painter().rect_filled(rect, 3, theme.text);
        icons::paint(ui.painter(), Icon::Check, rect.center(), 11.0, theme.panel);
    } else {
        ui.painter().rect_stroke(rect, 3, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    }
}

fn cell_ui(ui: &Ui, row: &Row, column: Column, cell: Rect, chosen: bool) {
    let theme = Theme::of(ui);
    let entry = &row.entry;
    let unknown = || format::UNKNOWN.to_owned();
    let quiet = if chosen { theme.body } else { theme.label };
    let (at, align) = anchor(column, cell);
    let number = |text: String| {
        ui.painter().text(at, align, text, mono(11.0), theme.body);
    };
    match column {
        Column::Name => name(ui, row, cell),
        Column::State => {
            let (icon, color) = state_icon(theme, entry.state);
            icons::paint(ui.painter(), icon, pos2(cell.left() + 6.0, cell.center().y), 11.0, color);
            let at = pos2(cell.left() + 17.0, cell.center().y);
            ui.painter().text(at, Align2::LEFT_CENTER, entry.state.word(), regular(11.0), quiet);
        }
        Column::Score => {
            // What was not tested yet shows its validation, fainter.
            let (value, color) = match (entry.score, entry.validation) {
                (Some(test), _) => (Some(test), theme.text),
                (None, other) => (other, theme.label),
            };
            let text = value.map_or_else(unknown, |value| format!("{:.1}", 100.0 * value));
            ui.painter().text(at, align, text, mono(11.0), color);
        }
        Column::Loss => number(entry.loss.map_or_else(unknown, |loss| format!("{loss:.3}"))),
        Column::Trainable => number(entry.trainable.map_or_else(unknown, format::short)),
        Column::Peak => number(entry.peak_bytes.map_or_else(unknown, format::bytes)),
        Column::Time => number(format::duration(entry.secs)),
        Column::Device => {
            let text = shorten(ui, &entry.device, &regular(11.0), cell.width());
            ui.painter().text(at, align, text, regular(11.0), quiet);
        }
        Column::Began => {
            ui.painter().text(at, align, &entry.began, mono(10.5), quiet);
        }
    }
}

/// The name without the time that stands in a column of its own, then the tags.
fn name(ui: &Ui, row: &Row, cell: Rect) {
    let theme = Theme::of(ui);
    let text = shorten_front(ui, &row.entry.id, &medium(12.0), cell.width());
    let at = cell.left_center();
    let text = ui.painter().text(at, Align2::LEFT_CENTER, text, medium(12.0), theme.text);
    let mut x = text.right() + 8.0;
    for tag in &row.notes.tags {
        let galley = ui.painter().layout_no_wrap(tag.clone(), regular(10.0), theme.brand);
        let size = galley.size() + vec2(10.0, 3.0);
        if x + size.x > cell.right() {
            return;
        }
        let rect = Rect::from_min_size(pos2(x, cell.center().y - size.y / 2.0), size);
        ui.painter().rect_filled(rect, 7, theme.brand_tint);
        ui.painter().galley(rect.min + vec2(5.0, 1.5), galley, theme.brand);
        x += size.x + 4.0;
    }
}

fn state_icon(theme: &Theme, state: RunState) -> (Icon, Color32) {
    match state {
        RunState::Running => (Icon::Play, theme.brand),
        RunState::Paused => (Icon::Pause, theme.warning),
        RunState::Interrupted => (Icon::Warning, theme.warning),
        RunState::Stopped => (Icon::Stop, theme.label),
        RunState::Finished => (Icon::Check, theme.brand),
        RunState::Failed => (Icon::Cross, theme.error),
    }
}
