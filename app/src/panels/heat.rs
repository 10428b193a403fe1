//! What colours the graph, at the lower left of the canvas: the choice, the legend with where its values come from, and
//! whether the cut is drawn.

use egui::{
    Align, Align2, Id, Layout, Rect, Role, Sense, Stroke, StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo, pos2,
    vec2,
};

use super::Desk;
use crate::actions::Action;
use crate::icons::{self, Icon};
use crate::theme::{Theme, medium, mono, regular};
use crate::view::{Heat, Origin, View};
use crate::widgets::focus_ring;

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
    let words: f32 = Heat::ALL.iter().map(|heat| word_width(ui, heat_word(*heat))).sum();
    let size = vec2(words + 24.0 + 4.0 + 26.0 + 6.0, 30.0);
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
        let corner = frame.right_top() + vec2(8.0, 0.0);
        legend(ui, corner, canvas, Reading::of(desk, view, top), actions);
    }
}

const fn heat_word(heat: Heat) -> &'static str {
    match heat {
        Heat::Off => "None",
        Heat::Bytes => "Bytes",
        Heat::Time => "Time",
        Heat::Parameters => "Params",
        Heat::Work => "Work",
    }
}

fn segment(ui: &mut Ui, heat: Heat, active: bool) -> bool {
    let theme = Theme::of(ui);
    let word = heat_word(heat);
    let width = word_width(ui, word);
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

/// The ramp from nothing to the largest value, or why there is none; and where the values come from.
fn legend(ui: &mut Ui, corner: egui::Pos2, canvas: Rect, reading: Reading<'_>, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    // In a narrow window the word about the lock stands beside it.
    let ramp = if canvas.width() < 560.0 { 40.0 } else { 84.0 };
    let Reading { why, top, heat, origin, .. } = reading;
    let note = match reading.changed {
        0 => String::new(),
        1 => "1 node changed since the run".to_owned(),
        count => format!("{count} nodes changed since the run"),
    };
    let line = |ui: &Ui, text: &str| ui.painter().layout_no_wrap(text.to_owned(), regular(11.0), theme.body);
    let tail = line(ui, why.unwrap_or(top));
    let note_shown = line(ui, &note);
    let choice: f32 = Origin::ALL.map(|origin| word_width(ui, origin_word(origin))).iter().sum();
    let before = if why.is_none() { ramp + 22.0 } else { 0.0 };
    let after = if note.is_empty() { 0.0 } else { note_shown.size().x + 15.0 };
    let size = vec2(10.0 + before + tail.size().x + 8.0 + choice + 8.0 + after, 30.0);
    // Where it would run into what stands at the right it goes above the choice.
    let corner = if corner.x + size.x + LOCK > canvas.right() {
        pos2(canvas.left() + 12.0, corner.y - size.y - 6.0)
    } else {
        corner
    };
    let rect = Rect::from_min_size(corner, size);
    ui.painter().rect(rect, 7, theme.card, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    let told = match why {
        Some(why) => format!("Legend of {}: {why}", heat.word()),
        None => format!("Legend of {}, {}, up to {top}", heat.word(), origin.word()),
    };
    let told = if note.is_empty() { told } else { format!("{told}, {note}") };
    let response = ui.interact(rect, Id::unique("heat legend"), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &told));
    response.on_hover_text(reading.remark());
    let y = rect.center().y;
    let mut x = rect.left() + 10.0;
    if why.is_none() {
        let zero = ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, "0", mono(10.0), theme.label);
        let begin = zero.right() + 6.0;
        for step in 0..21u8 {
            let width = ramp / 21.0;
            let at = pos2(begin + f32::from(step) * width, y - 4.0);
            let color = theme.heat(f32::from(step) / 20.0);
            ui.painter().rect_filled(Rect::from_min_size(at, vec2(width + 0.5, 8.0)), 0, color);
        }
        x += before;
    }
    let width = tail.size().x;
    ui.painter().galley(pos2(x, y - tail.size().y / 2.0), tail, theme.body);
    x += width + 8.0;
    let layout = Layout::left_to_right(Align::Center);
    let place = Rect::from_min_size(pos2(x, rect.top() + 3.0), vec2(choice, 24.0));
    let mut inner = ui.new_child(UiBuilder::new().max_rect(place).layout(layout));
    inner.spacing_mut().item_spacing.x = 0.0;
    for one in Origin::ALL {
        let refusal = reading.refusal.filter(|_| one == Origin::Measured);
        if origin_segment(&mut inner, one, one == origin, refusal) {
            actions.push(Action::ShowOrigin(one));
        }
    }
    if !note.is_empty() {
        let at = pos2(x + choice + 8.0, y - note_shown.size().y / 2.0);
        ui.painter().galley(at, note_shown, theme.label);
    }
}

