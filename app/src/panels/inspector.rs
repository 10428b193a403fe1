//! What is selected: what it is, its settings, where it attaches, what it costs.

mod adapter;
mod setting;
mod where_it_sits;

use egui::{Align2, RichText, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use graft_engine::graph::{NodeId, NodeKind, is_below};

use super::{Desk, selection};
use crate::actions::Action;
use crate::canvas::freeze_icon;
use crate::format;
use crate::icons::{self, Icon};
use crate::model::{Freeze, Model};
use crate::outlook::{Warmth, Warmths};
use crate::theme::{Theme, bold, mono, regular};
use crate::view::{Selected, View};
use crate::widgets::{Weight, key_value, note, rule, section, shorten_front, wide_button};
use adapter::adapter;

/// Parameters that are listed one by one.
const PARAMS: usize = 24;
/// Matched sites that are listed one by one.
const SITES: usize = 12;

/// Shows the panel.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, view: &mut View, actions: &mut Vec<Action>) {
    ui.spacing_mut().item_spacing.y = 0.0;
    egui::ScrollArea::vertical().id_salt("inspector").auto_shrink([false, false]).show(ui, |ui| {
        selection::several(ui, desk, view, actions);
        match view.selected.clone() {
            Selected::Nothing => nothing(ui, desk),
            Selected::Part(path) => part(ui, &path, desk, actions),
            Selected::Adapter { index, site } => adapter(ui, index, site.as_deref(), desk, view, actions),
        }
    });
}

fn nothing(ui: &mut Ui, desk: Desk<'_>) {
    let theme = Theme::of(ui);
    let Some(document) = desk.document else {
        section(ui, "Nothing open", "");
        note(ui, "Open a project to see its model here.", theme.label);
        return;
    };
    let project = document.project();
    run(ui, desk);
    section(ui, "Project", &project.name);
    if !project.description.is_empty() {
        note(ui, &project.description, theme.body);
        ui.add_space(8.0);
    }
    key_value(ui, "File", &document.path().display().to_string());
    key_value(ui, "Seed", &project.seed.to_string());
    key_value(ui, "Stages", &project.stages.len().to_string());
    if !project.variants.is_empty() {
        key_value(ui, "Variants", &project.variants.len().to_string());
    }
    let Some(model) = desk.model else { return };
    ui.add_space(6.0);
    rule(ui);
    section(ui, "Model", "");
    note(ui, &model.title, theme.body);
    ui.add_space(6.0);
    key_value(ui, "Weights", &format::whole(model.weights));
    key_value(ui, "Trainable in this stage", &format::whole(model.trained));
    key_value(ui, "Share", &format::share(model.trained, model.weights));
    key_value(ui, "Size", &format::bytes(4 * model.weights));
    key_value(ui, "Training samples", &format::whole(model.samples as u64));
    let steps = model.steps.get(model.stage).copied().flatten();
    let steps = steps.map_or_else(|| format::UNKNOWN.to_owned(), format::whole);
    key_value(ui, "Steps of this stage", &steps);
    ui.add_space(8.0);
    note(ui, "Select a part or an adapter to see and edit it.", theme.label);
}

/// What the latest run has come to.
fn run(ui: &mut Ui, desk: Desk<'_>) {
    let series = desk.session.series();
    let Some(last) = series.steps.last() else { return };
    let position = series.position;
    let unknown = || format::UNKNOWN.to_owned();
    let per_cent = |value: Option<f64>| value.map_or_else(unknown, |value| format!("{value:.1} %"));
    let validation = || series.evals.iter().filter(|point| !point.test).map(|point| point.score);
    section(ui, "Run", desk.session.state().word());
    if let Some(name) = desk.foreign_run() {
        note(
            ui,
            &format!("This is a run of {name}, not of the project that is open."),
            Theme::of(ui).warning,
        );
        ui.add_space(6.0);
    }
    key_value(ui, "Name", &series.run);
    key_value(ui, "Elapsed", &format::duration(position.secs));
    key_value(ui, "Steps of all stages", &format::whole(position.total));
    key_value(ui, "Loss, smoothed", &format!("{:.4}", last.smooth));
    key_value(ui, "Learning rate", &format!("{:.2e}", position.rate).replace('-', "−"));
    let metric = series.metric;
    key_value(ui, &format!("Validation {metric}"), &per_cent(validation().next_back()));
    key_value(ui, &format!("Best validation {metric}"), &per_cent(validation().reduce(f64::max)));
    if series.test_score.is_some() {
        key_value(ui, &format!("Test {metric}"), &per_cent(series.test_score));
    }
    key_value(ui, "Peak memory", &format::bytes(series.peak_bytes));
    if let Some(predicted) = series.stage().and_then(|stage| stage.predicted.as_ref()) {
        key_value(ui, "Stage peak, predicted", &format::bytes(predicted.peak_bytes));
    }
    key_value(ui, "Folder", &series.folder);
    ui.add_space(6.0);
    rule(ui);
}

