//! The graph in regions that fold and unfold: layout, then interaction, then paint.

mod adapters;
mod band;
mod block;
mod crumbs;
mod cut;
mod detail;
mod differs;
mod edges;
mod find;
mod ground;
mod heat;
mod interact;
pub mod layout;
mod lit;
mod minimap;
mod nodes;
mod paint;
mod placing;
pub mod shapes;
mod stack;
mod strip;
mod walk;
mod wires;

use std::collections::BTreeSet;
use std::sync::Arc;

use egui::{Pos2, Rect, Ui, Vec2, pos2};
use graft_engine::project::Project;

use crate::actions::Action;
use crate::graph_actions::Step;
use crate::measured::Measured;
use crate::model::Model;
use crate::outlook::{Outlook, Warmths};
use crate::theme::Theme;
use crate::view::{Camera, Follow, Heat, Selected, View};
use crate::whatif::WhatIf;
pub(crate) use interact::zoom_at;
use layout::layout;
pub(crate) use paint::freeze_icon;
use shapes::{Flow, Layout};

/// Below this height the graph is shown as one strip.
const STRIP: f32 = 200.0;

/// The zoom at which what was unfolded is still easy to read.
const LEGIBLE: f32 = 0.9;

/// The zoom at which several unfolded blocks are read at once.
const FAR: f32 = 0.6;

/// The zoom that everything is shown at, unless all of it is asked for: at least, and at most.
const LEAST: f32 = 0.3;
const MOST: f32 = 1.15;

/// Room beside the graph for what the cache costs, in points.
const BESIDE: f32 = 160.0;

/// The canvas keeps its layout as long as nothing that it depends on changes.
#[derive(Debug, Default)]
pub struct Canvas {
    laid_out: Option<(Arc<Model>, BTreeSet<String>, Flow)>,
    layout: Layout,
    /// The largest value that the heat overlay shows, in words.
    hottest: Option<String>,
    fitted: Option<(Vec2, Rect, Option<Rect>, Follow)>,
    /// Grows with each new layout.
    number: u64,
    lit: lit::Lit,
    legality: placing::Legality,
    /// What parameters and multiply-adds come to, of the model that was laid out.
    counted: Option<(Arc<Model>, Warmths)>,
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
    /// What changes would cost.
    pub what_if: &'a WhatIf,
    /// The memory that the stage should fit into, in bytes.
    pub budget_bytes: Option<u64>,
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

    /// What of the layout is in a rectangle of the screen.
    fn back(&self, rect: Rect) -> Rect {
        let back = |point: Pos2| ((point - self.corner - self.offset) / self.zoom).to_pos2();
        Rect::from_min_max(back(rect.min), back(rect.max))
    }

    fn rect(&self, rect: Rect) -> Rect {
        Rect::from_min_max(self.point(rect.min), self.point(rect.max))
    }
}

impl Canvas {
    /// Shows the graph in all the space there is.
    pub fn ui(&mut self, ui: &mut Ui, scene: Scene<'_>, view: &mut View, actions: &mut Vec<Action>) {
        view.graph.thought = None;
        let rect = ui.available_rect_before_wrap();
        let flow = if rect.height() < STRIP { Flow::Across } else { Flow::Down };
        let fresh = self.update(scene.model, &view.unfolded, flow);
        self.fit(rect.size(), flow, &mut view.camera);
        if let Some(bring) = view.graph.bring.take() {
            walk::bring(&self.layout, &bring, rect.size(), &mut view.camera);
        }
        let background = interact::background(ui, rect, view);
        let projection = Projection { corner: rect.min, offset: view.camera.offset, zoom: view.camera.zoom };
        let mut ui = ui.new_child(egui::UiBuilder::new().max_rect(rect));
        ui.set_clip_rect(rect.intersect(ui.clip_rect()));
        let palette = crate::kinds::palette();
        self.count(scene.model, view.heat);
        let counted = self.counted.as_ref().map(|(_, counted)| counted);
        let heat = heat::HeatMap::of(scene, counted, view.heat, &self.layout);
        self.hottest = heat.and_then(|heat| heat.top());
        let deck = interact::Deck { projection, scene, palette, heat };
        let touched = interact::cards(&mut ui, &self.layout, deck, view, actions);
        if background.clicked_by(egui::PointerButton::Primary) && touched.is_none() {
            actions.push(Action::Select(Selected::Nothing));
        }
        // The strip has no room for what lies over the graph.
        let whole = flow == Flow::Down;
        let map = minimap::frame(&self.layout, rect, &view.camera, scene.locked).filter(|_| whole);
        self.lit.update(self.number, &self.layout, scene, view);
        let outlook = scene.outlook.filter(|_| !view.cut_hidden);
        let cut = outlook.and_then(|outlook| Some((outlook, outlook.plan.cut.as_ref()?)));
        let cut = cut.and_then(|(outlook, cut)| {
            Some((outlook, cut::course(scene.model, &self.layout, &cut.after, flow)?))
        });
        let painter = paint::Paint {
            painter: ui.painter().clone(),
            theme: Theme::of(&ui),
            projection,
            scene,
            view,
            palette,
            hovered_plus: touched,
            heat,
            cut_at: cut.and_then(|(_, course)| course.at_left()).map(|y| projection.point(pos2(0.0, y)).y),
        };
        painter.all(&self.layout, rect);
        differs::draw(ui.painter(), Theme::of(&ui), &self.layout, projection, &view.differing);
        painter.lit(&self.lit, &self.layout);
        if let Some((outlook, course)) = cut {
            cut::draw(&ui, course, (outlook, scene), projection, rect, &self.layout, map);
        }
        edges::ui(&ui, &self.layout, projection, &background);
        band::ui(&ui, &self.layout, projection, &background, view, actions);
        let stage = placing::Stage { layout: &self.layout, projection, scene, palette, canvas: rect };
        placing::ui(&ui, &mut self.legality, stage, view, actions);
        if !whole {
            return;
        }
        if let Some(map) = map {
            minimap::ui(&ui, &self.layout, map, rect, &mut view.camera);
        }
        if view.graph.find.is_some() {
            find::ui(&mut ui, rect, scene.model, fresh, scene.locked, view, actions);
        } else {
            crumbs::ui(&mut ui, rect, scene.model, view, actions);
        }
    }

