//! What the stage will cost by cause, and how it fits into a memory budget.

use egui::{Align, Align2, Layout, Rect, Role, Sense, Ui, UiBuilder, WidgetInfo, pos2, vec2};
use graft_engine::project::{Fit, FitOption, Predicted, bytes_text};

use super::Desk;
use crate::actions::Action;
use crate::format;
use crate::icons::{self, Icon};
use crate::outlook::{Outlook, causes, peak_place};
use crate::theme::{Theme, medium, mono, regular};
use crate::view::View;
use crate::widgets::{Weight, note, section, shorten, wide_button};

/// Shows the tab: causes at the left, the budget at the right.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, view: &mut View, actions: &mut Vec<Action>) {
    let all = ui.available_rect_before_wrap();
    let left = (0.42 * all.width()).min(380.0);
    let columns = [
        Rect::from_min_size(all.min, vec2(left, all.height())),
        Rect::from_min_max(pos2(all.left() + left, all.top()), all.max),
    ];
    column(ui, columns[0], "plan causes", |ui| by_cause(ui, desk));
    let line = egui::Stroke::new(1.0, Theme::of(ui).line);
    ui.painter().vline(columns[1].left(), columns[1].y_range(), line);
    column(ui, columns[1], "plan budget", |ui| budget(ui, desk, view, actions));
}

fn column(ui: &mut Ui, rect: Rect, name: &str, content: impl FnOnce(&mut Ui)) {
    let layout = Layout::top_down(Align::Min);
    let mut inner = ui.new_child(UiBuilder::new().id_salt(name).max_rect(rect).layout(layout));
    inner.set_clip_rect(rect.intersect(ui.clip_rect()));
    egui::ScrollArea::vertical().id_salt(name).auto_shrink([false, false]).show(&mut inner, |ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        content(ui);
        ui.add_space(8.0);
    });
}

fn by_cause(ui: &mut Ui, desk: Desk<'_>) {
    let theme = Theme::of(ui);
    let Some((outlook, found)) =
        desk.planner.outlook().and_then(|outlook| Some((outlook, outlook.predicted()?)))
    else {
        section(ui, "Predicted", "");
        let why = match (desk.document, desk.planner.error()) {
            (None, _) => "Open a project to see what it will cost.".to_owned(),
            (_, Some(error)) => format!("Nothing is predicted: {error}"),
            _ => "Being worked out…".to_owned(),
        };
        note(ui, &why, theme.label);
        return;
    };
    let updating = if desk.planner.is_current() { "" } else { ", updating" };
    section(ui, "Predicted", &format!("stage {}, {}{updating}", outlook.stage + 1, outlook.plan.name));
    let end = values_end(ui, outlook, found);
    peak(ui, outlook, found, end);
    let causes = causes(&outlook.plan, found);
    let most = causes.iter().map(|(_, bytes)| *bytes).max().unwrap_or(1);
    for (cause, bytes) in &causes {
        bar(ui, cause, *bytes, most, end);
    }
}

/// Where the column of values ends, from the left: behind the longest name and the longest value.
fn values_end(ui: &Ui, outlook: &Outlook, found: &Predicted) -> f32 {
    let width =
        |text: &str, font| ui.painter().layout_no_wrap(text.to_owned(), font, egui::Color32::WHITE).size().x;
    let causes = causes(&outlook.plan, found);
    let values = causes.iter().map(|(_, bytes)| *bytes).chain([found.peak_bytes]);
    let names = causes.iter().map(|(cause, _)| width(cause, regular(12.0))).fold(0.0, f32::max);
    let values = values.map(|bytes| width(&format::bytes(bytes), mono(11.0))).fold(0.0, f32::max);
    12.0 + names + 12.0 + values
}

