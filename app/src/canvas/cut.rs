//! The line where a cache could stand, drawn across the graph at the nodes whose values it would keep, with its price.

use egui::{
    Align2, Id, Pos2, Rect, Role, Sense, Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};
use graft_engine::graph::is_below;
use graft_engine::project::bytes_text;
use graft_engine::train::TrainSpec;

use super::shapes::{Card, Cut, Flow, Layout, Look};
use super::{Projection, Scene};
use crate::format;
use crate::icons::{self, Icon};
use crate::model::Model;
use crate::outlook::Outlook;
use crate::theme::{Theme, medium, mono};

/// How far beside a card the line goes, in layout points.
const BESIDE: f32 = 7.0;
/// How far below a card of the main flow, in layout points.
const BELOW: f32 = 15.0;
/// What the stages and the zoom take of the strip's top, the choice of heat and the lock of its foot.
const EDGE: f32 = 41.0;
/// How much of the foot the heat takes from the left, and the lock from the right.
const HEAT: f32 = 322.0;
const LOCK: f32 = 214.0;
/// How far below a card the edge of the frozen side may be to be the same line.
const NEAR: f32 = 60.0;

/// Where the line goes, in layout points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Course {
    /// Straight across.
    Level(f32),
    /// Below what comes before it, up at `x`, above what comes after it.
    Step { low: f32, x: f32, high: f32 },
    /// From top to bottom.
    Upright(f32),
}

impl Course {
    /// Its height at the left edge, unless it goes from top to bottom.
    pub(super) const fn at_left(self) -> Option<f32> {
        match self {
            Self::Level(y) | Self::Step { low: y, .. } => Some(y),
            Self::Upright(_) => None,
        }
    }
}

/// The line after the last of the kept nodes that is drawn.
pub(super) fn course(model: &Model, layout: &Layout, after: &[String], flow: Flow) -> Option<Course> {
    let graph = &model.graph;
    let place = |path: &&String| {
        let id = graph.find(path);
        id.and_then(|id| graph.order().iter().position(|other| *other == id))
    };
    let last = after.iter().max_by_key(place)?;
    let card = holder(layout, last)?;
    let part = model.part(&card.path).filter(|_| !matches!(card.look, Look::Node | Look::Sum));
    let inside = part.is_some_and(|part| part.output != graph.find(last));
    let rect = card.rect;
    if flow == Flow::Across {
        let edge = match layout.cut {
            Some(Cut::RightOf(x)) if !inside && (x - rect.right()).abs() < NEAR => x,
            _ if inside => rect.center().x,
            _ => rect.right() + BELOW,
        };
        return Some(Course::Upright(edge));
    }
    // What nothing stands beside belongs to the flow from top to bottom.
    let beside = |other: &&Card| {
        other.path != card.path
            && !matches!(other.look, Look::Group | Look::Input)
            && other.rect.y_range().intersects(rect.y_range())
            && !other.rect.contains_rect(rect)
            && !rect.contains_rect(other.rect)
    };
    let alone = card.look != Look::Tile && !layout.cards.iter().any(|other| beside(&other));
    if !alone {
        let x = if inside && card.look == Look::Tile {
            // Along the block's edge, not through its number.
            rect.left()
        } else if inside {
            rect.center().x
        } else {
            rect.right() + if card.look == Look::Tile { 2.0 } else { BESIDE }
        };
        // Tiles stand close below the name of what they are in.
        let away = if card.look == Look::Tile { 3.0 } else { BESIDE };
        return Some(Course::Step { low: rect.bottom() + away, x, high: rect.top() - away });
    }
    Some(Course::Level(match layout.cut {
        Some(Cut::Below(y)) if !inside && (0.0..NEAR).contains(&(y - rect.bottom())) => y,
        _ if inside => rect.center().y,
        _ => rect.bottom() + BELOW,
    }))
}

/// The innermost card that a node is drawn as or in.
fn holder<'a>(layout: &'a Layout, path: &str) -> Option<&'a Card> {
    let exact = |card: &&Card| card.path == path && matches!(card.look, Look::Node | Look::Sum);
    let around = |card: &&Card| {
        !matches!(card.look, Look::Group | Look::Node | Look::Sum | Look::Input) && is_below(path, &card.path)
    };
    let cards = || layout.cards.iter();
    cards().find(exact).or_else(|| cards().filter(around).max_by_key(|card| card.path.len()))
}

