//! Every user action. Views push them; the app performs them in one place, between frames.

mod runs;

use std::path::PathBuf;

use crate::graph_actions::GraphAction;
use crate::icons::Icon;
use crate::view::{DockTab, Heat, Origin, Selected};

pub use runs::RunAction;

/// What a user wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask for a project to open.
    Open,
    /// Open this project.
    OpenPath(PathBuf),
    /// Open a new project that an earlier window left unsaved.
    OpenUnsaved(PathBuf),
    /// Ask where a recent project has gone.
    Locate(PathBuf),
    /// Ask for a model's folder and make a project of it.
    New,
    /// Make a project of the model in this folder.
    BeginAround(PathBuf),
    /// Ask for a folder of samples and make it the project's data.
    ChooseData,
    /// Close the project and show the first page.
    CloseProject,
    /// Forget the recent projects.
    ClearRecent,
    /// Write the project to its file.
    Save,
    /// Ask for a name and write the project there.
    SaveAs,
    /// Take the last edit back.
    Undo,
    /// Bring the last undone edit back.
    Redo,
    /// Run the project.
    Train,
    /// Pause, or go on.
    TogglePause,
    /// Save and end the run.
    Stop,
    /// Show the whole graph.
    Fit,
    /// Dark or light.
    ToggleTheme,
    /// Dark or light as the system has it.
    FollowTheme,
    /// Give the keyboard to the next part of the window.
    NextRegion,
    /// Show all commands.
    ShowPalette,
    /// Show all keys.
    ShowHelp,
    /// Show how the window's project differs from its file.
    ShowDifference,
    /// Show a tab of the dock.
    ShowTab(DockTab),
    /// Build the model once more: files may have come meanwhile.
    Retry,
    /// Look again what can be computed on.
    CheckDevices,
    /// Run the project on this device.
    SetDevice(String),
    /// Select something.
    Select(Selected),
    /// Fold or unfold a region on the canvas.
    ToggleFold(String),
    /// Freeze or thaw what is at a path, in the selected stage.
    ToggleFreeze(String),
    /// The same for what is selected.
    FreezeSelected,
    /// Train a part in some stages and freeze it in others.
    SetTrained {
        /// The part's path.
        path: String,
        /// Stages, and whether the part trains in each.
        stages: Vec<(usize, bool)>,
    },
    /// Show another stage.
    ShowStage(usize),
    /// Put the adapters into a stage's model, or take them out.
    UseAdapters(usize, bool),
    /// Place the palette's kind at a site.
    Place {
        /// The site's path.
        site: String,
        /// The kind, by its place in the palette.
        kind: usize,
    },
    /// Place all that a preset places, by its place in the list.
    PlacePreset(usize),
    /// Take an adapter off the project's list.
    RemoveAdapter(usize),
    /// Take the selected adapter off.
    RemoveSelected,
    /// Change an adapter's setting.
    Set {
        /// Index in the project's list.
        adapter: usize,
        /// The setting's name.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// Make the selected adapter twice or half as large.
    Resize {
        /// Twice.
        larger: bool,
    },
    /// Change an adapter's rule.
    SetRule {
        /// Index in the project's list.
        adapter: usize,
        /// The rule.
        rule: String,
    },
    /// Change a number of a stage, by its path below the stage.
    SetStage {
        /// Which stage.
        stage: usize,
        /// Path of the setting, as in `epochs`.
        path: &'static str,
        /// Its value as a project file has it.
        value: String,
    },
    /// Let a stage do without its cache.
    TakeCacheOut(usize),
    /// Colour the graph by the next quantity.
    NextHeat,
    /// Colour the graph by this quantity.
    ShowHeat(Heat),
    /// Colour it by what was predicted, or by what was measured.
    ShowOrigin(Origin),
    /// Draw the line where a cache could stand, or do not.
    ToggleCut,
    /// Look for a way to run the stage in the typed budget.
    FitBudget,
    /// The same in so many bytes.
    FitInto(u64),
    /// Take a way to run the stage in so many bytes.
    ApplyFit {
        /// The budget.
        budget: u64,
        /// The stage's path.
        path: String,
        /// Its settings, as `accumulate=4`.
        settings: Vec<String>,
    },
    /// Choose the palette's kind.
    ChooseKind(usize),
    /// Take the file's new contents.
    Reload,
    /// Keep the window's contents though the file changed.
    KeepMine,
    /// Show what the edits that an earlier window left behind change.
    ShowUnsaved,
    /// Take the edits that an earlier window left behind.
    Restore,
    /// Drop them.
    ForgetUnsaved,
    /// Do something with runs.
    Runs(RunAction),
    /// Close the banner.
    Dismiss,
    /// Something on the graph.
    Graph(GraphAction),
    /// Close the window: saving first, without saving, or not at all.
    Close(Closing),
}

/// The answer to "unsaved changes".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Save, then close.
    Save,
    /// Close without saving.
    Discard,
    /// Do not close.
    Cancel,
}

impl Action {
    /// The icon of what has one.
    #[must_use]
    pub const fn icon(&self) -> Option<Icon> {
        match self {
            Self::NextHeat | Self::ShowHeat(_) | Self::ShowOrigin(_) => Some(Icon::Heat),
            Self::ToggleCut => Some(Icon::Cut),
            _ => None,
        }
    }
}
