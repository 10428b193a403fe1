//! What the pointer does on the canvas. Every card, fold, freeze mark and plus has an accessible name.

use egui::{Id, PointerButton, Rect, Response, Role, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};
use graft_engine::adapters::AdapterSpec;

use super::detail::Detail;
use super::heat::HeatMap;
use super::layout::HEADER;
use super::shapes::{Card, Layout, Look, Plus};
use super::{Projection, Scene};
use crate::actions::Action;
use crate::graph_actions::GraphAction;
use crate::model::Freeze;
use crate::view::{Camera, Follow, Painted, Selected, View};

/// Zoom that the wheel reaches.
pub(super) const ZOOM: std::ops::RangeInclusive<f32> = 0.1..=2.5;
/// The least zoom that fitting chooses: what is asked for whole is shown whole.
pub(super) const FIT: f32 = 0.005;

/// What the pointer meets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deck<'a> {
    pub(super) projection: Projection,
    pub(super) scene: Scene<'a>,
    pub(super) palette: &'a [AdapterSpec],
    pub(super) heat: Option<HeatMap<'a>>,
}

/// Pan and zoom.
pub(super) fn background(ui: &Ui, rect: Rect, view: &mut View) -> Response {
    let (camera, banded) = (&mut view.camera, view.graph.band.is_some());
    let response = ui.interact(rect, Id::unique("canvas"), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::Canvas, true, "Graph"));
    if response.has_focus() {
        // Arrows walk the graph there rather than from control to control.
        let filter =
            egui::EventFilter { horizontal_arrows: true, vertical_arrows: true, ..Default::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(response.id, filter));
        crate::widgets::focus_ring(ui, &response, rect.shrink(4.0));
    }
    let middle = ui.input(|input| input.pointer.button_down(PointerButton::Middle));
    let over = ui.rect_contains_pointer(rect);
    // With Shift held a drag selects.
    let selects = banded || response.drag_started() && ui.input(|input| input.modifiers.shift);
    let pan = if response.dragged() && !selects {
        response.drag_delta()
    } else if over && (middle || held(ui)) {
        ui.input(|input| input.pointer.delta())
    } else {
        Vec2::ZERO
    };
    if pan != Vec2::ZERO {
        camera.offset += pan;
        camera.follow = Follow::Free;
    }
    if over && let Some(pointer) = ui.input(|input| input.pointer.hover_pos()) {
        let (wheel, pinch) = ui.input(|input| (input.smooth_scroll_delta().y, input.zoom_delta()));
        let factor = pinch * (wheel / 300.0).exp();
        if (factor - 1.0).abs() > 1e-4 {
            zoom_at(camera, pointer - rect.min, factor);
        }
    }
    response
}

/// Whether Space is held and nobody else wants it: a field that is typed into, or a button that has the keyboard.
fn held(ui: &Ui) -> bool {
    let free = ui.memory(|memory| memory.focused().is_none_or(|id| id == Id::unique("canvas")));
    free && ui.input(|input| input.key_down(egui::Key::Space))
}

/// Zooms so that what is at `at` (from the canvas's corner) stays there.
pub(crate) fn zoom_at(camera: &mut Camera, at: Vec2, factor: f32) {
    // Fitting may have gone below what the wheel reaches; from there it is not jumped back.
    let least = ZOOM.start().min(camera.zoom);
    let zoom = (camera.zoom * factor).clamp(least, *ZOOM.end());
    camera.offset = at - (at - camera.offset) * (zoom / camera.zoom);
    camera.zoom = zoom;
    camera.follow = Follow::Free;
}

/// Registers every card; returns the plus under the pointer.
pub(super) fn cards(
    ui: &mut Ui,
    layout: &Layout,
    deck: Deck<'_>,
    view: &mut View,
    actions: &mut Vec<Action>,
) -> Option<String> {
    for card in &layout.cards {
        register(ui, card, deck, view, actions);
    }
    let mut hovered = None;
    let names = Detail::of(deck.projection.zoom) >= Detail::Names;
    for plus in layout.pluses.iter().filter(|_| names) {
        if register_plus(ui, plus, deck, view, actions) {
            hovered = Some(plus.site.clone());
        }
    }
    hovered
}

