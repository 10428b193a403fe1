//! A weight as a sum of Kronecker products (Compacter, Mahabadi et al., 2021; methods, section 5):
//! `W = Σᵢ Aᵢ ⊗ (sᵢ·tᵢ)`, the small `Aᵢ` shared by all sites of the placement.

use serde::{Deserialize, Serialize};

use super::super::legal::linear;
use super::super::setting::whole;
use super::super::{AdapterKind, Illegal, Setting};
use crate::graph::{Graph, Init, Patch, PatchBuilder, Site, SiteKind};
use crate::ops::{Kronecker, MatMul};

/// Settings of the form. It takes the place of the weight that stood there, which is then nobody's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Phm {
    /// Number of products; divides both sides of the weight.
    pub n: usize,
    /// Rank of the right factors.
    pub rank: usize,
    /// Deviation of the shared factors at the start: the smaller, the nearer is a bottleneck to the identity.
    pub left_std: f64,
}

impl Default for Phm {
    fn default() -> Self {
        Self { n: 4, rank: 1, left_std: 0.01 }
    }
}

impl Phm {
    /// Sides of the right factors. Only where an adapter brought the weight: a pretrained one would be lost.
    fn sides(&self, site: &Site) -> Result<[usize; 2], Illegal> {
        let features_in = linear(site)?;
        if matches!(site.kind, SiteKind::Weight { rows: Some(_), .. }) {
            return Err(Illegal::Fused);
        }
        if !site.is_of_adapter() {
            return Err(Illegal::Pretrained);
        }
        let sides = [site.width, features_in];
        let divides = sides.iter().all(|side| side.is_multiple_of(self.n.max(1)));
        if divides { Ok(sides.map(|side| side / self.n.max(1))) } else { Err(Illegal::Indivisible) }
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

    fn formula(&self) -> String {
        "W = Σᵢ Aᵢ ⊗ (sᵢ · tᵢ), the A shared".to_owned()
    }

    fn legal(&self, _graph: &Graph, site: &Site) -> Result<(), Illegal> {
        self.sides(site).map(|_| ())
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let Ok([rows, columns]) = self.sides(builder.site()) else {
            unreachable!("coverage only matches sites that the kind accepts")
        };
        let (n, rank) = (self.n, self.rank);
        let left = builder.shared_param("left", &[n, n, n], Init::Normal { std: self.left_std });
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

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        self.sides(site).map_or(0, |[rows, columns]| (self.n * self.rank * (rows + columns)) as u64)
    }

    /// Less the weight whose place it takes.
    fn stored_bytes(&self, graph: &Graph, site: &Site) -> i64 {
        let SiteKind::Weight { features_in, .. } = site.kind else { return 0 };
        let bytes = |count: u64| 4 * i64::try_from(count).unwrap_or(0);
        bytes(self.parameter_count(graph, site)) - bytes((features_in * site.width) as u64)
    }

    fn shared_count(&self) -> u64 {
        self.n.pow(3) as u64
    }

    fn identity_at_start(&self) -> bool {
        false
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::width("n", "Products", self.n),
            Setting::width("rank", "Rank", self.rank),
            Setting::number("left_std", "Shared deviation", self.left_std, (0.0, 10.0)),
        ]
    }

    fn size(&self) -> Option<&'static str> {
        Some("rank")
    }

    fn assign(&mut self, name: &str, value: f64) {
        match name {
            "n" => self.n = whole(value),
            "left_std" => self.left_std = value,
            _ => self.rank = whole(value),
        }
    }
}
