//! Base parameters that train as they are: norms, biases (BitFit; Ben Zaken et al., 2022), whole layers.

use serde::{Deserialize, Serialize};

use super::setting::{Choice, is_default};
use super::{AdapterKind, Illegal, Setting};
use crate::graph::{Graph, NodeId, NodeKind, Patch, PatchBuilder, Site, SiteKind};
use crate::tensor::elements;

/// Which parameters of the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// All of them.
    #[default]
    All,
    /// The bias, or a norm's shift.
    Bias,
}

impl Choice for What {
    const ALL: &'static [Self] = &[Self::All, Self::Bias];
    const NAMES: &'static [&'static str] = &["all", "bias"];
}

/// Settings of the un-freezing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Unfreeze {
    /// Which parameters of the place train.
    #[serde(skip_serializing_if = "is_default")]
    pub what: What,
}

impl Unfreeze {
    fn parameters(&self, graph: &Graph, site: &Site) -> Result<Vec<NodeId>, Illegal> {
        if site.is_of_adapter() {
            return Err(Illegal::OfAdapter);
        }
        let (main, bias) = match site.kind {
            SiteKind::Weight { rows: Some(_), .. } => return Err(Illegal::Fused),
            SiteKind::Weight { op, weight, .. } => (weight, graph.node(op).inputs.get(2).copied()),
            SiteKind::Norm { gain, shift } => (gain, shift),
            _ => return Err(Illegal::NothingToUnfreeze),
        };
        match self.what {
            What::All => Ok(std::iter::once(main).chain(bias).collect()),
            What::Bias => Ok(vec![bias.ok_or(Illegal::NoBias)?]),
        }
    }
}

impl AdapterKind for Unfreeze {
    fn name(&self) -> &'static str {
        "Unfreeze"
    }

    fn description(&self) -> &'static str {
        "the base's own parameters, trained"
    }

    fn formula(&self) -> String {
        "y, its parameters trained".to_owned()
    }

    fn place(&self) -> &'static str {
        "on a weight or norm"
    }

    fn letter(&self) -> char {
        'U'
    }

    fn legal(&self, graph: &Graph, site: &Site) -> Result<(), Illegal> {
        self.parameters(graph, site).map(|_| ())
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let parameters = self.parameters(builder.graph(), builder.site()).unwrap_or_default();
        for parameter in parameters {
            builder.unfreeze(parameter);
        }
        builder.finish()
    }

    fn parameter_count(&self, graph: &Graph, site: &Site) -> u64 {
        let count = |id: NodeId| match &graph.node(id).kind {
            NodeKind::Param(leaf) => elements(&leaf.shape) as u64,
            _ => 0,
        };
        self.parameters(graph, site).unwrap_or_default().into_iter().map(count).sum()
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        vec![Setting::choice("what", "Trains", self.what)]
    }

    fn assign(&mut self, _name: &str, value: f64) {
        self.what = What::numbered(value);
    }
}
