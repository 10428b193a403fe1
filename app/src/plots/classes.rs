//! What the latest evaluation took for what: the matrix of confusions, each class's accuracy, and some samples.

use egui::{Align2, Rect, Role, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2};

use crate::icons::{self, Icon};
use crate::previews::Page;
use crate::session::{Classes, Series};
use crate::textures::{Textures, beat, paint};
use crate::theme::{Theme, bold, mono, regular};
use crate::widgets::shorten;

/// Samples that the latest evaluation tells of.
#[derive(Debug)]
pub struct Judged<'a> {
    /// The samples, in the order in which it tells of them.
    pub page: Option<&'a Result<Page, String>>,
    /// Their pictures.
    pub textures: &'a mut Textures,
}

/// Height of a sample's line with a picture, and without.
const LINES: [f32; 2] = [44.0, 20.0];

/// Shows the page; pictures once they are read.
pub(super) fn ui(ui: &mut Ui, series: &Series, judged: &mut Judged<'_>) {
    let theme = Theme::of(ui);
    let all = ui.available_rect_before_wrap();
    let Some(classes) = &series.classes else {
        let text = "No evaluation of this run tells its classes yet (those of at most 40 classes do)";
        ui.painter().text(all.center(), Align2::CENTER_CENTER, text, regular(12.0), theme.label);
        return;
    };
    let side = (all.width() * 0.5).min(all.height() + 60.0);
    let (left, rest) = all.split_left_right_at_x(all.left() + side);
    let (middle, right) = rest.split_left_right_at_x(rest.left() + rest.width() * 0.45);
    let stroke = egui::Stroke::new(1.0, theme.line);
    for rect in [middle, right] {
        ui.painter().vline(rect.left(), rect.y_range(), stroke);
    }
    let mut part = |rect: Rect, salt: &str| {
        let mut inner = ui.new_child(UiBuilder::new().id_salt(salt).max_rect(rect.shrink2(vec2(12.0, 6.0))));
        inner.set_clip_rect(rect.intersect(ui.clip_rect()));
        inner
    };
    matrix(&mut part(left, "matrix"), series, classes);
    accuracy(&mut part(middle, "accuracy"), series, classes);
    samples(&mut part(right, "samples"), series, classes, judged);
}

fn name(series: &Series, class: usize) -> String {
    series.class_names.get(class).cloned().unwrap_or_else(|| class.to_string())
}

fn title(ui: &mut Ui, title: &str, remark: &str) {
    let theme = Theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 24.0), Sense::hover());
    let text = ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, title, bold(13.0), theme.text);
    let at = pos2(text.right() + 8.0, rect.center().y);
    let remark = shorten(ui, remark, &regular(11.0), rect.right() - at.x);
    ui.painter().text(at, Align2::LEFT_CENTER, remark, regular(11.0), theme.label);
}

#[expect(clippy::cast_precision_loss, reason = "shares are shown")]
fn matrix(ui: &mut Ui, series: &Series, classes: &Classes) {
    let theme = Theme::of(ui);
    let remark = format!("{}, step {:.0}; rows are true, columns predicted", classes.split, classes.x);
    title(ui, "Confusion", &remark);
    let count = classes.confusion.len();
    if count == 0 {
        return;
    }
    let all = ui.available_rect_before_wrap();
    let lead = 64.0_f32.min(all.width() * 0.2);
    let foot = 18.0;
    let cell = ((all.width() - lead) / count as f32).min((all.height() - foot) / count as f32).max(2.0);
    let legible = cell >= 20.0;
    let label = format!("Confusion of {count} classes, {}", classes.split);
    let board = Rect::from_min_size(all.min + vec2(lead, 0.0), vec2(cell, cell) * count as f32);
    let response = ui.interact(board, egui::Id::unique("confusion"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, &label));
    for (row, counts) in classes.confusion.iter().enumerate() {
        let sum = counts.iter().sum::<u64>();
        let y = board.top() + row as f32 * cell;
        if cell >= 9.0 {
            let text = shorten(ui, &name(series, row), &regular(10.0), lead - 8.0);
            let at = pos2(board.left() - 6.0, y + cell / 2.0);
            ui.painter().text(at, Align2::RIGHT_CENTER, text, regular(10.0), theme.label);
        }
        for (column, &times) in counts.iter().enumerate() {
            let corner = pos2(board.left() + column as f32 * cell, y);
            let rect = Rect::from_min_size(corner, vec2(cell, cell)).shrink(0.5);
            let share = if sum > 0 { times as f32 / sum as f32 } else { 0.0 };
            let color = if row == column { theme.brand } else { theme.error };
            ui.painter().rect_filled(rect, 2, theme.well.lerp_to_gamma(color, share.sqrt() * 0.8));
            if legible && times > 0 {
                let text = times.to_string();
                ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, mono(10.0), theme.text);
            }
        }
    }
    if cell >= 20.0 {
        for column in 0..count {
            let text = shorten(ui, &name(series, column), &regular(10.0), cell - 2.0);
            let at = pos2(board.left() + (column as f32 + 0.5) * cell, board.bottom() + 9.0);
            ui.painter().text(at, Align2::CENTER_CENTER, text, regular(10.0), theme.label);
        }
    }
    if let Some(at) = response.hover_pos() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside the board")]
        let place = |offset: f32| ((offset / cell).max(0.0) as usize).min(count - 1);
        let (row, column) = (place(at.y - board.top()), place(at.x - board.left()));
        let times = classes.confusion[row].get(column).copied().unwrap_or(0);
        let text = format!("{} taken for {}: {times} times", name(series, row), name(series, column));
        response.on_hover_text_at_pointer(text);
    }
}

