//! A rectangle that selects what it touches: drawn with Shift held.

use egui::{Rect, Response, Stroke, StrokeKind, Ui};

use super::Projection;
use super::shapes::{Layout, Look};
use crate::actions::Action;
use crate::graph_actions::GraphAction;
use crate::theme::Theme;
use crate::view::View;

/// Shows the rectangle, and selects when it is let go.
pub(super) fn ui(
    ui: &Ui,
    layout: &Layout,
    projection: Projection,
    background: &Response,
    view: &mut View,
    actions: &mut Vec<Action>,
) {
    if background.drag_started() && ui.input(|input| input.modifiers.shift) {
        view.graph.band = ui.input(|input| input.pointer.press_origin());
    }
    let Some(from) = view.graph.band else { return };
    let Some(to) = ui.input(|input| input.pointer.latest_pos()) else { return };
    let band = Rect::from_two_pos(from, to);
    let touched = layout.cards.iter().filter(|card| {
        // Of what holds others only the others are meant.
        !matches!(card.look, Look::Group | Look::Sum | Look::Input)
            && projection.rect(card.rect).intersects(band)
            && !(card.look == Look::Card
                && card.unfolded.is_some()
                && projection.rect(card.rect).contains_rect(band))
    });
    let theme = Theme::of(ui);
    let line = Stroke::new(1.0, theme.selection);
    ui.painter().rect(band, 2, theme.selection.gamma_multiply(0.08), line, StrokeKind::Inside);
    if background.drag_stopped() {
        let paths: Vec<String> = touched.map(|card| card.path.clone()).collect();
        actions.push(Action::Graph(GraphAction::SelectAll(paths)));
        view.graph.band = None;
    } else {
        for card in touched {
            let rect = projection.rect(card.rect).expand(2.0);
            ui.painter().rect_stroke(rect, 5.0 * projection.zoom, line, StrokeKind::Outside);
        }
        if !background.dragged() {
            view.graph.band = None;
        }
    }
}