fn register(ui: &Ui, card: &Card, deck: Deck<'_>, view: &mut View, actions: &mut Vec<Action>) {
    let Deck { projection, scene, heat, .. } = deck;
    if card.look == Look::Sum {
        return;
    }
    let rect = projection.rect(card.rect);
    let zoom = projection.zoom;
    // Of a frame only the header is a control; the rest is canvas.
    let target = if card.look == Look::Group {
        Rect::from_min_size(rect.min, vec2(rect.width(), HEADER * zoom))
    } else {
        rect
    };
    if !ui.clip_rect().intersects(target) {
        return;
    }
    let place = format!("{:?}", card.look);
    let response = ui.interact(target, Id::unique(("card", &card.path, place)), Sense::click());
    let selected = is_selected(view, card);
    response.widget_info(|| WidgetInfo::selected(Role::Button, true, selected, name_of(card, scene)));
    if response.hovered() {
        view.hovering = Some(card.path.clone());
    }
    if response.clicked() {
        let adds = ui.input(|input| input.modifiers.shift);
        actions.push(if adds {
            Action::Graph(GraphAction::SelectToo(card.path.clone()))
        } else {
            Action::Select(selection_of(card))
        });
        if card.look == Look::Tile && !adds {
            actions.push(Action::ToggleFold(card.path.clone()));
        }
    }
    if response.double_clicked() && card.unfolded.is_some() && card.look != Look::Tile {
        actions.push(Action::ToggleFold(card.path.clone()));
    }
    let hint = heat.and_then(|heat| heat.hint(card));
    let plain = matches!(card.look, Look::Tile | Look::Tab | Look::Input);
    if plain || hint.is_some() {
        tooltip(response, card, scene, hint.as_deref());
    }
    if plain || Detail::of(projection.zoom) < Detail::Plain {
        return;
    }
    marks(ui, card, projection, scene, actions);
}

/// What a card is called where it cannot be seen.
fn name_of(card: &Card, scene: Scene<'_>) -> String {
    match adapter_of(card) {
        Some(index) => {
            let kind = scene.project.adapters.get(index).map_or("Adapter", |at| at.kind.kind().name());
            format!("{kind} {}", card.path)
        }
        None if card.look == Look::Tile => format!("Block {}", card.path),
        None => format!("Card {}", card.path),
    }
}

fn tooltip(response: Response, card: &Card, scene: Scene<'_>, hint: Option<&str>) {
    let mut text = match card.look {
        Look::Tile => {
            let (weights, _, freeze) = scene.model.below(&card.path);
            format!("{}\n{} weights, {}", card.path, crate::format::short(weights), freeze.word())
        }
        _ => card.path.clone(),
    };
    if let Some(hint) = hint {
        text = format!("{text}\n{hint}");
    }
    response.on_hover_text(text);
}

/// Fold and freeze marks of a card.
fn marks(ui: &Ui, card: &Card, projection: Projection, scene: Scene<'_>, actions: &mut Vec<Action>) {
    let (fold, freeze) = mark_rects(card);
    if let (Some(unfolded), Some(rect)) = (card.unfolded, fold) {
        let response = ui.interact(projection.rect(rect), Id::unique(("fold", &card.path)), Sense::click());
        let verb = if unfolded { "Fold" } else { "Unfold" };
        let name = format!("{verb} {}", card.path);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
        if response.clicked() {
            actions.push(Action::ToggleFold(card.path.clone()));
        }
    }
    if let Some(rect) = freeze.filter(|_| card.freeze != Freeze::Nothing) {
        let response = ui.interact(projection.rect(rect), Id::unique(("freeze", &card.path)), Sense::click());
        let verb = if card.freeze.is_frozen() { "Thaw" } else { "Freeze" };
        let name = format!("{verb} {}", card.path);
        let blocked = scene.model.cannot_freeze(scene.locked);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, blocked.is_none(), &name));
        if response.clicked() && blocked.is_none() {
            actions.push(Action::ToggleFreeze(card.path.clone()));
        }
        let hint = blocked.map_or_else(
            || format!("{}; click to {}", sentence(card.freeze.word()), verb.to_lowercase()),
            str::to_owned,
        );
        response.on_hover_text(hint);
    }
}

