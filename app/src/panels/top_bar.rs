//! What is open, its history and device at the left; what counts, and Train, at the right.

use egui::{Align, Align2, Layout, Rect, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2};

use super::too_much::{self, TooMuch};
use super::{Desk, totals};
use crate::actions::Action;
use crate::commands::{Group, all};
use crate::devices::{Devices, about};
use crate::format;
use crate::icons::{self, Icon};
use crate::session::State;
use crate::theme::{Theme, bold, medium, mono, regular};
use crate::widgets::{Weight, focus_ring, icon_button, shorten, wide_button};

/// Shows the bar.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, devices: &Devices, actions: &mut Vec<Action>) {
    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        ui.add_space(12.0);
        project(ui, desk);
        menu(ui, desk, actions);
        separator(ui);
        let hint = |word: &str, label: Option<&str>| {
            label.map_or_else(|| format!("Nothing to {word}"), |label| format!("{word}: {label}"))
        };
        let (undo, redo) = desk.document.map_or((None, None), |d| (d.undo_label(), d.redo_label()));
        let can = |label: Option<&str>| label.is_some() && !desk.locked;
        if icon_button(ui, Icon::Folder, "Open", "Open a project (Ctrl O)", !desk.busy()).clicked() {
            actions.push(Action::Open);
        }
        let dirty = desk.document.is_some_and(crate::document::Document::is_dirty);
        if icon_button(ui, Icon::Save, "Save", "Save the project (Ctrl S)", dirty).clicked() {
            actions.push(Action::Save);
        }
        if icon_button(ui, Icon::Undo, "Undo", &hint("Undo", undo), can(undo)).clicked() {
            actions.push(Action::Undo);
        }
        if icon_button(ui, Icon::Redo, "Redo", &hint("Redo", redo), can(redo)).clicked() {
            actions.push(Action::Redo);
        }
        if ui.available_width() > 720.0 {
            separator(ui);
            device(ui, desk, devices, actions);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.add_space(12.0);
            controls(ui, desk, actions);
            totals::ui(ui, desk);
            progress(ui, desk);
        });
    });
}

fn separator(ui: &mut Ui) {
    let (rect, _) = ui.allocate_exact_size(vec2(9.0, 24.0), Sense::hover());
    ui.painter().vline(rect.center().x, rect.y_range(), Stroke::new(1.0, Theme::of(ui).line));
}

fn project(ui: &mut Ui, desk: Desk<'_>) {
    let theme = Theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(Vec2::splat(20.0), Sense::hover());
    icons::mark(ui.painter(), rect, theme.brand, theme.brand_ink);
    let name = desk.document.map_or("Graft", |document| document.project().name.as_str());
    let dirty = desk.document.is_some_and(crate::document::Document::is_dirty);
    let short = shorten(ui, name, &bold(13.0), 220.0);
    let width = ui.painter().layout_no_wrap(short.clone(), bold(13.0), theme.text).size().x;
    let (rect, response) = ui.allocate_exact_size(vec2(width + 16.0, 26.0), Sense::hover());
    let state = if dirty { "unsaved" } else { "saved" };
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("Project {name}, {state}")));
    ui.painter().text(rect.left_center(), Align2::LEFT_CENTER, short, bold(13.0), theme.text);
    if dirty {
        ui.painter().circle_filled(pos2(rect.right() - 6.0, rect.center().y), 3.0, theme.warning);
    }
    if let Some(document) = desk.document {
        let remark = if dirty { "\nNot saved yet" } else { "" };
        response.on_hover_text(format!("{}{remark}", document.path().display()));
    }
}

