//! A plot's title and legend.

use egui::{Align2, Color32, Id, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use super::draw::forecast;
use super::shown::{Kind, Shown};
use super::thin::axis;
use super::{HEAD, LEGEND, PHASES};
use crate::format;
use crate::icons::Icon;
use crate::theme::{Theme, bold, mono, regular};

/// An entry of a legend: colour, name, present value.
pub(super) type Entry = (Color32, &'static str, String);

/// Title and legend; the answer of the button at the right opens the plot's menu.
pub(super) fn head(ui: &mut Ui, kind: Kind, remark: &str, legend: &[Entry]) -> egui::Response {
    let theme = Theme::of(ui);
    // The phases' names need a second line where the plot is narrow.
    let more = if legend.len() > 3 && ui.available_width() < 430.0 { LEGEND } else { 0.0 };
    let size = vec2(ui.available_width(), HEAD - 4.0 + more);
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    let corner = Rect::from_min_size(pos2(rect.right() - 22.0, rect.top() - 1.0), vec2(22.0, 22.0));
    let name = format!("Export plot of {}", kind.title());
    let menu = ui.interact(corner, Id::unique(&name), Sense::click());
    menu.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
    let color = if menu.hovered() || menu.has_focus() { theme.text } else { theme.label };
    crate::icons::paint(ui.painter(), Icon::Save, corner.center(), 13.0, color);
    let menu = menu.on_hover_text("Export this plot");
    let painter = ui.painter();
    let y = rect.top() + 10.0;
    let title =
        painter.text(pos2(rect.left() + 2.0, y), Align2::LEFT_CENTER, kind.title(), bold(13.0), theme.text);
    painter.text(pos2(title.right() + 8.0, y), Align2::LEFT_CENTER, remark, regular(11.0), theme.label);
    let mut y = rect.top() + 29.0;
    let mut x = rect.left() + 2.0;
    for (color, name, value) in legend {
        let words = painter.layout_no_wrap((*name).to_owned(), regular(10.5), theme.label);
        let digits = painter.layout_no_wrap(value.clone(), mono(10.5), theme.text);
        let width = 13.0 + words.size().x + 4.0 + digits.size().x;
        if x + width > rect.right() {
            if y + LEGEND > rect.bottom() {
                break;
            }
            x = rect.left() + 2.0;
            y += LEGEND;
        }
        let mark =
            Rect::from_center_size(pos2(x + 4.0, y), vec2(8.0, if kind == Kind::Time { 8.0 } else { 3.0 }));
        painter.rect_filled(mark, 1, *color);
        x += 13.0;
        let at = pos2(x, y - words.size().y / 2.0);
        x += words.size().x + 4.0;
        painter.galley(at, words, theme.label);
        let at = pos2(x, y - digits.size().y / 2.0);
        x += digits.size().x + 10.0;
        painter.galley(at, digits, theme.text);
    }
    menu
}

pub(super) fn legend(theme: &Theme, shown: Shown<'_>) -> Vec<Entry> {
    let Shown { kind, series, .. } = shown;
    let last = shown.step();
    let number = |value: Option<f64>, decimals: usize| {
        value.map_or_else(|| format::UNKNOWN.to_owned(), |value| format!("{value:.decimals$}"))
    };
    let eval = |test: bool| shown.eval(test);
    match kind {
        Kind::Loss => {
            let mut entries = vec![
                (theme.text, "train", number(last.map(|point| point.smooth), 3)),
                (theme.brand, "validation", number(eval(false).map(|point| point.loss), 3)),
            ];
            if let Some(test) = eval(true) {
                entries.push((theme.warning, "test", number(Some(test.loss), 3)));
            }
            entries
        }
        Kind::Accuracy => {
            let mut entries =
                vec![(theme.brand, "validation", number(eval(false).map(|point| point.score), 1))];
            if let Some(test) = eval(true) {
                entries.push((theme.warning, "test", number(Some(test.score), 1)));
            }
            entries
        }
        Kind::Time => (0..5)
            .map(|i| (theme.phases[i], PHASES[i], number(last.map(|point| point.phases[i]), 1)))
            .collect(),
        Kind::Memory => {
            let mut entries = vec![
                (theme.brand, "live", number(last.map(|point| point.live), 1)),
                (theme.body, "stage peak", number(last.map(|point| point.peak), 1)),
            ];
            if let Some(forecast) = series.stage().and_then(|stage| forecast(stage, kind)) {
                entries.push((theme.text, "predicted", number(Some(forecast), 1)));
            }
            entries
        }
        Kind::Rate => {
            let value = last.map_or_else(|| format::UNKNOWN.to_owned(), |point| axis(point.rate));
            vec![(theme.brand, "rate", value)]
        }
        Kind::Norm => vec![(theme.body, "norm", number(last.map(|point| point.norm), 3))],
    }
}