/// What the cut costs.
struct Price {
    /// As one line.
    short: String,
    /// As the whole story.
    all: String,
    /// Whether a cache stands there, and in which epoch it pays off, if ever.
    word: String,
    /// Whether it pays off before the stage ends.
    pays: bool,
}

/// The price of the cut of a stage that trains as `spec` says.
fn price(outlook: &Outlook, spec: Option<&TrainSpec>) -> Option<Price> {
    let cut = outlook.plan.cut.as_ref()?;
    let short = format!("{} a sample", bytes_text(cut.bytes_per_sample));
    let all = format!("{short}, {}", bytes_text(cut.bytes_total));
    let cached = spec.is_some_and(|spec| spec.cache.is_some());
    let epochs = spec.map_or(1, |spec| spec.epochs.max(1));
    let pays = cut.break_even_epoch.is_some_and(|epoch| epoch <= epochs as u64);
    let verdict = match cut.break_even_epoch {
        Some(epoch) if pays => format!("pays off in epoch {epoch}"),
        Some(_) if epochs == 1 => "does not pay off in 1 epoch".to_owned(),
        Some(_) => format!("does not pay off in {epochs} epochs"),
        None => "does not pay off".to_owned(),
    };
    let word = match (cached, outlook.timed) {
        (true, true) => format!("Cached here, {verdict}"),
        (true, false) => "Cached here".to_owned(),
        (false, true) => format!("A cache {verdict}"),
        (false, false) => "A cache could stand here".to_owned(),
    };
    Some(Price { short, all, word, pays: pays && outlook.timed })
}