/// All commands by what they are about.
fn menu(ui: &mut Ui, desk: Desk<'_>, actions: &mut Vec<Action>) {
    let response = icon_button(ui, Icon::Menu, "Menu", "All commands (Ctrl K finds one by its name)", true);
    egui::Popup::menu(&response).show(|ui| {
        let theme = Theme::of(ui);
        let commands = all(desk);
        for group in Group::ALL {
            ui.menu_button(group.word(), |ui| {
                ui.set_min_width(220.0);
                egui::ScrollArea::vertical().max_height(480.0).show(ui, |ui| {
                    for command in commands.iter().filter(|command| command.group == group) {
                        let blocked = command.blocked(desk);
                        let keys = command.keys_text().unwrap_or_default();
                        let keys = egui::RichText::new(keys).font(mono(10.0)).color(theme.label);
                        let button = egui::Button::new(command.title.as_ref()).right_text(keys);
                        let response = ui.add_enabled(blocked.is_none(), button);
                        if response.clicked() {
                            actions.push(command.action.clone());
                            ui.close();
                        }
                        if let Some(reason) = blocked {
                            response.on_disabled_hover_text(reason);
                        }
                    }
                });
            });
        }
    });
}

/// Where the project runs; a click shows all devices, and why one cannot be used.
fn device(ui: &mut Ui, desk: Desk<'_>, devices: &Devices, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let name = desk.document.map_or(format::UNKNOWN, |document| document.project().device.as_str());
    let refusal = devices.refusal(name).filter(|_| desk.document.is_some());
    let about = if refusal.is_some() { "not here" } else { about(name) };
    let text = ui.painter().layout_no_wrap(name.to_owned(), medium(12.0), theme.text);
    let more = ui.painter().layout_no_wrap(about.to_owned(), regular(11.0), theme.label);
    let size = vec2(text.size().x + more.size().x + 62.0, 28.0);
    let free = desk.document.is_some() && !desk.locked;
    let sense = if free { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(size, sense);
    response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, free, format!("Device {name}")));
    let color = if refusal.is_some() { theme.warning } else { theme.outline };
    let fill = if free && response.hovered() { theme.raised } else { theme.panel };
    ui.painter().rect(rect, 6, fill, Stroke::new(1.0, color), StrokeKind::Inside);
    focus_ring(ui, &response, rect);
    let y = rect.center().y;
    icons::paint(ui.painter(), Icon::Device, pos2(rect.left() + 16.0, y), 14.0, theme.body);
    let at = pos2(rect.left() + 28.0, y);
    let word = ui.painter().text(at, Align2::LEFT_CENTER, name, medium(12.0), theme.text);
    let after = pos2(word.right() + 8.0, y);
    let color = if refusal.is_some() { theme.warning } else { theme.label };
    ui.painter().text(after, Align2::LEFT_CENTER, about, regular(11.0), color);
    icons::paint(ui.painter(), Icon::ChevronDown, pos2(rect.right() - 13.0, y), 12.0, theme.label);
    egui::Popup::menu(&response).show(|ui| {
        ui.set_min_width(320.0);
        // What is disabled is drawn faded, and the reason why has to be read.
        ui.visuals_mut().disabled_alpha = 1.0;
        for row in devices.rows() {
            let about = row.reason.as_deref().unwrap_or(row.description);
            let ink = if row.usable { theme.text } else { theme.label };
            let text = egui::RichText::new(row.name).font(mono(12.0)).color(ink);
            let button = egui::Button::selectable(name == row.name, text)
                .right_text(egui::RichText::new(about).font(regular(11.0)).color(theme.body));
            if ui.add_enabled(row.usable, button).clicked() {
                actions.push(Action::SetDevice(row.name.to_owned()));
                ui.close();
            }
        }
        ui.separator();
        if ui.button("Check again").clicked() {
            actions.push(Action::CheckDevices);
        }
    });
    response.on_hover_text(refusal.unwrap_or_else(|| "Where the project runs".to_owned()));
}

