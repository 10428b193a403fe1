//! The conformer's convolution module as an adapter (methods, section 13): `y + Drop(W_up · SiLU(BN(depthwise
//! convolution along time (GLU(W_down · y)))))`.

use serde::{Deserialize, Serialize};

use super::convolution::picture;
use super::legal::grid;
use super::setting::{DROPOUTS, Inner, is_default, whole};
use super::{AdapterError, AdapterKind, Illegal, Setting};
use crate::graph::{Beginning, Graph, Init, NodeId, Patch, PatchBuilder, Site, When};
use crate::ops::{
    AddLast, BatchNorm, Blend, ChannelMean, ChannelVariance, Conv2d, Dropout, GridToTokens, Multiply,
    Sigmoid, Silu, Slice, Unbias,
};

/// Settings of the module. The up-projection begins at zero, so placing it changes nothing. Tokens without a place in
/// the grid keep their bits; the convolution runs along the grid's columns, which is time where there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conformer {
    /// Channels of the convolution.
    pub width: usize,
    /// Features of the value divided by this give the width, where it is not 0.
    #[serde(skip_serializing_if = "is_default")]
    pub reduction: f64,
    /// Extent of the convolution, odd.
    pub kernel: usize,
    /// Dropout behind the up-projection.
    #[serde(skip_serializing_if = "is_default")]
    pub dropout: f64,
}

impl Default for Conformer {
    fn default() -> Self {
        Self { width: 16, reduction: 0.0, kernel: 9, dropout: 0.0 }
    }
}

/// PyTorch's share of a new batch in the running statistics.
const MOMENTUM: f64 = 0.1;

impl Conformer {
    fn width_at(&self, site: &Site) -> usize {
        Inner { width: self.width, reduction: self.reduction }.at(site.width)
    }

    /// Batch normalisation with running statistics.
    fn batch_norm(builder: &mut PatchBuilder<'_>, x: NodeId, width: usize) -> NodeId {
        let gain = builder.param("norm.weight", &[width], Init::Ones);
        let shift = builder.param("norm.bias", &[width], Init::Zeros);
        let running_mean = builder.state("norm.running_mean", &[width], Beginning::Values(Init::Zeros));
        let running_variance = builder.state("norm.running_var", &[width], Beginning::Values(Init::Ones));
        let mean = builder.op("mean", ChannelMean, &[x]);
        let variance = builder.op("variance", ChannelVariance, &[x, mean]);
        let next_mean = builder.op("next_mean", Blend { share: MOMENTUM }, &[running_mean, mean]);
        let unbiased = builder.op("unbiased", Unbias, &[variance, x]);
        let next_variance =
            builder.op("next_variance", Blend { share: MOMENTUM }, &[running_variance, unbiased]);
        builder.update(running_mean, next_mean, When::AfterBackward);
        builder.update(running_variance, next_variance, When::AfterBackward);
        let inputs = [x, mean, variance, running_mean, running_variance, gain, shift];
        builder.op("norm", BatchNorm { epsilon: 1e-5 }, &inputs)
    }
}

impl AdapterKind for Conformer {
    fn name(&self) -> &'static str {
        "Conformer"
    }

    fn description(&self) -> &'static str {
        "gated depthwise convolution along time, with batch norm"
    }

    fn formula(&self) -> String {
        "y + W_up · SiLU(BN(depthwise(GLU(W_down · y))))".to_owned()
    }

    fn place(&self) -> &'static str {
        "at a port"
    }

    fn letter(&self) -> char {
        'F'
    }

    fn legal(&self, graph: &Graph, site: &Site) -> Result<(), Illegal> {
        grid(graph, site).map(|_| ())
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let site = builder.site().clone();
        let (features, width) = (site.width, self.width_at(&site));
        let zeros = Some(Init::Zeros);
        let down = builder.linear("down", site.node, [2 * width, features], Init::KaimingUniform, zeros);
        let half = |start: usize| Slice { axis_from_end: 1, start, length: width };
        let value = builder.op("value", half(0), &[down]);
        let gate = builder.op("gate", half(width), &[down]);
        let open = builder.op("open", Sigmoid, &[gate]);
        let gated = builder.op("gated", Multiply, &[value, open]);
        let seen = picture(&mut builder, "grid", gated);
        let conv = Conv2d { stride: [1, 1], padding: [0, self.kernel / 2], groups: width };
        let kernel = [width, 1, 1, self.kernel];
        let filtered = builder.conv2d("depthwise", seen, conv, kernel, Init::KaimingUniform, zeros);
        let normed = Self::batch_norm(&mut builder, filtered, width);
        let active = builder.op("activation", Silu, &[normed]);
        let tokens = builder.op("tokens", GridToTokens, &[active]);
        let mut up = builder.linear("up", tokens, [features, width], Init::Zeros, zeros);
        if self.dropout > 0.0 {
            up = builder.op("dropout", Dropout { probability: self.dropout }, &[up]);
        }
        let sum = builder.op("add", AddLast, &[site.node, up]);
        builder.replace(sum);
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        let (features, width) = (site.width, self.width_at(site));
        let down = 2 * width * (features + 1);
        let inner = width * (self.kernel + 1) + 2 * width;
        (down + inner + features * (width + 1)) as u64
    }

    /// With the running statistics.
    fn stored_bytes(&self, graph: &Graph, site: &Site) -> i64 {
        let values = self.parameter_count(graph, site) + 2 * self.width_at(site) as u64;
        4 * i64::try_from(values).unwrap_or(i64::MAX / 8)
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        let inner = Inner { width: self.width, reduction: self.reduction };
        let [width, reduction] = inner.settings("Channels");
        vec![
            width,
            reduction,
            Setting::width("kernel", "Kernel", self.kernel),
            Setting::number("dropout", "Dropout", self.dropout, DROPOUTS),
        ]
    }

    fn size(&self) -> Option<&'static str> {
        Some("width")
    }

    fn assign(&mut self, name: &str, value: f64) {
        if Inner::assign(&mut self.width, &mut self.reduction, name, value) {
            return;
        }
        match name {
            // An even kernel has no middle; the next odd one is meant.
            "kernel" => self.kernel = whole(value) | 1,
            _ => self.dropout = value,
        }
    }

    fn check(&self) -> Result<(), AdapterError> {
        self.settings().iter().try_for_each(|setting| setting.check(self.name(), setting.value))?;
        if self.kernel % 2 == 1 {
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "a kernel is small")]
        let value = self.kernel as f64;
        let wanted = "odd, so that the convolution has a middle".to_owned();
        Err(AdapterError::Setting { kind: self.name(), setting: "kernel".to_owned(), value, wanted })
    }
}
