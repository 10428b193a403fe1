//! A sparse delta on the weight itself (`SHiRA`, Bhardwaj et al., 2024; methods, section 10): `W + S`, `S` zero but at
//! a few places that are chosen before training. Values and places are stored, nothing dense.

use serde::{Deserialize, Serialize};

use super::super::legal::weight;
use super::super::setting::{Choice, is_default, is_one, whole};
use super::super::{AdapterKind, Illegal, Setting};
use super::torch_permutation::permutation;
use crate::graph::{
    Beginning, Finish, Fold, Graph, Init, NodeId, Observed, Patch, PatchBuilder, Site, SiteKind,
};
use crate::ops::{AddSparse, Scale, rows_and_columns};

/// Which places train.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mask {
    /// Where the loss's mean gradient is largest on data.
    #[default]
    Gradient,
    /// Where that times the weight is (SNIP), on data.
    Snip,
    /// Where the weight is largest.
    Magnitude,
    /// Anywhere, as PyTorch's generator draws them from the seed.
    Random,
    /// Whole rows and columns at equal distances, and the diagonal.
    Structured,
}

impl Choice for Mask {
    const ALL: &'static [Self] =
        &[Self::Gradient, Self::Snip, Self::Magnitude, Self::Random, Self::Structured];
    const NAMES: &'static [&'static str] =
        &["gradient", "gradient × weight", "largest weights", "random", "rows and columns"];
}

/// Settings of the delta. `S` begins at zero; entries outside the mask keep their bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sparse {
    /// Share of the weight's entries that train.
    pub share: f64,
    /// Where it is not 0, as many entries train as a low-rank delta of this rank has parameters.
    #[serde(skip_serializing_if = "is_default")]
    pub rank: usize,
    /// Which ones.
    #[serde(alias = "saliency")]
    pub mask: Mask,
    /// Seed of random places.
    #[serde(skip_serializing_if = "is_default")]
    pub seed: u32,
    /// Factor on the delta, for inference; training needs none.
    #[serde(skip_serializing_if = "is_one")]
    pub strength: f64,
}

impl Default for Sparse {
    fn default() -> Self {
        Self { share: 0.02, rank: 0, mask: Mask::Gradient, seed: 0, strength: 1.0 }
    }
}

/// Rows and columns of a weight, its further axes as columns.
fn sides(site: &Site) -> [usize; 2] {
    match site.kind {
        SiteKind::Weight { features_in, .. } => [site.width, features_in],
        _ => [0, 0],
    }
}

/// Whether a structured mask with every `step`-th row and column has a place.
const fn is_structured(row: usize, column: usize, step: usize) -> bool {
    row.is_multiple_of(step) || column.is_multiple_of(step) || row == column
}

/// How many places a structured mask has.
fn structured_count([rows, columns]: [usize; 2], step: usize) -> usize {
    let (full_rows, full_columns) = (rows.div_ceil(step), columns.div_ceil(step));
    let covered = full_rows * columns + full_columns * rows - full_rows * full_columns;
    covered + (0..rows.min(columns)).filter(|i| !i.is_multiple_of(step)).count()
}