fn controls(ui: &mut Ui, desk: Desk<'_>, actions: &mut Vec<Action>) {
    let state = desk.session.state();
    if state.is_busy() {
        let stoppable = *state != State::Stopping;
        let word = if stoppable { "Stop" } else { "Stopping…" };
        let stop = wide_button(ui, Some(Icon::Stop), word, Weight::Plain, stoppable);
        if stop.on_hover_text("Stop after this step and save (Ctrl .)").clicked() {
            actions.push(Action::Stop);
        }
        let ready = desk.document.is_some() && desk.model.is_some();
        let queue = wide_button(ui, Some(Icon::Plus), "Queue", Weight::Plain, ready);
        let hint = "Train this project, as it is now, after the run that goes on (Ctrl Enter)";
        if queue.on_hover_text(hint).clicked() {
            actions.push(Action::Train);
        }
        let paused = *state == State::Paused;
        let (icon, word) = if paused { (Icon::Play, "Go on") } else { (Icon::Pause, "Pause") };
        let can_pause = matches!(state, State::Running | State::Paused);
        let pause = wide_button(ui, Some(icon), word, Weight::Plain, can_pause);
        if pause.on_hover_text("Pause or go on (P)").clicked() {
            actions.push(Action::TogglePause);
        }
        return;
    }
    if let Some(too_much) = TooMuch::of(desk) {
        too_much::ui(ui, desk, too_much, actions);
        return;
    }
    let ready = desk.document.is_some() && desk.model.is_some();
    if desk.elsewhere {
        let queue = wide_button(ui, Some(Icon::Plus), "Queue", Weight::Primary, ready);
        let hint =
            "Another program trains in this folder: train this project, as it is now, after it (Ctrl Enter)";
        if queue.on_hover_text(hint).clicked() {
            actions.push(Action::Train);
        }
        return;
    }
    let train = wide_button(ui, Some(Icon::Play), "Train", Weight::Primary, ready);
    if train.on_hover_text("Run all stages (Ctrl Enter)").clicked() {
        actions.push(Action::Train);
    }
}

/// While training: where the run is.
fn progress(ui: &mut Ui, desk: Desk<'_>) {
    let series = desk.session.series();
    let Some(stage) = series.stage().filter(|_| desk.session.state().is_live()) else { return };
    if ui.available_width() < 170.0 {
        return;
    }
    let theme = Theme::of(ui);
    let width = (ui.available_width() - 24.0).min(300.0);
    let (rect, response) = ui.allocate_exact_size(vec2(width, 36.0), Sense::hover());
    let position = series.position;
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let done = position.step as f32 / stage.steps.max(1) as f32;
    let counted = format!("{} / {}", position.step, stage.steps);
    let text = format!("epoch {} of {} · step {counted}", position.epoch + 1, stage.epochs);
    let title = format!("Stage {}", stage.index + 1);
    // Of another project's run, the project rather than the step; where there is no room for all, what moves fastest.
    let (told, title, shorter) = match desk.foreign_run() {
        Some(name) => {
            let told = format!("Run of {name}: {title}, {text}");
            (told, format!("Run of {name}"), vec![title.to_lowercase()])
        }
        None => (format!("{title}, {text}"), title, vec![text, format!("step {counted}"), counted]),
    };
    response.widget_info(|| WidgetInfo::labeled(Role::ProgressIndicator, true, &told));
    response.on_hover_text(&told);
    let y = rect.top() + 10.0;
    let share = format!("{:.0} %", 100.0 * done);
    let share = ui.painter().text(pos2(rect.right(), y), Align2::RIGHT_CENTER, share, mono(11.0), theme.text);
    let title = shorten(ui, &title, &bold(12.0), 0.6 * (share.left() - rect.left()));
    let title = ui.painter().text(pos2(rect.left(), y), Align2::LEFT_CENTER, title, bold(12.0), theme.text);
    let room = share.left() - title.right() - 16.0;
    let fits = |text: &&String| shorten(ui, text, &regular(11.0), room) == **text;
    let text = shorter.iter().find(fits).or(shorter.last()).map_or("", String::as_str);
    let text = shorten(ui, text, &regular(11.0), room);
    let at = pos2(title.right() + 8.0, y);
    ui.painter().text(at, Align2::LEFT_CENTER, text, regular(11.0), theme.body);
    let track = Rect::from_min_size(pos2(rect.left(), rect.top() + 24.0), vec2(rect.width(), 5.0));
    ui.painter().rect_filled(track, 3, theme.active);
    let fill = Rect::from_min_size(track.min, vec2(track.width() * done.clamp(0.0, 1.0), track.height()));
    ui.painter().rect_filled(fill, 3, theme.brand);
}
