//! Search by path: a field over the canvas, matches as one types, and a step from one to the next.

use egui::{
    Align, Align2, Id, Key, Layout, Rect, Role, Sense, Stroke, StrokeKind, Ui, UiBuilder, WidgetInfo, vec2,
};
use graft_engine::graph::{NodeKind, Rule};

use super::crumbs::CORNER;
use crate::actions::Action;
use crate::graph_actions::GraphAction;
use crate::icons::{self, Icon};
use crate::model::Model;
use crate::reach;
use crate::theme::{Theme, mono, regular};
use crate::view::View;
use crate::widgets::{Weight, icon_button, wide_button};

/// The paths of regions and ops that a text finds, in the order of the data: by a part of the path, or by a rule.
pub(super) fn matches(model: &Model, text: &str) -> Vec<String> {
    let text = text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    let rule = if is_rule(text) { Rule::parse(text).ok() } else { None };
    if is_rule(text) && rule.is_none() {
        return Vec::new();
    }
    let wanted = text.to_lowercase();
    let found = |path: &str| match &rule {
        Some(rule) => rule.matches(path),
        None => path.to_lowercase().contains(&wanted),
    };
    let graph = &model.graph;
    let mut all: Vec<(usize, usize, String)> = model
        .parts
        .iter()
        .filter(|part| part.order != usize::MAX && found(&part.path))
        .map(|part| (part.order, part.path.matches('.').count(), part.path.clone()))
        .collect();
    let ops = model.parts.iter().flat_map(|part| &part.ops);
    let places: std::collections::HashMap<_, _> =
        graph.order().iter().enumerate().map(|(place, &id)| (id, place)).collect();
    for &id in ops {
        let node = graph.node(id);
        if matches!(node.kind, NodeKind::Op(_)) && found(&node.path) && model.part(&node.path).is_none() {
            let place = places.get(&id).copied().unwrap_or_default();
            all.push((place, node.path.matches('.').count(), node.path.clone()));
        }
    }
    all.sort();
    all.dedup_by(|a, b| a.2 == b.2);
    all.into_iter().map(|(_, _, path)| path).collect()
}

/// Whether a text is a rule over paths rather than a part of one.
fn is_rule(text: &str) -> bool {
    text.contains(['*', '{', '['])
}

/// Shows the field, if it is open. `fresh` says that the model is another one.
pub(super) fn ui(
    ui: &mut Ui,
    canvas: Rect,
    model: &Model,
    fresh: bool,
    locked: bool,
    view: &mut View,
    actions: &mut Vec<Action>,
) {
    let kind = view.kind;
    let Some(find) = &mut view.graph.find else { return };
    let theme = Theme::of(ui);
    let width = (canvas.width() - 2.0 * CORNER.x).min(336.0);
    let frame = Rect::from_min_size(canvas.min + CORNER, vec2(width, 34.0));
    // What lies over the canvas takes the pointer from it.
    ui.interact(frame, Id::unique("find frame"), Sense::click_and_drag());
    ui.painter().rect(frame, 7, theme.popup, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    let layout = Layout::left_to_right(Align::Center);
    let mut inner = ui.new_child(UiBuilder::new().max_rect(frame.shrink2(vec2(8.0, 3.0))).layout(layout));
    let ui = &mut inner;
    ui.spacing_mut().item_spacing.x = 4.0;
    let (mark, _) = ui.allocate_exact_size(vec2(18.0, 26.0), Sense::hover());
    icons::paint(ui.painter(), Icon::Search, mark.center(), 14.0, theme.label);
    let count = match (find.at, find.matches.len()) {
        _ if find.text.trim().is_empty() => String::new(),
        (_, 0) => "none".to_owned(),
        (None, all) => all.to_string(),
        (Some(at), all) => format!("{} of {all}", at + 1),
    };
    let field = egui::TextEdit::singleline(&mut find.text)
        .hint_text("A part of a path, or a rule")
        .font(mono(11.0))
        .frame(egui::Frame::NONE)
        .align(egui::Align2::LEFT_CENTER)
        .min_size(vec2(0.0, 26.0))
        .desired_width(width - 172.0);
    let response = ui.add(field);
    let response = response.accessible_name("Find on the graph");
    if fresh || response.changed() {
        let shown = find.at.and_then(|at| find.matches.get(at).cloned());
        find.matches = matches(model, &find.text);
        find.at = shown
            .filter(|_| !response.changed())
            .and_then(|shown| find.matches.iter().position(|path| *path == shown));
    }
    if find.at.is_none() && find.text.is_empty() && !response.has_focus() && !response.lost_focus() {
        response.request_focus();
    }
    if response.lost_focus() {
        let (enter, escape, shift) = ui.input(|input| {
            (input.key_pressed(Key::Enter), input.key_pressed(Key::Escape), input.modifiers.shift)
        });
        if enter {
            let go = if shift { GraphAction::PreviousMatch } else { GraphAction::NextMatch };
            actions.push(Action::Graph(go));
            response.request_focus();
        } else if escape {
            actions.push(Action::Graph(GraphAction::EndFind));
        }
    }
    let (told, status) = ui.allocate_exact_size(vec2(62.0, 26.0), Sense::hover());
    status.widget_info(|| WidgetInfo::labeled(Role::Status, true, format!("Found: {count}")));
    ui.painter().text(told.right_center(), Align2::RIGHT_CENTER, &count, regular(11.0), theme.label);
    if icon_button(ui, Icon::ChevronDown, "Next match", "The next one (Enter)", true).clicked() {
        actions.push(Action::Graph(GraphAction::NextMatch));
    }
    if icon_button(ui, Icon::Cross, "Close search", "Close (Esc)", true).clicked() {
        actions.push(Action::Graph(GraphAction::EndFind));
    }
    // A rule that matches sites can place the chosen kind there.
    let text = find.text.trim().to_owned();
    if locked || !is_rule(&text) {
        return;
    }
    let palette = crate::kinds::palette();
    let Some(spec) = palette.get(kind) else { return };
    let Ok(covered) = reach::draft(model, spec, &text) else { return };
    let name = format!("Place {} at {} sites", spec.kind().name(), covered.matched.len());
    let below = Rect::from_min_size(frame.left_bottom() + vec2(0.0, 6.0), vec2(width, 28.0));
    let mut below = ui.new_child(UiBuilder::new().max_rect(below).layout(layout));
    if wide_button(&mut below, Some(Icon::Plus), &name, Weight::Plain, true).clicked() {
        actions.push(Action::Graph(GraphAction::PlaceRule { rule: text, kind }));
        actions.push(Action::Graph(GraphAction::EndFind));
    }
}
