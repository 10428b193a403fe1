//! What the inspector says of a site, and of several things that are selected together.

use egui::Ui;
use graft_engine::adapters::AdapterSpec;
use graft_engine::graph::{Site, SiteKind};

use super::Desk;
use crate::actions::Action;
use crate::graph_actions::GraphAction;
use crate::icons::Icon;
use crate::theme::Theme;
use crate::view::{Selected, View};
use crate::widgets::{Weight, key_value, note, rule, section, wide_button};

/// A site that is no part of its own: a port, a bridge, a sequence.
pub fn site(ui: &mut Ui, site: &Site, desk: Desk<'_>) {
    let theme = Theme::of(ui);
    section(ui, "Site", site.kind.word());
    note(ui, &site.path, theme.body);
    ui.add_space(6.0);
    key_value(ui, "Width", &site.width.to_string());
    if let SiteKind::Bridge { from, to, .. } = &site.kind {
        key_value(ui, "From", from);
        key_value(ui, "To", to);
    }
    let here = desk.model.map_or(0, |model| model.adapters_at(&site.path).len());
    key_value(ui, "Adapters here", &here.to_string());
    let fits: Vec<&str> = desk.model.map_or_else(Vec::new, |model| {
        let all = AdapterSpec::fitting(&model.graph, site);
        all.iter().map(|spec| spec.kind().name()).collect()
    });
    key_value(ui, "Takes", &if fits.is_empty() { "nothing".to_owned() } else { fits.join(", ") });
    ui.add_space(8.0);
}

/// What is selected beside the selection, and placing on all of it.
pub fn several(ui: &mut Ui, desk: Desk<'_>, view: &View, actions: &mut Vec<Action>) {
    if view.selected == Selected::Nothing || desk.document.is_none() {
        return;
    }
    let also = &view.graph.also;
    if also.is_empty() {
        return;
    }
    let palette = crate::kinds::palette();
    let Some(spec) = palette.get(view.kind) else { return };
    section(ui, "Selected together", &(also.len() + 1).to_string());
    for path in also.iter().take(4) {
        note(ui, path, Theme::of(ui).body);
    }
    if also.len() > 4 {
        note(ui, &format!("and {} more", also.len() - 4), Theme::of(ui).label);
    }
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        ui.add_space(12.0);
        let word = format!("Place {} on all", spec.kind().name());
        let button = wide_button(ui, Some(Icon::Plus), &word, Weight::Plain, !desk.locked);
        if button.on_hover_text("One step, in as few rules as say it (A)").clicked() {
            actions.push(Action::Graph(GraphAction::AddHere));
        }
    });
    ui.add_space(8.0);
    rule(ui);
}
