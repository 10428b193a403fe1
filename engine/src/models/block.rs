//! The pre-norm transformer block that all architectures here share.

use crate::graph::{Builder, Init, LinearSpec, NodeId, Port, RegionKind};
use crate::ops::{Add, Attention, Gelu, GeluForm, Multiply, SwiGlu};

/// Names of a block's tensors in the file, each without `.weight` and `.bias`.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockNames {
    pub norm1: &'static str,
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

/// Sizes and flavour of a block.
#[derive(Clone, Debug)]
pub(super) struct BlockSpec {
    pub width: usize,
    pub heads: usize,
    pub mlp: usize,
    pub epsilon: f64,
    pub gelu: GeluForm,
    pub qkv_bias: bool,
    /// Learned per-channel scale of each branch, with its initial value.
    pub layer_scale: Option<f64>,
    pub swiglu: bool,
    /// Tokens before which no prompts enter.
    pub prefix: usize,
    pub names: BlockNames,
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
            let query = projection(b, "query", normed, names.query, spec.qkv_bias);
            let key = projection(b, "key", normed, names.key, spec.qkv_bias);
            let value = projection(b, "value", normed, names.value, spec.qkv_bias);
            let mixed = b.op("heads", Attention { heads: spec.heads, scale: None }, &[query, key, value]);
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
                b.op("activation", Gelu { form: spec.gelu }, &[wide])
            };
            let out = linear(b, "fc2", active, [spec.mlp, spec.width], names.fc2);
            (normed, layer_scale(b, out, spec, &stored_name(names.scale2)))
        });
        b.port(Port::P3, normed, spec.width);
        b.port(Port::P4, fed, spec.width);
        let y = b.op("add_mlp", Add, &[h, fed]);
        b.port(Port::P5, y, spec.width);
        b.sequence(x, y, spec.prefix, spec.width);
        y
    })
}

fn layer_scale(b: &mut Builder, x: NodeId, spec: &BlockSpec, stored: &str) -> NodeId {
    let Some(value) = spec.layer_scale else { return x };
    let scale = b.param("scale.weight", &[spec.width], Init::Constant(value), stored);
    b.op("scale", Multiply, &[x, scale])
}