/// A cause with its bytes and a bar beside it.
fn bar(ui: &mut Ui, cause: &str, bytes: u64, most: u64, end: f32) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 19.0), Sense::hover());
    let value = format::bytes(bytes);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("Predicted {cause}: {value}")));
    let y = rect.center().y;
    ui.painter().text(pos2(rect.left() + 12.0, y), Align2::LEFT_CENTER, cause, regular(12.0), theme.label);
    let end = pos2(rect.left() + end, y);
    ui.painter().text(end, Align2::RIGHT_CENTER, value, mono(11.0), theme.text);
    let room = rect.right() - 14.0 - (end.x + 10.0);
    #[expect(clippy::cast_precision_loss, reason = "a bar's length")]
    let length = room * bytes as f32 / most.max(1) as f32;
    if room > 20.0 && length >= 1.0 {
        let bar = Rect::from_min_size(pos2(end.x + 10.0, y - 3.0), vec2(length, 6.0));
        ui.painter().rect_filled(bar, 3, theme.phases[1]);
    }
}

fn peak(ui: &mut Ui, outlook: &Outlook, found: &Predicted, end: f32) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 22.0), Sense::hover());
    let place = peak_place(&outlook.plan).unwrap_or_default();
    let value = format::bytes(found.peak_bytes);
    response
        .widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("Predicted total: {value} {place}")));
    let y = rect.center().y;
    ui.painter().text(pos2(rect.left() + 12.0, y), Align2::LEFT_CENTER, "peak", medium(12.0), theme.text);
    let end = pos2(rect.left() + end, y);
    ui.painter().text(end, Align2::RIGHT_CENTER, value, mono(11.0), theme.text);
    let x = end.x + 10.0;
    let room = rect.right() - 12.0 - x;
    if room > 40.0 {
        let short = shorten(ui, &place, &regular(11.0), room);
        ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, short, regular(11.0), theme.label);
    }
    response.on_hover_text(place);
}

fn budget(ui: &mut Ui, desk: Desk<'_>, view: &mut View, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    ui.add_space(6.0);
    ui.horizontal(|ui| {
        ui.add_space(12.0);
        let (name, _) = ui.allocate_exact_size(vec2(92.0, 26.0), Sense::hover());
        let at = name.left_center();
        ui.painter().text(at, Align2::LEFT_CENTER, "Memory budget", regular(12.0), theme.label);
        let edit = egui::TextEdit::singleline(&mut view.budget.text)
            .font(mono(11.0))
            .hint_text("512MiB, 2GB")
            .desired_width(96.0)
            .margin(egui::Margin::symmetric(8, 5));
        let field = ui.add(edit).accessible_name("Memory budget");
        if field.changed() {
            view.budget.complaint = None;
        }
        let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let button = wide_button(ui, None, "Fit", Weight::Plain, desk.document.is_some());
        button.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Fit into the budget"));
        if button
            .on_hover_text("Look for the most harmless way to run this stage in so much memory")
            .clicked()
            || entered
        {
            actions.push(Action::FitBudget);
        }
    });
    ui.add_space(4.0);
    if let Some(complaint) = &view.budget.complaint {
        told(ui, complaint, theme.error);
        return;
    }
    let Some(bytes) = view.budget.bytes else {
        note(ui, "Says how the stage fits: by micro-batches, then by computing blocks again.", theme.label);
        return;
    };
    match desk.planner.fit(bytes) {
        None => note(ui, "Looking for what fits…", theme.label),
        Some(Err(error)) => told(ui, error, theme.error),
        Some(Ok(fit)) => answer(ui, desk, fit, actions),
    }
}

/// A paragraph that a screen reader finds.
fn told(ui: &mut Ui, text: &str, color: egui::Color32) {
    ui.horizontal(|ui| {
        ui.add_space(12.0);
        ui.vertical(|ui| {
            ui.set_max_width(ui.available_width() - 12.0);
            let label = egui::RichText::new(text).font(regular(11.0)).color(color);
            let response = ui.add(egui::Label::new(label).wrap());
            response.widget_info(|| WidgetInfo::labeled(Role::Label, true, text));
        });
    });
}

