//! Every user action. Views push them; the app performs them in one place, between frames.

mod runs;

use egui::{Key, KeyboardShortcut, Modifiers};

use crate::icons::Icon;
use crate::view::{Heat, Origin, Selected};

pub use runs::RunAction;

/// What a user wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask for a project to open.
    Open,
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
    /// Select something.
    Select(Selected),
    /// Fold or unfold a region on the canvas.
    ToggleFold(String),
    /// Freeze or thaw what is at a path, in the selected stage.
    ToggleFreeze(String),
    /// The same for what is selected.
    FreezeSelected,
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
    /// Do something with runs.
    Runs(RunAction),
    /// Close the banner.
    Dismiss,
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

/// A key and what it does; the status bar lists those that work.
#[derive(Debug)]
pub struct Shortcut {
    /// The keys.
    pub keys: KeyboardShortcut,
    /// How the keys are written.
    pub text: &'static str,
    /// What they do, in a word or two.
    pub does: &'static str,
    /// Whether the key also works while a run goes on.
    pub while_training: bool,
    /// The action.
    pub action: Action,
}

/// All shortcuts. Those with more modifiers come first, since egui takes the first that fits.
#[must_use]
pub fn shortcuts() -> Vec<Shortcut> {
    let of = |modifiers, key, text, does, while_training, action| Shortcut {
        keys: KeyboardShortcut::new(modifiers, key),
        text,
        does,
        while_training,
        action,
    };
    let (command, none) = (Modifiers::COMMAND, Modifiers::NONE);
    vec![
        of(command.plus(Modifiers::SHIFT), Key::Z, "Ctrl Shift Z", "redo", false, Action::Redo),
        of(command, Key::Z, "Ctrl Z", "undo", false, Action::Undo),
        of(command.plus(Modifiers::SHIFT), Key::S, "Ctrl Shift S", "save as", true, Action::SaveAs),
        of(command, Key::S, "Ctrl S", "save", true, Action::Save),
        of(command, Key::O, "Ctrl O", "open", false, Action::Open),
        of(command, Key::Enter, "Ctrl Enter", "train", true, Action::Train),
        of(command, Key::Period, "Ctrl .", "stop and save", true, Action::Stop),
        of(none, Key::P, "P", "pause", true, Action::TogglePause),
        of(none, Key::F, "F", "freeze or thaw", false, Action::FreezeSelected),
        of(none, Key::Delete, "Del", "remove adapter", false, Action::RemoveSelected),
        of(none, Key::H, "H", "heat", true, Action::NextHeat),
        of(none, Key::C, "C", "cut", true, Action::ToggleCut),
        of(none, Key::Num1, "1", "fit", true, Action::Fit),
        of(none, Key::Escape, "Esc", "select nothing", true, Action::Select(Selected::Nothing)),
    ]
}
