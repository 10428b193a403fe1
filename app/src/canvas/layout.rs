//! From a stage's model and what is unfolded to rectangles and wires. Pure: no painter, no pointer.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use egui::{Pos2, Rect, Vec2, pos2, vec2};
use graft_engine::adapters::AdapterSpec;
use graft_engine::graph::{NodeId, NodeKind, RegionKind, SiteKind, is_below};

use super::block;
use super::shapes::{Card, Course, Cut, Flow, Layout, Look, Piece, Spot, Wire};
use crate::format;
use crate::model::{Freeze, Model};

/// Space between the items of the main flow.
pub(super) const GAP: f32 = 30.0;
/// More space where the frozen side ends.
const CUT: f32 = 22.0;
/// Height of a card and of a frame's header.
pub(super) const HEADER: f32 = 36.0;
/// Space between a frame and what is in it.
const INSET: f32 = 16.0;
/// Width of a folded region.
const CARD: f32 = 300.0;

/// Lays out a model.
#[must_use]
pub fn layout(model: &Model, unfolded: &BTreeSet<String>, flow: Flow) -> Layout {
    let maker = Maker::new(model, unfolded);
    let Some(root) = model.parts.iter().position(|part| part.kind == RegionKind::Model) else {
        return Layout::default();
    };
    let mut items = maker.items(root);
    items.insert(0, Item::Input);
    let (piece, cut) = match flow {
        Flow::Down => maker.down(root, &items, true),
        Flow::Across => maker.across(root, &items),
    };
    let bounds = Rect::from_min_size(Pos2::ZERO, piece.size);
    Layout {
        cards: piece.cards,
        wires: piece.wires,
        pluses: piece.pluses,
        spots: piece.spots,
        marks: piece.marks,
        cut,
        bounds: Some(bounds),
        focus: piece.focus,
    }
}

/// One thing in a flow.
pub(super) enum Item {
    /// The model's input.
    Input,
    /// A region.
    Part(usize),
    /// Computations in a row.
    Row(Vec<NodeId>),
}

/// Holds what all steps of laying out read.
pub(super) struct Maker<'a> {
    pub(super) model: &'a Model,
    pub(super) unfolded: &'a BTreeSet<String>,
    order: HashMap<NodeId, usize>,
    /// The sites that stand for an op's weight or norm, by their place in the graph's list.
    pub(super) sites_at: HashMap<NodeId, Vec<usize>>,
    pub(super) palette: &'static [AdapterSpec],
}

impl<'a> Maker<'a> {
    fn new(model: &'a Model, unfolded: &'a BTreeSet<String>) -> Self {
        let order = model.graph.order().iter().enumerate().map(|(place, &id)| (id, place)).collect();
        let mut sites_at: HashMap<NodeId, Vec<usize>> = HashMap::new();
        for (place, site) in model.graph.sites().iter().enumerate().filter(|(_, s)| !s.is_of_adapter()) {
            match site.kind {
                SiteKind::Weight { op, .. } => sites_at.entry(op).or_default().push(place),
                SiteKind::Norm { .. } => sites_at.entry(site.node).or_default().push(place),
                _ => {}
            }
        }
        Self { model, unfolded, order, sites_at, palette: crate::kinds::palette() }
    }

    /// The parts and ops directly inside a region in the order of computation; neighbouring ops share a row.
    fn items(&self, index: usize) -> Vec<Item> {
        let part = &self.model.parts[index];
        let at_weight = |child: &usize| {
            let path = &self.model.parts[*child].path;
            let site = path.rsplit_once('.').and_then(|(site, _)| self.model.graph.site(site));
            site.is_some_and(|site| matches!(site.kind, SiteKind::Weight { .. }))
                && matches!(self.model.parts[*child].kind, RegionKind::Adapter(_))
        };
        // An adapter beside a weight is drawn there, not in the flow.
        let children = part.children.iter().filter(|child| !at_weight(child));
        let parts = children.map(|&child| (self.model.parts[child].order, Some(child), None));
        let ops = part.ops.iter().map(|&id| (self.order.get(&id).copied().unwrap_or(0), None, Some(id)));
        let mut all: Vec<(usize, Option<usize>, Option<NodeId>)> =
            parts.chain(ops).filter(|(order, _, _)| *order != usize::MAX).collect();
        all.sort_by_key(|(order, _, _)| *order);
        let mut items: Vec<Item> = Vec::new();
        for (_, child, op) in all {
            match (child, op, items.last_mut()) {
                (Some(child), _, _) => items.push(Item::Part(child)),
                (None, Some(op), Some(Item::Row(row))) => row.push(op),
                (None, Some(op), _) => items.push(Item::Row(vec![op])),
                (None, None, _) => {}
            }
        }
        items
    }

