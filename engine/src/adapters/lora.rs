//! LoRA (Hu et al., 2021): `y + f·x·Aᵀ·Bᵀ` beside a linear layer or a convolution, the dense product never formed.

use serde::{Deserialize, Serialize};

use super::legal::weight;
use super::setting::{DROPOUTS, SCALES, is_default, on, whole};
use super::{AdapterKind, Illegal, Setting};
use crate::graph::{Graph, Init, Layer, NodeId, Patch, PatchBuilder, Site, SiteKind};
use crate::ops::{Add, Conv2d, DoraScale, Dropout, MatMul, Multiply, Reshape, Scale, Subtract};
use crate::tensor::elements;

/// Settings of LoRA. `A [rank, in]` begins Kaiming-uniform, `B [out, rank]` at zero. Beside a convolution `A` is a
/// convolution like it to `rank` channels, and `B` one of a single pixel (ResAdapter; methods, section 15).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lora {
    /// Rank of the delta.
    pub rank: usize,
    /// Numerator of the scale `alpha/rank`.
    pub alpha: f64,
    /// Dropout on the side path's input.
    #[serde(skip_serializing_if = "is_default")]
    pub dropout: f64,
    /// Scale `alpha/√rank` (Kalajdzievski, 2023).
    #[serde(skip_serializing_if = "is_default")]
    pub rank_stabilised: bool,
    /// Learned length of each row of the sum of weight and delta (DoRA, Liu et al., 2024).
    #[serde(skip_serializing_if = "is_default")]
    pub dora: bool,
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, dropout: 0.0, rank_stabilised: false, dora: false }
    }
}

impl Lora {
    /// The factor on the product of `B` and `A`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rank is small")]
    pub fn factor(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rank_stabilised { rank.sqrt() } else { rank }
    }

    /// The side path's two layers.
    fn path(&self, builder: &mut PatchBuilder<'_>, x: NodeId) -> [NodeId; 2] {
        let (shape, width) = (builder.weight_shape(), builder.site().width);
        let SiteKind::Weight { op, layer, .. } = builder.site().kind else {
            unreachable!("only weights are legal")
        };
        let (start, up) = (Init::KaimingUniform, [width, self.rank]);
        let conv = match &builder.graph().node(op).kind {
            crate::graph::NodeKind::Op(op) if layer == Layer::Conv => op.as_conv2d(),
            _ => None,
        };
        if let (Some(conv), &[_, channels, rows, columns]) = (conv, &shape[..]) {
            let kernel = [self.rank, channels, rows, columns];
            let down = builder.conv2d("A", x, conv, kernel, start, None);
            let single = Conv2d { stride: [1, 1], padding: [0, 0], groups: 1 };
            return [down, builder.conv2d("B", down, single, [up[0], up[1], 1, 1], Init::Zeros, None)];
        }
        let down = builder.linear("A", x, [self.rank, elements(&shape[1..])], start, None);
        [down, builder.linear("B", down, up, Init::Zeros, None)]
    }

    /// DoRA: the layer without its bias and the side path, both stretched row by row to the learned length. Gives
    /// what is added to the layer's output, and what to its weight `[out, in]`.
    fn stretched(
        &self,
        builder: &mut PatchBuilder<'_>,
        [side, delta]: [NodeId; 2],
        [a, b]: [NodeId; 2],
    ) -> [NodeId; 2] {
        let SiteKind::Weight { op, layer, .. } = builder.site().kind else {
            unreachable!("only weights are legal")
        };
        let (shape, width) = (builder.weight_shape(), builder.site().width);
        let bias = builder.graph().node(op).inputs.get(2).copied();
        let like_output = |builder: &mut PatchBuilder<'_>, name: &str, value: NodeId| match layer {
            Layer::Linear => value,
            Layer::Conv => builder.op(name, Reshape { shape: vec![1, width, 1, 1] }, &[value]),
        };
        let w = builder.weight();
        let magnitude = builder.param("magnitude", &[width], Init::Zeros);
        let stretch = builder.op("stretch", DoraScale { factor: self.factor() }, &[w, a, b, magnitude]);
        let over = like_output(builder, "stretch_channels", stretch);
        let plain = match bias {
            None => op,
            Some(bias) => {
                let bias = like_output(builder, "bias_channels", bias);
                builder.op("plain", Subtract, &[op, bias])
            }
        };
        let [plain_long, side_long] = [("plain_stretched", plain), ("side_stretched", side)]
            .map(|(name, value)| builder.op(name, Multiply, &[value, over]));
        let more = builder.op("lengthened", Subtract, &[plain_long, plain]);
        let output = builder.op("output", Add, &[more, side_long]);
        // The same of the weight.
        let rows = builder.op("stretch_rows", Reshape { shape: vec![width, 1] }, &[stretch]);
        let matrix = if shape.len() == 2 {
            w
        } else {
            builder.op("matrix", Reshape { shape: vec![width, elements(&shape[1..])] }, &[w])
        };
        let sum = builder.op("direction", Add, &[matrix, delta]);
        let long = builder.op("weight_stretched", Multiply, &[sum, rows]);
        let delta = builder.op("weight_delta", Subtract, &[long, matrix]);
        [output, delta]
    }
}

