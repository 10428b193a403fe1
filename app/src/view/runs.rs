//! What the views of runs and plots remember.

use std::path::PathBuf;

/// A column of the table of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// The folder's name.
    Name,
    /// What has become of it.
    State,
    /// Top-1, or Dice of masks, on the test split, or else the best on the validation split.
    Score,
    /// Loss.
    Loss,
    /// Trained weights.
    Trainable,
    /// Largest live bytes.
    Peak,
    /// Seconds.
    Time,
    /// Compute device.
    Device,
    /// When it began.
    #[default]
    Began,
}

impl Column {
    /// All of them, from left to right.
    pub const ALL: [Self; 9] = [
        Self::Name,
        Self::State,
        Self::Score,
        Self::Loss,
        Self::Trainable,
        Self::Peak,
        Self::Time,
        Self::Device,
        Self::Began,
    ];

    /// Its title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Name => "Run",
            Self::State => "State",
            Self::Score => "Score %",
            Self::Loss => "Loss",
            Self::Trainable => "Trainable",
            Self::Peak => "Peak",
            Self::Time => "Time",
            Self::Device => "Device",
            Self::Began => "Began (UTC)",
        }
    }

    /// Whether it holds numbers, which stand at the right.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Score | Self::Loss | Self::Trainable | Self::Peak | Self::Time)
    }
}

/// What the curves of compared runs show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CurveKind {
    /// Top-1, or Dice of masks, on the validation split.
    #[default]
    Accuracy,
    /// Loss on the validation split.
    Validation,
    /// Loss on the training split, smoothed.
    Training,
}

/// What compared runs are drawn against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Against {
    /// Largest live bytes.
    #[default]
    Bytes,
    /// Seconds of the whole run.
    Time,
    /// Trained weights.
    Trainable,
    /// A setting, by its path.
    Setting(String),
}

/// Tags and a note as they are being typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotesDraft {
    /// The run.
    pub path: PathBuf,
    /// Tags, separated by commas.
    pub tags: String,
    /// The note.
    pub note: String,
}

/// How the runs are shown.
#[derive(Clone, Debug, Default)]
pub struct RunsView {
    /// What stands in the filter's field.
    pub filter: String,
    /// What they are sorted by.
    pub sort: Column,
    /// From the smallest on.
    pub ascending: bool,
    /// What the curves show.
    pub curves: CurveKind,
    /// What accuracy is drawn against.
    pub against: Against,
    /// What is being written about a run.
    pub draft: NotesDraft,
}

/// What the plots' room shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlotsPage {
    /// Curves over steps.
    #[default]
    Curves,
    /// What was taken for what in the latest evaluation.
    Classes,
}

/// How the plots are shown.
#[derive(Clone, Debug)]
pub struct PlotsView {
    /// Weight of the past in the smoothed curves.
    pub smoothing: f64,
    /// What is shown.
    pub page: PlotsPage,
    /// How many times the project's learning rate the run is to use, as it is being chosen.
    pub rate: f64,
    /// What came of the last export.
    pub told: Option<String>,
}

impl Default for PlotsView {
    fn default() -> Self {
        Self { smoothing: 0.9, page: PlotsPage::Curves, rate: 1.0, told: None }
    }
}