    pub(super) fn output(&self, item: &Item) -> Option<NodeId> {
        match item {
            Item::Input => self.input(),
            Item::Part(index) => self.model.parts[*index].output,
            Item::Row(ops) => ops.last().copied(),
        }
    }

    /// Only what has weights can be frozen.
    pub(super) fn has_weights(&self, item: &Item) -> bool {
        match item {
            Item::Input => false,
            Item::Part(index) => self.model.parts[*index].weights > 0,
            Item::Row(ops) => ops.iter().any(|&op| self.model.op_freeze(op) != Freeze::Nothing),
        }
    }

    fn input(&self) -> Option<NodeId> {
        let is_input = |id: &NodeId| matches!(self.model.graph.node(*id).kind, NodeKind::Input(_));
        self.model.graph.order().iter().copied().find(is_input)
    }

    /// Items from top to bottom, centred.
    fn down(&self, region: usize, items: &[Item], is_root: bool) -> (Piece, Option<Cut>) {
        let pieces: Vec<Piece> = items.iter().map(|item| self.item(region, item)).collect();
        let width = pieces.iter().map(|piece| piece.size.x).fold(0.0, f32::max);
        let mut result = Piece::default();
        let mut y = 0.0;
        let mut before: Option<(Pos2, Option<NodeId>)> = None;
        let mut cut = None;
        let mut weights_before = false;
        let tracked = |node: Option<NodeId>| node.is_some_and(|id| self.model.is_tracked(id));
        for (item, piece) in items.iter().zip(pieces) {
            let size = piece.size;
            let output = self.output(item);
            let at_cut = before.is_some_and(|(_, node)| !tracked(node)) && tracked(output);
            if is_root && cut.is_none() && at_cut && weights_before {
                // The dashed line crosses the wire below the label on it.
                y += CUT;
                cut = Some(Cut::Below(y - 17.0));
            }
            let piece = piece.moved(vec2((width - size.x) / 2.0, y));
            if let Some((from, node)) = before {
                result.wires.push(self.between(from, piece.entry, node));
            } else {
                result.entry = piece.entry;
            }
            before = Some((piece.exit, output));
            result.exit = piece.exit;
            weights_before |= self.has_weights(item);
            y += size.y + GAP;
            result.absorb(piece);
        }
        result.size = vec2(width, (y - GAP).max(0.0));
        self.bridges(&mut result, is_root);
        if is_root && self.model.trained == 0 {
            cut = Some(Cut::AllFrozen);
        }
        (result, cut)
    }

    /// A wire of the main flow from one item to the next.
    pub(super) fn between(&self, from: Pos2, to: Pos2, node: Option<NodeId>) -> Wire {
        let straight = (from.x - to.x).abs() < 0.5 || (from.y - to.y).abs() < 0.5;
        let middle = f32::midpoint(from.y, to.y);
        let points =
            if straight { vec![from, to] } else { vec![from, pos2(from.x, middle), pos2(to.x, middle), to] };
        // The input's card tells its shape itself.
        let shape = self.shape(node);
        let is_input = |id: NodeId| matches!(self.model.graph.node(id).kind, NodeKind::Input(_));
        let label = if node.is_some_and(is_input) { String::new() } else { shape.clone() };
        let gradient = node.is_some_and(|id| self.model.is_tracked(id));
        Wire { points, gradient, arrow: true, course: Course::Straight, label, shape }
    }

    /// The shape of a node's value, as wires tell it.
    pub(super) fn shape(&self, node: Option<NodeId>) -> String {
        node.map_or_else(String::new, |id| format::shape(self.model.shape(id)))
    }

    pub(super) fn item(&self, region: usize, item: &Item) -> Piece {
        match item {
            Item::Input => self.input_piece(),
            Item::Part(index) => self.part(*index),
            Item::Row(ops) => self.row(region, ops),
        }
    }

