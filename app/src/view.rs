//! What the window shows and what the user has chosen there; nothing of it belongs to the project.

mod graph;
mod runs;

use std::collections::BTreeSet;

use egui::Vec2;
use graft_engine::data::Split;

use crate::journal::Level;
use crate::samples::Medium;

pub use graph::{Bring, Find, GraphView, Painted, Sight};

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
    /// Parameters.
    Parameters,
    /// Multiply-adds of one sample's forward.
    Work,
}

impl Heat {
    /// All of them, in the order in which the key goes through them.
    pub const ALL: [Self; 5] = [Self::Off, Self::Bytes, Self::Time, Self::Parameters, Self::Work];

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Off => Self::Bytes,
            Self::Bytes => Self::Time,
            Self::Time => Self::Parameters,
            Self::Parameters => Self::Work,
            Self::Work => Self::Off,
        }
    }

    /// What it shows.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "none",
            Self::Bytes => "kept bytes",
            Self::Time => "milliseconds",
            Self::Parameters => "parameters",
            Self::Work => "multiply-adds",
        }
    }

    /// Whether it is counted from the graph itself, so that no run can measure it.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        matches!(self, Self::Parameters | Self::Work)
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
    /// Which parts train in which stages.
    Timeline,
    /// What the stage will cost, and how it fits.
    Plan,
    /// Samples of the data.
    Data,
    /// What would stop a run.
    Problems,
    /// What happened.
    Log,
}

impl DockTab {
    /// All of them, from left to right.
    pub const ALL: [Self; 8] = [
        Self::Plots,
        Self::Runs,
        Self::Stages,
        Self::Timeline,
        Self::Plan,
        Self::Data,
        Self::Problems,
        Self::Log,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plots => "Plots",
            Self::Runs => "Runs",
            Self::Stages => "Stages",
            Self::Timeline => "Timeline",
            Self::Plan => "Plan",
            Self::Data => "Data",
            Self::Problems => "Problems",
            Self::Log => "Log",
        }
    }
}

/// What the data panel shows.
#[derive(Clone, Debug)]
pub struct DataView {
    /// Which part of the data.
    pub split: Split,
    /// The first sample shown.
    pub first: usize,
    /// Clips hold still.
    pub still: bool,
}

impl Default for DataView {
    fn default() -> Self {
        Self { split: Split::Train, first: 0, still: false }
    }
}

/// What the log panel shows.
#[derive(Clone, Debug)]
pub struct LogView {
    /// Lines that matter less are left out.
    pub least: Level,
    /// What a line has to hold.
    pub search: String,
}

impl Default for LogView {
    fn default() -> Self {
        Self { least: Level::Info, search: String::new() }
    }
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
    /// The data panel.
    pub data: DataView,
    /// The log panel.
    pub log: LogView,
    /// Which samples the first page shows.
    pub samples: Option<Medium>,
    /// The state of the canvas.
    pub graph: GraphView,
    /// How the runs are shown.
    pub runs: RunsView,
    /// How the plots are shown.
    pub plots: PlotsView,
    /// Sites at which compared runs do not place the same.
    pub differing: Vec<String>,
}
