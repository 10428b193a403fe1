//! What lies over the canvas and above it: stages, zoom, banners, the empty state, and the question about unsaved changes.

use egui::{
    Align, Align2, Frame, Layout, Margin, Panel, Rect, RichText, Role, Sense, Stroke, StrokeKind, Ui,
    UiBuilder, WidgetInfo, pos2, vec2,
};
use graft_engine::train::{AdapterUse, StageSpec};

use crate::actions::{Action, Closing};
use crate::canvas::zoom_at;
use crate::icons::{self, Icon};
use crate::panels::Desk;
use crate::theme::{Theme, bold, medium, mono, regular};
use crate::view::{DockTab, View};
use crate::widgets::{Weight, focus_ring, icon_button, shorten, wide_button};

/// A message over the canvas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Banner {
    /// Something went wrong.
    Error(String),
    /// What was asked for was not done. The next thing that is done makes it old.
    Refused(String),
    /// The file on disk is gone.
    Gone,
    /// The file on disk is not what was read.
    ChangedOnDisk,
    /// An earlier window left edits behind.
    Unsaved,
}

impl Banner {
    /// Whether it is this error.
    pub(crate) fn says(&self, error: Option<&str>) -> bool {
        matches!(self, Self::Error(message) | Self::Refused(message) if Some(message.as_str()) == error)
    }
}

/// The stage selector at the top left of the canvas.
pub(crate) fn stages(ui: &mut Ui, canvas: Rect, desk: Desk<'_>, view: &View, actions: &mut Vec<Action>) {
    let Some(document) = desk.document else { return };
    let theme = Theme::of(ui);
    let stages = &document.project().stages;
    // Zoom and fit need their room at the right.
    let room = canvas.width() - 190.0;
    #[expect(clippy::cast_precision_loss, reason = "a few stages")]
    let each = (room / stages.len().max(1) as f32 - 8.0).clamp(44.0, 250.0);
    let words: Vec<String> = stages
        .iter()
        .enumerate()
        .map(|(index, stage)| {
            shorten(ui, &format!("{} {}", index + 1, stage.name()), &medium(12.0), each - 22.0)
        })
        .collect();
    let width =
        |text: &str| ui.painter().layout_no_wrap(text.to_owned(), medium(12.0), theme.text).size().x + 22.0;
    let widths: Vec<f32> = words.iter().map(|word| width(word)).collect();
    let corner = canvas.min + vec2(12.0, 10.0);
    let frame = Rect::from_min_size(corner, vec2(widths.iter().sum::<f32>() + 6.0, 30.0));
    ui.painter().rect(frame, 7, theme.card, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    let mut x = frame.left() + 3.0;
    for (index, (word, width)) in words.iter().zip(widths).enumerate() {
        let rect = Rect::from_min_size(pos2(x, frame.top() + 3.0), vec2(width, 24.0));
        x += width;
        let response = ui.interact(rect, egui::Id::unique(("show stage", index)), Sense::click());
        let shown = view.stage == index;
        let stage = &stages[index];
        let name = format!("Show stage {}", index + 1);
        response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, shown, &name));
        if shown {
            ui.painter().rect_filled(rect, 5, theme.active);
        }
        let color = if shown || response.hovered() { theme.text } else { theme.label };
        ui.painter().text(rect.center(), Align2::CENTER_CENTER, word, medium(12.0), color);
        focus_ring(ui, &response, rect);
        if response.clicked() {
            actions.push(Action::ShowStage(index));
        }
        let adapters = if stage.adapters() == AdapterUse::All { "with adapters" } else { "without adapters" };
        let what = match stage {
            StageSpec::Train(spec) => format!("{} epochs, {adapters}", spec.epochs),
            StageSpec::Repeat(repeat) => {
                format!("{} stages, repeated {} times", repeat.stages.len(), repeat.over.len())
            }
            other => format!("{}, {adapters}", other.kind()),
        };
        response.on_hover_text(format!("{}\n{what}", stage.name()));
    }
}

