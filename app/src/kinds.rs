//! How adapter kinds are told apart: a letter, a convex outline and a hue together. One table for all of them.

use std::sync::LazyLock;

use graft_engine::adapters::AdapterSpec;

/// All kinds with their usual settings: the palette.
pub fn palette() -> &'static [AdapterSpec] {
    static PALETTE: LazyLock<Vec<AdapterSpec>> = LazyLock::new(AdapterSpec::all);
    &PALETTE
}

/// The outline of an adapter kind's badge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outline {
    /// A circle.
    Circle,
    /// A hexagon.
    Hexagon,
    /// A square that stands on a corner.
    Diamond,
    /// A square.
    Square,
    /// A pentagon, point down.
    Shield,
    /// An octagon.
    Octagon,
    /// Narrow above.
    Trapezoid,
    /// A triangle, point up.
    Triangle,
    /// A pentagon, point up.
    House,
    /// Wide and round at both ends.
    Pill,
    /// Narrow below.
    Cup,
    /// A pentagon, point to the right.
    Tag,
    /// Straight at the left, round at the right.
    Half,
    /// Leaning to the right.
    Slant,
}

/// A row of the table: the kind's letter, its outline, and the place of its hue among the theme's.
type Look = (char, Outline, usize);

/// All kinds. A new one takes a letter and an outline that are free, then a hue.
const LOOKS: [Look; 14] = [
    ('L', Outline::Circle, 0),
    ('B', Outline::Hexagon, 1),
    ('K', Outline::Diamond, 3),
    ('S', Outline::Square, 2),
    ('Q', Outline::Shield, 4),
    ('R', Outline::Octagon, 2),
    ('N', Outline::Trapezoid, 3),
    ('C', Outline::Triangle, 4),
    ('A', Outline::House, 0),
    ('U', Outline::Pill, 2),
    ('F', Outline::Cup, 1),
    ('P', Outline::Tag, 3),
    ('D', Outline::Half, 4),
    ('M', Outline::Slant, 0),
];

/// Outline and hue of a kind, by its letter. What is not in the table looks like nothing that is: a cup in the last hue.
#[must_use]
pub fn look(letter: char) -> (Outline, usize) {
    let row = LOOKS.iter().find(|(own, ..)| *own == letter);
    row.map_or((Outline::Cup, 4), |(_, outline, hue)| (*outline, *hue))
}

impl Outline {
    /// The corners of a badge of radius 1 around the origin, and how far below it the letter stands.
    #[must_use]
    pub fn corners(self) -> (Vec<(f32, f32)>, f32) {
        match self {
            Self::Circle => (arc(0.0, 1.0, 24), 0.0),
            Self::Hexagon => {
                let half =
                    [(-0.55, -0.95), (0.55, -0.95), (1.1, 0.0), (0.55, 0.95), (-0.55, 0.95), (-1.1, 0.0)];
                (half.into(), 0.0)
            }
            Self::Diamond => (vec![(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)], 0.0),
            Self::Square => (vec![(-0.92, -0.92), (0.92, -0.92), (0.92, 0.92), (-0.92, 0.92)], 0.0),
            Self::Shield => {
                (vec![(-0.95, -0.95), (0.95, -0.95), (0.95, 0.25), (0.0, 1.2), (-0.95, 0.25)], -0.12)
            }
            Self::Octagon => {
                let (near, far) = (0.42, 1.02);
                let corners = [
                    (-near, -far),
                    (near, -far),
                    (far, -near),
                    (far, near),
                    (near, far),
                    (-near, far),
                    (-far, near),
                    (-far, -near),
                ];
                (corners.into(), 0.0)
            }
            Self::Trapezoid => (vec![(-0.62, -0.95), (0.62, -0.95), (1.15, 0.95), (-1.15, 0.95)], 0.08),
            Self::Triangle => (vec![(0.0, -1.25), (1.25, 0.95), (-1.25, 0.95)], 0.28),
            Self::House => {
                (vec![(0.0, -1.15), (0.98, -0.25), (0.98, 0.98), (-0.98, 0.98), (-0.98, -0.25)], 0.2)
            }
            Self::Pill => {
                let round = arc(-0.25, 0.7, 24).into_iter();
                (round.map(|(x, y)| (x + if x >= -0.25 { 0.5 } else { 0.0 }, y)).collect(), 0.0)
            }
            Self::Cup => (vec![(-1.15, -0.95), (1.15, -0.95), (0.62, 0.95), (-0.62, 0.95)], -0.08),
            Self::Tag => (vec![(-1.0, -0.85), (0.45, -0.85), (1.2, 0.0), (0.45, 0.85), (-1.0, 0.85)], 0.0),
            Self::Half => {
                let round = arc(-0.15, 1.0, 24).into_iter();
                let mut corners: Vec<(f32, f32)> = round.filter(|(x, _)| *x > -0.16).collect();
                corners.insert(0, (-0.85, -1.0));
                corners.push((-0.85, 1.0));
                (corners, 0.0)
            }
            Self::Slant => (vec![(-0.65, -0.85), (1.25, -0.85), (0.65, 0.85), (-1.25, 0.85)], 0.0),
        }
    }
}

/// Points of a circle around `(x, 0)` from its top, clockwise.
fn arc(x: f32, radius: f32, count: u8) -> Vec<(f32, f32)> {
    let at = |i: u8| {
        let angle = std::f32::consts::TAU * (f32::from(i) / f32::from(count) - 0.25);
        (x + radius * angle.cos(), radius * angle.sin())
    };
    (0..count).map(at).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_letter_and_an_outline_of_its_own() {
        let kinds = palette();
        let letters: Vec<char> = kinds.iter().map(|spec| spec.kind().letter()).collect();
        for letter in &letters {
            assert!(LOOKS.iter().any(|(own, ..)| own == letter), "{letter} is not in the table");
        }
        assert_eq!(letters.iter().collect::<BTreeSet<_>>().len(), kinds.len(), "{letters:?}");
        let outlines: BTreeSet<Outline> = letters.iter().map(|&letter| look(letter).0).collect();
        assert_eq!(outlines.len(), kinds.len());
    }

    #[test]
    fn outlines_are_convex_and_hold_the_letter() {
        for (_, outline, _) in LOOKS {
            let (corners, shift) = outline.corners();
            let count = corners.len();
            for i in 0..count {
                let [a, b, c] = [0, 1, 2].map(|k| corners[(i + k) % count]);
                let turn = (b.0 - a.0) * (c.1 - b.1) - (b.1 - a.1) * (c.0 - b.0);
                assert!(turn > -1e-5, "{outline:?} bends in at corner {i}");
                // The middle of the letter lies inside, a third of the radius from every side.
                let length = (b.0 - a.0).hypot(b.1 - a.1);
                let away = ((b.0 - a.0) * (shift - a.1) - (b.1 - a.1) * (0.0 - a.0)) / length;
                assert!(away > 0.33, "{outline:?} has no room at side {i}: {away}");
            }
        }
    }
}
