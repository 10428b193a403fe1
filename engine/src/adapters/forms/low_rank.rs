//! A low-rank delta on the weight itself: `W + (alpha/rank)·B·A`. Where a side path (LoRA) keeps activations of
//! `rank` features, this keeps the dense delta's gradient: it suits small weights that many tokens pass.

use serde::{Deserialize, Serialize};

use super::super::legal::weight;
use super::super::setting::{SCALES, whole};
use super::super::{AdapterKind, Illegal, Setting};
use crate::graph::{Graph, Init, Patch, PatchBuilder, Site, SiteKind};
use crate::ops::{Add, MatMul, Scale};
use crate::tensor::elements;

/// Settings of the delta. `A [rank, in]` begins Kaiming-uniform, `B [out, rank]` at zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LowRank {
    /// Rank of the delta.
    pub rank: usize,
    /// Numerator of the scale `alpha/rank`.
    pub alpha: f64,
}

impl Default for LowRank {
    fn default() -> Self {
        Self { rank: 4, alpha: 4.0 }
    }
}

impl AdapterKind for LowRank {
    fn name(&self) -> &'static str {
        "Low-rank"
    }

    fn description(&self) -> &'static str {
        "low-rank delta on the weight itself"
    }

    fn place(&self) -> &'static str {
        "on a weight"
    }

    fn letter(&self) -> char {
        'D'
    }

    fn formula(&self) -> String {
        "(W + α/r · B · A) · x + b".to_owned()
    }

    fn legal(&self, _graph: &Graph, site: &Site) -> Result<(), Illegal> {
        weight(site).map(|_| ())
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let shape = builder.weight_shape();
        let before = builder.weight();
        let a = builder.param("A", &[self.rank, elements(&shape[1..])], Init::KaimingUniform);
        let b = builder.param("B", &[shape[0], self.rank], Init::Zeros);
        let product = builder.op("product", MatMul, &[b, a]);
        #[expect(clippy::cast_precision_loss, reason = "a rank is small")]
        let factor = self.alpha / self.rank as f64;
        let delta = builder.op("delta", Scale { factor }, &[product]);
        let delta = builder.like_weight(delta);
        let sum = builder.op("weight", Add, &[before, delta]);
        builder.replace_weight(sum);
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        match site.kind {
            SiteKind::Weight { features_in, .. } => (self.rank * (features_in + site.width)) as u64,
            _ => 0,
        }
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        vec![Setting::width("rank", "Rank", self.rank), Setting::number("alpha", "Alpha", self.alpha, SCALES)]
    }

    fn size(&self) -> Option<&'static str> {
        Some("rank")
    }

    fn assign(&mut self, name: &str, value: f64) {
        match name {
            "rank" => self.rank = whole(value),
            _ => self.alpha = value,
        }
    }
}