    fn input_piece(&self) -> Piece {
        let Some(id) = self.input() else { return Piece::default() };
        let shape = self.model.shape(id);
        let card = Card {
            path: self.model.graph.node(id).path.clone(),
            look: Look::Input,
            rect: Rect::NOTHING,
            title: if shape.len() == 5 { "Clip" } else { "Image" }.to_owned(),
            note: String::new(),
            detail: format::shape(shape),
            freeze: Freeze::Nothing,
            unfolded: None,
            adapters: BTreeMap::new(),
        };
        self.alone(card, vec2(190.0, 30.0))
    }

    /// One card as a piece.
    pub(super) fn alone(&self, mut card: Card, size: Vec2) -> Piece {
        card.rect = Rect::from_min_size(Pos2::ZERO, size);
        let mut piece = Piece {
            size,
            entry: pos2(size.x / 2.0, 0.0),
            exit: pos2(size.x / 2.0, size.y),
            ..Piece::default()
        };
        // A region of one layer offers that layer's site itself.
        let inside: Vec<_> = self
            .model
            .graph
            .sites()
            .iter()
            .filter(|s| is_below(&s.path, &card.path) && !s.is_of_adapter())
            .collect();
        let weights = inside.iter().filter(|site| matches!(site.kind, SiteKind::Weight { .. })).count();
        if card.look == Look::Card && weights <= 2 && inside.len() == weights {
            // The head's region is a site beside its layer; the region's own name is the better one.
            let shortest = inside.iter().min_by_key(|site| site.path.len());
            if let Some(site) = shortest.filter(|_| card.adapters.is_empty()) {
                piece.pluses.extend(self.plus(&site.path, pos2(size.x, size.y / 2.0)));
            }
        }
        piece.cards.push(card);
        piece
    }

    /// Free bridge sites stand on the edge between their two regions.
    fn bridges(&self, piece: &mut Piece, is_root: bool) {
        if !is_root {
            return;
        }
        for site in self.model.graph.sites() {
            let SiteKind::Bridge { to, .. } = &site.kind else { continue };
            let into = piece.cards.iter().find(|card| &card.path == to).map(|card| card.rect.center_top());
            let Some(top) = into else { continue };
            let center = top - vec2(0.0, GAP / 2.0);
            piece.spots.push(Spot { site: site.path.clone(), center, node: None });
            piece.pluses.extend(self.plus(&site.path, center));
        }
    }

    /// A region's card.
    pub(super) fn card(&self, index: usize, unfolded: bool) -> Card {
        let part = &self.model.parts[index];
        let blocks = self.blocks(index).len();
        let adapter = match part.kind {
            RegionKind::Adapter(index) => Some(index),
            _ => None,
        };
        let range = format!("Blocks 0–{}", blocks.saturating_sub(1));
        let is_stack = part.kind == RegionKind::Stack && blocks > 1;
        let own = || adapter.iter().map(|&index| (index, 1)).collect();
        Card {
            path: part.path.clone(),
            look: if adapter.is_some() {
                Look::Adapter
            } else if unfolded {
                Look::Group
            } else {
                Look::Card
            },
            rect: Rect::NOTHING,
            title: if is_stack { range.clone() } else { part.title.clone() },
            note: match blocks {
                0 | 1 => String::new(),
                _ if is_stack => format!("×{blocks}"),
                _ => format!("{range} ×{blocks}"),
            },
            detail: format::short(part.weights),
            freeze: part.freeze,
            unfolded: self.model.can_unfold(part).then_some(unfolded),
            adapters: if adapter.is_some() { own() } else { part.adapters.clone() },
        }
    }

    /// The blocks of a stack, or of the stack inside a transformer.
    fn blocks(&self, index: usize) -> Vec<usize> {
        let parts = &self.model.parts;
        let stack = match parts[index].kind {
            RegionKind::Stack => Some(index),
            _ => parts[index].children.iter().copied().find(|&child| parts[child].kind == RegionKind::Stack),
        };
        let children = stack.map_or(&[][..], |stack| &parts[stack].children);
        children.iter().copied().filter(|&child| parts[child].kind == RegionKind::Block).collect()
    }

