//! What is selected: what it is, its settings, where it attaches, what it costs.

use egui::{Align2, Color32, RichText, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use graft_engine::adapters::{Placement, Setting};
use graft_engine::graph::{NodeId, NodeKind, RegionKind, SiteKind, is_below};

use super::{Desk, selection};
use crate::actions::Action;
use crate::attach;
use crate::canvas::freeze_icon;
use crate::format;
use crate::graph_actions::GraphAction;
use crate::icons::{self, Icon};
use crate::model::{Freeze, Model};
use crate::outlook::{Warmth, Warmths};
use crate::reach::{self, every_block};
use crate::theme::{Theme, bold, mono, regular};
use crate::view::{Selected, View};
use crate::widgets::{Weight, focus_ring, key_value, note, rule, section, shorten_front, wide_button};

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
    let validation = || series.evals.iter().filter(|point| !point.test).map(|point| point.top1);
    section(ui, "Run", desk.session.state().word());
    if let Some(name) = desk.foreign_run() {
        note(
            ui,
            &format!("This is a run of {name}, not of the project that is open."),
            Theme::of(ui).warning,
        );
    }
    key_value(ui, "Name", &series.run);
    key_value(ui, "Elapsed", &format::duration(position.secs));
    key_value(ui, "Steps of all stages", &format::whole(position.total));
    key_value(ui, "Loss, smoothed", &format!("{:.4}", last.smooth));
    key_value(ui, "Learning rate", &format!("{:.2e}", position.rate).replace('-', "−"));
    key_value(ui, "Validation top-1", &per_cent(validation().next_back()));
    key_value(ui, "Best validation top-1", &per_cent(validation().reduce(f64::max)));
    if series.test_top1.is_some() {
        key_value(ui, "Test top-1", &per_cent(series.test_top1));
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

fn adapter(
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
    for setting in settings {
        crate::widgets::form_row(ui, setting.label, |ui| {
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
    super::without::ui(ui, index, desk);
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

fn setting_ui(
    ui: &mut Ui,
    adapter: usize,
    setting: &Setting,
    color: Color32,
    locked: bool,
    actions: &mut Vec<Action>,
) {
    let mut value = setting.value;
    let theme = Theme::of(ui);
    if !setting.choices.is_empty() {
        ui.add_enabled_ui(!locked, |ui| value = choice_ui(ui, adapter, setting));
        #[expect(clippy::float_cmp, reason = "choices are small whole numbers")]
        if value != setting.value {
            actions.push(Action::Set { adapter, name: setting.name, value });
        }
        return;
    }
    ui.add_enabled_ui(!locked, |ui| {
        if setting.whole {
            // Powers of two, as far as editors usually go; any whole number can be typed.
            let top = setting.range.1.min(256.0).max(setting.value).log2();
            let mut power = value.max(1.0).log2();
            ui.spacing_mut().slider_width = (ui.available_width() - 86.0).clamp(60.0, 150.0);
            let slider = egui::Slider::new(&mut power, 0.0..=top).smart_aim(false).show_value(false);
            ui.visuals_mut().selection.bg_fill = color;
            ui.visuals_mut().widgets.inactive.bg_fill = theme.active;
            let slider = ui.add(slider.trailing_fill(true));
            slider.widget_info(|| {
                WidgetInfo::labeled(Role::Slider, !locked, format!("{} slider", setting.label))
            });
            if slider.changed() {
                value = power.exp2().round();
            }
        }
        let speed = if setting.whole { 0.2 } else { (setting.range.1 - setting.range.0).min(10.0) / 400.0 };
        let mut field = egui::DragValue::new(&mut value)
            .range(setting.range.0..=setting.range.1)
            .speed(speed)
            .min_size(vec2(56.0, 24.0))
            .update_while_editing(false);
        field = if setting.whole { field.fixed_decimals(0) } else { field.max_decimals(4) };
        field = field.custom_formatter(|value, _| format::number((value * 1e4).round() / 1e4));
        let response = ui.scope(|ui| {
            ui.visuals_mut().widgets.inactive.weak_bg_fill = theme.field;
            ui.style_mut().drag_value_text_style = egui::TextStyle::Monospace;
            ui.add(field)
        });
        response.inner.widget_info(|| WidgetInfo {
            label: Some(setting.label.to_owned()),
            ..WidgetInfo::drag_value(!locked, setting.value)
        });
    });
    if setting.whole {
        value = value.round();
    }
    #[expect(clippy::float_cmp, reason = "an untouched field gives the same bits back")]
    let changed = value != setting.value;
    if changed {
        actions.push(Action::Set { adapter, name: setting.name, value });
    }
}

/// A list to choose from; gives the number of what is chosen.
fn choice_ui(ui: &mut Ui, adapter: usize, setting: &Setting) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a checked number of a choice"
    )]
    let mut chosen = setting.value as usize;
    let width = ui.available_width() - 14.0;
    let list = egui::ComboBox::from_id_salt((adapter, setting.name)).width(width);
    let shown = setting.chosen().unwrap_or_default();
    let response = list.selected_text(shown).show_ui(ui, |ui| {
        for (number, name) in setting.choices.iter().enumerate() {
            ui.selectable_value(&mut chosen, number, *name);
        }
    });
    let label = format!("{}: {shown}", setting.label);
    response.response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, &label));
    #[expect(clippy::cast_precision_loss, reason = "choices are few")]
    let number = chosen as f64;
    number
}

/// The rule with what it matches.
fn rule_ui(
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
    let inside = |part: &&crate::model::Part| part.kind == RegionKind::Adapter(index);
    let trained: u64 = model.parts.iter().filter(inside).map(|part| part.trained).sum();
    let state = if !model.uses_adapters {
        "not in this stage"
    } else if trained == 0 {
        "frozen"
    } else {
        "trainable"
    };
    key_value(ui, "In this stage", state);
    costs(ui, desk, |heat| heat.adapter(index));
    ui.add_space(8.0);
}
