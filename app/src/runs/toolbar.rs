//! The filter, and what can be done with the chosen runs.

use egui::{Align, Layout, Margin, RichText, Ui, vec2};
use graft_engine::runs::RunState;

use crate::actions::{Action, RunAction};
use crate::icons::Icon;
use crate::library::Library;
use crate::theme::{Theme, regular};
use crate::view::RunsView;
use crate::widgets::{Weight, wide_button};

pub(super) fn ui(ui: &mut Ui, library: &Library, view: &mut RunsView, busy: bool, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let size = vec2(ui.available_width(), 38.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        ui.add_space(12.0);
        let edit = egui::TextEdit::singleline(&mut view.filter)
            .font(regular(12.0))
            .hint_text("Filter by name, tag, device or state")
            .desired_width(220.0_f32.min(ui.available_width() * 0.3))
            .margin(Margin::symmetric(8, 5));
        ui.add(edit).accessible_name("Filter runs");
        let chosen = library.chosen();
        let all = library.rows().len();
        let text = match chosen.len() {
            0 if all == 1 => "1 run".to_owned(),
            0 => format!("{all} runs"),
            some => format!("{some} of {all} runs"),
        };
        ui.label(RichText::new(text).font(regular(11.0)).color(theme.label));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.add_space(12.0);
            buttons(ui, library, busy, actions);
        });
    });
}

fn buttons(ui: &mut Ui, library: &Library, busy: bool, actions: &mut Vec<Action>) {
    let chosen = library.chosen();
    let only = if let [one] = chosen { library.row(one) } else { None };
    let mut run = |action: RunAction| actions.push(Action::Runs(action));
    if library.can_restore() {
        let button = wide_button(ui, Some(Icon::Undo), "Undo delete", Weight::Plain, true);
        if button.on_hover_text("Bring back what was deleted last (Ctrl Z)").clicked() {
            run(RunAction::Restore);
        }
    }
    let open = |path| library.row(path).is_some_and(|row| row.entry.state.is_open());
    let deletable = !chosen.is_empty() && !chosen.iter().any(|path| open(path));
    let button = wide_button(ui, Some(Icon::Bin), "Delete", Weight::Plain, deletable);
    let hint = if deletable {
        "Move the chosen runs into the trash, which keeps them for a week"
    } else {
        "Choose runs that do not go on"
    };
    if button.on_hover_text(hint).clicked() {
        run(RunAction::DeleteChosen);
    }
    if let Some(row) = only {
        let resumable = matches!(row.entry.state, RunState::Stopped | RunState::Interrupted);
        if resumable {
            let button = wide_button(ui, Some(Icon::Play), "Resume", Weight::Plain, !busy);
            if button.on_hover_text("Go on where its last checkpoint was").clicked() {
                run(RunAction::Resume(row.entry.path.clone()));
            }
        }
        let button = wide_button(ui, None, "Show plots", Weight::Plain, !busy);
        if button.on_hover_text("Its curves and its log, followed while it goes on").clicked() {
            run(RunAction::Show(row.entry.path.clone()));
        }
        let button = wide_button(ui, Some(Icon::Folder), "Open project", Weight::Plain, !busy);
        if button.on_hover_text("Edit the project as this run froze it").clicked() {
            run(RunAction::Open(row.entry.path.clone()));
        }
    }
}