fn sentence(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Where a card's fold and freeze marks are, in layout points.
pub(super) fn mark_rects(card: &Card) -> (Option<Rect>, Option<Rect>) {
    let header = match card.look {
        Look::Card | Look::Group => HEADER.min(card.rect.height()),
        _ => card.rect.height(),
    };
    let middle = card.rect.top() + header / 2.0;
    let mut x = card.rect.left() + if card.look == Look::Node { 14.0 } else { 18.0 };
    let at = |x: f32, size: f32| Rect::from_center_size(pos2(x, middle), Vec2::splat(size));
    let fold = card.unfolded.map(|_| {
        let rect = at(x, 20.0);
        x += 20.0;
        rect
    });
    if card.look == Look::Adapter {
        // The badge comes first there; the mark stands at the right.
        return (None, Some(at(card.rect.right() - 16.0, 20.0)));
    }
    let freeze = (card.freeze != Freeze::Nothing).then(|| at(x, 20.0));
    (fold, freeze)
}

fn register_plus(ui: &Ui, plus: &Plus, deck: Deck<'_>, view: &mut View, actions: &mut Vec<Action>) -> bool {
    let Deck { projection, scene, palette, .. } = deck;
    let center = projection.point(plus.center);
    let size = (24.0 * projection.zoom).max(14.0);
    let rect = Rect::from_center_size(center, Vec2::splat(size));
    if scene.locked || !ui.clip_rect().intersects(rect) {
        return false;
    }
    // The palette's kind if it fits here, otherwise the first that does.
    let Some(kind) = chosen(plus, view.kind) else { return false };
    let Some(spec) = palette.get(kind) else { return false };
    let response = ui.interact(rect, Id::unique(("plus", &plus.site)), Sense::click_and_drag());
    response.widget_info(|| {
        WidgetInfo::labeled(Role::Button, true, format!("Place {} at {}", spec.kind().name(), plus.site))
    });
    // Drawn on over like sites, all of them get the kind.
    if response.drag_started() {
        view.graph.painted = Some(Painted { kind, sites: vec![plus.site.clone()] });
    }
    if response.clicked() {
        actions.push(Action::Place { site: plus.site.clone(), kind });
    }
    response.context_menu(|ui| {
        for &kind in &plus.kinds {
            let Some(spec) = palette.get(kind) else { continue };
            if ui.button(format!("Place {}", spec.kind().name())).clicked() {
                actions.push(Action::Place { site: plus.site.clone(), kind });
                ui.close();
            }
        }
    });
    let hovered = response.hovered() || response.context_menu_opened();
    response.on_hover_ui(|ui| {
        let place = scene.model.graph.site(&plus.site);
        ui.label(egui::RichText::new(format!("Place {}", spec.kind().name())).font(crate::theme::bold(12.0)));
        ui.label(egui::RichText::new(&plus.site).font(crate::theme::mono(10.0)));
        if let Some(place) = place {
            let count = spec.kind().parameter_count(&scene.model.graph, place);
            ui.label(format!("{} weights, {}", crate::format::whole(count), spec.kind().description()));
        }
        if plus.kinds.len() > 1 {
            ui.label("Right click for other kinds");
        }
        super::thought::ui(ui, scene, &plus.site, kind);
    });
    if hovered {
        view.graph.thought = Some((plus.site.clone(), kind));
    }
    hovered
}

/// The kind that a plus places.
pub(super) fn chosen(plus: &Plus, kind: usize) -> Option<usize> {
    if plus.kinds.contains(&kind) { Some(kind) } else { plus.kinds.first().copied() }
}

/// The adapter that a card is.
pub(super) fn adapter_of(card: &Card) -> Option<usize> {
    matches!(card.look, Look::Adapter | Look::Tab).then(|| card.adapters.keys().next().copied()).flatten()
}

/// What a click on a card selects.
pub(super) fn selection_of(card: &Card) -> Selected {
    match adapter_of(card) {
        Some(index) => Selected::Adapter { index, site: site_of(&card.path) },
        None => Selected::Part(card.path.clone()),
    }
}

/// The site of an adapter's region.
fn site_of(path: &str) -> Option<String> {
    path.rsplit_once('.').map(|(site, _)| site.to_owned())
}

/// Whether a card is what is selected.
pub(super) fn is_selected(view: &View, card: &Card) -> bool {
    if view.graph.also.contains(&card.path) && card.look != Look::Sum {
        return true;
    }
    match (&view.selected, adapter_of(card)) {
        (Selected::Adapter { index, site }, Some(own)) => {
            *index == own && site.as_ref().is_none_or(|site| site_of(&card.path).as_ref() == Some(site))
        }
        (Selected::Part(path), None) => *path == card.path && card.look != Look::Sum,
        _ => false,
    }
}
