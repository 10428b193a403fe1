//! A weight in parts of which each step trains one (MoSA, Zhang et al., 2023; methods, section 6): `W = W₀ + Σᵢ Mᵢ∘ΔWᵢ`,
//! the masks disjoint. In a training step one part is drawn and added alone; in inference all of them are.

use serde::{Deserialize, Serialize};

use super::super::legal::weight;
use super::super::setting::{Choice, is_default, whole};
use super::super::{AdapterKind, Illegal, Setting};
use super::torch_permutation::permutation;
use crate::graph::{Graph, Init, Patch, PatchBuilder, Site, SiteKind};
use crate::ops::{AddSparse, ByMode, Detach, Draw, FirstPresent, Gate, Scale, rows_and_columns};
use crate::tensor::elements;

/// How the parts are put together for inference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Merge {
    /// Their sum, as the paper states.
    #[default]
    Sum,
    /// Their mean, as its code does.
    Mean,
}

impl Choice for Merge {
    const ALL: &'static [Self] = &[Self::Sum, Self::Mean];
    const NAMES: &'static [&'static str] = &["sum", "mean"];
}

/// Settings of the split. The parts begin at zero, so that nothing changes at the start. A part that is not drawn has
/// no gradient: its optimiser leaves value, moments and decay alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// How many parts.
    pub parts: usize,
    /// How they are put together.
    #[serde(skip_serializing_if = "is_default")]
    pub merge: Merge,
    /// Seed of the masks.
    #[serde(skip_serializing_if = "is_default")]
    pub seed: u32,
}

impl Default for Split {
    fn default() -> Self {
        Self { parts: 4, merge: Merge::Sum, seed: 0 }
    }
}

impl Split {
    /// The places of each part, ascending: sizes differ by one at most.
    fn masks(&self, total: usize) -> Vec<Vec<usize>> {
        let order = permutation(self.seed, total, total);
        let parts = self.parts.clamp(1, total.max(1));
        (0..parts)
            .map(|part| {
                let mut places = order[part * total / parts..(part + 1) * total / parts].to_vec();
                places.sort_unstable();
                places
            })
            .collect()
    }
}

impl AdapterKind for Split {
    fn name(&self) -> &'static str {
        "Split"
    }

    fn description(&self) -> &'static str {
        "a weight in disjoint parts, one of which each step trains"
    }

    fn formula(&self) -> String {
        "(W₀ + Σᵢ Mᵢ ∘ ΔWᵢ) · x + b".to_owned()
    }

    fn place(&self) -> &'static str {
        "on a weight"
    }

    fn letter(&self) -> char {
        'M'
    }

    fn legal(&self, _graph: &Graph, site: &Site) -> Result<(), Illegal> {
        weight(site).map(|_| ())
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let shape = builder.weight_shape();
        let before = builder.weight();
        let before = builder.op("base", Detach, &[before]);
        let masks = self.masks(elements(&shape));
        let Some(input) = builder.weight_input() else {
            unreachable!("a weight site has a layer with an input")
        };
        let drawn = builder.op("draw", Draw { branches: masks.len() }, &[input]);
        let (mut alone, mut all) = (Vec::new(), before);
        for (number, mask) in masks.iter().enumerate() {
            let name = |part: &str| format!("{part}_{number}");
            let values = builder.param(&name("part"), &[mask.len()], Init::Zeros);
            let places = rows_and_columns(mask, elements(&shape[1..]));
            let places = builder.constant(&name("places"), &[2, mask.len()], places);
            let open = builder.op(&name("open"), Gate { branch: number }, &[values, drawn]);
            alone.push(builder.op(&name("alone"), AddSparse, &[before, open, places]));
            let added = match self.merge {
                Merge::Sum => values,
                #[expect(clippy::cast_precision_loss, reason = "parts are few")]
                Merge::Mean => {
                    let factor = 1.0 / masks.len() as f64;
                    builder.op(&name("share"), Scale { factor }, &[values])
                }
            };
            all = builder.op(&name("with"), AddSparse, &[all, added, places]);
        }
        let one = builder.op("one", FirstPresent, &alone);
        let weight = builder.op("weight", ByMode, &[one, all]);
        builder.replace_weight_merging(weight, all);
        builder.freeze_weight();
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        match site.kind {
            SiteKind::Weight { features_in, .. } => (features_in * site.width) as u64,
            _ => 0,
        }
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        let seeds = (0.0, f64::from(u32::MAX));
        let seed = Setting { whole: true, ..Setting::number("seed", "Seed", f64::from(self.seed), seeds) };
        vec![
            Setting { range: (1.0, 64.0), ..Setting::width("parts", "Parts", self.parts) },
            Setting::choice("merge", "Put together", self.merge),
            seed,
        ]
    }

    fn assign(&mut self, name: &str, value: f64) {
        match name {
            "parts" => self.parts = whole(value),
            "merge" => self.merge = Merge::numbered(value),
            _ => self.seed = u32::try_from(whole(value)).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_disjoint_cover_all_and_differ_by_one_at_most() {
        for (total, parts) in [(24, 4), (25, 4), (7, 3), (3, 8)] {
            let masks = Split { parts, ..Split::default() }.masks(total);
            let mut all: Vec<usize> = masks.concat();
            all.sort_unstable();
            assert_eq!(all, (0..total).collect::<Vec<_>>());
            let sizes = masks.iter().map(Vec::len);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1, "{total} in {parts}");
        }
    }
}
