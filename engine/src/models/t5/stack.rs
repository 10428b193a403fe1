//! T5's encoder and decoder: stacks of pre-norm blocks without biases.

use super::T5;
use crate::graph::{Builder, Grid, Init, LinearSpec, NodeId, Port, RegionKind, Role, SubLayer, Tokens};
use crate::ops::{Add, Attention, CausalBias, Dropout, Embedding, Multiply, RelativeBias, RmsNorm};

/// What the decoder reads of the encoder.
pub(super) struct Memory {
    /// Its states, `[batch, tokens, width]`.
    pub states: NodeId,
    /// What hides its padding.
    pub padding: Option<NodeId>,
}

/// Normal with the deviation `features^-½`.
#[expect(clippy::cast_precision_loss, reason = "a width is small")]
fn normal(features: usize) -> Init {
    Init::Normal { std: (features as f64).powf(-0.5) }
}

impl T5 {
    /// Width of all heads.
    const fn inner(&self) -> usize {
        self.heads * self.head_width
    }

    fn dropped(&self, b: &mut Builder, name: &str, x: NodeId) -> NodeId {
        if self.dropout > 0.0 { b.op(name, Dropout { probability: self.dropout }, &[x]) } else { x }
    }

    fn norm(&self, b: &mut Builder, x: NodeId, stored: &str) -> NodeId {
        let gain = b.param("norm.weight", &[self.width], Init::Ones, &format!("{stored}.weight"));
        let node = b.op("norm", RmsNorm { epsilon: self.epsilon }, &[x, gain]);
        b.norm_site("norm", node, gain, None, self.width);
        node
    }

    /// The encoder's states, `[batch, tokens, width]`.
    pub(super) fn encoder(
        &self,
        b: &mut Builder,
        table: NodeId,
        ids: NodeId,
        padding: Option<NodeId>,
    ) -> NodeId {
        b.region("encoder", "Encoder", RegionKind::Transformer, |b| {
            b.tokens(Tokens { prefix: 0, grid: Grid::Row, masked: self.masked[0] });
            let mut biases = vec![self.relative(b, ids, "encoder", true)];
            biases.extend(padding);
            self.stack(b, "encoder", self.encoder_blocks, [table, ids], &biases, None)
        })
    }

    /// The decoder's states, `[batch, decoder tokens, width]`. How its tokens are made up is not declared: what mixes
    /// neighbours would look ahead.
    pub(super) fn decoder(
        &self,
        b: &mut Builder,
        table: NodeId,
        ids: NodeId,
        padding: Option<NodeId>,
        memory: &Memory,
    ) -> NodeId {
        b.region("decoder", "Decoder", RegionKind::Transformer, |b| {
            let causal = b.op("causal", CausalBias, &[ids]);
            let mut biases = vec![self.relative(b, ids, "decoder", false), causal];
            biases.extend(padding);
            self.stack(b, "decoder", self.decoder_blocks, [table, ids], &biases, Some(memory))
        })
    }

    /// The relative positions of a stack's own tokens, which its first block has learned and all of them use.
    fn relative(&self, b: &mut Builder, ids: NodeId, stack: &str, both_ways: bool) -> NodeId {
        let stored = format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        let table = b.param("relative_table", &[self.buckets, self.heads], normal(self.width), &stored);
        b.op("relative", RelativeBias { farthest: self.farthest, both_ways }, &[table, ids, ids])
    }

    fn stack(
        &self,
        b: &mut Builder,
        stored: &str,
        blocks: usize,
        [table, ids]: [NodeId; 2],
        biases: &[NodeId],
        memory: Option<&Memory>,
    ) -> NodeId {
        let embedded = b.op("embeddings", Embedding, &[table, ids]);
        let mut x = self.dropped(b, "embeddings_dropout", embedded);
        b.region("blocks", "Blocks", RegionKind::Stack, |b| {
            for index in 0..blocks {
                x = self.block(b, index, x, &format!("{stored}.block.{index}.layer"), biases, memory);
            }
        });
        let normed = self.norm(b, x, &format!("{stored}.final_layer_norm"));
        self.dropped(b, "dropout", normed)
    }