/// Draws the line with its label.
pub(super) fn draw(
    ui: &Ui,
    course: Course,
    (outlook, scene): (&Outlook, Scene<'_>),
    projection: Projection,
    canvas: Rect,
    layout: &Layout,
    map: Option<Rect>,
) {
    let theme = Theme::of(ui);
    let at = |x: f32, y: f32| projection.point(pos2(x, y));
    let (lines, anchor): (Vec<Vec<Pos2>>, Pos2) = match course {
        Course::Level(y) => {
            let y = at(0.0, y).y.round();
            (vec![vec![pos2(canvas.left(), y), pos2(canvas.right(), y)]], pos2(canvas.right() - 12.0, y))
        }
        Course::Step { low, x, high } => {
            let (low, high) = (at(x, low), at(x, high));
            let ends = (pos2(canvas.left(), low.y), pos2(canvas.right(), high.y));
            (vec![vec![ends.0, low, high, ends.1]], ends.1 - vec2(12.0, 0.0))
        }
        Course::Upright(x) => {
            let split = layout.cards.iter().find(|card| card.rect.x_range().contains(x));
            let x = at(x, 0.0).x.round();
            let line = |from: f32, to: f32| vec![pos2(x, from), pos2(x, to)];
            // What is cut within keeps its name: the line ends above it and goes on below.
            let lines = match split.map(|card| projection.rect(card.rect)) {
                Some(card) => vec![line(canvas.top(), card.top()), line(card.bottom(), canvas.bottom())],
                None => vec![line(canvas.top(), canvas.bottom())],
            };
            (lines, pos2(x, canvas.top() + 53.0))
        }
    };
    for points in lines {
        ui.painter().extend(Shape::dashed_line(&points, Stroke::new(1.5, theme.frozen), 6.0, 4.0));
    }
    let spec = scene.project.stages.get(outlook.stage).and_then(crate::shown::training);
    let Some(price) = price(outlook, spec) else { return };
    let content = layout.cards.iter().map(|card| card.rect.right()).fold(f32::NEG_INFINITY, f32::max);
    let room = canvas.right() - at(content, 0.0).x - 18.0;
    // The map of the graph keeps its corner: beside it the label stands at its left.
    let beside = map.filter(|map| map.expand(24.0).y_range().contains(anchor.y));
    let anchor = beside.map_or(anchor, |map| pos2(map.left() - 12.0, anchor.y));
    let wide = |text: &str, font| ui.painter().layout_no_wrap(text.to_owned(), font, theme.text).size().x;
    let full = wide(&price.word, medium(11.0)).max(wide(&price.all, mono(10.0))) + 38.0;
    if let Course::Upright(_) = course {
        let size = vec2(wide(&price.short, mono(10.0)) + 34.0, 18.0);
        let cards: Vec<Rect> = layout.cards.iter().map(|card| projection.rect(card.rect)).collect();
        let Some(rect) = beside_the_strip(anchor, size, canvas, &cards, scene.locked) else { return };
        label(ui, rect, false, &price, outlook, spec);
        return;
    }
    let is_full = room >= full;
    let size = if is_full { vec2(full, 42.0) } else { vec2(wide(&price.short, mono(10.0)) + 34.0, 20.0) };
    let rect = Rect::from_min_size(anchor - vec2(size.x, size.y / 2.0), size);
    // The stages, the zoom and the heat keep their corners.
    if canvas.shrink2(vec2(4.0, 44.0)).contains_rect(rect) {
        label(ui, rect, is_full, &price, outlook, spec);
    }
}

/// Where the label stands in the strip: below the graph, at the anchor, or close above the graph, on the side of the line
/// that has room for it. The stages, the zoom, the heat and the lock keep their edges.
fn beside_the_strip(anchor: Pos2, size: Vec2, canvas: Rect, cards: &[Rect], locked: bool) -> Option<Rect> {
    let top = Rect::from_min_max(canvas.min, pos2(canvas.right(), canvas.top() + EDGE - 1.5));
    let foot = canvas.bottom() - EDGE;
    let heat = Rect::from_min_max(pos2(canvas.left(), foot), pos2(canvas.left() + HEAT, canvas.bottom()));
    let lock = Rect::from_min_max(pos2(canvas.right() - LOCK, foot), canvas.max);
    let edges = [Some(top), Some(heat), locked.then_some(lock)];
    let graph = cards.iter().copied().reduce(Rect::union).unwrap_or(Rect::NOTHING);
    let heights = [graph.bottom() + 4.0, anchor.y - size.y / 2.0, graph.top() - 1.0 - size.y];
    let is_free = |place: &Rect| {
        canvas.shrink(4.0).contains_rect(*place)
            && !edges.iter().flatten().any(|edge| edge.intersects(*place))
            && !cards.iter().any(|card| card.expand(0.5).intersects(*place))
    };
    let at = |sides: &[f32]| {
        let places = heights.iter().flat_map(|y| sides.iter().map(|x| pos2(*x, *y)));
        places.map(|corner| Rect::from_min_size(corner, size)).find(is_free)
    };
    // At the line; only where there is no room, beside the heat.
    at(&[anchor.x + 6.0, anchor.x - 6.0 - size.x]).or_else(|| at(&[heat.right() + 8.0]))
}

/// The label: two lines where there is room beside the graph, else one.
fn label(ui: &Ui, rect: Rect, is_full: bool, price: &Price, outlook: &Outlook, spec: Option<&TrainSpec>) {
    let theme = Theme::of(ui);
    let Price { short, all, word, pays } = price;
    ui.painter().rect(rect, 7, theme.card, Stroke::new(1.0, theme.frozen), StrokeKind::Inside);
    let icon = pos2(rect.left() + 14.0, if is_full { rect.top() + 14.0 } else { rect.center().y });
    icons::paint(ui.painter(), Icon::Save, icon, 13.0, theme.frozen);
    let x = rect.left() + 26.0;
    if is_full {
        let y = rect.top() + 14.0;
        let color = if *pays { theme.brand } else { theme.text };
        ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, word, medium(11.0), color);
        let below = pos2(x, rect.top() + 30.0);
        ui.painter().text(below, Align2::LEFT_CENTER, all, mono(10.0), theme.body);
    } else {
        ui.painter().text(pos2(x, rect.center().y), Align2::LEFT_CENTER, short, mono(10.0), theme.body);
    }
    let response = ui.interact(rect, Id::unique("cut price"), Sense::hover());
    let told = format!("Cut, predicted: {all}, {word}");
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &told));
    response.on_hover_ui(|ui| hover(ui, outlook, spec));
}

