//! How much is drawn at a zoom: text that cannot be read is left out, and with it most of a frame's work.

/// What is drawn, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Detail {
    /// Outlines of nodes; of regions the names.
    Outlines,
    /// Names and badges.
    Names,
    /// All marks, but no shapes.
    Plain,
    /// Everything.
    Full,
}

impl Detail {
    /// The detail of a zoom.
    pub(super) fn of(zoom: f32) -> Self {
        match zoom {
            zoom if zoom < 0.28 => Self::Outlines,
            zoom if zoom < 0.5 => Self::Names,
            zoom if zoom < 0.75 => Self::Plain,
            _ => Self::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_drawn_the_further_one_is_away() {
        let levels = [0.1, 0.28, 0.49, 0.5, 0.74, 0.75, 1.0].map(Detail::of);
        assert!(levels.is_sorted(), "{levels:?}");
        assert_eq!(Detail::of(0.74), Detail::Plain, "under 75 % there are no shapes");
        assert_eq!(Detail::of(0.49), Detail::Names, "under 50 % there are names and badges");
    }
}
