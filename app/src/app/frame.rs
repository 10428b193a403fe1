//! One frame: all panels around the canvas, or the first page.

use egui::{Frame, Panel, Stroke, Ui};

use super::{App, Stage, desk};
use crate::actions::Action;
use crate::canvas::Scene;
use crate::overlays::{self, Banner};
use crate::panels::{Desk, dock, heat, inspector, outline, status, top_bar};
use crate::plots::Judged;
use crate::theme::{self, Theme};
use crate::view::DockTab;
use crate::welcome;

impl App {
    /// All panels.
    pub(super) fn frame(&mut self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let theme = Theme::of(ui);
        self.regions.begin();
        if self.document.is_none() {
            self.first_page(ui, actions);
            return;
        }
        let problems = self.problems();
        let desk = desk!(self);
        let (view, canvas, library) = (&mut self.view, &mut self.canvas, &mut self.library);
        let locked = desk.locked;
        let bar = || Frame::new().fill(theme.panel);
        let whole = ui.available_size();
        let top = Panel::top("top bar").exact_size(48.0).resizable(false).frame(bar()).show(ui, |ui| {
            top_bar::ui(ui, desk, &self.devices, actions);
        });
        self.regions.add(top.response.rect);
        Panel::bottom("status").exact_size(24.0).resizable(false).frame(bar()).show(ui, |ui| {
            status::ui(ui, desk);
        });
        let narrow = whole.x < 1280.0;
        // In a narrow window the sides give their room to the canvas.
        let side = |least: f32, usual: f32| if narrow { least } else { usual };
        // Runs need the room of what is about one model's parts, whether one or several are chosen: a table that
        // moves under the pointer cannot be ticked.
        let comparing = view.tab == DockTab::Runs && view.dock_tall;
        let outline = Panel::left("outline").frame(bar()).size_range(200.0..=side(232.0, 420.0));
        if !comparing {
            let outline = outline.default_size(side(232.0, 272.0));
            let shown = outline.show(ui, |ui| outline::ui(ui, desk, view, actions));
            self.regions.add(shown.response.rect);
        }
        let panel = Panel::right("inspector").frame(bar()).size_range(220.0..=side(236.0, 460.0));
        let mut later = Vec::new();
        if !comparing {
            let panel = panel.default_size(side(230.0, 312.0));
            let shown = panel.show(ui, |ui| inspector::ui(ui, desk, view, actions));
            later.push(shown.response.rect);
        }
        let tall = view.dock_tall;
        let height =
            if tall { (ui.available_height() - 150.0).max(208.0) } else { (0.26 * whole.y).min(190.0) };
        let id = if tall { "tall dock" } else { "dock" };
        let panel = Panel::bottom(id)
            .frame(bar())
            .default_size(height)
            .size_range(120.0..=(whole.y - 220.0).max(140.0));
        let mut seen = dock::Seen {
            problems: &problems,
            previews: &self.previews,
            textures: &mut self.textures,
            judged: Judged { page: self.judged.page(), textures: &mut self.judged_textures },
            library,
        };
        let shown = panel.show(ui, |ui| dock::ui(ui, desk, &mut seen, view, actions));
        later.push(shown.response.rect);
        view.differing = match desk.model.filter(|_| comparing) {
            Some(model) => {
                let sites: Vec<&str> = model.graph.sites().iter().map(|site| site.path.as_str()).collect();
                crate::runs::differing_sites(library, &sites)
            }
            None => Vec::new(),
        };
        let complaint = self.builder.error().filter(|_| desk.model.is_none());
        let shown_elsewhere =
            complaint.is_some() && self.banner.as_ref().is_some_and(|it| it.says(complaint));
        let recovered = self.recovered.as_ref().map(|_| Banner::Unsaved);
        let banner = self.banner.clone().filter(|_| !shown_elsewhere).or(recovered);
        if let Some(banner) = banner.filter(|_| self.closing != Stage::Asking && self.pending.is_none()) {
            self.regions.add(overlays::banner(ui, &banner, desk.locked, actions));
        }
        let canvas_rect = ui.available_rect_before_wrap();
        // In reading order: the graph before what stands to its right and below.
        self.regions.add(canvas_rect);
        for rect in later {
            self.regions.add(rect);
        }
        if let (Some(document), Some(model)) = (desk.document, desk.model) {
            let scene = Scene {
                model,
                project: document.project(),
                locked,
                outlook: desk.outlook(),
                what_if: desk.what_if,
                budget_bytes: view.budget.bytes,
                measured: desk.measured_for(view),
            };
            canvas.ui(ui, scene, view, actions);
            overlays::stages(ui, canvas_rect, desk, view, actions);
            overlays::zoom(ui, canvas_rect, view, actions);
            heat::ui(ui, canvas_rect, desk, view, canvas.hottest(), actions);
            lock(ui, canvas_rect, locked);
        } else {
            overlays::empty(ui, canvas_rect, desk.build_error, desk.lacks_data, actions);
        }
    }

    /// The page that is shown while no project is open.
    fn first_page(&mut self, ui: &mut Ui, actions: &mut Vec<Action>) {
        let theme = Theme::of(ui);
        let desk = desk!(self);
        Panel::bottom("status")
            .exact_size(24.0)
            .resizable(false)
            .frame(Frame::new().fill(theme.panel))
            .show(ui, |ui| status::ui(ui, desk));
        if let Some(banner) = &self.banner {
            overlays::banner(ui, banner, false, actions);
        }
        let page = welcome::Page {
            samples: self.samples.list(),
            devices: &self.devices,
            store: &self.store,
            refusal: self.refusal.as_deref(),
        };
        welcome::ui(ui, page, &mut self.view.samples, actions);
    }
}

/// Says over the canvas why nothing can be edited.
fn lock(ui: &Ui, canvas: egui::Rect, locked: bool) {
    if !locked {
        return;
    }
    let theme = Theme::of(ui);
    let text = if canvas.width() < 560.0 { "Locked" } else { "Graph locked while training" };
    let galley = ui.painter().layout_no_wrap(text.to_owned(), theme::regular(11.0), theme.body);
    let size = galley.size() + egui::vec2(36.0, 10.0);
    let rect = egui::Rect::from_min_size(canvas.right_bottom() - size - egui::vec2(12.0, 10.0), size);
    ui.painter().rect(rect, 6, theme.card, Stroke::new(1.0, theme.outline), egui::StrokeKind::Inside);
    let icon = egui::pos2(rect.left() + 14.0, rect.center().y);
    crate::icons::paint(ui.painter(), crate::icons::Icon::Lock, icon, 12.0, theme.label);
    let at = egui::pos2(rect.left() + 26.0, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, theme.body);
}
