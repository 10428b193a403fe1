//! Residual bottleneck between two transformers (methods, section 1): `s + scale·W_up·GELU(W_down·LN(s))`. The paper
//! does not say what its adapter holds; these are the project's own forms.

use serde::{Deserialize, Serialize};

use super::legal::bridge;
use super::setting::{Choice, SCALES, is_default, is_one, whole};
use super::{AdapterKind, Illegal, Setting};
use crate::graph::{Graph, Init, NodeId, Patch, PatchBuilder, Site, SiteKind};
use crate::ops::{Add, Gelu, GeluForm, MatMul, MeanTokens, Scale, SelectToken, Softmax, Transpose, Unfold};

/// What of the first transformer the bottleneck sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BridgeForm {
    /// The vector that crosses the edge.
    #[default]
    Vector,
    /// All tokens that the vector was chosen from: each goes down, their mean goes up.
    Tokens,
    /// Their average, weighted by a learned score.
    AttentionPool,
}

impl Choice for BridgeForm {
    const ALL: &'static [Self] = &[Self::Vector, Self::Tokens, Self::AttentionPool];
    const NAMES: &'static [&'static str] = &["the vector", "all tokens", "attention pool"];
}

/// Settings of the bridge. The up-projection begins at zero, so placing it changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bridge {
    /// Bottleneck width.
    pub width: usize,
    /// Fixed factor on the branch.
    #[serde(skip_serializing_if = "is_one")]
    pub scale: f64,
    /// What it sees.
    #[serde(skip_serializing_if = "is_default")]
    pub form: BridgeForm,
}

impl Default for Bridge {
    fn default() -> Self {
        Self { width: 32, scale: 1.0, form: BridgeForm::Vector }
    }
}

/// The tokens that the value of a bridge was chosen from.
const fn tokens(site: &Site) -> Option<NodeId> {
    match site.kind {
        SiteKind::Bridge { tokens, .. } => tokens,
        _ => None,
    }
}

impl Bridge {
    fn down(&self, builder: &mut PatchBuilder<'_>, x: NodeId) -> NodeId {
        let features = builder.site().width;
        let down = builder.linear("down", x, [self.width, features], Init::XavierUniform, Some(Init::Zeros));
        builder.op("activation", Gelu { form: GeluForm::Exact }, &[down])
    }

    /// The average of tokens `[rows, tokens, width]` under a learned score, `[rows, width]`. The score begins at
    /// zero: all weigh the same.
    fn pooled(builder: &mut PatchBuilder<'_>, tokens: NodeId) -> NodeId {
        let features = builder.site().width;
        let scores = builder.linear("score", tokens, [1, features], Init::Zeros, None);
        let scores = builder.op("scores", Transpose, &[scores]);
        let weights = builder.op("weights", Softmax, &[scores]);
        let pooled = builder.op("pooled", MatMul, &[weights, tokens]);
        builder.op("vector", SelectToken { index: 0 }, &[pooled])
    }
}

impl AdapterKind for Bridge {
    fn name(&self) -> &'static str {
        "Bridge"
    }

    fn description(&self) -> &'static str {
        "residual bottleneck between two transformers"
    }

    fn formula(&self) -> String {
        match self.form {
            BridgeForm::Vector => "y + s · W_up · GELU(W_down · LN(y))".to_owned(),
            BridgeForm::Tokens => "y + s · W_up · mean over tokens t of GELU(W_down · LN(t))".to_owned(),
            BridgeForm::AttentionPool => {
                "y + s · W_up · GELU(W_down · Σ softmax(w · LN(t)) LN(t))".to_owned()
            }
        }
    }

    fn place(&self) -> &'static str {
        "between models"
    }

    fn letter(&self) -> char {
        'R'
    }

    fn legal(&self, _graph: &Graph, site: &Site) -> Result<(), Illegal> {
        bridge(site)?;
        let sees = self.form == BridgeForm::Vector || tokens(site).is_some();
        if sees { Ok(()) } else { Err(Illegal::NoTokens) }
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let site = builder.site().clone();
        let (features, y) = (site.width, site.node);
        let seen = match self.form {
            BridgeForm::Vector => y,
            BridgeForm::Tokens | BridgeForm::AttentionPool => tokens(&site).unwrap_or(y),
        };
        let normed = builder.layer_norm("norm", seen, features, 1e-6);
        let inner = match self.form {
            BridgeForm::Vector => self.down(&mut builder, normed),
            BridgeForm::Tokens => {
                let inner = self.down(&mut builder, normed);
                builder.op("mean", MeanTokens { skip: 0 }, &[inner])
            }
            BridgeForm::AttentionPool => {
                let pooled = Self::pooled(&mut builder, normed);
                self.down(&mut builder, pooled)
            }
        };
        let mut branch = builder.linear("up", inner, [features, self.width], Init::Zeros, Some(Init::Zeros));
        #[expect(clippy::float_cmp, reason = "exactly one means no scaling")]
        if self.scale != 1.0 {
            branch = builder.op("scale", Scale { factor: self.scale }, &[branch]);
        }
        if self.form != BridgeForm::Vector {
            branch = builder.op("unfold", Unfold, &[branch, y]);
        }
        let sum = builder.op("add", Add, &[y, branch]);
        builder.replace(sum);
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        let (features, width) = (site.width, self.width);
        let score = if self.form == BridgeForm::AttentionPool { features } else { 0 };
        (2 * features * width + 3 * features + width + score) as u64
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::width("width", "Width", self.width),
            Setting::choice("form", "Sees", self.form),
            Setting::number("scale", "Scale", self.scale, SCALES),
        ]
    }

    fn size(&self) -> Option<&'static str> {
        Some("width")
    }

    fn assign(&mut self, name: &str, value: f64) {
        match name {
            "width" => self.width = whole(value),
            "form" => self.form = BridgeForm::numbered(value),
            _ => self.scale = value,
        }
    }
}
