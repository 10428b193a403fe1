//! The line at the bottom: the keys that work here at the left, the run at the right.

use egui::{Align, Align2, Layout, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use super::Desk;
use crate::commands::keyed;
use crate::format;
use crate::icons::{self, Icon};
use crate::session::State;
use crate::theme::{Theme, mono, regular};

/// Shows the line.
pub fn ui(ui: &mut Ui, desk: Desk<'_>) {
    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        ui.add_space(12.0);
        let text = sentence(desk);
        let width = ui.painter().layout_no_wrap(text.clone(), regular(11.0), egui::Color32::WHITE).size().x;
        let room = ui.available_width() - width - 60.0;
        keys(ui, desk, room);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add_space(12.0);
            run(ui, desk, &text);
        });
    });
}

fn keys(ui: &mut Ui, desk: Desk<'_>, room: f32) {
    let theme = Theme::of(ui);
    let begin = ui.cursor().left();
    for command in keyed() {
        let Some(keys) = command.keys_text().filter(|_| command.hinted && command.blocked(desk).is_none())
        else {
            continue;
        };
        let key = ui.painter().layout_no_wrap(keys.clone(), mono(9.5), theme.body);
        let word = ui.painter().layout_no_wrap(command.title.to_lowercase(), regular(11.0), theme.label);
        let size = vec2(key.size().x + 8.0 + 6.0 + word.size().x + 10.0, 16.0);
        if ui.cursor().left() - begin + size.x > room {
            return;
        }
        let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
        let cap = egui::Rect::from_min_size(rect.min, vec2(key.size().x + 8.0, 16.0));
        ui.painter().rect(cap, 3, theme.card, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
        ui.painter().text(cap.center(), Align2::CENTER_CENTER, &keys, mono(9.5), theme.body);
        let at = pos2(cap.right() + 6.0, rect.center().y);
        ui.painter().galley(at - vec2(0.0, word.size().y / 2.0), word, theme.label);
    }
}

/// Stage, epoch, step and time left in one line.
fn sentence(desk: Desk<'_>) -> String {
    let series = desk.session.series();
    let state = desk.session.state();
    let mut text = vec![state.word().to_owned()];
    text.extend(desk.foreign_run().map(|name| format!("run of {name}")));
    if let Some(stage) = series.stage() {
        let position = series.position;
        text.push(format!("stage {} of {}", stage.index + 1, series.stage_count));
        if state.is_live() {
            text.push(format!("epoch {} of {}", position.epoch + 1, stage.epochs));
            text.push(format!("step {} of {}", position.step, stage.steps));
        }
    }
    match state {
        State::Running | State::Following => {
            let left = series.stage_left().map_or_else(|| format::UNKNOWN.to_owned(), format::duration);
            text.push(format!("stage ends in ≈ {left}"));
        }
        State::Finished => {
            if let Some(score) = series.test_score {
                text.push(format!("test {} {score:.1} %", series.metric));
            }
            text.push(format!(
                "{} steps in {}",
                series.position.total,
                format::duration(series.position.secs)
            ));
        }
        State::Stopped => text.push(format!("{} steps, saved", series.position.total)),
        _ => {}
    }
    match desk.waiting {
        0 => {}
        1 => text.push("1 waits".to_owned()),
        waiting => text.push(format!("{waiting} wait")),
    }
    text.join(" · ")
}

fn run(ui: &mut Ui, desk: Desk<'_>, text: &str) {
    let theme = Theme::of(ui);
    let state = desk.session.state();
    let (icon, color) = match state {
        State::Idle => (None, theme.label),
        State::Finished => (Some(Icon::Check), theme.brand),
        State::Failed(_) => (Some(Icon::Cross), theme.error),
        State::Stopped => (Some(Icon::Stop), theme.label),
        State::Following => (Some(Icon::Play), theme.brand),
        _ if desk.locked => (Some(Icon::Lock), theme.label),
        _ => (Some(Icon::Play), theme.brand),
    };
    let galley = ui.painter().layout_no_wrap(text.to_owned(), regular(11.0), theme.body);
    let (rect, response) = ui.allocate_exact_size(vec2(galley.size().x + 20.0, 18.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Status, true, format!("Status: {text}")));
    if let Some(icon) = icon {
        icons::paint(ui.painter(), icon, pos2(rect.left() + 7.0, rect.center().y), 12.0, color);
    }
    let right = pos2(rect.right(), rect.center().y);
    ui.painter().text(right, Align2::RIGHT_CENTER, text, regular(11.0), theme.body);
    if desk.locked {
        response.on_hover_text("The graph is locked while training");
    }
}
