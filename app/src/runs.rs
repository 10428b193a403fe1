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

use egui::{Align, Layout, Rect, RichText, ScrollArea, Sense, Stroke, Ui, UiBuilder, vec2};

use crate::actions::Action;
use crate::library::Library;
use crate::theme::{Theme, regular};
use crate::view::RunsView;
use crate::widgets::{Weight, wide_button};

pub use compare::differing_sites;
pub use scatter::front;

/// Least height of a table with something below it.
const TABLE: f32 = 150.0;
/// Least height of what stands below a table; where there is less, it is scrolled.
const EVIDENCE: f32 = 240.0;
/// Height of the whole from which on something stands below the table at all.
const SPLIT: f32 = 200.0;
/// Height of the line that says why nothing does.
const HINT: f32 = 34.0;

/// What goes on while runs are looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Going {
    /// A run of this window.
    pub own: bool,
    /// A run that another program performs in the same folder.
    pub elsewhere: bool,
}

/// Shows the tab. What is about chosen runs has its room in a tall dock.
pub fn ui(
    ui: &mut Ui,
    library: &mut Library,
    view: &mut RunsView,
    going: Going,
    tall: &mut bool,
    actions: &mut Vec<Action>,
) {
    toolbar::ui(ui, library, view, going.own, actions);
    crate::widgets::rule(ui);
    queue::ui(ui, library, going, actions);
    let rect = ui.available_rect_before_wrap();
    let shown = order::shown(library.rows(), view);
    let chosen = library.chosen().len();
    let below = if chosen == 0 {
        0.0
    } else if rect.height() < SPLIT {
        HINT
    } else {
        let most = (rect.height() - EVIDENCE).clamp(0.3 * rect.height(), 0.4 * rect.height());
        rect.height() - table::height(&shown).max(TABLE).min(most)
    };
    let (top, bottom) = rect.split_top_bottom_at_y(rect.bottom() - below);
    let mut inner = ui.new_child(UiBuilder::new().id_salt("runs table").max_rect(top));
    inner.set_clip_rect(top.intersect(ui.clip_rect()));
    table::ui(&mut inner, library, &shown, view, actions);
    if chosen == 0 {
        return;
    }
    ui.painter().hline(bottom.x_range(), bottom.top(), Stroke::new(1.0, Theme::of(ui).line));
    let mut inner =
        ui.new_child(UiBuilder::new().id_salt("evidence").max_rect(bottom.shrink2(vec2(0.0, 1.0))));
    inner.set_clip_rect(bottom.intersect(ui.clip_rect()));
    if rect.height() < SPLIT {
        return hint(&mut inner, chosen, tall);
    }
    let height = inner.available_height().max(EVIDENCE);
    ScrollArea::vertical().id_salt("evidence").auto_shrink([false, false]).show(&mut inner, |ui| {
        let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), height), Sense::hover());
        let mut inner = ui.new_child(UiBuilder::new().id_salt("whole evidence").max_rect(rect));
        if chosen == 1 {
            detail::ui(&mut inner, library, view, actions);
        } else {
            compare::ui(&mut inner, library, view);
        }
    });
}

/// Says in a low dock why nothing is shown of the chosen runs, and how it can be seen.
fn hint(ui: &mut Ui, chosen: usize, tall: &mut bool) {
    let theme = Theme::of(ui);
    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
        ui.spacing_mut().item_spacing.x = 8.0;
        ui.add_space(12.0);
        let (word, text) = match chosen {
            1 => ("Show this run", "Its tags, note and curves need a taller dock"),
            _ => ("Compare them", "Curves and differences need a taller dock"),
        };
        if wide_button(ui, None, word, Weight::Plain, true).clicked() {
            *tall = true;
        }
        ui.label(RichText::new(text).font(regular(11.0)).color(theme.label));
    });
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
