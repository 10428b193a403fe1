//! The pre-norm transformer block that all architectures here share.

use super::text::FeedForward;
use crate::graph::{Builder, Init, LinearSpec, NodeId, Port, RegionKind, RowRange};
use crate::ops::{Add, Attention, GeluForm, Multiply, Slice, SwiGlu};

/// Names of a block's tensors in the file, each without `.weight` and `.bias`.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockNames {
    pub norm1: &'static str,
    /// One layer for query, key and value; empty where they are three.
    pub qkv: &'static str,
    pub query: &'static str,
    pub key: &'static str,
    pub value: &'static str,
    pub output: &'static str,
    pub norm2: &'static str,
    pub fc1: &'static str,
    pub fc2: &'static str,
    pub scale1: &'static str,
    pub scale2: &'static str,
}

/// Hugging Face's names in `ViT`.
pub(super) const VIT_NAMES: BlockNames = BlockNames {
    norm1: "layernorm_before",
    qkv: "",
    query: "attention.attention.query",
    key: "attention.attention.key",
    value: "attention.attention.value",
    output: "attention.output.dense",
    norm2: "layernorm_after",
    fc1: "intermediate.dense",
    fc2: "output.dense",
    scale1: "",
    scale2: "",
};

/// Hugging Face's names in DINOv2.
pub(super) const DINOV2_NAMES: BlockNames = BlockNames {
    norm1: "norm1",
    qkv: "",
    query: "attention.attention.query",
    key: "attention.attention.key",
    value: "attention.attention.value",
    output: "attention.output.dense",
    norm2: "norm2",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    scale1: "layer_scale1.lambda1",
    scale2: "layer_scale2.lambda1",
};

/// The same with a gated feed-forward part.
pub(super) const DINOV2_SWIGLU_NAMES: BlockNames =
    BlockNames { fc1: "mlp.weights_in", fc2: "mlp.weights_out", ..DINOV2_NAMES };

/// Query, key and value `[batch, tokens, width]` of one fused layer `qkv`, each a named slice of it.
pub(super) fn fused_projections(
    b: &mut Builder,
    x: NodeId,
    width: usize,
    init: Init,
    bias: bool,
    stored: &str,
) -> [NodeId; 3] {
    let spec = LinearSpec {
        kernel: &[width],
        features_out: 3 * width,
        init,
        bias: bias.then_some(Init::Zeros),
        stored,
    };
    let fused = b.linear("qkv", x, &spec);
    let mut start = 0;
    ["query", "key", "value"].map(|name| {
        let rows = RowRange { start, length: width };
        start += width;
        b.slice_site(fused, name, rows);
        b.op(name, Slice { axis_from_end: 1, start: rows.start, length: width }, &[fused])
    })
}

/// Sizes and flavour of a block.
#[derive(Clone, Debug)]
pub(super) struct BlockSpec {
    pub width: usize,
    pub heads: usize,
    pub mlp: usize,
    pub epsilon: f64,
    pub activation: FeedForward,
    pub qkv_bias: bool,
    /// Learned per-channel scale of each branch, with its initial value.
    pub layer_scale: Option<f64>,
    pub swiglu: bool,
    /// Tokens before which no prompts enter.
    pub prefix: usize,
    /// What attention adds to its scores; no prompts enter a masked sequence.
    pub mask: Option<NodeId>,
    pub names: BlockNames,
}

impl BlockSpec {
    /// Width, heads and inner width of a plain block under `ViT`'s names, all else as usual.
    pub(super) const fn plain([width, heads, mlp]: [usize; 3], epsilon: f64, prefix: usize) -> Self {
        Self {
            width,
            heads,
            mlp,
            epsilon,
            activation: FeedForward::Gelu(GeluForm::Exact),
            qkv_bias: true,
            layer_scale: None,
            swiglu: false,
            prefix,
            mask: None,
            names: VIT_NAMES,
        }
    }
}

