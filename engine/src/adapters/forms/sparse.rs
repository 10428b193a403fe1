//! A sparse delta on the weight itself (`SHiRA`, Bhardwaj et al., 2024; methods, section 10): `W + M ⊙ S`, the mask
//! `M` measured on data before training.

use serde::{Deserialize, Serialize};

use super::super::{AdapterKind, Setting};
use crate::graph::{Beginning, Finish, Fold, Init, Observed, Patch, PatchBuilder, Site, SiteKind};
use crate::ops::{Add, Multiply};

/// What makes an entry of the weight worth training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Saliency {
    /// The loss's mean gradient.
    #[default]
    Gradient,
    /// That times the weight (SNIP).
    Snip,
}

/// Settings of the delta. `S` begins at zero; entries outside the mask keep their bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sparse {
    /// Share of the weight's entries that train.
    pub share: f64,
    /// Which ones.
    pub saliency: Saliency,
}

impl Default for Sparse {
    fn default() -> Self {
        Self { share: 0.02, saliency: Saliency::Gradient }
    }
}

impl AdapterKind for Sparse {
    fn name(&self) -> &'static str {
        "Sparse delta"
    }

    fn description(&self) -> &'static str {
        "sparse delta on the weight itself, where data say that it matters"
    }

    fn place(&self) -> &'static str {
        "on a weight"
    }

    fn letter(&self) -> char {
        'S'
    }

    fn accepts(&self, site: &Site) -> bool {
        matches!(site.kind, SiteKind::Weight { .. })
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let shape = builder.weight_shape();
        let before = builder.weight();
        let values = builder.param("values", &shape, Init::Zeros);
        let mask = builder.state("mask", &shape, Beginning::Values(Init::Zeros));
        let delta = builder.op("delta", Multiply, &[values, mask]);
        let sum = builder.op("weight", Add, &[before, delta]);
        builder.replace_weight(sum);
        let times = (self.saliency == Saliency::Snip).then_some(before);
        let finish = Finish::Largest { share: self.share, times };
        builder.measure(mask, Observed::Gradient(before), Fold::Mean, finish);
        builder.finish()
    }

    /// All entries have a place in memory; a share of them trains.
    fn parameter_count(&self, site: &Site) -> u64 {
        match site.kind {
            SiteKind::Weight { features_in, .. } => (features_in * site.width) as u64,
            _ => 0,
        }
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        vec![Setting::number("share", "Share", self.share, (0.0, 1.0))]
    }

    fn assign(&mut self, _name: &str, value: f64) {
        self.share = value;
    }
}
