//! The bottom dock: plots of the run, all runs, the project's stages, the log.

use egui::{Align, Align2, Id, Layout, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use graft_engine::train::{AdapterUse, OptimiserSpec, StageSpec, StageWeights};

use super::{Desk, data, log, plan, problems, timeline};
use crate::actions::Action;
use crate::format;
use crate::icons::Icon;
use crate::library::Library;
use crate::plots::{self, Judged};
use crate::previews::Previews;
use crate::problems::Problem;
use crate::runs;
use crate::textures::Textures;
use crate::theme::{Theme, bold, medium, mono, regular};
use crate::view::{DockTab, View};
use crate::widgets::{centre, focus_ring, icon_button, shorten};

/// What the dock shows beside what all panels read.
#[derive(Debug)]
pub struct Seen<'a> {
    /// What would stop a run.
    pub problems: &'a [Problem],
    /// Samples of the data.
    pub previews: &'a Previews,
    /// Their pictures.
    pub textures: &'a mut Textures,
    /// Those that the latest evaluation tells of.
    pub judged: Judged<'a>,
    /// All runs.
    pub library: &'a mut Library,
}

/// Shows the dock.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, seen: &mut Seen<'_>, view: &mut View, actions: &mut Vec<Action>) {
    ui.spacing_mut().item_spacing.y = 0.0;
    // The panel keeps its height whatever is in it.
    ui.expand_to_include_rect(ui.max_rect());
    tabs(ui, seen.problems.len(), view);
    crate::widgets::rule(ui);
    match view.tab {
        DockTab::Plots => {
            let whose = desk.foreign_run();
            plots::ui(ui, desk.session, whose, &mut seen.judged, &mut view.plots, view.budget.bytes, actions);
        }
        DockTab::Runs => runs::ui(ui, seen.library, &mut view.runs, desk.locked, actions),
        DockTab::Stages => stages(ui, desk, view, actions),
        DockTab::Timeline => timeline::ui(ui, desk, view, actions),
        DockTab::Plan => plan::ui(ui, desk, view, actions),
        DockTab::Data => data::ui(ui, desk, seen.previews, seen.textures, view),
        DockTab::Problems => problems::ui(ui, seen.problems, desk.locked, actions),
        DockTab::Log => log::ui(ui, desk, view),
    }
}

fn tabs(ui: &mut Ui, problems: usize, view: &mut View) {
    let theme = Theme::of(ui);
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), 31.0),
        Layout::left_to_right(Align::Center),
        |ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            ui.add_space(6.0);
            for tab in DockTab::ALL {
                let name = match tab {
                    DockTab::Problems if problems > 0 => format!("{} {problems}", tab.word()),
                    _ => tab.word().to_owned(),
                };
                let active = view.tab == tab;
                let font = if active { medium(12.0) } else { regular(12.0) };
                let width = ui.painter().layout_no_wrap(name.clone(), font.clone(), theme.text).size().x;
                let (rect, response) = ui.allocate_exact_size(vec2(width + 24.0, 31.0), Sense::click());
                response.widget_info(|| WidgetInfo::selected(Role::Tab, true, active, tab.word()));
                let color = if active || response.hovered() { theme.text } else { theme.label };
                ui.painter().text(rect.center(), Align2::CENTER_CENTER, &name, font, color);
                if active {
                    let line =
                        Rect::from_min_max(pos2(rect.left() + 8.0, rect.bottom() - 2.0), rect.right_bottom());
                    ui.painter().rect_filled(line.translate(vec2(-4.0, 0.0)), 0, theme.brand);
                }
                focus_ring(ui, &response, rect.shrink(3.0));
                if response.clicked() {
                    view.tab = tab;
                }
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.add_space(10.0);
                let hint = if view.dock_tall { "Smaller dock" } else { "Taller dock" };
                if icon_button(ui, Icon::Dock, hint, hint, true).clicked() {
                    view.dock_tall = !view.dock_tall;
                }
            });
        },
    );
}

fn stages(ui: &mut Ui, desk: Desk<'_>, view: &View, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let Some(document) = desk.document else {
        centre(ui, "Open a project to see its stages");
        return;
    };
    egui::ScrollArea::vertical().id_salt("stages").auto_shrink([false, false]).show(ui, |ui| {
        ui.add_space(8.0);
        for (index, stage) in document.project().stages.iter().enumerate() {
            let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 54.0), Sense::hover());
            let inner = rect.shrink2(vec2(12.0, 3.0));
            let card = ui.interact(inner, Id::unique(("stage card", index)), Sense::click());
            let shown = view.stage == index;
            card.widget_info(|| {
                WidgetInfo::selected(Role::Button, true, shown, format!("Stage {}", index + 1))
            });
            let fill = if shown { theme.raised } else { theme.card };
            let stroke = Stroke::new(1.0, if shown { theme.edge } else { theme.outline });
            ui.painter().rect(inner, 6, fill, stroke, StrokeKind::Inside);
            if card.clicked() {
                actions.push(Action::ShowStage(index));
            }
            let mut content = ui.new_child(
                egui::UiBuilder::new()
                    .max_rect(inner.shrink2(vec2(12.0, 4.0)))
                    .layout(Layout::left_to_right(Align::Center)),
            );
            match stage.as_train() {
                Some(spec) => stage_row(&mut content, index, spec, desk, actions),
                None => other_row(&mut content, index, stage),
            }
        }
        ui.add_space(8.0);
    });
}

