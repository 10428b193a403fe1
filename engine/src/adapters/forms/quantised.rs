//! A weight in few bits (Bi-AdaptFormer, Jie et al., 2023; methods, section 4): trained through the rounding, stored
//! as packed codes with mean and deviation.

use serde::{Deserialize, Serialize};

use super::super::legal::weight;
use super::super::setting::{on, whole};
use super::super::{AdapterKind, Illegal, Setting};
use crate::graph::{Graph, Patch, PatchBuilder, Site, SiteKind};
use crate::ops::Quantise;

/// Settings of the form. It rounds whatever weight stands there, so it is no identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quantised {
    /// Bits a weight, 1 to 4.
    pub bits: usize,
    /// The weight holds decoded codes already, as a packed file gives them: it is taken as it is. Rounding it once
    /// more would not give the same bits, since mean and deviation have moved.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub decoded: bool,
}

impl Default for Quantised {
    fn default() -> Self {
        Self { bits: 1, decoded: false }
    }
}

impl AdapterKind for Quantised {
    fn name(&self) -> &'static str {
        "Few bits"
    }

    fn description(&self) -> &'static str {
        "a weight rounded to 1 to 4 bits, trained through the rounding"
    }

    fn formula(&self) -> String {
        "(σ · code((W − μ)/σ) + μ) · x + b".to_owned()
    }

    fn place(&self) -> &'static str {
        "on a weight"
    }

    fn letter(&self) -> char {
        'Q'
    }

    fn legal(&self, _graph: &Graph, site: &Site) -> Result<(), Illegal> {
        weight(site).map(|_| ())
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        if self.decoded {
            return builder.finish();
        }
        let before = builder.weight();
        builder.coded(self.bits);
        let rounded = builder.op("weight", Quantise { bits: self.bits }, &[before]);
        builder.replace_weight(rounded);
        builder.finish()
    }

    /// None of its own.
    fn parameter_count(&self, _graph: &Graph, _site: &Site) -> u64 {
        0
    }

    /// A weight that an adapter brought is stored as codes, with mean and deviation.
    fn stored_bytes(&self, _graph: &Graph, site: &Site) -> i64 {
        let SiteKind::Weight { features_in, rows: None, .. } = site.kind else { return 0 };
        if !site.is_of_adapter() || self.decoded {
            return 0;
        }
        let values = features_in * site.width;
        let bytes = |count: usize| i64::try_from(count).unwrap_or(0);
        bytes((values * self.bits).div_ceil(8) + 8) - bytes(4 * values)
    }

    fn was_stored_as_codes(&mut self) {
        self.decoded = true;
    }

    fn identity_at_start(&self) -> bool {
        false
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting { range: (1.0, 4.0), ..Setting::width("bits", "Bits", self.bits) },
            Setting::switch("decoded", "Decoded", self.decoded),
        ]
    }

    fn assign(&mut self, name: &str, value: f64) {
        match name {
            "bits" => self.bits = whole(value),
            _ => self.decoded = on(value),
        }
    }
}