/// Zoom and fit at the top right of the canvas.
pub(crate) fn zoom(ui: &mut Ui, canvas: Rect, view: &mut View, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let frame = Rect::from_min_size(canvas.right_top() + vec2(-152.0, 10.0), vec2(140.0, 30.0));
    ui.painter().rect(frame, 7, theme.card, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    let layout = Layout::left_to_right(Align::Center);
    let mut inner = ui.new_child(UiBuilder::new().max_rect(frame.shrink(2.0)).layout(layout));
    inner.spacing_mut().item_spacing.x = 0.0;
    let middle = canvas.size() / 2.0;
    if icon_button(&mut inner, Icon::Minus, "Zoom out", "Zoom out", true).clicked() {
        zoom_at(&mut view.camera, middle, 1.0 / 1.25);
    }
    let (rect, _) = inner.allocate_exact_size(vec2(52.0, 26.0), Sense::hover());
    let text = format!("{:.0} %", 100.0 * view.camera.zoom);
    inner.painter().text(rect.center(), Align2::CENTER_CENTER, text, mono(11.0), theme.text);
    if icon_button(&mut inner, Icon::Plus, "Zoom in", "Zoom in", true).clicked() {
        zoom_at(&mut view.camera, middle, 1.25);
    }
    if icon_button(&mut inner, Icon::Fit, "Fit", "Show everything (1)", true).clicked() {
        actions.push(Action::Fit);
    }
}

/// A message above the canvas, in a room of its own: nothing lies below it. Gives the room.
pub(crate) fn banner(ui: &mut Ui, banner: &Banner, locked: bool, actions: &mut Vec<Action>) -> Rect {
    let theme = Theme::of(ui);
    let (text, color, fill, icon) = match banner {
        Banner::Error(message) | Banner::Refused(message) => {
            (message.as_str(), theme.error, theme.error_tint, Icon::Cross)
        }
        Banner::Gone => {
            let text = "The project's file is gone; saving (Ctrl S) writes it again";
            (text, theme.error, theme.error_tint, Icon::Cross)
        }
        Banner::ChangedOnDisk => ("The project changed on disk", theme.warning, theme.popup, Icon::Warning),
        Banner::Unsaved => {
            let text = "Graft ended with unsaved edits of this project";
            (text, theme.warning, theme.popup, Icon::Warning)
        }
    };
    let around = Frame::new().fill(theme.well).inner_margin(Margin::symmetric(12, 6));
    let panel = Panel::top("banner").resizable(false).show_separator_line(false).frame(around);
    let shown = panel.show(ui, |ui| {
        Frame::new()
            .fill(fill)
            .stroke(Stroke::new(1.0, color))
            .corner_radius(7)
            .inner_margin(Margin::symmetric(12, 5))
            .show(ui, |ui| {
                ui.horizontal(|ui| {
                    let (mark, _) = ui.allocate_exact_size(vec2(16.0, 26.0), Sense::hover());
                    icons::paint(ui.painter(), icon, mark.center(), 14.0, color);
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        match banner {
                            Banner::Error(_) | Banner::Refused(_) | Banner::Gone => {
                                if icon_button(ui, Icon::Cross, "Dismiss", "Dismiss", true).clicked() {
                                    actions.push(Action::Dismiss);
                                }
                            }
                            Banner::ChangedOnDisk => {
                                if wide_button(ui, None, "Keep mine", Weight::Plain, true).clicked() {
                                    actions.push(Action::KeepMine);
                                }
                                if wide_button(ui, None, "Reload", Weight::Primary, !locked).clicked() {
                                    actions.push(Action::Reload);
                                }
                                if wide_button(ui, None, "Show what differs", Weight::Plain, true).clicked() {
                                    actions.push(Action::ShowDifference);
                                }
                            }
                            Banner::Unsaved => {
                                if wide_button(ui, None, "Forget them", Weight::Plain, true).clicked() {
                                    actions.push(Action::ForgetUnsaved);
                                }
                                if wide_button(ui, None, "Take them", Weight::Primary, !locked).clicked() {
                                    actions.push(Action::Restore);
                                }
                                if wide_button(ui, None, "Show what differs", Weight::Plain, true).clicked() {
                                    actions.push(Action::ShowUnsaved);
                                }
                            }
                        }
                        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                            let label = RichText::new(text).font(regular(12.0)).color(theme.text);
                            let response = ui.add(egui::Label::new(label).wrap());
                            response.widget_info(|| {
                                WidgetInfo::labeled(Role::Alert, true, format!("Message: {text}"))
                            });
                        });
                    });
                });
            });
    });
    shown.response.rect
}

/// What stands where the graph would be while there is none.
pub(crate) fn empty(
    ui: &mut Ui,
    canvas: Rect,
    error: Option<&str>,
    lacks_data: bool,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    ui.painter().rect_filled(canvas, 0, theme.well);
    let Some(message) = error else {
        let text = "Building the model…";
        ui.painter().text(canvas.center(), Align2::CENTER_CENTER, text, regular(12.0), theme.label);
        return;
    };
    let width = (canvas.width() - 64.0).min(520.0);
    let rect = Rect::from_center_size(canvas.center(), vec2(width, 200.0));
    let layout = Layout::top_down(Align::Center);
    let mut inner = ui.new_child(UiBuilder::new().max_rect(rect).layout(layout));
    let ui = &mut inner;
    // A model is built for the columns of its data: without them it is not the model that is wrong.
    let headline = if lacks_data { "The data could not be opened" } else { "The model could not be built" };
    ui.label(RichText::new(headline).font(bold(18.0)).color(theme.text));
    ui.add_space(8.0);
    let text = RichText::new(message).font(regular(12.0)).color(theme.error);
    let response = ui.add(egui::Label::new(text).wrap());
    response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, format!("Message: {message}")));
    ui.add_space(12.0);
    if lacks_data {
        if wide_button(ui, Some(Icon::Folder), "Choose data…", Weight::Primary, true).clicked() {
            actions.push(Action::ChooseData);
        }
        ui.add_space(6.0);
    }
    let weight = if lacks_data { Weight::Plain } else { Weight::Primary };
    if wide_button(ui, Some(Icon::Warning), "Show problems", weight, true).clicked() {
        actions.push(Action::ShowTab(DockTab::Problems));
    }
}

/// The question before unsaved changes are lost.
pub(crate) fn unsaved(ctx: &egui::Context, name: &str, closes: bool, actions: &mut Vec<Action>) {
    let response = egui::Modal::new(egui::Id::unique("unsaved")).show(ctx, |ui| {
        let theme = Theme::of(ui);
        let word = if closes { "Save and close" } else { "Save and go on" };
        ui.set_width(380.0);
        ui.label(RichText::new(format!("Save the changes to {name}?")).font(bold(14.0)).color(theme.text));
        ui.add_space(4.0);
        let text = RichText::new("Otherwise they are lost.").font(regular(12.0)).color(theme.body);
        ui.label(text);
        ui.add_space(14.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if wide_button(ui, Some(Icon::Save), word, Weight::Primary, true).clicked() {
                actions.push(Action::Close(Closing::Save));
            }
            if wide_button(ui, None, "Discard", Weight::Plain, true).clicked() {
                actions.push(Action::Close(Closing::Discard));
            }
            if wide_button(ui, None, "Cancel", Weight::Plain, true).clicked() {
                actions.push(Action::Close(Closing::Cancel));
            }
        });
    });
    if response.should_close() {
        actions.push(Action::Close(Closing::Cancel));
    }
}