/// The list of blocks, stored as `stored.0`, `stored.1`, …; a region of its own. What each of them gives, in order.
pub(super) fn stack(
    b: &mut Builder,
    x: NodeId,
    blocks: usize,
    spec: &BlockSpec,
    stored: &str,
) -> Vec<NodeId> {
    b.region("blocks", "Blocks", RegionKind::Stack, |b| {
        let mut states = Vec::with_capacity(blocks);
        let mut last = x;
        for index in 0..blocks {
            last = block(b, index, last, spec, &format!("{stored}.{index}"));
            states.push(last);
        }
        if spec.mask.is_none() {
            b.sequence(x, last, spec.prefix, spec.width);
        }
        states
    })
}

/// One block: `h = x + attention(norm(x))`, `y = h + mlp(norm(h))`, with its ports P0–P5 as sites.
pub(super) fn block(b: &mut Builder, index: usize, x: NodeId, spec: &BlockSpec, stored: &str) -> NodeId {
    b.region(&index.to_string(), &format!("Block {}", index + 1), RegionKind::Block, |b| {
        let names = spec.names;
        let stored_name = |name: &str| format!("{stored}.{name}");
        b.port(Port::P0, x, spec.width);

        let (normed, attended) = b.region("attention", "Attention", RegionKind::Attention, |b| {
            let normed = b.layer_norm("norm", x, spec.width, spec.epsilon, &stored_name(names.norm1));
            let projection = |b: &mut Builder, name: &str, input: NodeId, file: &str, bias: bool| {
                b.linear(
                    name,
                    input,
                    &LinearSpec {
                        kernel: &[spec.width],
                        features_out: spec.width,
                        init: Init::XavierUniform,
                        bias: bias.then_some(Init::Zeros),
                        stored: &stored_name(file),
                    },
                )
            };
            let inputs = if names.qkv.is_empty() {
                [("query", names.query), ("key", names.key), ("value", names.value)]
                    .map(|(name, file)| projection(b, name, normed, file, spec.qkv_bias))
            } else {
                let stored = stored_name(names.qkv);
                fused_projections(b, normed, spec.width, Init::XavierUniform, spec.qkv_bias, &stored)
            };
            let inputs: Vec<NodeId> = inputs.into_iter().chain(spec.mask).collect();
            let mixed = b.op("heads", Attention { heads: spec.heads, scale: None }, &inputs);
            let out = projection(b, "output", mixed, names.output, true);
            (normed, layer_scale(b, out, spec, &stored_name(names.scale1)))
        });
        b.port(Port::NORMED, normed, spec.width);
        b.port(Port::P1, attended, spec.width);
        let h = b.op("add_attention", Add, &[x, attended]);
        b.port(Port::P2, h, spec.width);

        let (normed, fed) = b.region("mlp", "MLP", RegionKind::FeedForward, |b| {
            let normed = b.layer_norm("norm", h, spec.width, spec.epsilon, &stored_name(names.norm2));
            let linear = |b: &mut Builder, name: &str, input: NodeId, sizes: [usize; 2], file: &str| {
                b.linear(
                    name,
                    input,
                    &LinearSpec {
                        kernel: &[sizes[0]],
                        features_out: sizes[1],
                        init: Init::XavierUniform,
                        bias: Some(Init::Normal { std: 1e-6 }),
                        stored: &stored_name(file),
                    },
                )
            };
            let inner = if spec.swiglu { 2 * spec.mlp } else { spec.mlp };
            let wide = linear(b, "fc1", normed, [spec.width, inner], names.fc1);
            let active = if spec.swiglu {
                b.op("activation", SwiGlu, &[wide])
            } else {
                spec.activation.op(b, "activation", wide)
            };
            let out = linear(b, "fc2", active, [spec.mlp, spec.width], names.fc2);
            (normed, layer_scale(b, out, spec, &stored_name(names.scale2)))
        });
        b.port(Port::P3, normed, spec.width);
        b.port(Port::P4, fed, spec.width);
        let y = b.op("add_mlp", Add, &[h, fed]);
        b.port(Port::P5, y, spec.width);
        if spec.mask.is_none() {
            b.sequence(x, y, spec.prefix, spec.width);
        }
        y
    })
}

fn layer_scale(b: &mut Builder, x: NodeId, spec: &BlockSpec, stored: &str) -> NodeId {
    let Some(value) = spec.layer_scale else { return x };
    let scale = b.param("scale.weight", &[spec.width], Init::Constant(value), stored);
    b.op("scale", Multiply, &[x, scale])
}
