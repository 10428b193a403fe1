//! What transformers in Hugging Face's layout share: sizes as their configs name them, learned tokens before a sequence.

use serde_json::{Value, json};

use super::ModelError;
use super::block::BlockSpec;
use super::config::Config;
use super::text::{FeedForward, check_heads};
use crate::graph::{Builder, Init, NodeId};
use crate::ops::{Add, PrependToken, Scale};

/// Sizes of a plain transformer as Hugging Face's configs name them.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes {
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads.
    pub heads: usize,
    /// Inner width of the feed-forward part.
    pub mlp: usize,
    /// Layer norm's epsilon.
    pub epsilon: f64,
    /// Whether query, key and value have biases.
    pub qkv_bias: bool,
    /// Name of the activation.
    pub activation: String,
}

impl Sizes {
    /// Reads the fields of a `config.json`.
    pub(super) fn from_config(c: Config<'_>, epsilon: f64, activation: &str) -> Result<Self, String> {
        let width = c.usize("hidden_size")?;
        let sizes = Self {
            width,
            blocks: c.usize("num_hidden_layers")?,
            heads: c.usize("num_attention_heads")?,
            mlp: c.usize_or("intermediate_size", 4 * width)?,
            epsilon: c.f64_or("layer_norm_eps", epsilon)?,
            qkv_bias: c.bool_or("qkv_bias", true)?,
            activation: c.text("hidden_act").unwrap_or(activation).to_owned(),
        };
        FeedForward::named(&sizes.activation)?;
        Ok(sizes)
    }

    /// Blocks behind `prefix` tokens without a place.
    pub(super) fn spec(&self, prefix: usize) -> Result<BlockSpec, ModelError> {
        check_heads(self.heads, self.width)?;
        let activation = FeedForward::named(&self.activation).map_err(ModelError::Sizes)?;
        let plain = BlockSpec::plain([self.width, self.heads, self.mlp], self.epsilon, prefix);
        Ok(BlockSpec { activation, qkv_bias: self.qkv_bias, ..plain })
    }

    /// The fields, put into a config.
    pub(super) fn write(&self, config: &mut serde_json::Map<String, Value>) {
        let fields = [
            ("hidden_size", json!(self.width)),
            ("num_hidden_layers", json!(self.blocks)),
            ("num_attention_heads", json!(self.heads)),
            ("intermediate_size", json!(self.mlp)),
            ("layer_norm_eps", json!(self.epsilon)),
            ("qkv_bias", json!(self.qkv_bias)),
            ("hidden_act", json!(self.activation)),
        ];
        config.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    }
}

/// A learned token of its own `[1, 1, width]`, put before a sequence.
pub(super) fn prepend(b: &mut Builder, x: NodeId, name: &str, width: usize, stored: &str) -> NodeId {
    let token = b.param(name, &[1, 1, width], Init::Zeros, stored);
    b.op(&format!("with_{name}"), PrependToken, &[x, token])
}

/// The mean of two values.
pub(super) fn mean_of_two(b: &mut Builder, name: &str, pair: [NodeId; 2]) -> NodeId {
    let sum = b.op(&format!("{name}_sum"), Add, &pair);
    b.op(name, Scale { factor: 0.5 }, &[sum])
}
