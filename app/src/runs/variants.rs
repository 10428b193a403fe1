//! A sweep's table: one row a variant, differences against the first one over the same seeds.

use egui::{Align2, FontId, Rect, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};
use graft_engine::runs::{RunEntry, VariantRow, variants};

use super::compare::{Compared, metric, title_of};
use crate::format;
use crate::theme::{Theme, bold, medium, mono, regular};
use crate::widgets::shorten;

const LINE: f32 = 22.0;

/// Whether these runs are of one sweep and of more than one variant.
pub(super) fn are_sweep(runs: &[Compared]) -> bool {
    let mut marks = runs.iter().map(|run| run.entry.sweep.as_ref());
    let Some(Some(first)) = marks.next() else { return false };
    let mut several = false;
    let same = marks.all(|mark| {
        several |= mark.is_some_and(|mark| mark.variant != first.variant);
        mark.is_some_and(|mark| mark.sweep == first.sweep)
    });
    same && several
}

/// Height of the table of these runs.
pub(super) fn height(runs: &[Compared]) -> f32 {
    let mut names: Vec<&str> =
        runs.iter().filter_map(|run| Some(run.entry.sweep.as_ref()?.variant.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    #[expect(clippy::cast_precision_loss, reason = "few variants")]
    let count = names.len() as f32;
    30.0 + LINE * (count + 1.0)
}

/// Cells of a row, the name first.
fn cells(row: &VariantRow) -> [String; 7] {
    let unknown = || format::UNKNOWN.to_owned();
    let difference = match row.difference {
        _ if row.is_first => "first".to_owned(),
        None => unknown(),
        Some((mean, None)) => format!("{:+.2}", 100.0 * mean),
        Some((mean, Some(half))) => format!("{:+.2} ± {:.2}", 100.0 * mean, 100.0 * half),
    };
    let seeds = match row.missing {
        0 => row.seeds.to_string(),
        missing => format!("{} + {missing}", row.seeds),
    };
    [
        row.variant.clone(),
        seeds,
        row.score.map_or_else(unknown, |score| format!("{:.2}", 100.0 * score)),
        difference.replace('-', "−"),
        row.secs.map_or_else(unknown, format::duration),
        row.peak_bytes.map_or_else(unknown, format::bytes),
        row.trainable.map_or_else(unknown, format::short),
    ]
}

pub(super) fn ui(ui: &mut Ui, runs: &[Compared]) {
    let theme = Theme::of(ui);
    let entries: Vec<&RunEntry> = runs.iter().map(|run| &run.entry).collect();
    let rows = variants(&entries);
    let score = format!("{} %", title_of(metric(runs)));
    ui.label(egui::RichText::new("Variants").font(bold(13.0)).color(theme.text));
    let heads = ["Variant", "Seeds", &score, "− first", "Time", "Peak", "Trainable"].map(str::to_owned);
    let name = format!("Variants' columns: {}", heads.join(", "));
    line(ui, &heads, &regular(11.0), &name, "");
    let rect = ui.cursor();
    ui.painter().hline(rect.x_range(), rect.top(), Stroke::new(1.0, theme.line));
    egui::ScrollArea::vertical().id_salt("variants").auto_shrink([false, false]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for row in &rows {
            let name = format!("Variant {}", cells(row).join(", "));
            let hint = match row.missing {
                0 => String::new(),
                1 => "1 run is not done".to_owned(),
                missing => format!("{missing} runs are not done"),
            };
            line(ui, &cells(row), &mono(11.0), &name, &hint);
        }
    });
}

fn line(ui: &mut Ui, cells: &[String; 7], font: &FontId, name: &str, hint: &str) {
    const WIDTHS: [f32; 6] = [48.0, 62.0, 104.0, 64.0, 74.0, 74.0];
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Row, true, name));
    let mut right = rect.right() - 4.0;
    // In a narrow table the last columns go first.
    let mut shown = WIDTHS.len();
    while shown > 2 && WIDTHS[..shown].iter().sum::<f32>() + 110.0 > rect.width() {
        shown -= 1;
    }
    for (cell, width) in cells[1..].iter().zip(WIDTHS).take(shown).rev() {
        let at = pos2(right, rect.center().y);
        ui.painter().text(at, Align2::RIGHT_CENTER, cell, font.clone(), theme.body);
        right -= width;
    }
    let own: Rect = Rect::from_x_y_ranges(rect.left()..=right, rect.y_range());
    let text = shorten(ui, &cells[0], &medium(11.5), own.width() - 8.0);
    ui.painter().text(own.left_center(), Align2::LEFT_CENTER, text, medium(11.5), theme.text);
    let hint = if hint.is_empty() { cells[0].clone() } else { format!("{}\n{hint}", cells[0]) };
    response.on_hover_text(hint);
}
