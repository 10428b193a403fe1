//! A selected adapter: what it is, its settings, where it attaches, what it costs.

use egui::{Color32, Sense, Ui, vec2};
use graft_engine::adapters::Placement;
use graft_engine::graph::SiteKind;

use super::setting::setting_ui;
use super::where_it_sits::rule_ui;
use super::{Desk, costs, title};
use crate::actions::Action;
use crate::attach;
use crate::format;
use crate::icons::{self, Icon};
use crate::model::{Freeze, Model};
use crate::theme::Theme;
use crate::view::View;
use crate::widgets::{Weight, form_row, key_value, label_room, note, rule, section, wide_button};

pub(super) fn adapter(
    ui: &mut Ui,
    index: usize,
    site: Option<&str>,
    desk: Desk<'_>,
    view: &mut View,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    let Some(placement) = desk.document.and_then(|document| document.project().adapters.get(index)) else {
        return;
    };
    let covered = desk.model.and_then(|model| Some((model, model.coverage.get(index)?.as_ref().ok()?)));
    let spec = covered
        .and_then(|(model, covered)| placement.sized(&model.graph, &covered.matched).ok())
        .unwrap_or_else(|| placement.kind.clone());
    let kind = spec.kind();
    let style = theme.kind(kind.letter());
    title(ui, kind.name(), site.unwrap_or(&placement.at), |ui, at| {
        icons::badge(ui.painter(), style, at, 28.0, Theme::of(ui).ink);
    });
    attaches(ui, kind.place(), style.color);
    section(ui, "Settings", kind.description());
    note(ui, &kind.formula(), theme.label);
    ui.add_space(6.0);
    let settings = kind.settings();
    if settings.is_empty() {
        note(ui, "This kind has no settings.", theme.label);
        ui.add_space(6.0);
    }
    let room = label_room(ui, settings.iter().map(|setting| setting.label));
    for setting in settings {
        form_row(ui, setting.label, room, |ui| {
            setting_ui(ui, index, &setting, style.color, desk.locked, actions);
        });
    }
    let start = if kind.identity_at_start() {
        "Placing it changes no output until it is trained."
    } else {
        "It changes the output from the first step on."
    };
    ui.add_space(2.0);
    note(ui, start, theme.label);
    if desk.locked {
        note(ui, "Locked while training.", theme.warning);
    }
    ui.add_space(8.0);
    rule(ui);
    rule_ui(ui, index, placement, desk, view, actions);
    rule(ui);
    cost(ui, index, placement, desk);
    rule(ui);
    super::super::without::ui(ui, index, desk);
    rule(ui);
    ui.add_space(10.0);
    ui.horizontal(|ui| {
        ui.add_space(12.0);
        let button = wide_button(ui, Some(Icon::Bin), "Remove", Weight::Plain, !desk.locked);
        if button.on_hover_text("Take this rule off the project (Del)").clicked() {
            actions.push(Action::RemoveAdapter(index));
        }
    });
    ui.add_space(12.0);
}

/// Where the kind attaches, in words and as a picture.
fn attaches(ui: &mut Ui, place: &str, hue: Color32) {
    let theme = Theme::of(ui);
    section(ui, "Attaches", place);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 34.0), Sense::hover());
    let well = rect.shrink2(vec2(12.0, 2.0));
    ui.painter().rect_filled(well, 6, theme.well);
    attach::paint(
        ui.painter(),
        egui::Rect::from_center_size(well.center(), 1.6 * attach::SIZE),
        place,
        hue,
        theme,
    );
    ui.add_space(4.0);
    rule(ui);
}

fn cost(ui: &mut Ui, index: usize, placement: &Placement, desk: Desk<'_>) {
    section(ui, "Cost", "");
    let Some(model) = desk.model else { return };
    let Some(Ok(covered)) = model.coverage.get(index) else {
        key_value(ui, "Weights", format::UNKNOWN);
        return;
    };
    // A placement that asks for a number of parameters has the size that comes near.
    let spec = placement.sized(&model.graph, &covered.matched).unwrap_or_else(|_| placement.kind.clone());
    let kind = spec.kind();
    let sites: Vec<_> = covered.matched.iter().filter_map(|path| model.graph.site(path)).collect();
    let counts: Vec<u64> = sites.iter().map(|site| kind.parameter_count(&model.graph, site)).collect();
    if let Some(site) = sites.first() {
        let shape = match site.kind {
            SiteKind::Weight { features_in, .. } => format!("{}×{features_in}", site.width),
            _ => site.width.to_string(),
        };
        key_value(ui, &format!("First site, a {}", site.kind.word()), &shape);
        key_value(ui, "Weights at one site", &format::whole(counts[0]));
    }
    let all: u64 = counts.iter().sum::<u64>() + kind.shared_count();
    if sites.len() > 1 {
        key_value(ui, &format!("Weights at {} sites", sites.len()), &format::whole(all));
    }
    key_value(ui, "Adapter file", &format::bytes(4 * all));
    key_value(ui, "In this stage", &in_stage(model, index, &covered.matched));
    costs(ui, desk, |heat| heat.adapter(index));
    ui.add_space(8.0);
}

/// What becomes of an adapter in the stage that is shown: at all its sites, or at how many of them.
fn in_stage(model: &Model, index: usize, sites: &[String]) -> String {
    if !model.uses_adapters {
        return "not in this stage".to_owned();
    }
    let known: Vec<bool> = sites.iter().filter_map(|site| model.trains_at(index, site)).collect();
    let (all, trained) = (known.len(), known.iter().filter(|trains| **trains).count());
    match trained {
        0 if all == 0 => Freeze::Nothing.word().to_owned(),
        0 => "frozen".to_owned(),
        _ if trained == all => "trainable".to_owned(),
        1 => format!("1 of {all} trains, {} frozen", all - trained),
        _ => format!("{trained} of {all} train, {} frozen", all - trained),
    }
}
