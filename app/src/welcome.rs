//! The first page: what to open, sample projects as small graphs, and what this machine can compute on.

mod card;
mod devices;
mod start;

use egui::{Frame, Margin, Panel, RichText, ScrollArea, Ui, vec2};

use crate::actions::Action;
use crate::devices::Devices;
use crate::samples::{Medium, Sample};
use crate::state::Store;
use crate::theme::{Theme, bold, regular};
use crate::widgets::segment;

/// What the page shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page<'a> {
    /// The sample projects.
    pub samples: &'a [Sample],
    /// The devices.
    pub devices: &'a Devices,
    /// Recent projects, and work that windows left behind unsaved.
    pub store: &'a Store,
    /// Why the project that was asked for is not open.
    pub refusal: Option<&'a str>,
}

/// Shows the page.
pub(crate) fn ui(ui: &mut Ui, page: Page<'_>, filter: &mut Option<Medium>, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let wide = ui.available_width();
    let panel = || Frame::new().fill(theme.panel).inner_margin(Margin::symmetric(20, 16));
    Panel::left("welcome start")
        .exact_size(if wide < 1280.0 { 260.0 } else { 320.0 })
        .resizable(false)
        .frame(panel())
        .show(ui, |ui| start::ui(ui, page, actions));
    Panel::right("welcome devices")
        .exact_size(if wide < 1280.0 { 280.0 } else { 380.0 })
        .resizable(false)
        .frame(panel())
        .show(ui, |ui| devices::ui(ui, page.devices, actions));
    let rect = ui.available_rect_before_wrap();
    ui.painter().rect_filled(rect, 0, theme.well);
    let mut inner = ui.new_child(egui::UiBuilder::new().max_rect(rect.shrink2(vec2(24.0, 20.0))));
    samples(&mut inner, page, filter, actions);
}

fn samples(ui: &mut Ui, page: Page<'_>, filter: &mut Option<Medium>, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Sample projects").font(bold(18.0)).color(theme.text));
        ui.add_space(16.0);
        let mut words = vec![(None, "All")];
        words.extend(Medium::ALL.map(|medium| (Some(medium), medium.word())));
        if let Some(chosen) = segment(ui, "Samples of", *filter, &words) {
            *filter = chosen;
        }
    });
    ui.add_space(2.0);
    let text = "Each comes with its data and runs on any CPU; a card says what is missing. Opening one changes nothing on disk.";
    ui.label(RichText::new(text).font(regular(12.0)).color(theme.label));
    ui.add_space(12.0);
    let shown: Vec<&Sample> =
        page.samples.iter().filter(|sample| filter.is_none_or(|medium| sample.medium == medium)).collect();
    if shown.is_empty() {
        let text = if page.samples.is_empty() {
            "No sample projects were found: Graft looks for a folder `projects` here and beside the program."
        } else {
            "No sample is of this kind."
        };
        ui.label(RichText::new(text).font(regular(12.0)).color(theme.body));
        return;
    }
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        let columns = if ui.available_width() > 640.0 { 2 } else { 1 };
        #[expect(clippy::cast_precision_loss, reason = "one or two columns")]
        let width = (ui.available_width() - 16.0 * (columns - 1) as f32 - 4.0) / columns as f32;
        for row in shown.chunks(columns) {
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 16.0;
                for sample in row {
                    card::ui(ui, sample, width, sample.is_first(), actions);
                }
            });
            ui.add_space(12.0);
        }
    });
}
