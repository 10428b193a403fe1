//! One run: what is known of it, its tags and note, and its curves.

use egui::{Align2, Margin, Sense, Ui, pos2, vec2};
use graft_engine::runs::Notes;

use super::{curves, part, scatter};
use crate::actions::{Action, RunAction};
use crate::format;
use crate::library::Library;
use crate::theme::{Theme, regular};
use crate::view::{NotesDraft, RunsView};
use crate::widgets::{key_value, note, section};

pub(super) fn ui(ui: &mut Ui, library: &mut Library, view: &mut RunsView, actions: &mut Vec<Action>) {
    let Some(path) = library.chosen().first().cloned() else { return };
    let Some(row) = library.row(&path).cloned() else { return };
    let all = ui.available_rect_before_wrap();
    let width = (all.width() * 0.34).clamp(220.0, 380.0);
    let (left, rest) = all.split_left_right_at_x(all.left() + width);
    let (middle, right) = rest.split_left_right_at_x(rest.center().x);
    part(ui, left, "facts", true, |ui| {
        egui::ScrollArea::vertical().id_salt("facts").auto_shrink([false, false]).show(ui, |ui| {
            let entry = &row.entry;
            section(ui, &entry.project, entry.state.word());
            if let Some(error) = &entry.error {
                note(ui, error, Theme::of(ui).error);
            }
            let share = |value: Option<f64>| {
                value.map_or_else(|| format::UNKNOWN.to_owned(), |value| format!("{:.2} %", 100.0 * value))
            };
            let metric = if entry.metric.is_empty() { "score" } else { entry.metric };
            key_value(ui, &format!("Test {metric}"), &share(entry.score));
            key_value(ui, &format!("Best validation {metric}"), &share(entry.validation));
            key_value(ui, "Steps", &format::whole(entry.steps));
            key_value(ui, "Seed", &entry.seed.to_string());
            if let Some(mark) = &entry.sweep {
                key_value(ui, "Variant", &mark.variant);
            }
            for ask in &entry.asked {
                key_value(ui, "Asked for", &ask.words());
            }
            write(ui, &path, &row.notes, view, actions);
        });
    });
    part(ui, middle, "curves", false, |ui| curves::ui(ui, library, view));
    part(ui, right, "scatter", false, |ui| scatter::ui(ui, library, view));
}

/// Tags and note; kept when the field is left.
fn write(ui: &mut Ui, path: &std::path::Path, notes: &Notes, view: &mut RunsView, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let draft = &mut view.draft;
    if draft.path != path {
        let (path, tags) = (path.to_path_buf(), notes.tags.join(", "));
        *draft = NotesDraft { path, tags, note: notes.note.clone() };
    }
    let width = ui.available_width() - 24.0;
    let mut left = false;
    for (name, text, hint) in
        [("Tags", &mut draft.tags, "baseline, keep"), ("Note", &mut draft.note, "What this run was for")]
    {
        // The field has the name; a label of its own would be a second one.
        let (rect, _) = ui.allocate_exact_size(vec2(width, 20.0), Sense::hover());
        let at = pos2(rect.left() + 12.0, rect.center().y);
        ui.painter().text(at, Align2::LEFT_CENTER, name, regular(11.0), theme.label);
        ui.horizontal(|ui| {
            ui.add_space(12.0);
            let edit = egui::TextEdit::singleline(text)
                .font(regular(12.0))
                .hint_text(hint)
                .desired_width(width - 16.0)
                .margin(Margin::symmetric(8, 5));
            left |= ui.add(edit).accessible_name(name).lost_focus();
        });
    }
    if left {
        let tags = draft.tags.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty());
        let written = Notes { tags: tags.collect(), note: draft.note.trim().to_owned() };
        if written != *notes {
            actions.push(Action::Runs(RunAction::Note(path.to_path_buf(), written)));
        }
    }
}
