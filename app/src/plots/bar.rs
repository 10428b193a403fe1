//! Above the plots: what they show, how smooth, and what can be asked of the run that goes on.

use egui::{Align, Layout, RichText, Role, Ui, WidgetInfo, vec2};
use graft_engine::train::Ask;

use crate::actions::{Action, RunAction};
use crate::icons::Icon;
use crate::session::{Session, State};
use crate::theme::{Theme, mono, regular};
use crate::view::{PlotsPage, PlotsView};
use crate::widgets::{Weight, shorten, wide_button};

/// Largest weight of the past.
const SMOOTHEST: f64 = 0.99;
/// Room of what can be asked of a run that goes on.
const ASKS: f32 = 330.0;

pub(super) fn ui(ui: &mut Ui, session: &Session, view: &mut PlotsView, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let size = vec2(ui.available_width(), 36.0);
    ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        ui.add_space(12.0);
        for (page, name) in [(PlotsPage::Curves, "Curves"), (PlotsPage::Classes, "Classes")] {
            let shown = view.page == page;
            let response = ui.selectable_label(shown, RichText::new(name).font(regular(11.0)));
            response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, shown, name));
            if response.clicked() {
                view.page = page;
            }
        }
        ui.add_space(8.0);
        // In a narrow window words go first, then the number.
        let room = ui.available_width() - if session.state().is_busy() { ASKS } else { 0.0 };
        if room > 210.0 {
            ui.label(RichText::new("smoothing").font(regular(11.0)).color(theme.label));
        }
        ui.spacing_mut().slider_width = if room > 140.0 { 80.0 } else { 40.0 };
        let slider = egui::Slider::new(&mut view.smoothing, 0.0..=SMOOTHEST).show_value(false);
        let height = std::mem::replace(&mut ui.spacing_mut().interact_size.y, 16.0);
        let slider = ui.add(slider);
        ui.spacing_mut().interact_size.y = height;
        slider.widget_info(|| WidgetInfo::labeled(Role::Slider, true, "Smoothing"));
        let smoothing = format!("{:.2}", view.smoothing);
        if room > 140.0 {
            ui.label(RichText::new(&smoothing).font(mono(11.0)).color(theme.text));
        }
        slider.on_hover_text(format!("Weight of the past in the smoothed curves: {smoothing}"));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add_space(12.0);
            asks(ui, session, view, actions);
            if let Some(told) = &view.told {
                let text = shorten(ui, told, &regular(11.0), ui.available_width() - 12.0);
                let label = ui.label(RichText::new(text).font(regular(11.0)).color(theme.label));
                label.widget_info(|| WidgetInfo::labeled(Role::Label, true, told));
                label.on_hover_text(told);
            }
        });
    });
}

/// What can be changed while a run goes on; everything else is locked.
fn asks(ui: &mut Ui, session: &Session, view: &mut PlotsView, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let state = session.state();
    if *state == State::Following {
        let text = "Another program performs this run; it alone can stop it";
        ui.label(RichText::new(text).font(regular(11.0)).color(theme.label));
        return;
    }
    if !state.is_busy() {
        return;
    }
    let able = matches!(state, State::Running | State::Paused);
    let mut ask = |ask| actions.push(Action::Runs(RunAction::Ask(ask)));
    let button = wide_button(ui, Some(Icon::Save), "Checkpoint now", Weight::Plain, able);
    if button.on_hover_text("Write a checkpoint after this step").clicked() {
        ask(Ask::Checkpoint);
    }
    let button = wide_button(ui, Some(Icon::Check), "Evaluate now", Weight::Plain, able);
    let hint = "Evaluate on the validation split after this step; it chooses no best checkpoint";
    if button.on_hover_text(hint).clicked() {
        ask(Ask::Evaluate);
    }
    // From the right to the left.
    let before = view.rate;
    let field = egui::DragValue::new(&mut view.rate)
        .range(0.01..=100.0)
        .speed(0.01)
        .update_while_editing(false)
        .custom_formatter(|value, _| format!("{value:.2}"));
    let response = ui.add_enabled(able, field.min_size(vec2(48.0, 24.0)));
    response.widget_info(|| WidgetInfo {
        label: Some("Learning rate factor".to_owned()),
        ..WidgetInfo::drag_value(able, before)
    });
    let settled = response.drag_stopped() || response.changed() && !response.dragged();
    if settled {
        ask(Ask::Rate { scale: view.rate });
    }
    response.on_hover_text("Multiplies the project's learning rate from the next step to the stage's end");
    let word = if ui.available_width() > 90.0 { "learning rate ×" } else { "rate ×" };
    ui.label(RichText::new(word).font(regular(11.0)).color(theme.label));
}
