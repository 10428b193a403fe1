//! Everything that would stop a run, each with buttons that mend it or go there.

use egui::{Align, Layout, Role, ScrollArea, Sense, Ui, WidgetInfo, vec2};

use crate::actions::Action;
use crate::icons::{self, Icon};
use crate::problems::{Problem, Severity};
use crate::theme::{Theme, regular};
use crate::widgets::{Weight, centre, shorten, wide_button};

/// Shows the panel.
pub fn ui(ui: &mut Ui, problems: &[Problem], locked: bool, actions: &mut Vec<Action>) {
    if problems.is_empty() {
        centre(ui, "Nothing stands in the way of a run");
        return;
    }
    ScrollArea::vertical().id_salt("problems").auto_shrink([false, false]).show(ui, |ui| {
        ui.add_space(6.0);
        for problem in problems {
            row(ui, problem, locked, actions);
        }
    });
}

fn row(ui: &mut Ui, problem: &Problem, locked: bool, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let (icon, color) = match problem.severity {
        Severity::Error => (Icon::Cross, theme.error),
        Severity::Warning => (Icon::Warning, theme.warning),
    };
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), 36.0),
        Layout::left_to_right(Align::Center),
        |ui| {
            ui.spacing_mut().item_spacing.x = 8.0;
            ui.add_space(12.0);
            let (mark, _) = ui.allocate_exact_size(vec2(16.0, 28.0), Sense::hover());
            icons::paint(ui.painter(), icon, mark.center(), 13.0, color);
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.add_space(12.0);
                for (word, action) in problem.remedies.iter().rev() {
                    let free = !locked || matches!(action, Action::Select(_) | Action::ShowTab(_));
                    let short = shorten(ui, word, &regular(12.0), 260.0);
                    let button = wide_button(ui, None, &short, Weight::Plain, free);
                    if button.on_hover_text(word).clicked() {
                        actions.push(action.clone());
                    }
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let text = shorten(ui, &problem.text, &regular(12.0), ui.available_width() - 4.0);
                    let label = egui::RichText::new(&text).font(regular(12.0)).color(theme.body);
                    let response = ui.add(egui::Label::new(label).selectable(false));
                    response.widget_info(|| {
                        WidgetInfo::labeled(Role::Label, true, format!("Problem: {}", problem.text))
                    });
                    response.on_hover_text(&problem.text);
                });
            });
        },
    );
}
