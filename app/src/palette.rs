//! The command palette: every command by a few letters of its name.

use egui::{Align, Align2, Key, Layout, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2, vec2};

use crate::actions::Action;
use crate::commands::{Command, all};
use crate::panels::Desk;
use crate::theme::{Theme, mono, regular};
use crate::widgets::shorten;

/// What has been typed and which row is chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Palette {
    text: String,
    chosen: usize,
}

/// How well a title answers the letters, the higher the better; none when it does not have them in this order.
fn score(title: &str, letters: &str) -> Option<i32> {
    let title: Vec<char> = title.to_lowercase().chars().collect();
    let (mut at, mut score, mut last) = (0, 0, None);
    for letter in letters.to_lowercase().chars().filter(|letter| !letter.is_whitespace()) {
        let found = at + title[at..].iter().position(|own| *own == letter)?;
        let begins_word = found == 0 || !title[found - 1].is_alphanumeric();
        score += if begins_word { 8 } else { 1 };
        if last == Some(found.wrapping_sub(1)) {
            score += 6;
        }
        last = Some(found);
        at = found + 1;
    }
    // Of equals the shorter name.
    Some(8 * score - i32::try_from(title.len()).unwrap_or(i32::MAX))
}

/// The commands whose title has these letters, the best first; all of them for none.
#[must_use]
pub(crate) fn matching(commands: Vec<Command>, letters: &str) -> Vec<Command> {
    let mut scored: Vec<(i32, Command)> = commands
        .into_iter()
        .filter_map(|command| {
            Some((score(&format!("{} {}", command.group.word(), command.title), letters)?, command))
        })
        .collect();
    if !letters.trim().is_empty() {
        scored.sort_by_key(|(score, _)| -score);
    }
    scored.into_iter().map(|(_, command)| command).collect()
}

/// Shows the palette over the window; `false` when it is to be closed.
pub(crate) fn ui(
    ctx: &egui::Context,
    desk: Desk<'_>,
    state: &mut Palette,
    actions: &mut Vec<Action>,
) -> bool {
    let moved = |key| ctx.input_mut(|input| input.consume_key(egui::Modifiers::NONE, key));
    let (up, down, enter) = (moved(Key::ArrowUp), moved(Key::ArrowDown), moved(Key::Enter));
    let found = matching(all(desk), &state.text);
    if up {
        state.chosen = state.chosen.saturating_sub(1);
    }
    if down {
        state.chosen += 1;
    }
    state.chosen = state.chosen.min(found.len().saturating_sub(1));
    let mut given = None;
    let place = egui::Area::new(egui::Id::unique("palette area")).anchor(Align2::CENTER_TOP, vec2(0.0, 96.0));
    let response = egui::Modal::new(egui::Id::unique("palette")).area(place).show(ctx, |ui| {
        ui.set_width(560.0);
        let field = egui::TextEdit::singleline(&mut state.text)
            .hint_text("Type what you want to do")
            .font(regular(14.0))
            .desired_width(f32::INFINITY);
        let response = ui.add(field).accessible_name("Command");
        response.request_focus();
        if response.changed() {
            state.chosen = 0;
        }
        ui.add_space(4.0);
        if found.is_empty() {
            ui.label("No command has these letters");
        }
        ScrollArea::vertical().max_height(420.0).auto_shrink([false, true]).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            for (number, command) in found.iter().enumerate() {
                if row(ui, desk, command, number == state.chosen, up || down) {
                    given = Some(number);
                }
            }
        });
    });
    if enter {
        given = Some(state.chosen);
    }
    if let Some(command) = given.and_then(|number| found.get(number))
        && command.blocked(desk).is_none()
    {
        actions.push(command.action.clone());
        return false;
    }
    !response.should_close()
}

/// One command; whether it was clicked.
fn row(ui: &mut Ui, desk: Desk<'_>, command: &Command, chosen: bool, follow: bool) -> bool {
    let theme = Theme::of(ui);
    let blocked = command.blocked(desk);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 28.0), Sense::click());
    response.widget_info(|| {
        let reason = blocked.map_or_else(String::new, |reason| format!(": {reason}"));
        let name = format!("Command {}{reason}", command.title);
        WidgetInfo::selected(Role::MenuItem, blocked.is_none(), chosen, name)
    });
    if chosen || response.hovered() {
        ui.painter().rect_filled(rect, 5, if chosen { theme.active } else { theme.raised });
    }
    if chosen && follow {
        response.scroll_to_me(None);
    }
    let color = if blocked.is_none() { theme.text } else { theme.faint };
    let y = rect.center().y;
    let keys = command.keys_text().unwrap_or_default();
    let right = pos2(rect.right() - 10.0, y);
    let remark = blocked.map_or(keys.as_str(), |reason| reason);
    let font = if blocked.is_some() { regular(11.0) } else { mono(10.0) };
    let remark = ui.painter().text(right, Align2::RIGHT_CENTER, remark, font, theme.label);
    let group = pos2(rect.left() + 10.0, y);
    ui.painter().text(group, Align2::LEFT_CENTER, command.group.word(), regular(11.0), theme.label);
    let x = rect.left() + 76.0;
    let title = shorten(ui, &command.title, &regular(12.0), remark.left() - 8.0 - x);
    ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, title, regular(12.0), color);
    response.clicked()
}

/// All commands that have a key, by group.
pub(crate) fn help(ctx: &egui::Context) -> bool {
    let response = egui::Modal::new(egui::Id::unique("help")).show(ctx, |ui| {
        ui.set_width(620.0);
        ui.heading("Keys");
        ui.add_space(6.0);
        let with_keys = crate::commands::keyed();
        ui.columns(2, |columns| {
            for (number, group) in crate::commands::Group::ALL.into_iter().enumerate() {
                let ui = &mut columns[usize::from(number >= 4)];
                let own: Vec<&Command> = with_keys.iter().filter(|it| it.group == group).collect();
                if own.is_empty() {
                    continue;
                }
                ui.label(egui::RichText::new(group.word()).strong());
                for command in own {
                    key_row(ui, command);
                }
                ui.add_space(8.0);
            }
        });
        ui.add_space(2.0);
        let text = "The wheel zooms at the pointer; dragging the ground moves the graph. \
                    What a control does stands beside the pointer when it rests there.";
        ui.add(egui::Label::new(egui::RichText::new(text).color(Theme::of(ui).label)).wrap());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.button("Close").clicked()).inner
    });
    !(response.should_close() || response.inner)
}

fn key_row(ui: &mut Ui, command: &Command) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::hover());
    let keys = command.keys_text().unwrap_or_default();
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{keys}: {}", command.title)));
    let y = rect.center().y;
    ui.painter().text(pos2(rect.left(), y), Align2::LEFT_CENTER, &keys, mono(10.5), theme.text);
    let at = pos2(rect.left() + 96.0, y);
    ui.painter().text(at, Align2::LEFT_CENTER, &command.title, regular(12.0), theme.body);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(letters: &str) -> Vec<String> {
        matching(crate::commands::fixed(), letters).into_iter().map(|it| it.title.into_owned()).collect()
    }

    #[test]
    fn letters_in_order_find_and_beginnings_of_words_come_first() {
        assert_eq!(titles("undo")[0], "Undo");
        assert_eq!(titles("sa as")[0], "Save as…");
        assert!(titles("xyzzy").is_empty());
        assert_eq!(titles(" ").len(), crate::commands::fixed().len(), "nothing typed hides nothing");
    }
}
