//! Samples of the data as the selected stage's model sees them; clips play.

use egui::{
    Align, Align2, Layout, Rect, Role, ScrollArea, Sense, Stroke, StrokeKind, TextureHandle, Ui, WidgetInfo,
    pos2, vec2,
};
use graft_engine::data::Split;

use super::Desk;
use crate::format;
use crate::icons::Icon;
use crate::previews::{Page, Preview, Previews, SHOWN};
use crate::textures::{Textures, beat, paint};
use crate::theme::{Theme, mono, regular};
use crate::view::View;
use crate::widgets::{centre, icon_button, segment, shorten};

/// Side of a picture, in points.
const SIDE: f32 = 96.0;

/// Shows the panel.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, previews: &Previews, textures: &mut Textures, view: &mut View) {
    if desk.document.is_none() {
        centre(ui, "Open a project to see its data");
        return;
    }
    let count = previews.page().and_then(|page| page.as_ref().ok()).map_or(0, |page| page.count);
    // The data may have shrunk.
    if count > 0 && view.data.first >= count {
        view.data.first = 0;
    }
    bar(ui, count, view);
    match previews.page() {
        None => centre(ui, "Reading samples…"),
        Some(Err(error)) => {
            let theme = Theme::of(ui);
            ui.horizontal_wrapped(|ui| {
                ui.add_space(12.0);
                ui.label(egui::RichText::new(error).font(regular(12.0)).color(theme.error));
            });
        }
        Some(Ok(page)) if page.samples.is_empty() => centre(ui, "This split holds no samples"),
        Some(Ok(page)) => samples(ui, page, textures, view),
    }
}

fn bar(ui: &mut Ui, count: usize, view: &mut View) {
    ui.add_space(4.0);
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), 28.0),
        Layout::left_to_right(Align::Center),
        |ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.add_space(12.0);
            let words = Split::ALL.map(|split| (split, split.name()));
            if let Some(split) = segment(ui, "Samples of the split", view.data.split, &words) {
                view.data.split = split;
                view.data.first = 0;
            }
            let first = view.data.first;
            if icon_button(ui, Icon::Minus, "Samples before", "Samples before these", first > 0).clicked() {
                view.data.first = first.saturating_sub(SHOWN);
            }
            let last = (first + SHOWN).min(count);
            let text = if count == 0 {
                format::UNKNOWN.to_owned()
            } else {
                format!("{}–{last} of {}", first + 1, format::whole(count as u64))
            };
            ui.label(egui::RichText::new(text).font(mono(11.0)).color(Theme::of(ui).body));
            if icon_button(ui, Icon::Plus, "Samples after", "Samples after these", last < count).clicked() {
                view.data.first = last;
            }
            let (icon, word) =
                if view.data.still { (Icon::Play, "Play clips") } else { (Icon::Pause, "Hold clips") };
            if icon_button(ui, icon, word, word, true).clicked() {
                view.data.still ^= true;
            }
            let text = "as the model sees them: decoded, resized, stretched to the screen's range";
            let short = shorten(ui, text, &regular(11.0), ui.available_width() - 12.0);
            let label = ui.label(egui::RichText::new(&short).font(regular(11.0)).color(Theme::of(ui).label));
            if short != text {
                label.on_hover_text(text);
            }
        },
    );
}

fn samples(ui: &mut Ui, page: &Page, textures: &mut Textures, view: &View) {
    let frames = textures.of(ui.ctx(), page);
    let beat = beat(ui, frames, view.data.still);
    ScrollArea::vertical().id_salt("samples").auto_shrink([false, false]).show(ui, |ui| {
        egui::Frame::new().inner_margin(egui::Margin::symmetric(12, 4)).show(ui, |ui| {
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = vec2(10.0, 8.0);
                for (sample, frames) in page.samples.iter().zip(frames) {
                    match sample {
                        Ok(sample) => one(ui, sample, frames, beat),
                        Err(error) => {
                            ui.label(egui::RichText::new(error).color(Theme::of(ui).error));
                        }
                    }
                }
            });
        });
    });
}

fn one(ui: &mut Ui, sample: &Preview, frames: &[TextureHandle], beat: usize) {
    let theme = Theme::of(ui);
    let width = if frames.is_empty() { 260.0 } else { SIDE };
    let (rect, response) = ui.allocate_exact_size(vec2(width, SIDE + 20.0), Sense::hover());
    let label = if sample.label.is_empty() { format!("{}", sample.index + 1) } else { sample.label.clone() };
    response.widget_info(|| {
        WidgetInfo::labeled(Role::Image, true, format!("Sample {}: {label}", sample.index + 1))
    });
    let place = Rect::from_min_size(rect.min, vec2(width, SIDE));
    ui.painter().rect(place, 6, theme.well, Stroke::new(1.0, theme.line), StrokeKind::Inside);
    if !paint(ui, frames, beat, place) {
        let text = sample.columns.join("\n");
        let galley = ui.painter().layout(text, mono(10.0), theme.body, width - 12.0);
        ui.painter().with_clip_rect(place.shrink(4.0)).galley(place.min + vec2(6.0, 6.0), galley, theme.body);
    }
    let text = shorten(ui, &label, &regular(11.0), width);
    let at = pos2(rect.center().x, rect.bottom() - 8.0);
    ui.painter().text(at, Align2::CENTER_CENTER, text, regular(11.0), theme.body);
    let name = if sample.label.is_empty() { String::new() } else { format!("{label}\n") };
    response.on_hover_text(format!("{name}sample {}\n{}", sample.index + 1, sample.columns.join("\n")));
}