#[expect(clippy::cast_precision_loss, reason = "shares are shown")]
fn accuracy(ui: &mut Ui, series: &Series, classes: &Classes) {
    let theme = Theme::of(ui);
    title(ui, "By class", "right, %");
    egui::ScrollArea::vertical().id_salt("by class").auto_shrink([false, false]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (class, counts) in classes.confusion.iter().enumerate() {
            let sum = counts.iter().sum::<u64>();
            let right = counts.get(class).copied().unwrap_or(0);
            let share = if sum > 0 { right as f32 / sum as f32 } else { 0.0 };
            let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::hover());
            let name = name(series, class);
            let label = format!("Class {name}: {right} of {sum}");
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
            let y = rect.center().y;
            let lead = rect.width() * 0.36;
            let text = shorten(ui, &name, &regular(11.0), lead - 6.0);
            let at = pos2(rect.left(), y);
            ui.painter().text(at, Align2::LEFT_CENTER, text, regular(11.0), theme.body);
            let track = Rect::from_min_max(
                pos2(rect.left() + lead, y - 3.0),
                pos2((rect.right() - 44.0).max(rect.left() + lead), y + 3.0),
            );
            ui.painter().rect_filled(track, 3, theme.active);
            let fill = Rect::from_min_size(track.min, vec2(track.width() * share, track.height()));
            ui.painter().rect_filled(fill, 3, theme.brand);
            let text = if sum > 0 { format!("{:.0}", 100.0 * share) } else { "–".to_owned() };
            let at = pos2(rect.right() - 6.0, y);
            ui.painter().text(at, Align2::RIGHT_CENTER, text, mono(11.0), theme.text);
        }
    });
}

fn samples(ui: &mut Ui, series: &Series, classes: &Classes, judged: &mut Judged<'_>) {
    let theme = Theme::of(ui);
    title(ui, "Samples", "the first wrong and right ones");
    let page = judged.page.and_then(|page| page.as_ref().ok());
    // Until the samples of a newer evaluation are read there are none.
    let indices = classes.predictions.iter().map(|found| Some(found.index));
    let own = page.filter(|page| {
        let read = page.samples.iter().map(|sample| sample.as_ref().ok().map(|sample| sample.index));
        read.eq(indices.clone())
    });
    let frames = own.map_or(&[][..], |page| judged.textures.of(ui.ctx(), page));
    let beat = beat(ui, frames, false);
    egui::ScrollArea::vertical().id_salt("samples").auto_shrink([false, false]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for (place, found) in classes.predictions.iter().enumerate() {
            let frames = frames.get(place).map_or(&[][..], Vec::as_slice);
            let height = LINES[usize::from(frames.is_empty())];
            let (mut rect, response) =
                ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
            if !frames.is_empty() {
                let (picture, words) = rect.split_left_right_at_x(rect.left() + height);
                paint(ui, frames, beat, picture.shrink(2.0));
                rect = words.with_min_x(words.left() + 6.0);
            }
            let right = found.label == found.guess;
            let (truth, guess) = (name(series, found.label), name(series, found.guess));
            let text = if right { truth } else { format!("{truth}, taken for {guess}") };
            let label = format!("Sample {}: {text}", found.index);
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
            let y = rect.center().y;
            let (icon, color) = if right { (Icon::Check, theme.brand) } else { (Icon::Cross, theme.error) };
            icons::paint(ui.painter(), icon, pos2(rect.left() + 6.0, y), 11.0, color);
            let number = format!("{}", found.index);
            let at = pos2(rect.left() + 52.0, y);
            ui.painter().text(at, Align2::RIGHT_CENTER, number, mono(10.5), theme.label);
            let at = pos2(rect.left() + 60.0, y);
            let shown = shorten(ui, &text, &regular(11.0), rect.right() - at.x - 48.0);
            ui.painter().text(at, Align2::LEFT_CENTER, shown, regular(11.0), theme.body);
            let share = format!("{:.0} %", 100.0 * found.share);
            let at = pos2(rect.right() - 4.0, y);
            ui.painter().text(at, Align2::RIGHT_CENTER, share, mono(10.5), theme.text);
            response.on_hover_text(label);
        }
    });
}