impl Sparse {
    /// How many entries are asked for.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count is a count"
    )]
    fn wanted(&self, sides: [usize; 2]) -> usize {
        let all = sides[0] * sides[1];
        let wanted = if self.rank > 0 {
            self.rank * (sides[0] + sides[1])
        } else {
            (self.share * all as f64).round() as usize
        };
        wanted.clamp(1, all.max(1))
    }

    /// The smallest distance between rows that gives no more places than are wanted, or the largest there is.
    fn step(&self, sides: [usize; 2]) -> usize {
        let (mut low, mut high) = (1, sides[0].max(sides[1]).max(1));
        let wanted = self.wanted(sides);
        while low < high {
            let middle = usize::midpoint(low, high);
            if structured_count(sides, middle) <= wanted {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// How many entries train.
    fn entries(&self, sides: [usize; 2]) -> usize {
        match self.mask {
            Mask::Structured => structured_count(sides, self.step(sides)),
            _ => self.wanted(sides),
        }
    }

    /// The places in a weight of these rows and columns that follow from the settings alone, row-major and ascending.
    #[must_use]
    pub fn fixed_places(&self, sides: [usize; 2]) -> Option<Vec<usize>> {
        let [rows, columns] = sides;
        match self.mask {
            Mask::Structured => {
                let step = self.step(sides);
                let all = 0..rows * columns;
                Some(all.filter(|place| is_structured(place / columns, place % columns, step)).collect())
            }
            Mask::Random => {
                let mut places = permutation(self.seed, rows * columns, self.wanted(sides));
                places.sort_unstable();
                Some(places)
            }
            _ => None,
        }
    }

    fn places(&self, builder: &mut PatchBuilder<'_>, before: NodeId) -> NodeId {
        let sides = sides(builder.site());
        let count = self.entries(sides);
        if let Some(places) = self.fixed_places(sides) {
            return builder.constant("places", &[2, count], rows_and_columns(&places, sides[1]));
        }
        let param = match builder.site().kind {
            SiteKind::Weight { weight, rows: None, .. } => weight,
            _ => before,
        };
        let is_magnitude = self.mask == Mask::Magnitude;
        let begins = if is_magnitude { Beginning::LargestOf(param) } else { Beginning::Values(Init::Zeros) };
        let places = builder.state("places", &[2, count], begins);
        if !is_magnitude {
            let times = (self.mask == Mask::Snip).then_some(before);
            let finish = Finish::LargestPlaces { count, columns: sides[1], times };
            builder.measure(places, Observed::Gradient(before), Fold::Mean, finish);
        }
        places
    }
}

impl AdapterKind for Sparse {
    fn name(&self) -> &'static str {
        "Sparse delta"
    }

    fn description(&self) -> &'static str {
        "a few of the weight's own entries"
    }

    fn formula(&self) -> String {
        "(W + S) · x + b, S zero but at the mask".to_owned()
    }

    fn place(&self) -> &'static str {
        "on a weight"
    }

    fn letter(&self) -> char {
        'S'
    }

    fn legal(&self, _graph: &Graph, site: &Site) -> Result<(), Illegal> {
        weight(site)?;
        let is_slice = matches!(site.kind, SiteKind::Weight { rows: Some(_), .. });
        if is_slice && self.mask == Mask::Magnitude { Err(Illegal::Fused) } else { Ok(()) }
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let count = self.entries(sides(builder.site()));
        let before = builder.weight();
        let mut values = builder.param("values", &[count], Init::Zeros);
        let places = self.places(&mut builder, before);
        #[expect(clippy::float_cmp, reason = "exactly one means no factor")]
        if self.strength != 1.0 {
            values = builder.op("strength", Scale { factor: self.strength }, &[values]);
        }
        let sum = builder.op("weight", AddSparse, &[before, values, places]);
        builder.replace_weight(sum);
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        self.entries(sides(site)) as u64
    }

    /// Values, and rows and columns where they do not follow from the settings.
    fn stored_bytes(&self, _graph: &Graph, site: &Site) -> i64 {
        let fixed = matches!(self.mask, Mask::Random | Mask::Structured);
        let each = if fixed { 4 } else { 12 };
        each * i64::try_from(self.entries(sides(site))).unwrap_or(i64::MAX / 16)
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        let ranks = Setting { range: (0.0, 4096.0), ..Setting::width("rank", "Entries as rank", self.rank) };
        let seeds = (0.0, f64::from(u32::MAX));
        let seed = Setting { whole: true, ..Setting::number("seed", "Seed", f64::from(self.seed), seeds) };
        vec![
            Setting::number("share", "Share", self.share, (0.0, 1.0)),
            ranks,
            Setting::choice("mask", "Mask", self.mask),
            seed,
            Setting::number("strength", "Strength", self.strength, (-100.0, 100.0)),
        ]
    }

    fn size(&self) -> Option<&'static str> {
        Some("share")
    }

    fn assign(&mut self, name: &str, value: f64) {
        match name {
            "rank" => self.rank = whole(value),
            "mask" => self.mask = Mask::numbered(value),
            "seed" => self.seed = u32::try_from(whole(value)).unwrap_or(0),
            "strength" => self.strength = value,
            // A share of its own ends the count by rank.
            _ => (self.share, self.rank) = (value, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_masks_are_counted_as_they_are_made() {
        for sides in [[8, 12], [12, 8], [7, 7], [1, 5]] {
            for step in 1..14 {
                let places = (0..sides[0] * sides[1])
                    .filter(|place| is_structured(place / sides[1], place % sides[1], step))
                    .count();
                assert_eq!(structured_count(sides, step), places, "{sides:?} by {step}");
            }
        }
    }

    /// 8 × 12 with rank 2 stores 40 entries (methods, section 10).
    #[test]
    fn counts_are_those_of_the_library() {
        let sparse = Sparse { rank: 2, mask: Mask::Random, ..Sparse::default() };
        assert_eq!(sparse.entries([8, 12]), 40);
        assert_eq!(sparse.fixed_places([8, 12]).unwrap().len(), 40);
    }
}
