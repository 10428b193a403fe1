//! The runs' tab: the queue, a table of all runs, and below it one of them in full or several compared.

mod compare;
mod curves;
mod detail;
mod difference;
mod marks;
mod order;
mod queue;
mod scatter;
mod table;
mod toolbar;
mod variants;

use egui::{Rect, Stroke, Ui, UiBuilder, vec2};

use crate::actions::Action;
use crate::library::Library;
use crate::theme::Theme;
use crate::view::RunsView;

pub use compare::differing_sites;
pub use scatter::front;

/// Least height of a table with something below it.
const TABLE: f32 = 150.0;
/// Least height of what stands below a table.
const EVIDENCE: f32 = 240.0;

/// Shows the tab.
pub fn ui(ui: &mut Ui, library: &mut Library, view: &mut RunsView, busy: bool, actions: &mut Vec<Action>) {
    toolbar::ui(ui, library, view, busy, actions);
    crate::widgets::rule(ui);
    queue::ui(ui, library, busy, actions);
    let rect = ui.available_rect_before_wrap();
    let shown = order::shown(library.rows(), view);
    let chosen = library.chosen().len();
    let below = chosen > 0 && rect.height() > TABLE + EVIDENCE;
    let wanted = table::height(&shown);
    let height = if below { wanted.clamp(TABLE, rect.height() * 0.4) } else { rect.height() };
    let (top, bottom) = rect.split_top_bottom_at_y(rect.top() + height);
    let mut inner = ui.new_child(UiBuilder::new().id_salt("runs table").max_rect(top));
    inner.set_clip_rect(top.intersect(ui.clip_rect()));
    table::ui(&mut inner, library, &shown, view, actions);
    if !below {
        return;
    }
    ui.painter().hline(bottom.x_range(), bottom.top(), Stroke::new(1.0, Theme::of(ui).line));
    let mut inner =
        ui.new_child(UiBuilder::new().id_salt("evidence").max_rect(bottom.shrink2(vec2(0.0, 1.0))));
    inner.set_clip_rect(bottom.intersect(ui.clip_rect()));
    if chosen == 1 {
        detail::ui(&mut inner, library, view, actions);
    } else {
        compare::ui(&mut inner, library, view);
    }
}

/// A part of the evidence, with a line at its left when it is not the first.
fn part(ui: &mut Ui, rect: Rect, salt: &str, first: bool, show: impl FnOnce(&mut Ui)) {
    if !first {
        ui.painter().vline(rect.left(), rect.y_range(), Stroke::new(1.0, Theme::of(ui).line));
    }
    let mut inner = ui.new_child(UiBuilder::new().id_salt(salt).max_rect(rect.shrink2(vec2(10.0, 6.0))));
    inner.set_clip_rect(rect.intersect(ui.clip_rect()));
    show(&mut inner);
}
