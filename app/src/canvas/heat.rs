//! The heat overlay: what each drawn node or region keeps or takes, as predicted or as measured, and its place on the ramp.

use std::collections::{HashMap, HashSet};

use egui::{Rect, Stroke, pos2};
use graft_engine::graph::NodeKind;
use graft_engine::tensor::elements;

use super::Scene;
use super::paint::Paint;
use super::shapes::{Card, Layout, Look};
use crate::format;
use crate::model::Model;
use crate::outlook::{Warmth, Warmths};
use crate::view::{Heat, Origin};

/// What an overlay shows of one layout.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeatMap<'a> {
    warmths: &'a Warmths,
    origin: Origin,
    heat: Heat,
    /// The largest value that is drawn, if any is.
    most: Option<f64>,
}

impl<'a> HeatMap<'a> {
    /// The map, if anything is to be shown.
    pub(super) fn of(
        scene: Scene<'a>,
        counted: Option<&'a Warmths>,
        heat: Heat,
        layout: &Layout,
    ) -> Option<Self> {
        let (warmths, origin) = match (scene.measured, scene.outlook) {
            _ if heat.is_counted() => (counted?, Origin::Predicted),
            (Some(measured), _) => (&measured.heat, Origin::Measured),
            (None, Some(outlook)) => (&outlook.heat, Origin::Predicted),
            (None, None) => return None,
        };
        if heat == Heat::Off {
            return None;
        }
        let mut map = Self { warmths, origin, heat, most: None };
        // What a frame holds is drawn by itself.
        let drawn = layout.cards.iter().filter(|card| card.look != Look::Group);
        map.most = drawn.filter_map(|card| map.value(card)).reduce(f64::max);
        Some(map)
    }

    /// The largest value, as the legend writes it.
    pub(super) fn top(&self) -> Option<String> {
        Some(text(self.heat, self.most?))
    }

    fn value(&self, card: &Card) -> Option<f64> {
        value(self.heat, warmth(self.warmths, card)?)
    }

    fn share(&self, card: &Card) -> Option<f32> {
        let value = self.value(card)?;
        #[expect(clippy::cast_possible_truncation, reason = "a share")]
        Some(self.most.filter(|most| *most > 0.0).map_or(0.0, |most| (value / most).min(1.0) as f32))
    }

    /// A card's value in words.
    pub(super) fn text(&self, card: &Card) -> Option<String> {
        Some(text(self.heat, self.value(card)?))
    }

    /// What the pointer is told of a card.
    pub(super) fn hint(&self, card: &Card) -> Option<String> {
        let warmth = warmth(self.warmths, card)?;
        let bytes = warmth.bytes.map(|bytes| format!("keeps {}", format::bytes(bytes)));
        let time = warmth.secs.map(|secs| format!("{} a step", format::step_time(secs)));
        let params = warmth.params.map(|count| format!("{} parameters", format::whole(count)));
        let work = warmth.work.map(|count| format!("{} multiply-adds a sample", format::short(count)));
        let told: Vec<String> = bytes.into_iter().chain(time).chain(params).chain(work).collect();
        Some(format!("{} ({})", told.join(", "), self.origin.word()))
    }
}

/// Parameters and multiply-adds of every op; a tied parameter counts where it is read first.
pub(super) fn counted(model: &Model) -> Warmths {
    let graph = &model.graph;
    let mut seen = HashSet::new();
    let mut of: HashMap<usize, Warmth> = HashMap::new();
    for &id in graph.order() {
        let node = graph.node(id);
        if !matches!(node.kind, NodeKind::Op(_)) {
            continue;
        }
        let params = node
            .inputs
            .iter()
            .filter(|&&input| matches!(graph.node(input).kind, NodeKind::Param(_)) && seen.insert(input));
        let params: u64 = params.map(|&input| elements(model.shape(input)) as u64).sum();
        let work = graph.multiply_adds(id, &model.shapes);
        of.insert(id.index(), Warmth { params: Some(params), work: Some(work), ..Warmth::default() });
    }
    Warmths::spread(graph, |index, _| of.get(&index).copied())
}

fn warmth(warmths: &Warmths, card: &Card) -> Option<Warmth> {
    match card.look {
        Look::Input => None,
        Look::Node | Look::Sum => warmths.node(&card.path),
        _ => warmths.region(&card.path),
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn value(heat: Heat, warmth: Warmth) -> Option<f64> {
    match heat {
        Heat::Off => None,
        Heat::Bytes => warmth.bytes.map(|bytes| bytes as f64),
        Heat::Time => warmth.secs,
        Heat::Parameters => warmth.params.map(|count| count as f64),
        Heat::Work => warmth.work.map(|count| count as f64),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes made of bytes")]
fn text(heat: Heat, value: f64) -> String {
    match heat {
        Heat::Time => format::step_time(value),
        Heat::Parameters | Heat::Work => format::short(value as u64),
        _ => format::bytes(value as u64),
    }
}

impl Paint<'_> {
    /// A card's ground, warmed by its value.
    pub(super) fn warmed(&self, card: &Card, ground: egui::Color32) -> egui::Color32 {
        let share = self.heat.and_then(|heat| heat.share(card));
        share.map_or(ground, |share| self.theme.warm(ground, share))
    }

    /// The full colour of a card's value: a stripe at its left, or along the foot of what is narrow.
    pub(super) fn stripe(&self, card: &Card, rect: Rect) {
        let Some(share) = self.heat.and_then(|heat| heat.share(card)) else { return };
        let color = self.theme.heat(share);
        let inset = 5.0 * self.projection.zoom;
        let wide = (4.0 * self.projection.zoom).max(2.0);
        let bar = if matches!(card.look, Look::Card | Look::Group) {
            let height = if card.look == Look::Group {
                super::layout::HEADER * self.projection.zoom
            } else {
                rect.height()
            };
            Rect::from_min_max(
                pos2(rect.left() + 1.0, rect.top() + inset),
                pos2(rect.left() + 1.0 + wide, rect.top() + height - inset),
            )
        } else {
            Rect::from_min_max(
                pos2(rect.left() + inset, rect.bottom() - 1.0 - wide),
                pos2(rect.right() - inset, rect.bottom() - 1.0),
            )
        };
        // In the light theme the coolest steps are close to the ground: an outline keeps them visible.
        let line = Stroke::new(0.5, self.theme.outline);
        self.painter.rect(bar, 1, color, line, egui::StrokeKind::Outside);
    }
}
