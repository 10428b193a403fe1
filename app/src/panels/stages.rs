//! The project's stages, one card each: what trains, for how long, and from what.

use egui::{Align, Align2, Id, Layout, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};
use graft_engine::train::{AdapterUse, OptimiserSpec, StageSpec, StageWeights, TrainSpec};

use super::Desk;
use crate::actions::Action;
use crate::format;
use crate::theme::{Theme, bold, mono, regular};
use crate::view::View;
use crate::widgets::{centre, shorten};

/// Room that a stage's fields need beside their words.
const FIELDS: f32 = 276.0;
/// Room that names get before anything is said at the right.
const NAMES: f32 = 230.0;

/// Shows the tab.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, view: &View, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let Some(document) = desk.document else {
        centre(ui, "Open a project to see its stages");
        return;
    };
    egui::ScrollArea::vertical().id_salt("stages").auto_shrink([false, false]).show(ui, |ui| {
        ui.add_space(8.0);
        let stages = &document.project().stages;
        let words: Vec<Words> =
            stages.iter().enumerate().map(|(index, stage)| Words::of(index, stage, desk)).collect();
        let room = ui.available_width() - 48.0 - FIELDS;
        let width = names_width(ui, &words, room);
        for (index, (stage, words)) in stages.iter().zip(&words).enumerate() {
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
            if let Some(spec) = stage.as_train() {
                stage_row(&mut content, index, spec, words, width, desk, actions);
            } else {
                let size = vec2(content.available_width(), 40.0);
                let (rect, _) = content.allocate_exact_size(size, Sense::hover());
                two_lines(&content, rect, words);
            }
            // Whatever there is no room for.
            card.on_hover_text(words.all());
        }
        ui.add_space(8.0);
    });
}

/// What is said of a stage.
struct Words {
    name: String,
    /// What it does.
    about: String,
    /// Its steps, and how they are made; nothing of a stage that does not train.
    steps: String,
}

impl Words {
    fn of(index: usize, stage: &StageSpec, desk: Desk<'_>) -> Self {
        let name = format!("{} · {}", index + 1, stage.name());
        let (about, steps) = match stage {
            StageSpec::Train(spec) => {
                let frozen = if spec.freeze.is_empty() {
                    String::new()
                } else {
                    format!(", frozen {}", spec.freeze.join(", "))
                };
                (format!("trains {}{frozen}", spec.train.join(", ")), steps(index, spec, desk))
            }
            StageSpec::Repeat(repeat) => {
                let names: Vec<&str> = repeat.stages.iter().map(StageSpec::name).collect();
                let about = format!("repeats {} for {}", names.join(", "), repeat.over.join(", "));
                (about, String::new())
            }
            other => (other.kind().to_owned(), String::new()),
        };
        Self { name, about, steps }
    }

    /// All of it, for a tooltip.
    fn all(&self) -> String {
        [&self.name, &self.about, &self.steps].map(String::as_str).join("\n").trim_end().to_owned()
    }
}

fn steps(index: usize, spec: &TrainSpec, desk: Desk<'_>) -> String {
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
    format!("{steps} steps · {optimiser} · {weights}{frames}")
}

fn word_width(ui: &Ui, text: &str, font: egui::FontId) -> f32 {
    ui.painter().layout_no_wrap(text.to_owned(), font, egui::Color32::WHITE).size().x
}

/// Width of the names, alike in all cards: what they need, where what stands at the right can do without it.
fn names_width(ui: &Ui, words: &[Words], room: f32) -> f32 {
    let widest = |of: fn(&Ui, &Words) -> f32| words.iter().map(|one| of(ui, one)).fold(0.0, f32::max);
    let names =
        widest(|ui, one| word_width(ui, &one.name, bold(12.0)).max(word_width(ui, &one.about, mono(9.5))));
    let steps = widest(|ui, one| word_width(ui, &one.steps, regular(11.0)));
    // Where both cannot be had, names come first, and half of a wide card is enough for them.
    let most = (room - 30.0 - steps).max(0.5 * room).max(room.min(NAMES));
    (names + 2.0).min(most).max(80.0)
}

/// A stage's name, and below it what it does.
fn two_lines(ui: &Ui, rect: Rect, Words { name, about, .. }: &Words) {
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
    spec: &TrainSpec,
    words: &Words,
    width: f32,
    desk: Desk<'_>,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    ui.spacing_mut().item_spacing.x = if ui.available_width() > 560.0 { 14.0 } else { 6.0 };
    let (rect, _) = ui.allocate_exact_size(vec2(width, 40.0), Sense::hover());
    two_lines(ui, rect, words);
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
    if ui.available_width() < 60.0 {
        return;
    }
    let text = shorten(ui, &words.steps, &regular(11.0), ui.available_width());
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