fn answer(ui: &mut Ui, desk: Desk<'_>, fit: &Fit, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let timed = desk.planner.outlook().is_some_and(|outlook| outlook.timed);
    let budget = bytes_text(fit.budget_bytes);
    match &fit.choice {
        Some(choice) if choice.settings.is_empty() => {
            let text = format!("Fits into {budget} as it is: {} (predicted)", bytes_text(choice.peak_bytes));
            told(ui, &text, theme.brand);
        }
        Some(choice) => {
            told(ui, &format!("Into {budget}: {} (predicted)", story(choice, timed)), theme.text);
            ui.add_space(6.0);
            ui.horizontal(|ui| {
                ui.add_space(12.0);
                let button = wide_button(ui, Some(Icon::Check), "Apply", Weight::Primary, !desk.locked);
                let hint = choice.settings.join("\n");
                if button.on_hover_text(hint).clicked() {
                    apply(desk, fit, choice, actions);
                }
            });
        }
        None => {
            let floor = bytes_text(fit.floor.bytes);
            let text =
                format!("Does not fit into {budget}: the least is {floor} (predicted); {}", fit.floor.why);
            told(ui, &text, theme.error);
        }
    }
    ui.add_space(6.0);
    let largest = match fit.largest_batch {
        Some(batch) => format!("Largest batch that fits at once: {batch} (predicted)"),
        None => "Not even one sample fits at once (predicted)".to_owned(),
    };
    told(ui, &largest, theme.body);
    ui.add_space(6.0);
    for (place, option) in fit.options.iter().enumerate() {
        row(ui, desk, fit, place, option, timed, actions);
    }
}

/// An option in words: what changes, its bytes, its time.
fn story(option: &FitOption, timed: bool) -> String {
    let parts = match option.accumulate {
        1 => "one micro-batch".to_owned(),
        count => format!("{count} micro-batches"),
    };
    let again = match option.recompute.len() {
        0 => String::new(),
        1 => ", 1 region computed again".to_owned(),
        count => format!(", {count} regions computed again"),
    };
    let time = if timed { format!(", {:.2} times as long", option.slowdown) } else { String::new() };
    format!("{parts}{again}, {}{time}", bytes_text(option.peak_bytes))
}

fn row(
    ui: &mut Ui,
    desk: Desk<'_>,
    fit: &Fit,
    place: usize,
    option: &FitOption,
    timed: bool,
    actions: &mut Vec<Action>,
) {
    let theme = Theme::of(ui);
    let usable = option.fits && !option.settings.is_empty() && !desk.locked;
    let sense = if usable { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 20.0), sense);
    let text = story(option, timed);
    let verdict = if option.fits { "fits" } else { "does not fit" };
    let name = format!("Option {}: {text}, {verdict}", place + 1);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, usable, &name));
    if usable && response.hovered() {
        ui.painter().rect_filled(rect, 0, theme.raised);
    }
    let (icon, color) = if option.fits { (Icon::Check, theme.brand) } else { (Icon::Cross, theme.faint) };
    icons::paint(ui.painter(), icon, pos2(rect.left() + 18.0, rect.center().y), 11.0, color);
    let ink = if option.fits { theme.body } else { theme.label };
    let x = rect.left() + 30.0;
    let short = shorten(ui, &text, &regular(11.0), rect.right() - 12.0 - x);
    ui.painter().text(pos2(x, rect.center().y), Align2::LEFT_CENTER, short, regular(11.0), ink);
    if response.clicked() {
        apply(desk, fit, option, actions);
    }
    let hint = if usable { format!("{text}\nClick to take it") } else { format!("{text}, {verdict}") };
    response.on_hover_text(hint);
}

fn apply(desk: Desk<'_>, fit: &Fit, option: &FitOption, actions: &mut Vec<Action>) {
    let Some(outlook) = desk.planner.outlook() else { return };
    actions.push(Action::ApplyFit {
        budget: fit.budget_bytes,
        path: outlook.path.clone(),
        settings: option.settings.clone(),
    });
}
