//! An opened block: one lane for each sub-layer from left to right, with its residual branch and its ports.

use std::collections::{BTreeMap, HashMap};

use egui::{Pos2, Rect, pos2, vec2};
use graft_engine::graph::{NodeId, NodeKind, Port, RegionKind, Role, SiteKind, SubLayer};

use super::layout::Maker;
use super::shapes::{Card, Course, Look, Mark, Piece, Spot, Wire};
use crate::model::{Freeze, Part};

/// Space between the columns of a lane.
const COLUMN: f32 = 34.0;
/// Space between the rows of a column.
const ROW: f32 = 8.0;
/// Width of a tab beside a weight.
const TAB: f32 = 48.0;
/// An adapter on an edge.
const SERIAL: egui::Vec2 = vec2(128.0, 38.0);
/// Radius of an addition.
const SUM: f32 = 9.0;

/// Follows a value back through adapters to the op of the base model that it stands for.
fn base_of(maker: &Maker<'_>, mut id: NodeId) -> NodeId {
    let graph = &maker.model.graph;
    while matches!(graph.region(graph.node(id).region).kind, RegionKind::Adapter(_)) {
        // An adapter's last op adds its branch to its first input.
        let Some(&first) = graph.node(id).inputs.first() else { break };
        id = first;
    }
    id
}

/// A lane with what leads into it: its piece, the middle line's height, and the ops that the rest reads.
struct Lane {
    piece: Piece,
    middle: f32,
    last: Option<(NodeId, Pos2)>,
    input: Option<NodeId>,
}

fn lane(maker: &Maker<'_>, index: usize) -> Lane {
    let model = maker.model;
    let ops = &model.parts[index].ops;
    let is_op = |id: &NodeId| matches!(model.graph.node(*id).kind, NodeKind::Op(_));
    let mut column: HashMap<NodeId, usize> = HashMap::new();
    for &op in ops {
        let inputs = model.graph.node(op).inputs.iter().map(|&input| base_of(maker, input));
        let depth = inputs.filter_map(|input| column.get(&input)).max().map_or(0, |depth| depth + 1);
        column.insert(op, depth);
    }
    let columns = column.values().max().map_or(0, |last| last + 1);
    let mut rows: Vec<Vec<NodeId>> = vec![Vec::new(); columns];
    for &op in ops {
        rows[column[&op]].push(op);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few tabs")]
    let width_of = |op: NodeId| maker.node_size(op).x + maker.tabs(op).len() as f32 * TAB;
    let height_of = |column: &Vec<NodeId>| -> f32 {
        column.iter().map(|&op| maker.node_size(op).y + ROW).sum::<f32>() - ROW
    };
    let height = rows.iter().map(height_of).fold(30.0, f32::max);
    let middle = height / 2.0;
    let mut piece = Piece::default();
    let mut at: HashMap<NodeId, Rect> = HashMap::new();
    let mut x = 0.0;
    for column in &rows {
        let width = column.iter().map(|&op| width_of(op)).fold(0.0, f32::max);
        let mut y = middle - height_of(column) / 2.0;
        for &op in column {
            let size = maker.node_size(op);
            let rect = Rect::from_min_size(pos2(x, y), size);
            y += size.y + ROW;
            at.insert(op, place_node(maker, &mut piece, op, rect));
        }
        x += width + COLUMN;
    }
    let mut input = None;
    for &op in ops {
        let rect = at[&op];
        for &source in model.graph.node(op).inputs.iter().filter(|id| is_op(id)) {
            let base = base_of(maker, source);
            let gradient = model.is_tracked(source);
            let from = if let Some(from) = at.get(&base) {
                from.right_center()
            } else {
                input = input.or(Some(source));
                pos2(-COLUMN, middle)
            };
            let to = pos2(rect.left(), rect.center().y);
            piece.wires.push(Wire {
                points: vec![from, to],
                gradient,
                arrow: true,
                course: Course::Bent,
                label: String::new(),
                shape: maker.shape(Some(source)),
            });
        }
    }
    piece.size = vec2((x - COLUMN).max(0.0), height);
    let last = model.parts[index].ops.last().map(|&op| (op, at[&op].right_center()));
    Lane { piece, middle, last, input }
}

/// Puts an op with its tabs or its plus; returns the rectangle that wires meet.
fn place_node(maker: &Maker<'_>, piece: &mut Piece, op: NodeId, rect: Rect) -> Rect {
    piece.cards.push(maker.node(op, rect));
    let mut all = rect;
    let tabs = maker.tabs(op);
    for (site, index) in &tabs {
        let tab = Rect::from_min_size(all.right_top(), vec2(TAB, rect.height()));
        let index = *index;
        let (inside, freeze) = maker.tag(site, index);
        piece.cards.push(adapter_card(inside, Look::Tab, tab, index, freeze));
        all.max.x = tab.max.x;
    }
    piece.spots.extend(maker.spots(op, all));
    if tabs.is_empty() {
        // A norm's site takes what is dragged there; a plus would hide its name.
        let is_weight = |site: &&String| {
            let kind = model_site(maker, site);
            matches!(kind, Some(SiteKind::Weight { .. }))
        };
        let sites = maker.weight_sites(op);
        let shortest = sites.iter().filter(is_weight).min_by_key(|site| site.len());
        piece.pluses.extend(shortest.and_then(|site| maker.plus(site, rect.right_center())));
    }
    all
}

fn model_site<'a>(maker: &Maker<'a>, site: &str) -> Option<&'a SiteKind> {
    maker.model.graph.site(site).map(|site| &site.kind)
}

