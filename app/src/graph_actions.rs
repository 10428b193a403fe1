//! What a user can do on the graph beside selecting and folding one thing, with its keys.

use egui::Event;

use crate::actions::Action;

/// What a user wants of the graph.
#[derive(Clone, Debug, PartialEq)]
pub enum GraphAction {
    /// Fill the canvas with what is selected.
    FitSelection,
    /// Fold or unfold what is selected.
    FoldSelected,
    /// Unfold all blocks of the stack that is selected, or of every stack; fold them if they are open.
    FoldAll,
    /// Go to a neighbour of what is selected.
    Walk(Step),
    /// Select this and bring it into view, unfolding what is around it.
    Show(String),
    /// Select this too, or no longer.
    SelectToo(String),
    /// Select all of these.
    SelectAll(Vec<String>),
    /// Open the search.
    Find,
    /// Close the search.
    EndFind,
    /// Show the next match.
    NextMatch,
    /// Show the match before.
    PreviousMatch,
    /// Place the palette's kind at everything that is selected.
    AddHere,
    /// Place a kind at sites, in one step.
    PlaceAt {
        /// The sites' paths.
        sites: Vec<String>,
        /// The kind, by its place in the palette.
        kind: usize,
    },
    /// Place a kind by a rule.
    PlaceRule {
        /// The rule.
        rule: String,
        /// The kind, by its place in the palette.
        kind: usize,
    },
    /// Keep a copy of the selected adapter.
    Copy,
    /// Place the copy at everything that is selected.
    Paste,
    /// Let the selected adapter's rule take the like sites of all blocks.
    CopyToLike,
}

/// A step through the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next thing that is drawn, in the order of the data.
    Next,
    /// The one before.
    Previous,
    /// The next thing beside this one, over what is inside.
    NextBeside,
    /// The one before beside this one.
    PreviousBeside,
}

/// Copying and pasting, as the window system tells of them.
pub(crate) fn clipboard(events: &[Event]) -> Option<Action> {
    events.iter().find_map(|event| match event {
        Event::Copy => Some(Action::Graph(GraphAction::Copy)),
        Event::Paste(_) => Some(Action::Graph(GraphAction::Paste)),
        _ => None,
    })
}
