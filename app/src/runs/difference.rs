//! What is placed and what is set differently, and what came of it.

use egui::{Align2, Color32, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use graft_engine::project::Project;
use graft_engine::runs::{RunEntry, placement_difference, settings_difference};

use super::compare::{Compared, metric};
use super::marks;
use crate::format;
use crate::icons;
use crate::theme::{Theme, bold, mono, regular};
use crate::widgets::{shorten, shorten_front};

const LINE: f32 = 24.0;
/// Columns of values; further runs are in the tooltip.
const COLUMNS: usize = 6;

fn projects(runs: &[Compared]) -> Vec<&Project> {
    runs.iter().filter_map(Compared::project).collect()
}

/// The name's width and each value's.
fn widths(width: f32, count: usize) -> (f32, f32) {
    let name = width * 0.42;
    #[expect(clippy::cast_precision_loss, reason = "few columns")]
    let each = (width - name) / count.clamp(1, COLUMNS) as f32;
    (name, each)
}

fn title(ui: &mut Ui, title: &str, remark: &str) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 26.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, format!("{title}, {remark}")));
    let at = pos2(rect.left() + 2.0, rect.center().y);
    let title = ui.painter().text(at, Align2::LEFT_CENTER, title, bold(13.0), theme.text);
    let at = pos2(title.right() + 8.0, rect.center().y);
    let text = shorten(ui, remark, &regular(11.0), rect.right() - at.x);
    ui.painter().text(at, Align2::LEFT_CENTER, text, regular(11.0), theme.label);
}

fn header(ui: &mut Ui, count: usize) {
    let theme = Theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::hover());
    let (name, each) = widths(rect.width(), count);
    let mut x = rect.left() + name;
    for place in 0..count.min(COLUMNS) {
        marks::paint(ui.painter(), marks::mark(theme, place), pos2(x + 6.0, rect.center().y), 4.0);
        x += each;
    }
    if count > COLUMNS {
        let at = pos2(rect.right(), rect.center().y);
        let more = format!("+{}", count - COLUMNS);
        ui.painter().text(at, Align2::RIGHT_CENTER, more, regular(10.0), theme.label);
    }
}

/// A row: a name and a text for each run, lit where it is not the first one's.
fn row(ui: &mut Ui, name: &str, values: &[(String, Color32)]) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::hover());
    let texts: Vec<&str> = values.iter().map(|(text, _)| text.as_str()).collect();
    let label = format!("{name}: {}", texts.join(" | "));
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
    if response.hovered() {
        ui.painter().rect_filled(rect, 0, theme.raised);
    }
    let (width, each) = widths(rect.width(), values.len());
    let text = shorten_front(ui, name, &mono(10.5), width - 8.0);
    let at = pos2(rect.left() + 2.0, rect.center().y);
    ui.painter().text(at, Align2::LEFT_CENTER, text, mono(10.5), theme.body);
    let mut x = rect.left() + width;
    for (value, color) in values.iter().take(COLUMNS) {
        let text = shorten(ui, value, &mono(10.5), each - 6.0);
        ui.painter().text(pos2(x, rect.center().y), Align2::LEFT_CENTER, text, mono(10.5), *color);
        x += each;
    }
    response.on_hover_text(label.replace(" | ", "\n"));
}

fn quiet(ui: &mut Ui, text: &str) {
    let theme = Theme::of(ui);
    ui.label(egui::RichText::new(text).font(regular(11.0)).color(theme.label));
}

pub(super) fn settings(ui: &mut Ui, runs: &[Compared]) {
    let theme = Theme::of(ui);
    egui::ScrollArea::vertical().id_salt("settings").auto_shrink([false, false]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        against(ui, runs);
        ui.add_space(10.0);
        let projects = projects(runs);
        if projects.len() < runs.len() {
            title(ui, "Settings that differ", "");
            return quiet(ui, "Reading the runs' projects…");
        }
        let (rows, all) = settings_difference(&projects);
        title(ui, "Settings that differ", &format!("{} of {all}", rows.len()));
        if rows.is_empty() {
            return quiet(ui, "All settings agree");
        }
        header(ui, runs.len());
        for found in rows {
            let first = found.values.first().cloned().flatten();
            let value = |value: &Option<String>| {
                let color = if *value == first { theme.label } else { theme.text };
                (value.clone().unwrap_or_else(|| format::UNKNOWN.to_owned()), color)
            };
            let values: Vec<(String, Color32)> = found.values.iter().map(value).collect();
            row(ui, &found.path, &values);
        }
    });
}

pub(super) fn placements(ui: &mut Ui, runs: &[Compared]) {
    let theme = Theme::of(ui);
    egui::ScrollArea::vertical().id_salt("placements").auto_shrink([false, false]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        let projects = projects(runs);
        if projects.len() < runs.len() {
            title(ui, "Placements that differ", "");
            return quiet(ui, "Reading the runs' projects…");
        }
        let (rows, all) = placement_difference(&projects);
        title(ui, "Placements that differ", &format!("{} of {all} rules", rows.len()));
        if rows.is_empty() {
            return quiet(ui, "All runs place the same adapters");
        }
        for found in rows {
            let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::hover());
            let label = format!("Placement {}", found.at);
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
            let text = shorten_front(ui, &found.at, &mono(10.5), rect.width() - 4.0);
            let at = pos2(rect.left() + 2.0, rect.center().y);
            ui.painter().text(at, Align2::LEFT_CENTER, text, mono(10.5), theme.text);
            for (place, placed) in found.placed.iter().enumerate() {
                let same = place > 0 && *placed == found.placed[0];
                if !same {
                    one(ui, place, placed, &found.letters[place]);
                }
            }
            ui.add_space(4.0);
        }
    });
}

