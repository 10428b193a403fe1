//! The bottom dock: plots of the run, all runs, the project's stages, the log.

use egui::{Align, Align2, Layout, Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use super::{Desk, data, log, plan, problems, stages, timeline};
use crate::actions::Action;
use crate::icons::Icon;
use crate::library::Library;
use crate::plots::{self, Judged};
use crate::previews::Previews;
use crate::problems::Problem;
use crate::runs;
use crate::textures::Textures;
use crate::theme::{Theme, medium, regular};
use crate::view::{DockTab, View};
use crate::widgets::{focus_ring, icon_button};

/// What the dock shows beside what all panels read.
#[derive(Debug)]
pub struct Seen<'a> {
    /// What would stop a run.
    pub problems: &'a [Problem],
    /// Samples of the data.
    pub previews: &'a Previews,
    /// Their pictures.
    pub textures: &'a mut Textures,
    /// Those that the latest evaluation tells of.
    pub judged: Judged<'a>,
    /// All runs.
    pub library: &'a mut Library,
}

/// Shows the dock.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, seen: &mut Seen<'_>, view: &mut View, actions: &mut Vec<Action>) {
    ui.spacing_mut().item_spacing.y = 0.0;
    // The panel keeps its height whatever is in it.
    ui.expand_to_include_rect(ui.max_rect());
    tabs(ui, seen.problems.len(), view);
    crate::widgets::rule(ui);
    match view.tab {
        DockTab::Plots => {
            let whose = desk.foreign_run();
            plots::ui(ui, desk.session, whose, &mut seen.judged, &mut view.plots, view.budget.bytes, actions);
        }
        DockTab::Runs => {
            let going = runs::Going { own: desk.busy(), elsewhere: desk.elsewhere };
            runs::ui(ui, seen.library, &mut view.runs, going, &mut view.dock_tall, actions);
        }
        DockTab::Stages => stages::ui(ui, desk, view, actions),
        DockTab::Timeline => timeline::ui(ui, desk, view, actions),
        DockTab::Plan => plan::ui(ui, desk, view, actions),
        DockTab::Data => data::ui(ui, desk, seen.previews, seen.textures, view),
        DockTab::Problems => problems::ui(ui, seen.problems, desk.locked, actions),
        DockTab::Log => log::ui(ui, desk, view),
    }
}

fn tabs(ui: &mut Ui, problems: usize, view: &mut View) {
    let theme = Theme::of(ui);
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), 31.0),
        Layout::left_to_right(Align::Center),
        |ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            ui.add_space(6.0);
            for tab in DockTab::ALL {
                let name = match tab {
                    DockTab::Problems if problems > 0 => format!("{} {problems}", tab.word()),
                    _ => tab.word().to_owned(),
                };
                let active = view.tab == tab;
                let font = if active { medium(12.0) } else { regular(12.0) };
                let width = ui.painter().layout_no_wrap(name.clone(), font.clone(), theme.text).size().x;
                let (rect, response) = ui.allocate_exact_size(vec2(width + 24.0, 31.0), Sense::click());
                response.widget_info(|| WidgetInfo::selected(Role::Tab, true, active, tab.word()));
                let color = if active || response.hovered() { theme.text } else { theme.label };
                ui.painter().text(rect.center(), Align2::CENTER_CENTER, &name, font, color);
                if active {
                    let line =
                        Rect::from_min_max(pos2(rect.left() + 8.0, rect.bottom() - 2.0), rect.right_bottom());
                    ui.painter().rect_filled(line.translate(vec2(-4.0, 0.0)), 0, theme.brand);
                }
                focus_ring(ui, &response, rect.shrink(3.0));
                if response.clicked() {
                    view.tab = tab;
                }
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                ui.add_space(10.0);
                let hint = if view.dock_tall { "Smaller dock" } else { "Taller dock" };
                if icon_button(ui, Icon::Dock, hint, hint, true).clicked() {
                    view.dock_tall = !view.dock_tall;
                }
            });
        },
    );
}
