//! Whether weights train, and whether a gradient passes them.

/// Whether a part's weights train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    /// It has no weights.
    Nothing,
    /// None of them trains, and no gradient passes.
    Frozen,
    /// None of them trains, but a gradient passes: backward goes through, and values are kept for it.
    Passing,
    /// All of them train.
    Trainable,
    /// Some of them train.
    Mixed,
}

impl Freeze {
    pub(super) const fn of(trained: usize, all: usize) -> Self {
        match (trained, all) {
            (_, 0) => Self::Nothing,
            (0, _) => Self::Frozen,
            _ if trained == all => Self::Trainable,
            _ => Self::Mixed,
        }
    }

    /// Whether none of its weights trains.
    #[must_use]
    pub const fn is_frozen(self) -> bool {
        matches!(self, Self::Frozen | Self::Passing)
    }

    /// The state where a gradient may pass.
    pub(super) const fn with(self, gradient: bool) -> Self {
        match self {
            Self::Frozen if gradient => Self::Passing,
            other => other,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nothing => "without weights",
            Self::Frozen => "frozen",
            Self::Passing => "frozen, but a gradient passes",
            Self::Trainable => "trainable",
            Self::Mixed => "partly frozen",
        }
    }
}
