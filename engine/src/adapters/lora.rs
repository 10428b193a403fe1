//! LoRA (Hu et al., 2021): `y + (alpha/rank)·x·Aᵀ·Bᵀ` beside a linear layer, the dense product never formed.

use serde::{Deserialize, Serialize};

use super::{AdapterKind, SCALES, Setting, whole};
use crate::graph::{Init, Layer, Patch, PatchBuilder, Site, SiteKind};
use crate::ops::{Dropout, MatMul, Scale};

/// Settings of LoRA. `A [rank, in]` begins Kaiming-uniform, `B [out, rank]` at zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    /// Rank of the delta.
    pub rank: usize,
    /// Numerator of the scale `alpha/rank`.
    pub alpha: f64,
    /// Dropout on the side path's input.
    pub dropout: f64,
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, dropout: 0.0 }
    }
}

impl AdapterKind for Lora {
    fn name(&self) -> &'static str {
        "LoRA"
    }

    fn description(&self) -> &'static str {
        "low-rank side path beside a linear layer"
    }

    fn place(&self) -> &'static str {
        "beside a weight"
    }

    fn letter(&self) -> char {
        'L'
    }

    fn accepts(&self, site: &Site) -> bool {
        matches!(site.kind, SiteKind::Weight { layer: Layer::Linear, .. })
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let site = builder.site().clone();
        let SiteKind::Weight { features_in, .. } = site.kind else {
            unreachable!("coverage only matches sites that the kind accepts")
        };
        let Some(input) = builder.weight_input() else {
            unreachable!("a weight site has a linear layer with an input")
        };
        let x = if self.dropout > 0.0 {
            builder.op("dropout", Dropout { probability: self.dropout }, &[input])
        } else {
            input
        };
        let down = builder.linear("A", x, [self.rank, features_in], Init::KaimingUniform, None);
        let up = builder.linear("B", down, [site.width, self.rank], Init::Zeros, None);
        #[expect(clippy::cast_precision_loss, reason = "a rank is small")]
        let factor = self.alpha / self.rank as f64;
        let scaled = builder.op("scale", Scale { factor }, &[up]);
        let (a, b) = (builder.weight_of(down), builder.weight_of(up));
        let product = builder.op("product", MatMul, &[b, a]);
        let delta = builder.op("delta", Scale { factor }, &[product]);
        let delta = builder.like_weight(delta);
        builder.add_beside(scaled, delta);
        builder.finish()
    }

    fn parameter_count(&self, site: &Site) -> u64 {
        match site.kind {
            SiteKind::Weight { features_in, .. } => (self.rank * (features_in + site.width)) as u64,
            _ => 0,
        }
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::width("rank", "Rank", self.rank),
            Setting::number("alpha", "Alpha", self.alpha, SCALES),
            Setting::number("dropout", "Dropout", self.dropout, (0.0, 0.99)),
        ]
    }

    fn assign(&mut self, name: &str, value: f64) {
        match name {
            "rank" => self.rank = whole(value),
            "alpha" => self.alpha = value,
            _ => self.dropout = value,
        }
    }
}