fn hover(ui: &mut Ui, outlook: &Outlook, spec: Option<&TrainSpec>) {
    let (Some(cut), Some(predicted)) = (&outlook.plan.cut, outlook.predicted()) else { return };
    ui.label(if spec.is_some_and(|spec| spec.cache.is_some()) {
        "What the cache of the frozen side's values costs. All of it is predicted."
    } else {
        "What a cache of the frozen side's values would cost. All of it is predicted."
    });
    for path in &cut.after {
        ui.label(egui::RichText::new(path).font(mono(10.5)));
    }
    ui.label(format!(
        "{} samples, {} in all",
        format::whole(outlook.plan.samples as u64),
        bytes_text(cut.bytes_total)
    ));
    ui.label(format!("spares {} multiply-adds a sample", format::short(cut.multiply_adds_per_sample)));
    if outlook.timed {
        let [before, with, build] =
            [predicted.step_secs, cut.step_secs, cut.build_secs].map(format::step_time);
        ui.label(format!("step {before} → {with}, built in {build}"));
    }
}

#[cfg(test)]
mod tests {
    use graft_engine::cache::CacheSpec;
    use graft_engine::project::{CutPlan, StagePlan};

    use super::*;

    fn word(timed: bool, pays: Option<u64>, cached: bool, epochs: usize) -> (String, bool) {
        let cut = CutPlan { break_even_epoch: pays, ..CutPlan::default() };
        let plan = StagePlan { cut: Some(cut), ..StagePlan::default() };
        let outlook = Outlook { plan, timed, ..Outlook::default() };
        let cache = cached.then(CacheSpec::default);
        let spec = TrainSpec { cache, epochs, ..TrainSpec::default() };
        let price = price(&outlook, Some(&spec)).unwrap();
        (price.word, price.pays)
    }

    #[test]
    fn the_price_knows_what_the_stage_does() {
        let told = |timed, pays, cached, epochs| word(timed, pays, cached, epochs).0;
        assert_eq!(told(true, Some(2), false, 3), "A cache pays off in epoch 2");
        assert_eq!(told(true, Some(2), true, 3), "Cached here, pays off in epoch 2");
        assert_eq!(told(true, Some(2), true, 1), "Cached here, does not pay off in 1 epoch");
        assert_eq!(told(true, Some(5), false, 3), "A cache does not pay off in 3 epochs");
        assert_eq!(told(true, None, true, 3), "Cached here, does not pay off");
        assert_eq!(told(false, None, true, 3), "Cached here");
        assert_eq!(told(false, None, false, 3), "A cache could stand here");
        assert!(word(true, Some(2), true, 2).1 && !word(true, Some(2), true, 1).1);
    }

    #[test]
    fn in_the_strip_the_price_lies_over_no_card() {
        let canvas = Rect::from_min_size(pos2(100.0, 50.0), vec2(600.0, 150.0));
        let anchor = pos2(300.0, canvas.top() + 53.0);
        let size = vec2(90.0, 18.0);
        // As the strip is fitted at its usual height, at a zoom of 100 % and at most.
        for (top, height) in [(112.0, 36.0), (109.3, 41.4)] {
            for left in [110.0, 160.0, 310.0] {
                let card = |left: f32| Rect::from_min_size(pos2(left, top), vec2(120.0, height));
                let cards = [card(left), card(left + 150.0)];
                for locked in [false, true] {
                    let rect = beside_the_strip(anchor, size, canvas, &cards, locked).unwrap();
                    let free = !cards.iter().any(|card| card.intersects(rect));
                    assert!(canvas.contains_rect(rect) && free, "{left} {top}");
                }
            }
        }
        // At the right edge it stands at the left of the line.
        let right = pos2(canvas.right() - 20.0, anchor.y);
        let cards = [Rect::from_min_size(pos2(560.0, 112.0), vec2(120.0, 36.0))];
        assert!(beside_the_strip(right, size, canvas, &cards, false).unwrap().right() < right.x);
    }
}
