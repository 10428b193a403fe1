//! Where the selection is: the levels around it, each to be selected, at the upper left of the canvas.

use egui::{Align2, Id, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use crate::actions::Action;
use crate::icons::{self, Icon};
use crate::model::Model;
use crate::theme::{Theme, medium, regular};
use crate::view::{Selected, View};
use crate::widgets::focus_ring;

/// Where this row begins, from the canvas's corner.
pub(super) const CORNER: egui::Vec2 = vec2(12.0, 46.0);
/// Height of the row.
const HEIGHT: f32 = 24.0;

/// The levels of a path from the outermost to itself, with their names.
pub(super) fn levels(model: &Model, path: &str) -> Vec<(String, String)> {
    let ends = path.match_indices('.').map(|(end, _)| end).chain([path.len()]);
    let level = |end: usize| {
        let level = &path[..end];
        let last = level.rsplit('.').next().unwrap_or_default();
        match model.part(level) {
            // A stack inside a transformer is no level that one thinks in.
            Some(part) if part.title == "Blocks" && end < path.len() => None,
            Some(part) if level.contains('.') => Some((level.to_owned(), part.title.clone())),
            Some(_) => Some((level.to_owned(), "Model".to_owned())),
            None => (end == path.len()).then(|| (level.to_owned(), last.to_owned())),
        }
    };
    ends.filter_map(level).collect()
}

/// Shows the row.
pub(super) fn ui(ui: &mut Ui, canvas: Rect, model: &Model, view: &View, actions: &mut Vec<Action>) {
    let (Selected::Part(path) | Selected::Adapter { site: Some(path), .. }) = &view.selected else { return };
    let theme = Theme::of(ui);
    let mut levels = levels(model, path);
    let width =
        |text: &str| ui.painter().layout_no_wrap(text.to_owned(), medium(11.0), theme.text).size().x + 12.0;
    let room = canvas.width() - 2.0 * CORNER.x - 8.0;
    let whole =
        |levels: &[(String, String)]| levels.iter().map(|(_, name)| width(name) + 12.0).sum::<f32>() - 12.0;
    // Where there is no room the outermost levels go first.
    while levels.len() > 1 && whole(&levels) > room {
        levels.remove(0);
    }
    let also = view.graph.also.len();
    let more = if also == 0 { String::new() } else { format!("and {also} more") };
    let after = if also == 0 { 0.0 } else { width(&more) };
    let frame = Rect::from_min_size(canvas.min + CORNER, vec2(whole(&levels) + after + 8.0, HEIGHT));
    ui.painter().rect(frame, 6, theme.card, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    let mut x = frame.left() + 4.0;
    let last = levels.len().saturating_sub(1);
    for (i, (path, name)) in levels.iter().enumerate() {
        let rect = Rect::from_min_size(pos2(x, frame.top() + 2.0), vec2(width(name), HEIGHT - 4.0));
        let response = ui.interact(rect, Id::unique(("level", path)), Sense::click());
        response.widget_info(|| WidgetInfo::labeled(Role::Link, true, format!("Level {path}")));
        if response.hovered() {
            ui.painter().rect_filled(rect, 4, theme.raised);
        }
        let color = if i == last || response.hovered() { theme.text } else { theme.label };
        ui.painter().text(rect.center(), Align2::CENTER_CENTER, name, medium(11.0), color);
        focus_ring(ui, &response, rect);
        if response.clicked() {
            actions.push(Action::Select(Selected::Part(path.clone())));
        }
        response.on_hover_text(path);
        x = rect.right();
        if i < last {
            let at = pos2(x + 6.0, frame.center().y);
            icons::paint(ui.painter(), Icon::ChevronRight, at, 10.0, theme.faint);
            x += 12.0;
        }
    }
    if also > 0 {
        let at = pos2(x + 6.0, frame.center().y);
        ui.painter().text(at, Align2::LEFT_CENTER, more, regular(11.0), theme.label);
    }
}
