//! Small controls that several panels share. All have an accessible name.

use egui::{
    Align, Align2, Layout, Rect, Response, RichText, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo,
    pos2, vec2,
};

use crate::icons::{self, Icon};
use crate::theme::{KindStyle, Theme, bold, medium, mono, regular};

/// A square button with an icon.
pub fn icon_button(ui: &mut Ui, icon: Icon, name: &str, hint: &str, enabled: bool) -> Response {
    let theme = Theme::of(ui);
    let sense = if enabled { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(26.0), sense);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, name));
    let color = if enabled { theme.body } else { theme.outline };
    if enabled && response.hovered() {
        ui.painter().rect_filled(rect, 6, theme.raised);
    }
    focus_ring(ui, &response, rect);
    icons::paint(ui.painter(), icon, rect.center(), 16.0, color);
    response.on_hover_text(hint)
}

/// How a wide button looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The one thing to do here.
    Primary,
    /// Something else to do.
    Plain,
}

/// A button with an icon and a word.
pub fn wide_button(ui: &mut Ui, icon: Option<Icon>, word: &str, weight: Weight, enabled: bool) -> Response {
    let theme = Theme::of(ui);
    let galley = ui.painter().layout_no_wrap(word.to_owned(), medium(12.0), theme.text);
    let icon_width = if icon.is_some() { 20.0 } else { 0.0 };
    let size = vec2(galley.size().x + icon_width + 22.0, 28.0);
    let sense = if enabled { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(size, sense);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, enabled, word));
    let (fill, ink) = match (weight, enabled) {
        (_, false) => (theme.raised, theme.faint),
        (Weight::Primary, true) => (theme.brand, theme.brand_ink),
        (Weight::Plain, true) => (theme.raised, theme.text),
    };
    let fill = match (enabled && response.hovered(), weight) {
        (true, Weight::Primary) => fill.gamma_multiply(0.9),
        (true, Weight::Plain) => theme.active,
        _ => fill,
    };
    let stroke =
        if weight == Weight::Primary && enabled { Stroke::NONE } else { Stroke::new(1.0, theme.outline) };
    ui.painter().rect(rect, 6, fill, stroke, StrokeKind::Inside);
    focus_ring(ui, &response, rect);
    let mut x = rect.left() + 11.0;
    if let Some(icon) = icon {
        icons::paint(ui.painter(), icon, pos2(x + 6.0, rect.center().y), 14.0, ink);
        x += icon_width;
    }
    ui.painter().text(pos2(x, rect.center().y), Align2::LEFT_CENTER, word, medium(12.0), ink);
    response
}

/// The ring around what the keyboard would press.
pub fn focus_ring(ui: &Ui, response: &Response, rect: Rect) {
    if response.has_focus() {
        let stroke = Stroke::new(1.5, Theme::of(ui).brand);
        ui.painter().rect_stroke(rect.expand(2.0), 7, stroke, StrokeKind::Outside);
    }
}

/// A row of words of which one holds; what was clicked, if it does not hold yet.
pub fn segment<T: Copy + PartialEq>(ui: &mut Ui, name: &str, current: T, words: &[(T, &str)]) -> Option<T> {
    let theme = Theme::of(ui);
    let width = |ui: &Ui, word: &str| {
        ui.painter().layout_no_wrap(word.to_owned(), medium(12.0), theme.text).size().x + 18.0
    };
    let widths: Vec<f32> = words.iter().map(|(_, word)| width(ui, word)).collect();
    let (frame, _) = ui.allocate_exact_size(vec2(widths.iter().sum::<f32>() + 6.0, 26.0), Sense::hover());
    ui.painter().rect(frame, 6, theme.card, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    let mut chosen = None;
    let mut x = frame.left() + 3.0;
    for (place, ((value, word), width)) in words.iter().zip(widths).enumerate() {
        let rect = Rect::from_min_size(pos2(x, frame.top() + 2.0), vec2(width, 22.0));
        x += width;
        let response = ui.interact(rect, ui.scope_id().with((name, place)), Sense::click());
        let holds = *value == current;
        response
            .widget_info(|| WidgetInfo::selected(Role::RadioButton, true, holds, format!("{name}: {word}")));
        if holds {
            ui.painter().rect_filled(rect, 5, theme.active);
        }
        let color = if holds || response.hovered() { theme.text } else { theme.label };
        ui.painter().text(rect.center(), Align2::CENTER_CENTER, *word, medium(12.0), color);
        focus_ring(ui, &response, rect.shrink(2.0));
        if response.clicked() && !holds {
            chosen = Some(*value);
        }
    }
    chosen
}

/// A line in the middle of what is left, for what is empty.
pub fn centre(ui: &Ui, text: &str) {
    let theme = Theme::of(ui);
    let rect = ui.available_rect_before_wrap();
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, text, regular(12.0), theme.label);
}

