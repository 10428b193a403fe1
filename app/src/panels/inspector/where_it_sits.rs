//! An adapter's rule, with the sites that it matches and those that are near.

use egui::{Align2, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use graft_engine::adapters::Placement;

use super::{Desk, SITES};
use crate::actions::Action;
use crate::graph_actions::GraphAction;
use crate::icons::{self, Icon};
use crate::reach::{self, every_block};
use crate::theme::{Theme, mono};
use crate::view::View;
use crate::widgets::{Weight, focus_ring, note, section, shorten_front, wide_button};

/// The rule with what it matches.
pub(super) fn rule_ui(
    ui: &mut Ui,
    index: usize,
    placement: &Placement,
    desk: Desk<'_>,
    view: &mut View,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    // What is typed is matched at every letter.
    let typed = view.rule_draft.as_ref().filter(|(own, _)| *own == index);
    let live = typed.zip(desk.model).map(|((_, rule), model)| reach::draft(model, &placement.kind, rule));
    let coverage = live.as_ref().or_else(|| desk.model.and_then(|model| model.coverage.get(index)));
    let remark = match coverage {
        Some(Ok(covered)) if covered.near.is_empty() => format!("{} matched", covered.matched.len()),
        Some(Ok(covered)) => format!("{} matched · {} near", covered.matched.len(), covered.near.len()),
        Some(Err(_)) => "matches nothing".to_owned(),
        None => String::new(),
    };
    section(ui, "Rule", &remark);
    let mut draft = match &view.rule_draft {
        Some((own, text)) if *own == index => text.clone(),
        _ => placement.at.clone(),
    };
    ui.horizontal(|ui| {
        ui.add_space(12.0);
        let width = ui.available_width() - 12.0;
        let edit = egui::TextEdit::singleline(&mut draft)
            .font(mono(11.0))
            .desired_width(width)
            .margin(egui::Margin::symmetric(8, 5))
            .interactive(!desk.locked);
        let response = ui.add(edit);
        let response = response.accessible_name("Rule text");
        if response.changed() {
            view.rule_draft = Some((index, draft.clone()));
        }
        if response.lost_focus() {
            // Escape leaves the rule as it was.
            let given_up = ui.input(|input| input.key_pressed(egui::Key::Escape));
            if draft != placement.at && !given_up {
                actions.push(Action::SetRule { adapter: index, rule: draft.clone() });
            }
            view.rule_draft = None;
        }
    });
    ui.add_space(6.0);
    let wide = every_block(&placement.at);
    if let Some(wide) = wide.filter(|wide| *wide != placement.at) {
        ui.horizontal(|ui| {
            ui.add_space(12.0);
            let button = wide_button(ui, None, "Copy to like sites", Weight::Plain, !desk.locked);
            if button.on_hover_text(&wide).clicked() {
                actions.push(Action::Graph(GraphAction::CopyToLike));
            }
        });
        ui.add_space(8.0);
    }
    match coverage {
        Some(Ok(covered)) => {
            for path in covered.matched.iter().take(SITES) {
                site_row(ui, path, true, actions);
            }
            if covered.matched.len() > SITES {
                note(ui, &format!("and {} more", covered.matched.len() - SITES), theme.label);
            }
            for path in covered.near.iter().take(4) {
                site_row(ui, path, false, actions);
            }
            if covered.near.len() > 4 {
                note(ui, &format!("and {} more near", covered.near.len() - 4), theme.label);
            }
        }
        Some(Err(error)) => note(ui, error, theme.error),
        None => {}
    }
    ui.add_space(8.0);
}

fn site_row(ui: &mut Ui, path: &str, matched: bool, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), Sense::click());
    let word = if matched { "Matched" } else { "Near" };
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("{word} {path}")));
    if response.hovered() {
        ui.painter().rect_filled(rect, 0, theme.raised);
    }
    focus_ring(ui, &response, rect.shrink(2.0));
    let y = rect.center().y;
    let (icon, color) = if matched { (Icon::Check, theme.brand) } else { (Icon::Minus, theme.faint) };
    icons::paint(ui.painter(), icon, pos2(rect.left() + 18.0, y), 12.0, color);
    let x = rect.left() + 30.0;
    let text = shorten_front(ui, path, &mono(10.0), rect.right() - 12.0 - x);
    let color = if matched { theme.body } else { theme.label };
    ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, text, mono(10.0), color);
    if response.clicked() {
        actions.push(Action::Graph(GraphAction::Show(path.to_owned())));
    }
    response.on_hover_text(if matched { path.to_owned() } else { format!("near, not matched: {path}") });
}
