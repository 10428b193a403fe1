//! Linear layer and layer norm between two transformers: `LN(W·s + b)`, `W` beginning as the identity.

use serde::{Deserialize, Serialize};

use super::legal::bridge;
use super::{AdapterKind, Illegal, Setting};
use crate::graph::{Graph, Init, Patch, PatchBuilder, Site};

/// Has no settings. Not an identity at the start: the layer norm acts from the first step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BridgeLinear {}

impl AdapterKind for BridgeLinear {
    fn name(&self) -> &'static str {
        "Linear bridge"
    }

    fn description(&self) -> &'static str {
        "linear layer and layer norm between two transformers"
    }

    fn place(&self) -> &'static str {
        "between models"
    }

    fn letter(&self) -> char {
        'N'
    }

    fn formula(&self) -> String {
        "LN(W · y + b)".to_owned()
    }

    fn legal(&self, _graph: &Graph, site: &Site) -> Result<(), Illegal> {
        bridge(site)
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let site = builder.site().clone();
        let width = site.width;
        let mapped = builder.linear("linear", site.node, [width, width], Init::Identity, Some(Init::Zeros));
        let normed = builder.layer_norm("norm", mapped, width, 1e-6);
        builder.replace(normed);
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        (site.width * site.width + 3 * site.width) as u64
    }

    fn identity_at_start(&self) -> bool {
        false
    }

    fn settings(&self) -> Vec<Setting> {
        Vec::new()
    }

    fn assign(&mut self, _name: &str, _value: f64) {}
}