/// A stage that does not train.
fn other_row(ui: &mut Ui, index: usize, stage: &StageSpec) {
    let what = match stage {
        StageSpec::Repeat(repeat) => {
            let names: Vec<&str> = repeat.stages.iter().map(StageSpec::name).collect();
            format!("repeats {} for {}", names.join(", "), repeat.over.join(", "))
        }
        other => other.kind().to_owned(),
    };
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), 40.0), Sense::hover());
    two_lines(ui, rect, &format!("{} · {}", index + 1, stage.name()), &what);
}

/// A stage's name, and below it what it does.
fn two_lines(ui: &Ui, rect: Rect, name: &str, about: &str) {
    let theme = Theme::of(ui);
    let name = shorten(ui, name, &bold(12.0), rect.width());
    let above = pos2(rect.left(), rect.top() + 12.0);
    ui.painter().text(above, Align2::LEFT_CENTER, name, bold(12.0), theme.text);
    let about = shorten(ui, about, &mono(9.5), rect.width());
    let below = pos2(rect.left(), rect.top() + 29.0);
    ui.painter().text(below, Align2::LEFT_CENTER, about, mono(9.5), theme.label);
}

fn stage_row(
    ui: &mut Ui,
    index: usize,
    spec: &graft_engine::train::TrainSpec,
    desk: Desk<'_>,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    ui.spacing_mut().item_spacing.x = if ui.available_width() > 560.0 { 14.0 } else { 6.0 };
    let width = (ui.available_width() - 310.0).clamp(80.0, 230.0);
    let (rect, _) = ui.allocate_exact_size(vec2(width, 40.0), Sense::hover());
    let frozen =
        if spec.freeze.is_empty() { String::new() } else { format!(", frozen {}", spec.freeze.join(", ")) };
    let about = format!("trains {}{frozen}", spec.train.join(", "));
    two_lines(ui, rect, &format!("{} · {}", index + 1, spec.name), &about);
    ui.add_enabled_ui(!desk.locked, |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        whole(ui, index, "Epochs", "epochs", spec.epochs, actions);
        whole(ui, index, "Batch", "batch", spec.batch, actions);
        let mut uses = spec.adapters == AdapterUse::All;
        let check = ui.checkbox(&mut uses, "adapters");
        check.widget_info(|| {
            WidgetInfo::selected(
                Role::CheckBox,
                !desk.locked,
                uses,
                format!("Adapters in stage {}", index + 1),
            )
        });
        if check.changed() {
            actions.push(Action::UseAdapters(index, uses));
        }
    });
    let optimiser = match &spec.optimiser {
        OptimiserSpec::AdamW(adam) => format!("AdamW, rate {}", adam.learning_rate),
        OptimiserSpec::Sgd(sgd) => format!("SGD, rate {}", sgd.learning_rate),
    };
    let weights = match spec.weights {
        StageWeights::Previous if index > 0 => "from the stage before",
        _ => "from the model",
    };
    let frames = spec.frames.map_or_else(String::new, |frames| format!(" · {frames} frames"));
    let steps = desk.model.and_then(|model| model.steps.get(index).copied().flatten());
    let steps = steps.map_or_else(|| format::UNKNOWN.to_owned(), format::whole);
    if ui.available_width() < 60.0 {
        return;
    }
    let text = format!("{steps} steps · {optimiser} · {weights}{frames}");
    let text = shorten(ui, &text, &regular(11.0), ui.available_width());
    ui.label(egui::RichText::new(text).font(regular(11.0)).color(theme.label));
}

fn whole(
    ui: &mut Ui,
    stage: usize,
    label: &str,
    path: &'static str,
    value: usize,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    ui.label(egui::RichText::new(label).font(regular(11.0)).color(theme.label));
    let mut edited = value;
    let field = egui::DragValue::new(&mut edited).range(1..=100_000).speed(0.1).update_while_editing(false);
    let response = ui.scope(|ui| {
        ui.visuals_mut().widgets.inactive.weak_bg_fill = theme.field;
        ui.style_mut().drag_value_text_style = egui::TextStyle::Monospace;
        ui.add(field.min_size(vec2(44.0, 24.0)))
    });
    #[expect(clippy::cast_precision_loss, reason = "a label")]
    response.inner.widget_info(|| WidgetInfo {
        label: Some(format!("{label} of stage {}", stage + 1)),
        ..WidgetInfo::drag_value(true, value as f64)
    });
    if edited != value {
        actions.push(Action::SetStage { stage, path, value: edited.to_string() });
    }
}
