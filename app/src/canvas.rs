//! The graph in regions that fold and unfold: layout, then interaction, then paint.

mod adapters;
mod block;
mod cut;
mod differs;
mod ground;
mod heat;
mod interact;
pub mod layout;
mod nodes;
mod paint;
pub mod shapes;

use std::collections::BTreeSet;
use std::sync::Arc;

use egui::{Pos2, Rect, Ui, Vec2};
use graft_engine::adapters::AdapterSpec;
use graft_engine::project::Project;

use crate::actions::Action;
use crate::measured::Measured;
use crate::model::Model;
use crate::outlook::Outlook;
use crate::theme::Theme;
use crate::view::{Camera, Follow, View};
pub(crate) use interact::zoom_at;
use layout::layout;
pub(crate) use paint::freeze_icon;
use shapes::{Flow, Layout};

/// Below this height the graph is shown as one strip.
const STRIP: f32 = 200.0;

/// The zoom at which what was unfolded is still easy to read.
const LEGIBLE: f32 = 0.9;

/// The canvas keeps its layout as long as nothing that it depends on changes.
#[derive(Debug, Default)]
pub struct Canvas {
    laid_out: Option<(Arc<Model>, BTreeSet<String>, Flow)>,
    layout: Layout,
    /// The largest value that the heat overlay shows, in words.
    hottest: Option<String>,
    fitted: Option<(Vec2, Rect, Option<Rect>, Follow)>,
}

/// What the canvas reads.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The stage's model.
    pub model: &'a Arc<Model>,
    /// The project.
    pub project: &'a Project,
    /// Whether editing is locked.
    pub locked: bool,
    /// What this stage will cost, where that is known.
    pub outlook: Option<&'a Outlook>,
    /// What was measured of it, where that is what colours the graph.
    pub measured: Option<&'a Measured>,
}

/// Where the layout stands on the screen.
#[derive(Clone, Copy, Debug)]
struct Projection {
    corner: Pos2,
    offset: Vec2,
    zoom: f32,
}

impl Projection {
    fn point(&self, point: Pos2) -> Pos2 {
        self.corner + self.offset + point.to_vec2() * self.zoom
    }

    fn rect(&self, rect: Rect) -> Rect {
        Rect::from_min_max(self.point(rect.min), self.point(rect.max))
    }
}

impl Canvas {
    /// Shows the graph in all the space there is.
    pub fn ui(&mut self, ui: &mut Ui, scene: Scene<'_>, view: &mut View, actions: &mut Vec<Action>) {
        let rect = ui.available_rect_before_wrap();
        let flow = if rect.height() < STRIP { Flow::Across } else { Flow::Down };
        self.update(scene.model, &view.unfolded, flow);
        self.fit(rect.size(), flow, &mut view.camera);
        let background = interact::background(ui, rect, &mut view.camera);
        let projection = Projection { corner: rect.min, offset: view.camera.offset, zoom: view.camera.zoom };
        let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(rect));
        ui.set_clip_rect(rect.intersect(ui.clip_rect()));
        let palette = AdapterSpec::all();
        let heat = heat::HeatMap::of(scene, view.heat, &self.layout);
        self.hottest = heat.and_then(|heat| heat.top());
        let deck = interact::Deck { projection, scene, palette: &palette, heat };
        let touched = interact::cards(&mut ui, &self.layout, deck, view, actions);
        if background.clicked() && touched.is_none() {
            actions.push(Action::Select(crate::view::Selected::Nothing));
        }
        let painter = paint::Paint {
            painter: ui.painter().clone(),
            theme: Theme::of(&ui),
            projection,
            scene,
            view,
            palette: &palette,
            hovered_plus: touched,
            heat,
        };
        painter.all(&self.layout, rect);
        differs::draw(ui.painter(), Theme::of(&ui), &self.layout, projection, &view.differing);
        let cut = scene.outlook.filter(|_| !view.cut_hidden).and_then(|outlook| outlook.plan.cut.as_ref());
        if let (Some(cut), Some(outlook)) = (cut, scene.outlook)
            && let Some(course) = cut::course(scene.model, &self.layout, &cut.after, flow)
        {
            cut::draw(&ui, course, outlook, projection, rect, &self.layout);
        }
    }

    /// The largest value that the heat overlay shows, in words.
    #[must_use]
    pub fn hottest(&self) -> Option<&str> {
        self.hottest.as_deref()
    }

    fn update(&mut self, model: &Arc<Model>, unfolded: &BTreeSet<String>, flow: Flow) {
        let same = self.laid_out.as_ref().is_some_and(|(old_model, old_unfolded, old_flow)| {
            Arc::ptr_eq(old_model, model) && old_unfolded == unfolded && *old_flow == flow
        });
        if !same {
            self.layout = layout(model, unfolded, flow);
            self.laid_out = Some((Arc::clone(model), unfolded.clone(), flow));
        }
    }

    /// Keeps in view what the camera follows.
    fn fit(&mut self, size: Vec2, flow: Flow, camera: &mut Camera) {
        if flow == Flow::Across && camera.follow == Follow::Free {
            camera.follow = Follow::Focus;
        }
        let Some(bounds) = self.layout.bounds.filter(|_| camera.follow != Follow::Free) else {
            self.fitted = None;
            return;
        };
        let wanted = (size, bounds, self.layout.focus, camera.follow);
        if self.fitted == Some(wanted) {
            return;
        }
        self.fitted = Some(wanted);
        // Room for what lies over the canvas: stages and zoom along its top edge, the choice of heat at its foot.
        let margin = 24.0;
        let (top, foot) = if flow == Flow::Across { (34.0, 24.0) } else { (56.0, 48.0) };
        let room = egui::vec2(size.x - 2.0 * margin, size.y - top - foot).max(Vec2::splat(40.0));
        let whole = (room / bounds.size().max(Vec2::splat(1.0))).min_elem();
        let focus = self.layout.focus.filter(|_| camera.follow == Follow::Focus);
        let legible =
            focus.map_or(0.3, |focus| (room / focus.size().max(Vec2::splat(1.0))).min_elem().min(LEGIBLE));
        camera.zoom = whole.clamp(legible.max(0.3), 1.15);
        let free = room - bounds.size() * camera.zoom;
        camera.offset = egui::vec2(margin + free.x / 2.0, top + (free.y / 2.0).min(40.0));
        if let Some(focus) = focus.filter(|_| free.y < 0.0) {
            // What does not fit is cut at the far ends; the focus comes to the middle.
            let middle = top + room.y / 2.0 - focus.center().y * camera.zoom;
            camera.offset.y = middle.clamp(top + free.y, top);
        }
        if let Some(focus) = focus.filter(|_| free.x < 0.0) {
            camera.offset.x = margin + room.x / 2.0 - focus.center().x * camera.zoom;
        }
    }
}

#[cfg(test)]
mod tests;