    fn part(&self, index: usize) -> Piece {
        let part = &self.model.parts[index];
        let around = part.parent.map(|parent| self.model.parts[parent].kind);
        if part.kind == RegionKind::Stack && around == Some(RegionKind::Transformer) {
            return self.stack(&self.blocks(index));
        }
        if matches!(part.kind, RegionKind::Adapter(_)) {
            return self.alone(self.card(index, false), vec2(200.0, HEADER));
        }
        let blocks = self.blocks(index);
        let is_open = self.unfolded.contains(&part.path) && self.model.can_unfold(part);
        if !is_open {
            let card = self.card(index, false);
            let wide = header_width(&card).max(CARD);
            if blocks.is_empty() {
                return self.alone(card, vec2(wide, HEADER));
            }
            let tiles = self.tiles(&blocks);
            let size = vec2(wide.max(tiles.size.x + 2.0 * 12.0), HEADER + tiles.size.y + 10.0);
            let mut piece = self.alone(card, size);
            let left = (size.x - tiles.size.x) / 2.0;
            piece.absorb(tiles.moved(vec2(left, HEADER - 2.0)));
            return piece;
        }
        let inner = match part.kind {
            RegionKind::Stack => self.stack(&blocks),

            RegionKind::Block => block::lanes(self, index),
            _ if part
                .children
                .iter()
                .all(|&c| matches!(self.model.parts[c].kind, RegionKind::Adapter(_))) =>
            {
                block::lane_alone(self, index)
            }
            _ => self.down(index, &self.items(index), false).0,
        };
        self.framed(index, inner)
    }

    /// A frame with a header around a piece.
    pub(super) fn framed(&self, index: usize, inner: Piece) -> Piece {
        let header = self.card(index, true);
        let least = header_width(&header);
        let width = (inner.size.x + 2.0 * INSET).max(CARD).max(least);
        let is_stack = matches!(header.look, Look::Group)
            && matches!(self.model.parts[index].kind, RegionKind::Stack | RegionKind::Block);
        // Where the flow is drawn inside, it comes in at the top and leaves at the bottom.
        let room = if is_stack { 0.0 } else { 12.0 };
        let size = vec2(width, HEADER + inner.size.y + INSET + 2.0 * room);
        let mut card = header;
        card.rect = Rect::from_min_size(Pos2::ZERO, size);
        let card_rect = card.rect;
        let mut piece = Piece {
            size,
            entry: pos2(width / 2.0, 0.0),
            exit: pos2(width / 2.0, size.y),
            cards: vec![card],
            ..Piece::default()
        };
        let left = (width - inner.size.x) / 2.0;
        piece.focus = Some(card_rect);
        piece.absorb(inner.moved(vec2(left, HEADER + room)));
        piece
    }

    /// Neighbouring ops from left to right.
    fn row(&self, _region: usize, ops: &[NodeId]) -> Piece {
        let mut piece = Piece::default();
        let mut x = 0.0;
        let height = ops.iter().map(|&op| self.node_size(op).y).fold(0.0, f32::max);
        let mut before: Option<(f32, NodeId)> = None;
        for &op in ops {
            let size = self.node_size(op);
            let rect = Rect::from_min_size(pos2(x, (height - size.y) / 2.0), size);
            if let Some((right, node)) = before {
                piece.wires.push(Wire {
                    points: vec![pos2(right, height / 2.0), rect.left_center()],
                    gradient: self.model.is_tracked(node),
                    arrow: true,
                    course: Course::Straight,
                    label: String::new(),
                    shape: self.shape(Some(node)),
                });
            } else {
                piece.entry = rect.center_top();
            }
            piece.exit = rect.center_bottom();
            piece.cards.push(self.node(op, rect));
            piece.spots.extend(self.spots(op, rect));
            before = Some((rect.right(), op));
            x = rect.right() + 26.0;
        }
        piece.size = vec2((x - 26.0).max(0.0), height);
        piece
    }
}

/// What a card's line needs: marks, name, note, a badge with a number for each adapter, and what stands at the right.
fn header_width(card: &Card) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "a few adapters")]
    let badges = card.adapters.len() as f32 * 42.0;
    let words = text_width(&card.title, 13.0) + text_width(&card.note, 11.0);
    words + badges + text_width(&card.detail, 12.0) + 100.0
}

/// A good guess at a text's width; the layout does not know fonts.
#[expect(clippy::cast_precision_loss, reason = "titles are short")]
pub(super) fn text_width(text: &str, size: f32) -> f32 {
    text.chars().count() as f32 * size * 0.56
}
