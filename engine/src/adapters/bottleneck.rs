//! Residual bottleneck at a port (Houlsby et al., 2019): `y + scale·W_up·GELU(W_down·y + b) + b'`, before the
//! port's residual add.

use serde::{Deserialize, Serialize};

use super::{AdapterKind, SCALES, Setting, whole};
use crate::graph::{Init, Patch, PatchBuilder, Port, Site, SiteKind};
use crate::ops::{Add, Gelu, GeluForm, Scale};

/// Settings of a bottleneck. The up-projection begins at zero, so placing it changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bottleneck {
    /// Bottleneck width.
    pub width: usize,
    /// Fixed factor on the branch.
    pub scale: f64,
}

impl Default for Bottleneck {
    fn default() -> Self {
        Self { width: 16, scale: 1.0 }
    }
}

impl AdapterKind for Bottleneck {
    fn name(&self) -> &'static str {
        "Bottleneck"
    }

    fn description(&self) -> &'static str {
        "down-projection, activation, up-projection at a port"
    }

    fn place(&self) -> &'static str {
        "after a sub-layer"
    }

    fn letter(&self) -> char {
        'B'
    }

    fn accepts(&self, site: &Site) -> bool {
        matches!(site.kind, SiteKind::Port(Port::P1 | Port::P4))
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let site = builder.site().clone();
        let sum = residual(&mut builder, site.node, site.node, site.width, self.width, self.scale);
        builder.replace(sum);
        builder.finish()
    }

    fn parameter_count(&self, site: &Site) -> u64 {
        residual_count(site.width, self.width)
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

/// `base + scale·up(GELU(down(x)))`; `x` is `base` itself or its normed value.
pub(super) fn residual(
    builder: &mut PatchBuilder<'_>,
    base: crate::graph::NodeId,
    x: crate::graph::NodeId,
    features: usize,
    width: usize,
    scale: f64,
) -> crate::graph::NodeId {
    let down = builder.linear("down", x, [width, features], Init::XavierUniform, Some(Init::Zeros));
    let active = builder.op("activation", Gelu { form: GeluForm::Exact }, &[down]);
    let up = builder.linear("up", active, [features, width], Init::Zeros, Some(Init::Zeros));
    #[expect(clippy::float_cmp, reason = "exactly one means no scaling")]
    let branch = if scale == 1.0 { up } else { builder.op("scale", Scale { factor: scale }, &[up]) };
    builder.op("add", Add, &[base, branch])
}

/// Parameters of [`residual`].
pub(super) const fn residual_count(features: usize, width: usize) -> u64 {
    (2 * features * width + features + width) as u64
}
