//! What a layout is made of: cards, wires, free sites, and pieces of them that can be moved.

use std::collections::BTreeMap;

use egui::{Pos2, Rect, Vec2};

use crate::model::Freeze;

/// What a card looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// An input of the model.
    Input,
    /// A computation without a region of its own.
    Node,
    /// A folded region.
    Card,
    /// An unfolded region: a frame around what is inside.
    Group,
    /// A block of a stack.
    Tile,
    /// The addition where a residual branch comes back.
    Sum,
    /// An adapter that stands on an edge.
    Adapter,
    /// An adapter beside the weight that it modifies.
    Tab,
}

/// Something drawn in a rectangle.
#[derive(Clone, Debug)]
pub struct Card {
    /// Region or node path.
    pub path: String,
    /// What it looks like.
    pub look: Look,
    /// Where it is.
    pub rect: Rect,
    /// Name for people.
    pub title: String,
    /// What stands small after the title.
    pub note: String,
    /// What stands at the right, or below in small nodes.
    pub detail: String,
    /// Whether its weights train.
    pub freeze: Freeze,
    /// Whether it can be folded or unfolded, and how it is.
    pub unfolded: Option<bool>,
    /// Adapters inside a folded region, by index, with their sites; of an adapter its own.
    pub adapters: BTreeMap<usize, usize>,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Its corners.
    pub points: Vec<Pos2>,
    /// Whether a gradient passes.
    pub gradient: bool,
    /// Whether it ends in an arrowhead.
    pub arrow: bool,
    /// How it runs.
    pub course: Course,
    /// What stands beside it.
    pub label: String,
    /// The shape of the value on it, told under the pointer.
    pub shape: String,
}

/// How a wire runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Along its corners.
    Straight,
    /// Along its corners, thin: a residual connection.
    Residual,
    /// In one bend from its first to its last point.
    Bent,
}

/// A free site.
#[derive(Clone, Debug)]
pub struct Plus {
    /// The site's path.
    pub site: String,
    /// Where it is.
    pub center: Pos2,
    /// The kinds that fit there, by their place in the palette.
    pub kinds: Vec<usize>,
}

/// A site that is drawn, free or not.
#[derive(Clone, Debug)]
pub struct Spot {
    /// The site's path.
    pub site: String,
    /// Where it is.
    pub center: Pos2,
    /// The node whose weight it is.
    pub node: Option<Rect>,
}

/// A name on a lane.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Where its middle is.
    pub center: Pos2,
    /// The name.
    pub text: String,
}

/// Where the frozen side ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cut {
    /// At this height; above it nothing carries a gradient.
    Below(f32),
    /// At this distance from the left.
    RightOf(f32),
    /// Nothing in the model trains.
    AllFrozen,
}

/// A laid-out graph.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Frames come before what is in them.
    pub cards: Vec<Card>,
    /// Connections.
    pub wires: Vec<Wire>,
    /// Free sites.
    pub pluses: Vec<Plus>,
    /// All sites that are drawn.
    pub spots: Vec<Spot>,
    /// Names on lanes.
    pub marks: Vec<Mark>,
    /// Where the frozen side ends.
    pub cut: Option<Cut>,
    /// Everything.
    pub bounds: Option<Rect>,
    /// What was unfolded innermost: what the user looks at.
    pub focus: Option<Rect>,
}

/// Which way the main flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// From top to bottom, regions unfolding.
    Down,
    /// From left to right in one strip, everything folded.
    Across,
}

/// A laid-out part of the graph with its corner at the origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Piece {
    pub(super) size: Vec2,
    pub(super) cards: Vec<Card>,
    pub(super) wires: Vec<Wire>,
    pub(super) pluses: Vec<Plus>,
    pub(super) spots: Vec<Spot>,
    pub(super) marks: Vec<Mark>,
    /// Where the flow comes in and leaves.
    pub(super) entry: Pos2,
    pub(super) exit: Pos2,
    /// What was unfolded innermost.
    pub(super) focus: Option<Rect>,
}

impl Piece {
    pub(super) fn moved(mut self, by: Vec2) -> Self {
        for card in &mut self.cards {
            card.rect = card.rect.translate(by);
        }
        for point in self.wires.iter_mut().flat_map(|wire| &mut wire.points) {
            *point += by;
        }
        for plus in &mut self.pluses {
            plus.center += by;
        }
        for spot in &mut self.spots {
            spot.center += by;
            spot.node = spot.node.map(|rect| rect.translate(by));
        }
        for mark in &mut self.marks {
            mark.center += by;
        }
        self.focus = self.focus.map(|rect| rect.translate(by));
        self.entry += by;
        self.exit += by;
        self
    }

    /// Takes another piece's contents in, where they are.
    pub(super) fn absorb(&mut self, other: Self) {
        self.cards.extend(other.cards);
        self.wires.extend(other.wires);
        self.pluses.extend(other.pluses);
        self.spots.extend(other.spots);
        self.marks.extend(other.marks);
        self.focus = other.focus.or(self.focus);
    }
}
