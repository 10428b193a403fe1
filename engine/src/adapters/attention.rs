//! A small transformer layer in reduced width (methods, section 8): down-projection, GELU, one pre-norm layer of
//! attention and feed-forward part, up-projection, added to the port's value.

use serde::{Deserialize, Serialize};

use super::legal::grid;
use super::setting::{Inner, whole};
use super::{AdapterKind, Illegal, Setting};
use crate::graph::{Graph, Init, Patch, PatchBuilder, Site};
use crate::ops::{Add, Attention, Gelu, GeluForm};

/// Settings of the layer. The up-projection begins at zero, so placing it changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttentionAdapter {
    /// Width of the layer; a multiple of the width of a head is taken, upwards.
    pub width: usize,
    /// Features of the value divided by this give the width, where it is not 0.
    pub reduction: f64,
    /// Width of a head.
    pub head_width: usize,
}

impl Default for AttentionAdapter {
    fn default() -> Self {
        Self { width: 32, reduction: 8.0, head_width: 4 }
    }
}

impl AttentionAdapter {
    fn width_at(&self, site: &Site) -> usize {
        Inner { width: self.width, reduction: self.reduction }
            .at(site.width)
            .next_multiple_of(self.head_width.max(1))
    }
}

impl AdapterKind for AttentionAdapter {
    fn name(&self) -> &'static str {
        "Attention"
    }

    fn description(&self) -> &'static str {
        "a small transformer layer in reduced width"
    }

    fn formula(&self) -> String {
        "y + W_up · (h + FFN(LN(h))), h = d + Attn(LN(d)), d = GELU(W_down · y)".to_owned()
    }

    fn place(&self) -> &'static str {
        "at a port"
    }

    fn letter(&self) -> char {
        'A'
    }

    fn legal(&self, graph: &Graph, site: &Site) -> Result<(), Illegal> {
        if grid(graph, site)?.masked { Err(Illegal::Masked) } else { Ok(()) }
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let site = builder.site().clone();
        let (features, width) = (site.width, self.width_at(&site));
        let zeros = Some(Init::Zeros);
        let square = |b: &mut PatchBuilder<'_>, name: &str, x| {
            b.linear(name, x, [width, width], Init::XavierUniform, zeros)
        };
        let b = &mut builder;
        let down = b.linear("down", site.node, [width, features], Init::KaimingUniform, zeros);
        let d = b.op("activation", Gelu { form: GeluForm::Exact }, &[down]);
        let normed = b.layer_norm("attention_norm", d, width, 1e-5);
        let [query, key, value] = ["query", "key", "value"].map(|name| square(b, name, normed));
        let attention = Attention { heads: width / self.head_width, scale: None };
        let mixed = b.op("heads", attention, &[query, key, value]);
        let out = square(b, "output", mixed);
        let h = b.op("add_attention", Add, &[d, out]);
        let normed = b.layer_norm("mlp_norm", h, width, 1e-5);
        let wide = b.linear("fc1", normed, [2 * width, width], Init::XavierUniform, zeros);
        let active = b.op("mlp_activation", Gelu { form: GeluForm::Exact }, &[wide]);
        let fed = b.linear("fc2", active, [width, 2 * width], Init::XavierUniform, zeros);
        let y = b.op("add_mlp", Add, &[h, fed]);
        let up = b.linear("up", y, [features, width], Init::Zeros, zeros);
        let sum = b.op("add", Add, &[site.node, up]);
        builder.replace(sum);
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        let (features, width) = (site.width, self.width_at(site));
        let projections = 2 * features * width + features + width;
        let attention = 4 * width * (width + 1);
        let feed_forward = 4 * width * width + 3 * width;
        (projections + attention + feed_forward + 4 * width) as u64
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        let inner = Inner { width: self.width, reduction: self.reduction };
        let [width, reduction] = inner.settings("Width");
        vec![width, reduction, Setting::width("head_width", "Head width", self.head_width)]
    }

    fn size(&self) -> Option<&'static str> {
        Some("width")
    }

    fn assign(&mut self, name: &str, value: f64) {
        if !Inner::assign(&mut self.width, &mut self.reduction, name, value) {
            self.head_width = whole(value);
        }
    }
}
