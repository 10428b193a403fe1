//! What the canvas shows beside its camera and its selection: what else is selected, what is searched for, what is
//! being carried to a place.

use std::collections::BTreeSet;

/// The state of the canvas.
#[derive(Clone, Debug, Default)]
pub struct GraphView {
    /// Parts that are selected beside the selection itself.
    pub also: BTreeSet<String>,
    /// What is to come into view with the next layout.
    pub bring: Option<Bring>,
    /// The search, while its field is open.
    pub find: Option<Find>,
    /// The kind that is being dragged, by its place in the palette.
    pub carried: Option<usize>,
    /// Free sites that the pointer has been drawn over, all to get the same kind.
    pub painted: Option<Painted>,
    /// The free site under the pointer, and the kind that a click would place there, by its place in the palette.
    pub thought: Option<(String, usize)>,
    /// Where a rectangle of selection began, in screen points.
    pub band: Option<egui::Pos2>,
}

/// What is to come into view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bring {
    /// Paths.
    pub paths: Vec<String>,
    /// How they are to be seen.
    pub sight: Sight,
}

/// How large something is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// At the zoom that there is.
    AsItIs,
    /// So that its name can be read.
    Legible,
    /// So that it fills the canvas.
    Filling,
}

/// A search by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Find {
    /// What was typed.
    pub text: String,
    /// The paths that match, in the order of the data.
    pub matches: Vec<String>,
    /// The match that is shown.
    pub at: Option<usize>,
}

/// A stroke over free sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Painted {
    /// The kind, by its place in the palette.
    pub kind: usize,
    /// The sites, in the order in which they were met.
    pub sites: Vec<String>,
}