    /// One block: `h = x + attention(norm(x))`, in the decoder `h = h + cross_attention(norm(h), encoder)`, and
    /// `y = h + mlp(norm(h))`.
    fn block(
        &self,
        b: &mut Builder,
        index: usize,
        x: NodeId,
        stored: &str,
        biases: &[NodeId],
        memory: Option<&Memory>,
    ) -> NodeId {
        let width = self.width;
        b.region(&index.to_string(), &format!("Block {}", index + 1), RegionKind::Block, |b| {
            b.port(Port::P0, x, width);
            let (normed, attended) = b.region("attention", "Attention", RegionKind::Attention, |b| {
                let normed = self.norm(b, x, &format!("{stored}.0.layer_norm"));
                (normed, self.attention(b, normed, normed, biases, &format!("{stored}.0.SelfAttention")))
            });
            b.port(Port::NORMED, normed, width);
            b.port(Port::P1, attended, width);
            let mut h = b.op("add_attention", Add, &[x, attended]);
            b.port(Port::P2, h, width);
            if let Some(memory) = memory {
                h = self.cross(b, h, memory, stored);
            }
            let place = if memory.is_some() { 2 } else { 1 };
            let (normed, fed) = b.region("mlp", "MLP", RegionKind::FeedForward, |b| {
                let normed = self.norm(b, h, &format!("{stored}.{place}.layer_norm"));
                (normed, self.feed_forward(b, normed, &format!("{stored}.{place}.DenseReluDense")))
            });
            b.port(Port::P3, normed, width);
            b.port(Port::P4, fed, width);
            let y = b.op("add_mlp", Add, &[h, fed]);
            b.port(Port::P5, y, width);
            y
        })
    }

    fn cross(&self, b: &mut Builder, h: NodeId, memory: &Memory, stored: &str) -> NodeId {
        let (normed, attended) = b.region("cross_attention", "Cross-attention", RegionKind::Attention, |b| {
            let normed = self.norm(b, h, &format!("{stored}.1.layer_norm"));
            let file = format!("{stored}.1.EncDecAttention");
            (normed, self.attention(b, normed, memory.states, memory.padding.as_slice(), &file))
        });
        b.port(Port::new(SubLayer::CrossAttention, Role::Normed), normed, self.width);
        b.port(Port::new(SubLayer::CrossAttention, Role::Output), attended, self.width);
        let h = b.op("add_cross_attention", Add, &[h, attended]);
        b.port(Port::new(SubLayer::CrossAttention, Role::Added), h, self.width);
        h
    }

    /// Attention of `x` to `to`, not scaled.
    fn attention(&self, b: &mut Builder, x: NodeId, to: NodeId, biases: &[NodeId], stored: &str) -> NodeId {
        let (width, inner) = (self.width, self.inner());
        let query =
            linear(b, "query", x, [width, inner], normal(width * self.head_width), &format!("{stored}.q"));
        let key = linear(b, "key", to, [width, inner], normal(width), &format!("{stored}.k"));
        let value = linear(b, "value", to, [width, inner], normal(width), &format!("{stored}.v"));
        let inputs: Vec<NodeId> = [query, key, value].into_iter().chain(biases.iter().copied()).collect();
        let mixed = b.op("heads", Attention { heads: self.heads, scale: Some(1.0) }, &inputs);
        let out = linear(b, "output", mixed, [inner, width], normal(inner), &format!("{stored}.o"));
        self.dropped(b, "dropout", out)
    }

    fn feed_forward(&self, b: &mut Builder, x: NodeId, stored: &str) -> NodeId {
        let sizes = [self.width, self.mlp];
        let wide = |b: &mut Builder, name: &str, file: &str| {
            linear(b, name, x, sizes, normal(self.width), &format!("{stored}.{file}"))
        };
        let first = wide(b, "fc1", if self.gated { "wi_0" } else { "wi" });
        let mut active = self.activation.op(b, "activation", first);
        if self.gated {
            let gate = wide(b, "gate", "wi_1");
            active = b.op("gated", Multiply, &[active, gate]);
        }
        let active = self.dropped(b, "inner_dropout", active);
        let out = linear(b, "fc2", active, [self.mlp, self.width], normal(self.mlp), &format!("{stored}.wo"));
        self.dropped(b, "dropout", out)
    }
}

fn linear(b: &mut Builder, name: &str, x: NodeId, sizes: [usize; 2], init: Init, stored: &str) -> NodeId {
    b.linear(name, x, &LinearSpec { kernel: &[sizes[0]], features_out: sizes[1], init, bias: None, stored })
}
