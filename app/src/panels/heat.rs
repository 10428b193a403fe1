//! What colours the graph, at the lower left of the canvas: the choice, the legend, and whether the cut is drawn.

use egui::{
    Align, Align2, Id, Layout, Rect, Role, Sense, Stroke, StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo, pos2,
    vec2,
};

use super::Desk;
use crate::actions::Action;
use crate::icons::{self, Icon};
use crate::theme::{Theme, medium, mono, regular};
use crate::view::{Heat, View};
use crate::widgets::focus_ring;

/// Why no measured heat is shown.
const REMARK: &str = "Predicted. A run measures whole steps and phases, not single nodes";

/// Shows the control; `top` is the largest value on the canvas.
pub fn ui(
    ui: &mut Ui,
    canvas: Rect,
    desk: Desk<'_>,
    view: &View,
    top: Option<&str>,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    let size = vec2(196.0, 30.0);
    let frame = Rect::from_min_size(canvas.left_bottom() + vec2(12.0, -size.y - 10.0), size);
    ui.painter().rect(frame, 7, theme.card, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    let layout = Layout::left_to_right(Align::Center);
    let mut inner = ui.new_child(UiBuilder::new().max_rect(frame.shrink(3.0)).layout(layout));
    inner.spacing_mut().item_spacing.x = 0.0;
    let (mark, _) = inner.allocate_exact_size(Vec2::splat(24.0), Sense::hover());
    icons::paint(inner.painter(), Icon::Heat, mark.center(), 14.0, theme.label);
    for heat in Heat::ALL {
        if segment(&mut inner, heat, view.heat == heat) {
            actions.push(Action::ShowHeat(heat));
        }
    }
    inner.add_space(4.0);
    if toggle(&mut inner, !view.cut_hidden) {
        actions.push(Action::ToggleCut);
    }
    if view.heat != Heat::Off {
        // In a narrow window the word about the lock stands beside it.
        let ramp = if canvas.width() < 560.0 { 40.0 } else { 84.0 };
        let corner = frame.right_top() + vec2(8.0, 0.0);
        legend(ui, corner, ramp, desk, view.heat, top);
    }
}

fn segment(ui: &mut Ui, heat: Heat, active: bool) -> bool {
    let theme = Theme::of(ui);
    let word = match heat {
        Heat::Off => "None",
        Heat::Bytes => "Bytes",
        Heat::Time => "Time",
    };
    let width = ui.painter().layout_no_wrap(word.to_owned(), medium(12.0), theme.text).size().x + 16.0;
    let (rect, response) = ui.allocate_exact_size(vec2(width, 24.0), Sense::click());
    let name = format!("Heat {}", heat.word());
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, active, &name));
    if active {
        ui.painter().rect_filled(rect, 5, theme.active);
    }
    let color = if active || response.hovered() { theme.text } else { theme.label };
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, word, medium(12.0), color);
    focus_ring(ui, &response, rect);
    response.on_hover_text(format!("Colour the graph by {} (H)", heat.word())).clicked()
}

fn toggle(ui: &mut Ui, active: bool) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(26.0, 24.0), Sense::click());
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, active, "Show the cut"));
    if active {
        ui.painter().rect_filled(rect, 5, theme.active);
    }
    let color = if active || response.hovered() { theme.text } else { theme.label };
    if let Some(icon) = Action::ToggleCut.icon() {
        icons::paint(ui.painter(), icon, rect.center(), 14.0, color);
    }
    focus_ring(ui, &response, rect);
    response.on_hover_text("The line where the frozen side could be cached, with its price (C)").clicked()
}

/// The ramp from nothing to the largest value; or why there is none.
fn legend(ui: &Ui, corner: egui::Pos2, ramp: f32, desk: Desk<'_>, heat: Heat, top: Option<&str>) {
    let theme = Theme::of(ui);
    let outlook = desk.planner.outlook();
    let why = match (outlook, top) {
        (None, _) => Some("nothing is predicted"),
        (_, None) => Some("this stage does not train"),
        (Some(outlook), _) if heat == Heat::Time && !outlook.timed => {
            let word = super::totals::times_word(desk.planner.times());
            Some(if word == crate::format::UNKNOWN { "this device is not measured yet" } else { word })
        }
        _ => None,
    };
    let tail = why.map_or_else(|| format!("{}  predicted", top.unwrap_or_default()), str::to_owned);
    let galley = ui.painter().layout_no_wrap(tail, regular(11.0), theme.body);
    let before = if why.is_none() { ramp + 22.0 } else { 0.0 };
    let rect = Rect::from_min_size(corner, vec2(galley.size().x + before + 20.0, 30.0));
    ui.painter().rect(rect, 7, theme.card, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    let y = rect.center().y;
    let mut x = rect.left() + 10.0;
    if why.is_none() {
        let zero = ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, "0", mono(10.0), theme.label);
        x = zero.right() + 6.0;
        for step in 0..21u8 {
            let width = ramp / 21.0;
            let at = pos2(x + f32::from(step) * width, y - 4.0);
            let color = theme.heat(f32::from(step) / 20.0);
            ui.painter().rect_filled(Rect::from_min_size(at, vec2(width + 0.5, 8.0)), 0, color);
        }
    }
    let at = pos2(rect.right() - 10.0 - galley.size().x, y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, theme.body);
    let response = ui.interact(rect, Id::unique("heat legend"), Sense::hover());
    let told = match why {
        Some(why) => format!("Legend of {}: {why}", heat.word()),
        None => format!("Legend of {}, predicted, up to {}", heat.word(), top.unwrap_or_default()),
    };
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &told));
    response.on_hover_text(REMARK);
}
