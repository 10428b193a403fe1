//! What waits to be run.

use egui::{Align, Align2, Layout, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use super::Going;
use crate::actions::{Action, RunAction};
use crate::icons::Icon;
use crate::library::Library;
use crate::theme::{Theme, medium, regular};
use crate::widgets::{Weight, icon_button, rule, shorten, wide_button};

/// Rows that are shown; the rest is counted.
const ROWS: usize = 4;

pub(super) fn ui(ui: &mut Ui, library: &Library, going: Going, actions: &mut Vec<Action>) {
    let queue = library.queue();
    if queue.is_empty() {
        return;
    }
    let theme = Theme::of(ui);
    let size = vec2(ui.available_width(), 34.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.add_space(12.0);
        let text = match queue.len() {
            1 => "1 project waits".to_owned(),
            count => format!("{count} projects wait"),
        };
        ui.label(egui::RichText::new(text).font(medium(12.0)).color(theme.text));
        let when = match going {
            Going { own: true, .. } => "the next one starts when this run ends",
            Going { elsewhere: true, .. } => "another program trains; the next one starts when that run ends",
            _ => "nothing runs",
        };
        ui.label(egui::RichText::new(when).font(regular(11.0)).color(theme.label));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add_space(12.0);
            if !going.own {
                let button = wide_button(ui, Some(Icon::Play), "Start the queue", Weight::Plain, true);
                if button.clicked() {
                    actions.push(Action::Runs(RunAction::StartQueue));
                }
            }
        });
    });
    for (place, waiting) in queue.iter().take(ROWS).enumerate() {
        let name = &waiting.project.name;
        let size = vec2(ui.available_width(), 26.0);
        ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            let width = ui.available_width() - 80.0;
            let (rect, response) = ui.allocate_exact_size(vec2(width, 26.0), Sense::hover());
            response.widget_info(|| {
                WidgetInfo::labeled(Role::Label, true, format!("Waiting {}: {name}", place + 1))
            });
            let y = rect.center().y;
            let number = format!("{}", place + 1);
            let at = pos2(rect.left() + 24.0, y);
            ui.painter().text(at, Align2::RIGHT_CENTER, number, regular(11.0), theme.label);
            let device = &waiting.project.device;
            let text = shorten(ui, &format!("{name} on {device}"), &regular(12.0), width - 40.0);
            let at = pos2(rect.left() + 34.0, y);
            ui.painter().text(at, Align2::LEFT_CENTER, text, regular(12.0), theme.body);
            let up = format!("Move {name} up");
            if icon_button(ui, Icon::Up, &up, "Run it earlier", place > 0).clicked() {
                actions.push(Action::Runs(RunAction::Earlier(waiting.path.clone())));
            }
            let cancel = format!("Cancel {name}");
            if icon_button(ui, Icon::Cross, &cancel, "Take it out of the queue", true).clicked() {
                actions.push(Action::Runs(RunAction::Cancel(waiting.path.clone())));
            }
        });
    }
    if queue.len() > ROWS {
        let text = format!("and {} more", queue.len() - ROWS);
        ui.horizontal(|ui| {
            ui.add_space(34.0);
            ui.label(egui::RichText::new(text).font(regular(11.0)).color(theme.label));
        });
    }
    rule(ui);
}
