//! The right of the first page: devices, and why one cannot be used.

use egui::{Align, Align2, Layout, RichText, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use graft_engine::device::DeviceRow;

use crate::actions::Action;
use crate::devices::Devices;
use crate::icons::{self, Icon};
use crate::theme::{Theme, bold, mono, regular};
use crate::widgets::{Weight, shorten, wide_button};

pub(super) fn ui(ui: &mut Ui, devices: &Devices, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Devices").font(bold(18.0)).color(theme.text));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if wide_button(ui, None, "Check again", Weight::Plain, devices.secs().is_some()).clicked() {
                actions.push(Action::CheckDevices);
            }
        });
    });
    let text = devices
        .secs()
        .map_or_else(|| "Looking…".to_owned(), |_| "Checked by a small computation on each.".to_owned());
    ui.label(RichText::new(text).font(regular(12.0)).color(theme.label));
    ui.add_space(10.0);
    for row in devices.rows() {
        device(ui, row);
    }
}

fn device(ui: &mut Ui, row: &DeviceRow) {
    let theme = Theme::of(ui);
    let width = ui.available_width();
    let about = row.reason.as_deref().unwrap_or("Works here");
    let galley = ui.painter().layout(about.to_owned(), regular(11.0), theme.label, width - 48.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 40.0 + galley.size().y), Sense::hover());
    response.widget_info(|| {
        WidgetInfo::labeled(Role::Label, row.usable, format!("Device {}: {about}", row.name))
    });
    let fill = if row.usable { theme.card } else { theme.panel };
    let outline = if row.usable { theme.outline } else { theme.line };
    ui.painter().rect(rect, 7, fill, Stroke::new(1.0, outline), StrokeKind::Inside);
    let (icon, color) = match (row.usable, row.built) {
        (true, _) => (Icon::Check, theme.brand),
        (false, true) => (Icon::Warning, theme.warning),
        (false, false) => (Icon::Minus, theme.label),
    };
    let y = rect.top() + 18.0;
    icons::paint(ui.painter(), icon, pos2(rect.left() + 18.0, y), 14.0, color);
    let ink = if row.usable { theme.text } else { theme.body };
    let name = ui.painter().text(pos2(rect.left() + 36.0, y), Align2::LEFT_CENTER, row.name, mono(12.0), ink);
    let at = pos2(name.right() + 8.0, y);
    let short = shorten(ui, row.description, &regular(11.0), rect.right() - 12.0 - at.x);
    ui.painter().text(at, Align2::LEFT_CENTER, short, regular(11.0), theme.label);
    ui.painter().galley(pos2(rect.left() + 36.0, rect.top() + 30.0), galley, theme.label);
    ui.add_space(2.0);
}