/// What one run places at a rule.
fn one(ui: &mut Ui, place: usize, placed: &[String], letters: &[char]) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::hover());
    let y = rect.center().y;
    marks::paint(ui.painter(), marks::mark(theme, place), pos2(rect.left() + 14.0, y), 4.0);
    let text = if placed.is_empty() { "nothing".to_owned() } else { placed.join(", ") };
    let label = format!("Run {}: {text}", place + 1);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
    let mut x = rect.left() + 26.0;
    for letter in letters {
        icons::badge(ui.painter(), theme.kind(*letter), pos2(x + 7.0, y), 14.0, theme.ink);
        x += 18.0;
    }
    let color = if placed.is_empty() { theme.label } else { theme.body };
    let shown = shorten(ui, &text, &mono(10.0), rect.right() - x - 2.0);
    ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, shown, mono(10.0), color);
    response.on_hover_text(text);
}

/// A quantity of runs and what a difference in it means.
struct Measure {
    name: &'static str,
    value: fn(&RunEntry) -> Option<f64>,
    /// More of it is better.
    more: bool,
    /// Told as a difference in points rather than as a factor.
    points: bool,
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
const MEASURES: [Measure; 6] = [
    Measure { name: "Test", value: |entry| entry.score.map(|share| 100.0 * share), more: true, points: true },
    Measure {
        name: "Validation",
        value: |entry| entry.validation.map(|share| 100.0 * share),
        more: true,
        points: true,
    },
    Measure { name: "Loss", value: |entry| entry.loss, more: false, points: true },
    Measure {
        name: "Trainable",
        value: |entry| entry.trainable.map(|count| count as f64),
        more: false,
        points: false,
    },
    Measure {
        name: "Peak memory",
        value: |entry| entry.peak_bytes.map(|bytes| bytes as f64),
        more: false,
        points: false,
    },
    Measure { name: "Time", value: |entry| Some(entry.secs), more: false, points: false },
];

/// A run's cell beside the first one's: told against that where there is something to compare with, and else the value
/// itself; and whether the difference is good.
fn beside(measure: &Measure, first: Option<f64>, value: Option<f64>) -> (String, Option<bool>) {
    let alone = || (value.map_or_else(|| format::UNKNOWN.to_owned(), |value| own(measure, value)), None);
    told(measure, first, value).unwrap_or_else(alone)
}

/// A value told against the first run's, and whether that is good.
fn told(measure: &Measure, first: Option<f64>, value: Option<f64>) -> Option<(String, Option<bool>)> {
    let (first, value) = (first?, value?);
    if measure.points {
        let difference = value - first;
        let decimals = if measure.name == "Loss" { 3 } else { 1 };
        let text = format!("{difference:+.decimals$}").replace('-', "−");
        let shown = difference.abs() >= 0.5 * 0.1f64.powi(decimals.try_into().unwrap_or(1));
        return Some((text, shown.then_some((difference > 0.0) == measure.more)));
    }
    if first <= 0.0 {
        return None;
    }
    let factor = value / first;
    let shown = (factor - 1.0).abs() >= 0.005;
    Some((format!("× {factor:.2}"), shown.then_some((factor > 1.0) == measure.more)))
}

/// Metrics side by side: the first run's values, the others against them.
fn against(ui: &mut Ui, runs: &[Compared]) {
    let theme = Theme::of(ui);
    let Some(first) = runs.first() else { return };
    title(ui, "Against the first", &first.entry.id);
    header(ui, runs.len());
    for measure in &MEASURES {
        let base = (measure.value)(&first.entry);
        let cell = |(place, run): (usize, &Compared)| {
            let value = (measure.value)(&run.entry);
            if place == 0 {
                return (value.map_or_else(|| format::UNKNOWN.to_owned(), |v| own(measure, v)), theme.text);
            }
            match beside(measure, base, value) {
                (text, Some(good)) => (text, if good { theme.brand } else { theme.error }),
                (text, None) if base.is_none() => (text, theme.text),
                (text, None) => (text, theme.label),
            }
        };
        let values: Vec<(String, Color32)> = runs.iter().enumerate().map(cell).collect();
        let name = match measure.name {
            name @ ("Test" | "Validation") => format!("{name} {}", metric(runs).unwrap_or("score")),
            name => name.to_owned(),
        };
        row(ui, &name, &values);
    }
    let line: Rect = ui.available_rect_before_wrap();
    ui.painter().hline(line.x_range(), line.top() + 5.0, egui::Stroke::new(1.0, theme.line));
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
fn own(measure: &Measure, value: f64) -> String {
    match measure.name {
        "Test" | "Validation" => format!("{value:.1}"),
        "Loss" => format!("{value:.3}"),
        "Trainable" => format::short(value as u64),
        "Peak memory" => format::bytes(value as u64),
        _ => format::duration(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_good_or_bad_by_meaning() {
        let [score, _, loss, trainable, ..] = &MEASURES;
        assert_eq!(told(score, Some(70.0), Some(68.2)), Some(("−1.8".to_owned(), Some(false))));
        assert_eq!(told(loss, Some(1.0), Some(0.5)), Some(("−0.500".to_owned(), Some(true))));
        assert_eq!(told(trainable, Some(200.0), Some(100.0)), Some(("× 0.50".to_owned(), Some(true))));
        assert_eq!(told(trainable, Some(200.0), Some(200.0)), Some(("× 1.00".to_owned(), None)));
        assert_eq!(told(score, None, Some(1.0)), None);
        assert_eq!(beside(score, None, Some(3.1)), ("3.1".to_owned(), None), "nothing to compare with");
        assert_eq!(beside(score, Some(3.1), None), (format::UNKNOWN.to_owned(), None));
    }
}