impl AdapterKind for Lora {
    fn name(&self) -> &'static str {
        "LoRA"
    }

    fn description(&self) -> &'static str {
        "low-rank side path beside a layer"
    }

    fn formula(&self) -> String {
        let factor = if self.rank_stabilised { "α/√r" } else { "α/r" };
        if self.dora {
            format!("m · (W + {factor} · B · A)/‖W + {factor} · B · A‖ · x + b")
        } else {
            format!("y + {factor} · B · A · x")
        }
    }

    fn place(&self) -> &'static str {
        "beside a weight"
    }

    fn letter(&self) -> char {
        'L'
    }

    fn legal(&self, graph: &Graph, site: &Site) -> Result<(), Illegal> {
        weight(site)?;
        let SiteKind::Weight { op, rows, layer, .. } = site.kind else { return Err(Illegal::NotAWeight) };
        if self.dora && rows.is_some() {
            return Err(Illegal::Fused);
        }
        match &graph.node(op).kind {
            crate::graph::NodeKind::Op(op) if layer == Layer::Conv => match op.as_conv2d() {
                Some(conv) if conv.groups == 1 => Ok(()),
                _ => Err(Illegal::Grouped),
            },
            _ => Ok(()),
        }
    }

    fn patch(&self, mut builder: PatchBuilder<'_>) -> Patch {
        let Some(input) = builder.weight_input() else {
            unreachable!("a weight site has a layer with an input")
        };
        let x = if self.dropout > 0.0 {
            builder.op("dropout", Dropout { probability: self.dropout }, &[input])
        } else {
            input
        };
        let [down, up] = self.path(&mut builder, x);
        let factor = self.factor();
        let mut output = builder.op("scale", Scale { factor }, &[up]);
        let (a, b) = (builder.weight_of(down), builder.weight_of(up));
        let matrices = [("A_matrix", a), ("B_matrix", b)].map(|(name, value)| builder.matrix(name, value));
        let product = builder.op("product", MatMul, &[matrices[1], matrices[0]]);
        let mut delta = builder.op("delta", Scale { factor }, &[product]);
        if self.dora {
            [output, delta] = self.stretched(&mut builder, [output, delta], [a, b]);
        }
        let delta = builder.like_weight(delta);
        builder.add_beside(output, delta);
        builder.finish()
    }

    fn parameter_count(&self, _graph: &Graph, site: &Site) -> u64 {
        let SiteKind::Weight { features_in, .. } = site.kind else { return 0 };
        let lengths = if self.dora { site.width } else { 0 };
        (self.rank * (features_in + site.width) + lengths) as u64
    }

    fn identity_at_start(&self) -> bool {
        true
    }

    fn settings(&self) -> Vec<Setting> {
        vec![
            Setting::width("rank", "Rank", self.rank),
            Setting::number("alpha", "Alpha", self.alpha, SCALES),
            Setting::number("dropout", "Dropout", self.dropout, DROPOUTS),
            Setting::switch("rank_stabilised", "Rank-stabilised", self.rank_stabilised),
            Setting::switch("dora", "DoRA", self.dora),
        ]
    }

    fn size(&self) -> Option<&'static str> {
        Some("rank")
    }

    fn assign(&mut self, name: &str, value: f64) {
        match name {
            "rank" => self.rank = whole(value),
            "alpha" => self.alpha = value,
            "rank_stabilised" => self.rank_stabilised = on(value),
            "dora" => self.dora = on(value),
            _ => self.dropout = value,
        }
    }
}