fn adapter_card(path: String, look: Look, rect: Rect, index: usize, freeze: Freeze) -> Card {
    Card {
        path,
        look,
        rect,
        title: String::new(),
        note: String::new(),
        detail: String::new(),
        freeze,
        unfolded: None,
        adapters: BTreeMap::from([(index, 1)]),
    }
}

/// A region without sub-layers, in one lane.
pub(super) fn lane_alone(maker: &Maker<'_>, index: usize) -> Piece {
    let lane = lane(maker, index);
    let size = lane.piece.size + vec2(COLUMN, 0.0);
    let mut piece = lane.piece.moved(vec2(COLUMN, 0.0));
    piece.size = size;
    piece
}

/// Where a sub-layer's value leaves it, before the residual add.
fn port_of(lane: &Part) -> Port {
    let last = lane.path.rsplit('.').next().unwrap_or_default();
    match lane.kind {
        _ if last.starts_with("cross") => Port::new(SubLayer::CrossAttention, Role::Output),
        RegionKind::Attention => Port::P1,
        _ => Port::P4,
    }
}

/// A block with a lane for each sub-layer.
pub(super) fn lanes(maker: &Maker<'_>, index: usize) -> Piece {
    const LEFT: f32 = 18.0;
    const TOP: f32 = 30.0;
    let model = maker.model;
    let block = &model.parts[index];
    let is_lane = |&&child: &&usize| {
        matches!(model.parts[child].kind, RegionKind::Attention | RegionKind::FeedForward | RegionKind::Other)
    };
    let children: Vec<usize> = block.children.iter().filter(is_lane).copied().collect();
    let ports: Vec<Port> = children.iter().map(|&child| port_of(&model.parts[child])).collect();
    let lanes: Vec<Lane> = children.iter().map(|&child| lane(maker, child)).collect();
    let serial = |i: usize| ports.get(i).map(|&port| maker.port(block, port)).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a few adapters")]
    let sum_x = lanes
        .iter()
        .enumerate()
        .map(|(i, lane)| {
            LEFT + COLUMN + lane.piece.size.x + 68.0 + serial(i).1.len() as f32 * (SERIAL.x + 28.0)
        })
        .fold(0.0, f32::max);
    let mut piece = Piece::default();
    let mut y = TOP;
    let mut before: Option<(Pos2, Option<NodeId>)> = None;
    for (i, lane) in lanes.into_iter().enumerate() {
        let middle = y + lane.middle;
        let height = lane.piece.size.y;
        let first = lane.piece.cards.first().map_or(0.0, |card| card.rect.width());
        let start = pos2(LEFT, middle);
        let sum = pos2(sum_x, middle);
        let into = lane.input;
        let wire = |points: Vec<Pos2>, node: Option<NodeId>, arrow: bool, residual: bool| Wire {
            points,
            gradient: node.is_some_and(|id| model.is_tracked(id)),
            arrow,
            course: if residual { Course::Residual } else { Course::Straight },
            label: String::new(),
            shape: maker.shape(node),
        };
        match before {
            None => piece.marks.push(Mark { center: start, text: String::new() }),
            Some((from, node)) => {
                let between = y - TOP - 6.0;
                let down = vec![from, pos2(from.x, between), pos2(LEFT, between), start];
                piece.wires.push(wire(down, node, false, false));
            }
        }
        piece.absorb(lane.piece.moved(vec2(LEFT + COLUMN, y)));
        // The branch around the lane.
        let top = y - TOP + 14.0;
        let around = vec![start, pos2(LEFT, top), pos2(sum_x, top), sum - vec2(0.0, SUM)];
        piece.wires.push(wire(around, into, true, true));
        piece.marks.push(Mark {
            center: pos2(f32::midpoint(LEFT, sum_x), top),
            text: model.parts[children[i]].title.clone(),
        });
        // From the lane's last op over what sits at the port to the addition.
        let (site, adapters) = serial(i);
        let (mut node, mut from) =
            lane.last.map_or((None, start), |(op, at)| (Some(op), at + vec2(LEFT + COLUMN, y)));
        #[expect(clippy::cast_precision_loss, reason = "a few adapters")]
        let mut x = sum_x - SUM - 26.0 - adapters.len() as f32 * (SERIAL.x + 28.0);
        if let Some(last) = node {
            // A tab's own addition is what leaves.
            let tabs = maker.tabs(last);
            let outer = tabs.last().map(|(site, tab)| format!("{site}.adapter_{tab}"));
            node = outer.and_then(|path| model.part(&path)?.output).or(node);
        }
        for adapter in &adapters {
            let rect = Rect::from_min_size(pos2(x + 14.0, middle - SERIAL.y / 2.0), SERIAL);
            piece.wires.push(wire(vec![from, rect.left_center()], node, true, false));
            let (path, freeze) = maker.tag(&site, *adapter);
            node = model.part(&path).and_then(|part| part.output).or(node);
            piece.cards.push(adapter_card(path, Look::Adapter, rect, *adapter, freeze));
            from = rect.right_center();
            x += SERIAL.x + 28.0;
        }
        piece.wires.push(wire(vec![from, sum - vec2(SUM, 0.0)], node, true, false));
        let center = sum - vec2(SUM + 24.0, 0.0);
        if adapters.is_empty() {
            piece.pluses.extend(maker.plus(&site, center));
        }
        piece.spots.push(Spot { site, center, node: None });
        // The other ports of the sub-layer have no plus; a kind can be dragged there.
        let sub_layer = ports[i].sub_layer;
        let normed = pos2(LEFT + COLUMN + first + COLUMN / 2.0, middle);
        for (role, center) in
            [(Role::Input, start), (Role::Normed, normed), (Role::Added, sum + vec2(0.0, SUM + 12.0))]
        {
            let site = format!("{}.{}", block.path, Port::new(sub_layer, role).name());
            if model.graph.site(&site).is_some() {
                piece.spots.push(Spot { site, center, node: None });
            }
        }
        let add = block.ops.get(i).copied();
        piece.cards.push(Card {
            path: add.map_or_else(String::new, |id| model.graph.node(id).path.clone()),
            look: Look::Sum,
            rect: Rect::from_center_size(sum, vec2(2.0 * SUM, 2.0 * SUM)),
            title: "Residual addition".to_owned(),
            note: String::new(),
            detail: String::new(),
            freeze: Freeze::Nothing,
            unfolded: None,
            adapters: BTreeMap::new(),
        });
        before = Some((sum + vec2(0.0, SUM), add));
        y += height + TOP + 24.0;
    }
    if let Some((from, node)) = before {
        let at = from - vec2(-SUM, SUM);
        let end = at + vec2(20.0, 0.0);
        piece.wires.push(Wire {
            points: vec![at, end],
            gradient: node.is_some_and(|id| model.is_tracked(id)),
            arrow: false,
            course: Course::Straight,
            label: String::new(),
            shape: maker.shape(node),
        });
        piece.marks.push(Mark { center: end, text: String::new() });
        piece.exit = end + vec2(0.0, 3.0);
    }
    // Room at the right for the shape on the wire that goes on from there.
    piece.size = vec2(sum_x + SUM + 72.0, (y - 40.0).max(40.0));
    piece
}