    /// Counts parameters and multiply-adds, when they are asked for.
    fn count(&mut self, model: &Arc<Model>, heat: Heat) {
        let same = self.counted.as_ref().is_some_and(|(old, _)| Arc::ptr_eq(old, model));
        if heat.is_counted() && !same {
            self.counted = Some((Arc::clone(model), heat::counted(model)));
        }
    }

    /// What a step from the selection leads to.
    pub(crate) fn step(&self, selected: &Selected, step: Step) -> Option<Selected> {
        walk::step(&self.layout, selected, step)
    }

    /// The largest value that the heat overlay shows, in words.
    #[must_use]
    pub fn hottest(&self) -> Option<&str> {
        self.hottest.as_deref()
    }

    /// Lays out what has changed; whether the model has.
    fn update(&mut self, model: &Arc<Model>, unfolded: &BTreeSet<String>, flow: Flow) -> bool {
        let old = self.laid_out.as_ref();
        let known = old.is_some_and(|(old, ..)| Arc::ptr_eq(old, model));
        let same = known && old.is_some_and(|(_, old, old_flow)| old == unfolded && *old_flow == flow);
        if !same {
            self.layout = layout(model, unfolded, flow);
            self.laid_out = Some((Arc::clone(model), unfolded.clone(), flow));
            self.number += 1;
        }
        !known
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
        let (top, foot) = if flow == Flow::Across { (34.0, 24.0) } else { (80.0, 52.0) };
        let room = egui::vec2(size.x - 2.0 * margin, size.y - top - foot).max(Vec2::splat(40.0));
        let whole = (room / bounds.size().max(Vec2::splat(1.0))).min_elem();
        let focus = self.layout.focus.filter(|_| camera.follow == Follow::Focus);
        // What is much taller than the canvas is read from its top, a few blocks at a time.
        let legible = focus.map_or(LEAST, |focus| {
            let by = room / focus.size().max(Vec2::splat(1.0));
            if by.y < by.x / 2.0 { by.x.min(FAR) } else { by.min_elem().min(LEGIBLE) }
        });
        let least = if camera.follow == Follow::All { interact::FIT } else { legible.max(LEAST) };
        camera.zoom = whole.clamp(least, MOST);
        if size.x - bounds.width() * camera.zoom < 2.0 * BESIDE {
            // The price of the cache stands beside the graph.
            camera.zoom = camera.zoom.min(1.0);
        }
        let free = room - bounds.size() * camera.zoom;
        camera.offset = egui::vec2(margin + free.x / 2.0, top + (free.y / 2.0).min(40.0));
        if let Some(focus) = focus.filter(|_| free.y < 0.0) {
            // What does not fit is cut at the far ends; the focus comes to the middle.
            let is_tall = focus.height() * camera.zoom > room.y;
            let at = if is_tall {
                focus.top() * camera.zoom
            } else {
                focus.center().y * camera.zoom - room.y / 2.0
            };
            camera.offset.y = (top - at).clamp(top + free.y, top);
        }
        if let Some(focus) = focus.filter(|_| free.x < 0.0) {
            camera.offset.x = margin + room.x / 2.0 - focus.center().x * camera.zoom;
        }
    }
}

#[cfg(test)]
mod tests;
mod thought;