/// Room for the word about the lock at the canvas's lower right.
const LOCK: f32 = 190.0;

/// What the legend says.
#[derive(Clone, Copy, Debug)]
struct Reading<'a> {
    heat: Heat,
    /// Where what is shown comes from.
    origin: Origin,
    /// The largest value.
    top: &'a str,
    /// Why nothing is shown.
    why: Option<&'a str>,
    /// Nodes that the run did not have.
    changed: usize,
    /// Why nothing measured can be shown.
    refusal: Option<&'a str>,
    run: Option<&'a str>,
}

impl<'a> Reading<'a> {
    fn of(desk: Desk<'a>, view: &View, top: Option<&'a str>) -> Self {
        let heat = view.heat;
        let counted = heat.is_counted();
        let refusal = if counted { Some("it is counted from the graph") } else { desk.measured.err() };
        let found = desk.measured_for(view).filter(|_| !counted);
        let origin = if found.is_some() { Origin::Measured } else { Origin::Predicted };
        let why = match (found, desk.planner.outlook(), top) {
            _ if counted && top.is_some() => None,
            (Some(_), _, None) if heat == Heat::Bytes => Some("the run could not count bytes by node"),
            (Some(_), _, None) => Some("the run measured none of these nodes"),
            (None, None, _) => Some("nothing is predicted"),
            (None, _, None) if desk.outlook().is_none() => Some("this stage does not train"),
            (None, Some(outlook), _) if heat == Heat::Time && !outlook.timed => {
                let word = super::totals::times_word(desk.planner.times());
                Some(if word == crate::format::UNKNOWN { "this device is not measured yet" } else { word })
            }
            (None, _, None) => Some("nothing is predicted"),
            (_, _, Some(_)) => None,
        };
        Self {
            heat,
            origin,
            top: top.unwrap_or_default(),
            why,
            changed: found.map_or(0, |measured| measured.changed),
            refusal,
            run: found.map(|measured| measured.run.as_str()),
        }
    }

    fn remark(&self) -> String {
        match self.run {
            Some(run) => format!("Measured in one step of {run}, forward and backward, node by node"),
            None if self.heat.is_counted() => "Counted from the graph, for one sample".to_owned(),
            None => "Predicted from what each op keeps and takes on this device".to_owned(),
        }
    }
}

const fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Predicted => "Predicted",
        Origin::Measured => "Measured",
    }
}

fn word_width(ui: &Ui, word: &str) -> f32 {
    let color = Theme::of(ui).text;
    ui.painter().layout_no_wrap(word.to_owned(), medium(12.0), color).size().x + 16.0
}

/// One of the two origins; one that is refused says why.
fn origin_segment(ui: &mut Ui, origin: Origin, active: bool, refusal: Option<&str>) -> bool {
    let theme = Theme::of(ui);
    let word = origin_word(origin);
    let size = vec2(word_width(ui, word), 24.0);
    let sense = if refusal.is_some() { Sense::hover() } else { Sense::click() };
    let (rect, response) = ui.allocate_exact_size(size, sense);
    let name = match refusal {
        Some(why) => format!("Heat {}: {why}", origin.word()),
        None => format!("Heat {}", origin.word()),
    };
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, refusal.is_none(), active, &name));
    if active {
        ui.painter().rect_filled(rect, 5, theme.active);
    }
    let color = match refusal {
        Some(_) => theme.label.gamma_multiply(0.6),
        None if active || response.hovered() => theme.text,
        None => theme.label,
    };
    ui.painter().text(rect.center(), Align2::CENTER_CENTER, word, medium(12.0), color);
    focus_ring(ui, &response, rect);
    let hint = refusal.map_or_else(
        || format!("Colour the graph by what was {}", origin.word()),
        |why| format!("Not to be had: {why}"),
    );
    response.on_hover_text(hint).clicked()
}