/// A section's title with a remark beside it.
pub fn section(ui: &mut Ui, title: &str, remark: &str) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 32.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, title));
    let at = pos2(rect.left() + 12.0, rect.center().y);
    let title = ui.painter().text(at, Align2::LEFT_CENTER, title, bold(12.0), theme.text);
    let room = rect.right() - 12.0 - title.right() - 8.0;
    let text = shorten(ui, remark, &regular(11.0), room);
    let after = pos2(title.right() + 8.0, rect.center().y);
    ui.painter().text(after, Align2::LEFT_CENTER, &text, regular(11.0), theme.label);
    if text != remark {
        response.on_hover_text(remark);
    }
}

/// A thin line over the whole width.
pub fn rule(ui: &mut Ui) {
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 1.0), Sense::hover());
    ui.painter().hline(rect.x_range(), rect.center().y, Stroke::new(1.0, Theme::of(ui).line));
}

/// A name at the left and a value at the right, in digits.
pub fn key_value(ui: &mut Ui, key: &str, value: &str) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 22.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{key}: {value}")));
    let left = pos2(rect.left() + 12.0, rect.center().y);
    let key = ui.painter().text(left, Align2::LEFT_CENTER, key, regular(12.0), theme.label);
    let room = rect.right() - 12.0 - key.right() - 10.0;
    let short = shorten_front(ui, value, &mono(11.0), room);
    let right = pos2(rect.right() - 12.0, rect.center().y);
    ui.painter().text(right, Align2::RIGHT_CENTER, &short, mono(11.0), theme.text);
    if short != value {
        response.on_hover_text(value);
    }
}

/// The room that the labels of a form take, so that its controls stand below each other and none of them over a label.
pub fn label_room<'a>(ui: &Ui, labels: impl Iterator<Item = &'a str>) -> f32 {
    let theme = Theme::of(ui);
    let width =
        |label: &str| ui.painter().layout_no_wrap(label.to_owned(), regular(12.0), theme.label).size().x;
    labels.map(|label| width(label) + 10.0).fold(76.0, f32::max)
}

/// A form row: its label at the left, its control at the right of what labels take.
pub fn form_row<T>(ui: &mut Ui, label: &str, room: f32, control: impl FnOnce(&mut Ui) -> T) -> T {
    let theme = Theme::of(ui);
    ui.allocate_ui_with_layout(vec2(ui.available_width(), 30.0), Layout::left_to_right(Align::Center), |ui| {
        ui.add_space(12.0);
        let (rect, _) = ui.allocate_exact_size(vec2(room, 26.0), Sense::hover());
        ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, label, regular(12.0), theme.label);
        control(ui)
    })
    .inner
}

/// A paragraph with the panel's inset.
pub fn note(ui: &mut Ui, text: &str, color: egui::Color32) {
    ui.horizontal(|ui| {
        ui.add_space(12.0);
        ui.vertical(|ui| {
            ui.set_max_width(ui.available_width() - 12.0);
            ui.add(egui::Label::new(RichText::new(text).font(regular(11.0)).color(color)).wrap());
        });
    });
}

/// A badge as a widget.
pub fn badge(ui: &mut Ui, kind: KindStyle, size: f32) -> Rect {
    let (rect, _) = ui.allocate_exact_size(Vec2::splat(size), Sense::hover());
    icons::badge(ui.painter(), kind, rect.center(), size, Theme::of(ui).ink);
    rect
}

/// The text, or its beginning with an ellipsis when there is no room.
pub fn shorten(ui: &Ui, text: &str, font: &egui::FontId, room: f32) -> String {
    fit(ui, text, font, room, |count, chars| {
        let kept: String = chars[..count].iter().collect();
        format!("{}…", kept.trim_end())
    })
}

/// The text, or its end after an ellipsis: a path's end tells more.
pub fn shorten_front(ui: &Ui, text: &str, font: &egui::FontId, room: f32) -> String {
    fit(ui, text, font, room, |count, chars| {
        let kept: String = chars[chars.len() - count..].iter().collect();
        format!("…{}", kept.trim_start())
    })
}

fn fit(
    ui: &Ui,
    text: &str,
    font: &egui::FontId,
    room: f32,
    cut: impl Fn(usize, &[char]) -> String,
) -> String {
    let width = |text: &str| {
        ui.painter().layout_no_wrap(text.to_owned(), font.clone(), egui::Color32::WHITE).size().x
    };
    if width(text) <= room {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let (mut low, mut high) = (0, chars.len());
    while low + 1 < high {
        let middle = usize::midpoint(low, high);
        if width(&cut(middle, &chars)) <= room {
            low = middle;
        } else {
            high = middle;
        }
    }
    cut(low, &chars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_gives_its_longest_label_room() {
        egui::__run_test_ui(|ui| {
            let width = |text: &str| {
                ui.painter().layout_no_wrap(text.to_owned(), regular(12.0), egui::Color32::WHITE).size().x
            };
            let labels = ["Rank", "A label that is longer than others"];
            assert!(label_room(ui, labels.into_iter()) > width(labels[1]));
            assert!((label_room(ui, ["Rank"].into_iter()) - 76.0).abs() < 0.1);
        });
    }
}