/// The title row: an icon or badge, a name, and the path below.
fn title(ui: &mut Ui, name: &str, path: &str, paint: impl FnOnce(&Ui, egui::Pos2)) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 56.0), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Heading, true, format!("Inspector {name} {path}")));
    paint(ui, pos2(rect.left() + 28.0, rect.center().y));
    let x = rect.left() + 52.0;
    ui.painter().text(pos2(x, rect.top() + 20.0), Align2::LEFT_CENTER, name, bold(14.0), theme.text);
    let short = shorten_front(ui, path, &mono(10.5), rect.right() - 12.0 - x);
    ui.painter().text(pos2(x, rect.top() + 38.0), Align2::LEFT_CENTER, short, mono(10.5), theme.label);
    response.on_hover_text(path);
    rule(ui);
}

fn part(ui: &mut Ui, path: &str, desk: Desk<'_>, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let Some(model) = desk.model else { return };
    let Some(region) = model.part(path) else {
        if let Some(id) = model.graph.find(path) {
            op(ui, path, id, model, desk, actions);
        } else if let Some(site) = model.graph.site(path) {
            selection::site(ui, site, desk);
        } else {
            section(ui, "Not in this stage", "");
            note(ui, path, theme.label);
        }
        return;
    };
    let freeze = region.freeze;
    title(ui, &region.title, path, |ui, at| mark(ui, freeze, at));
    section(ui, "Weights", "");
    key_value(ui, "In all", &format::whole(region.weights));
    key_value(ui, "Trainable", &format::whole(region.trained));
    key_value(ui, "Share of the model", &format::share(region.weights, model.weights));
    key_value(ui, "Size", &format::bytes(4 * region.weights));
    if let Some(output) = region.output {
        key_value(ui, "Output", &format::shape(model.shape(output)));
        let gradient = if model.is_tracked(output) { "passes" } else { "none" };
        key_value(ui, "Gradient", gradient);
    }
    costs(ui, desk, |heat| heat.region(path));
    freeze_button(ui, path, freeze, desk, actions);
    let inside: Vec<usize> = region.adapters.keys().copied().collect();
    if !inside.is_empty() {
        rule(ui);
        section(ui, "Adapters inside", "");
        for index in inside {
            adapter_row(ui, index, desk, actions);
        }
    }
    rule(ui);
    section(ui, "Parameters", "");
    let own = model.graph.params();
    let mut own = own.filter(|(_, p, leaf)| is_below(p, path) && leaf.placement.is_none());
    let mut listed = 0;
    for (_, param, leaf) in own.by_ref().take(PARAMS) {
        let name = param.strip_prefix(path).unwrap_or(param).trim_start_matches('.');
        let shape = leaf.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×");
        key_value(ui, name, &shape);
        listed += 1;
    }
    let more = own.count();
    if more > 0 {
        note(ui, &format!("and {more} more"), theme.label);
    }
    if listed == 0 {
        note(ui, "None of its own.", theme.label);
    }
    ui.add_space(12.0);
}

/// What something keeps and takes in the stage that is shown: as predicted, and as the newest run measured it.
fn costs(ui: &mut Ui, desk: Desk<'_>, of: impl Fn(&Warmths) -> Option<Warmth>) {
    let predicted = desk.outlook().and_then(|outlook| of(&outlook.heat));
    let measured = desk.measured.ok().and_then(|measured| of(&measured.heat));
    for (word, warmth) in [("predicted", predicted), ("measured", measured)] {
        if let Some(bytes) = warmth.and_then(|warmth| warmth.bytes) {
            key_value(ui, &format!("Kept bytes, {word}"), &format::bytes(bytes));
        }
    }
    if let Some(warmth) = predicted {
        let word = super::totals::times_word(desk.planner.times());
        let time = warmth.secs.map_or_else(|| word.to_owned(), format::step_time);
        key_value(ui, "Time a step, predicted", &time);
    }
    if let Some(secs) = measured.and_then(|warmth| warmth.secs) {
        key_value(ui, "Time a step, measured", &format::step_time(secs));
    }
}

