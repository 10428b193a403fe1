//! Residual bottleneck between two transformers (methods, section 1): `s + scale·W_up·GELU(W_down·LN(s))`.
//! The paper does not say what its adapter holds; this is the project's recommended form.

use serde::{Deserialize, Serialize};

use super::bottleneck::{residual, residual_count};
use super::{AdapterKind, SCALES, Setting, whole};
use crate::graph::{Init, Patch, PatchBuilder, Site, SiteKind};
use crate::ops::LayerNorm;

/// Settings of the bridge. The up-projection begins at zero, so placing it changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bridge {
    /// Bottleneck width.
    pub width: usize,
    /// Fixed factor on the branch.
    pub scale: f64,
}

impl Default for Bridge {
    fn default() -> Self {
        Self { width: 32, scale: 1.0 }
    }
}

impl AdapterKind for Bridge {
    fn name(&self) -> &'static str {
        "Bridge"
    }

    fn description(&self) -> &'static str {
        "residual bottleneck between two transformers"
    }

    fn place(&self) -> &'static str {
        "between models"
    }

    fn letter(&self) -> char {
        'R'
    }

    fn accepts(&self, site: &Site) -> bool {
        matches!(site.kind, SiteKind::Bridge { .. })
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let site = builder.site().clone();
        let gamma = builder.param("norm.weight", &[site.width], Init::Ones);
        let beta = builder.param("norm.bias", &[site.width], Init::Zeros);
        let normed = builder.op("norm", LayerNorm { epsilon: 1e-6 }, &[site.node, gamma, beta]);
        let sum = residual(&mut builder, site.node, normed, site.width, self.width, self.scale);
        builder.replace(sum);
        builder.finish()
    }

    fn parameter_count(&self, site: &Site) -> u64 {
        residual_count(site.width, self.width) + 2 * site.width as u64
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::width("width", "Width", self.width),
            Setting::number("scale", "Scale", self.scale, SCALES),
        ]
    }

    fn assign(&mut self, name: &str, value: f64) {
        match name {
            "width" => self.width = whole(value),
            _ => self.scale = value,
        }
    }
}
