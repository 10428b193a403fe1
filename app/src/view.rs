//! What the window shows and what the user has chosen there; nothing of it belongs to the project.

mod runs;

use std::collections::BTreeSet;

use egui::Vec2;

pub use runs::{Against, Column, CurveKind, NotesDraft, PlotsPage, PlotsView, RunsView};

/// What is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selected {
    /// Nothing.
    #[default]
    Nothing,
    /// A region or an op, by path.
    Part(String),
    /// An adapter of the project's list, perhaps at one of its sites.
    Adapter {
        /// Index in the project's list.
        index: usize,
        /// The site that was clicked.
        site: Option<String>,
    },
}

impl Selected {
    /// Whether this path is what is selected.
    #[must_use]
    pub fn is_part(&self, path: &str) -> bool {
        matches!(self, Self::Part(selected) if selected == path)
    }
}

/// What colours the graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heat {
    /// Nothing.
    #[default]
    Off,
    /// Bytes that live between forward and backward.
    Bytes,
    /// Milliseconds of forward and backward.
    Time,
}

impl Heat {
    /// All of them, in the order in which the key goes through them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Bytes, Self::Time];

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Off => Self::Bytes,
            Self::Bytes => Self::Time,
            Self::Time => Self::Off,
        }
    }

    /// What it shows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "none",
            Self::Bytes => "kept bytes",
            Self::Time => "milliseconds",
        }
    }
}

/// Where the heat comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The planner.
    #[default]
    Predicted,
    /// The newest run that measured this stage, where there is one.
    Measured,
}

impl Origin {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Predicted, Self::Measured];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Predicted => "predicted",
            Self::Measured => "measured",
        }
    }
}

/// The memory that a stage should fit into, as it is typed and as it was understood.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    /// What stands in the field.
    pub text: String,
    /// The bytes that were asked for last.
    pub bytes: Option<u64>,
    /// What is wrong with the text.
    pub complaint: Option<String>,
}

/// A tab of the bottom dock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DockTab {
    /// Curves of the run.
    Plots,
    /// All runs of the runs' folder.
    Runs,
    /// The project's stages.
    #[default]
    Stages,
    /// What the stage will cost, and how it fits.
    Plan,
    /// What happened.
    Log,
}

/// Where the canvas looks.
#[derive(Clone, Copy, Debug)]
pub struct Camera {
    /// Screen points of the layout's origin, from the canvas's corner.
    pub offset: Vec2,
    /// Screen points of one layout point.
    pub zoom: f32,
    /// What is kept in view.
    pub follow: Follow,
}

/// What the camera keeps in view when the graph changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// What was unfolded last, at a legible size, and around it as much as there is room for.
    #[default]
    Focus,
    /// Everything.
    All,
    /// Nothing: the user panned or zoomed.
    Free,
}

impl Default for Camera {
    fn default() -> Self {
        Self { offset: Vec2::ZERO, zoom: 1.0, follow: Follow::Focus }
    }
}

/// The state of all views.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The stage that outline and canvas show.
    pub stage: usize,
    /// What is selected.
    pub selected: Selected,
    /// The path under the pointer in the last frame, lit up in outline and canvas alike.
    pub hovered: Option<String>,
    /// The path under the pointer in this frame.
    pub hovering: Option<String>,
    /// Regions unfolded on the canvas.
    pub unfolded: BTreeSet<String>,
    /// Regions unfolded in the outline.
    pub expanded: BTreeSet<String>,
    /// The adapter kind that a plus places, by its place in the palette.
    pub kind: usize,
    /// The dock's tab.
    pub tab: DockTab,
    /// Where the canvas looks.
    pub camera: Camera,
    /// The rule being typed: adapter index and text.
    pub rule_draft: Option<(usize, String)>,
    /// The dock was made tall for a run.
    pub dock_tall: bool,
    /// What colours the graph.
    pub heat: Heat,
    /// Where the colours come from.
    pub origin: Origin,
    /// The line where a cache could stand is not drawn.
    pub cut_hidden: bool,
    /// The memory budget.
    pub budget: Budget,
    /// How the runs are shown.
    pub runs: RunsView,
    /// How the plots are shown.
    pub plots: PlotsView,
    /// Sites at which compared runs do not place the same.
    pub differing: Vec<String>,
}
