//! The control of one setting.

use egui::{Color32, Role, Ui, WidgetInfo, vec2};
use graft_engine::adapters::Setting;

use crate::actions::Action;
use crate::format;
use crate::theme::Theme;

pub(super) fn setting_ui(
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
