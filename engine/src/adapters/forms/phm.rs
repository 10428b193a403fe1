//! A weight as a sum of Kronecker products (Compacter, Mahabadi et al., 2021; methods, section 5):
//! `W = Σᵢ Aᵢ ⊗ (sᵢ·tᵢ)`, the small `Aᵢ` shared by all sites of the placement.

use serde::{Deserialize, Serialize};

use super::super::{AdapterKind, Setting, whole};
use crate::graph::{Init, Layer, Patch, PatchBuilder, Site, SiteKind};
use crate::ops::{Kronecker, MatMul};

/// Settings of the form. It takes the place of the weight that stood there, which is then nobody's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phm {
    /// Number of products; divides both sides of the weight.
    pub n: usize,
    /// Rank of the right factors.
    pub rank: usize,
}

impl Default for Phm {
    fn default() -> Self {
        Self { n: 4, rank: 1 }
    }
}

impl Phm {
    fn sides(&self, site: &Site) -> Option<[usize; 2]> {
        match site.kind {
            SiteKind::Weight { features_in, layer: Layer::Linear, rows: None, .. }
                if features_in.is_multiple_of(self.n) && site.width.is_multiple_of(self.n) =>
            {
                Some([site.width / self.n, features_in / self.n])
            }
            _ => None,
        }
    }
}

impl AdapterKind for Phm {
    fn name(&self) -> &'static str {
        "PHM"
    }

    fn description(&self) -> &'static str {
        "a weight as a sum of Kronecker products with shared left factors"
    }

    fn place(&self) -> &'static str {
        "on a weight"
    }

    fn letter(&self) -> char {
        'K'
    }

    /// Only where an adapter brought the weight: a pretrained one would be lost. `n` divides both its sides.
    fn accepts(&self, site: &Site) -> bool {
        site.is_of_adapter() && self.sides(site).is_some()
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let Some([rows, columns]) = self.sides(builder.site()) else {
            unreachable!("coverage only matches sites that the kind accepts")
        };
        let (n, rank) = (self.n, self.rank);
        let left = builder.shared_param("left", &[n, n, n], Init::Normal { std: 0.01 });
        // Xavier-uniform with gain √2 for each slice.
        let bound = |a: usize, b: usize| {
            #[expect(clippy::cast_precision_loss, reason = "widths are small")]
            let sides = (a + b) as f64;
            Init::Uniform { bound: (12.0 / sides).sqrt() }
        };
        let s = builder.param("s", &[n, rows, rank], bound(rows, rank));
        let t = builder.param("t", &[n, rank, columns], bound(rank, columns));
        let right = builder.op("right", MatMul, &[s, t]);
        let weight = builder.op("weight", Kronecker, &[left, right]);
        builder.replace_weight(weight);
        builder.finish()
    }

    /// Without the shared factors, `n³` once.
    fn parameter_count(&self, site: &Site) -> u64 {
        self.sides(site).map_or(0, |[rows, columns]| (self.n * self.rank * (rows + columns)) as u64)
    }

    fn identity_at_start(&self) -> bool {
        false
    }

    fn settings(&self) -> Vec<Setting> {
        vec![Setting::width("n", "Products", self.n), Setting::width("rank", "Rank", self.rank)]
    }

    fn assign(&mut self, name: &str, value: f64) {
        match name {
            "n" => self.n = whole(value),
            _ => self.rank = whole(value),
        }
    }
}