fn mark(ui: &Ui, freeze: Freeze, at: egui::Pos2) {
    let theme = Theme::of(ui);
    if freeze == Freeze::Nothing {
        ui.painter().circle_stroke(at, 5.0, egui::Stroke::new(1.3, theme.edge));
    } else {
        freeze_icon(ui.painter(), theme, freeze, at, 22.0);
    }
}

fn op(ui: &mut Ui, path: &str, id: NodeId, model: &Model, desk: Desk<'_>, actions: &mut Vec<Action>) {
    let node = model.graph.node(id);
    let freeze = model.op_freeze(id);
    let name = path.rsplit('.').next().unwrap_or(path);
    title(ui, name, path, |ui, at| mark(ui, freeze, at));
    section(ui, "Operation", "");
    if let NodeKind::Op(kind) = &node.kind {
        key_value(ui, "Kind", kind.name());
    }
    key_value(ui, "Output", &format::shape(model.shape(id)));
    let adds = model.graph.multiply_adds(id, &model.shapes);
    key_value(ui, "Multiply-adds a sample", &format::short(adds));
    let params =
        || node.inputs.iter().filter(|&&input| matches!(model.graph.node(input).kind, NodeKind::Param(_)));
    for &param in params() {
        let full = &model.graph.node(param).path;
        let short = full.strip_prefix(path).unwrap_or(full).trim_start_matches('.');
        let shape = model.shape(param).iter().map(ToString::to_string).collect::<Vec<_>>().join("×");
        key_value(ui, short, &shape);
    }
    costs(ui, desk, |heat| heat.node(path));
    if freeze != Freeze::Nothing {
        freeze_button(ui, path, freeze, desk, actions);
    }
    let adapters = model.adapters_at(path);
    if !adapters.is_empty() {
        rule(ui);
        section(ui, "Adapters here", "");
        for &index in adapters {
            adapter_row(ui, index, desk, actions);
        }
    }
}

fn freeze_button(ui: &mut Ui, path: &str, freeze: Freeze, desk: Desk<'_>, actions: &mut Vec<Action>) {
    if freeze == Freeze::Nothing {
        return;
    }
    let (icon, word) =
        if freeze.is_frozen() { (Icon::Flame, "Make trainable") } else { (Icon::Snowflake, "Freeze") };
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        ui.add_space(12.0);
        let blocked = desk.cannot_freeze();
        let button = wide_button(ui, Some(icon), word, Weight::Plain, blocked.is_none());
        if button.on_hover_text("In this stage (F)").clicked() {
            actions.push(Action::ToggleFreeze(path.to_owned()));
        }
        if let Some(why) = blocked {
            ui.label(RichText::new(why).font(regular(11.0)).color(Theme::of(ui).label));
        }
    });
    ui.add_space(10.0);
}

fn adapter_row(ui: &mut Ui, index: usize, desk: Desk<'_>, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let Some(placement) = desk.document.and_then(|document| document.project().adapters.get(index)) else {
        return;
    };
    let kind = placement.kind.kind();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 24.0), Sense::click());
    response.widget_info(|| {
        WidgetInfo::labeled(Role::Button, true, format!("Show {} {}", kind.name(), placement.at))
    });
    if response.hovered() {
        ui.painter().rect_filled(rect, 0, theme.raised);
    }
    let y = rect.center().y;
    icons::badge(ui.painter(), theme.kind(kind.letter()), pos2(rect.left() + 20.0, y), 15.0, theme.ink);
    let x = rect.left() + 34.0;
    let text = shorten_front(ui, &placement.at, &mono(10.0), rect.right() - 12.0 - x);
    ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, text, mono(10.0), theme.body);
    if response.clicked() {
        actions.push(Action::Select(Selected::Adapter { index, site: None }));
    }
}
