//! CLIP's two transformers (Radford et al., 2021) in Hugging Face's layout, as CLIP itself and `CLIPSeg` use them.

use serde_json::{Value, json};

use super::ModelError;
use super::block::{BlockNames, BlockSpec, VIT_NAMES, stack};
use super::config::Config;
use super::sizes::Sizes;
use super::text::{FeedForward, IDS};
use crate::graph::{Builder, Extent, Grid, Init, InputLeaf, LinearSpec, NodeId, RegionKind, Tokens};
use crate::ops::{
    Add, CausalBias, Embedding, LeadingRows, Patchify, PrependToken, Reshape, ResizePositions, SelectEnd,
    SelectToken,
};

/// Names of a block's tensors.
pub(super) const NAMES: BlockNames = BlockNames {
    norm1: "layer_norm1",
    query: "self_attn.q_proj",
    key: "self_attn.k_proj",
    value: "self_attn.v_proj",
    output: "self_attn.out_proj",
    norm2: "layer_norm2",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    ..VIT_NAMES
};

/// The end token's id in configs that were written wrong: the largest id is taken instead.
const WRONG_END: usize = 2;
/// CLIP's own epsilon and activation.
const EPSILON: f64 = 1e-5;
const ACTIVATION: &str = "quick_gelu";

/// The image transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionTower {
    /// Its blocks.
    pub sizes: Sizes,
    /// Rows (and columns) of the image that the position table is for.
    pub image: usize,
    /// Rows (and columns) of a patch.
    pub patch: usize,
    /// Colour channels.
    pub channels: usize,
}

/// The text transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct TextTower {
    /// Its blocks.
    pub sizes: Sizes,
    /// Rows of the token table.
    pub vocabulary: usize,
    /// Longest text.
    pub positions: usize,
    /// Id of the token that ends a text; the largest id of each text if absent.
    pub end: Option<i64>,
}

/// What a tower gives.
#[derive(Clone, Debug)]
pub(super) struct Towered {
    /// States behind each block, `[batch, tokens, width]`.
    pub states: Vec<NodeId>,
    /// The last ones, normed in the text tower.
    pub last: NodeId,
    /// One vector a sample, normed.
    pub pooled: NodeId,
}

/// Sizes with the defaults of CLIP's configs, which are left out of nested ones: width, blocks, heads and inner width.
fn sizes(c: Config<'_>, [width, blocks, heads, mlp]: [usize; 4]) -> Result<Sizes, String> {
    let sizes = Sizes {
        width: c.usize_or("hidden_size", width)?,
        blocks: c.usize_or("num_hidden_layers", blocks)?,
        heads: c.usize_or("num_attention_heads", heads)?,
        mlp: c.usize_or("intermediate_size", mlp)?,
        epsilon: c.f64_or("layer_norm_eps", EPSILON)?,
        qkv_bias: true,
        activation: c.text("hidden_act").unwrap_or(ACTIVATION).to_owned(),
    };
    FeedForward::named(&sizes.activation)?;
    Ok(sizes)
}

/// The fields of a tower's sizes, put into its config.
fn write_sizes(sizes: &Sizes, config: &mut serde_json::Map<String, Value>) {
    sizes.write(config);
    config.remove("qkv_bias");
}

/// A projection without bias `[width, features]`.
pub(super) fn project(
    b: &mut Builder,
    x: NodeId,
    name: &str,
    [width, features]: [usize; 2],
    stored: &str,
) -> NodeId {
    let init = Init::XavierUniform;
    b.linear(name, x, &LinearSpec { kernel: &[width], features_out: features, init, bias: None, stored })
}

impl VisionTower {
    pub(super) fn from_config(c: Config<'_>) -> Result<Self, String> {
        Ok(Self {
            sizes: sizes(c, [768, 12, 12, 3072])?,
            image: c.usize_or("image_size", 224)?,
            patch: c.usize_or("patch_size", 32)?,
            channels: c.usize_or("num_channels", 3)?,
        })
    }

    pub(super) fn write(&self, config: &mut serde_json::Map<String, Value>) {
        write_sizes(&self.sizes, config);
        let fields =
            [("image_size", self.image), ("patch_size", self.patch), ("num_channels", self.channels)];
        config.extend(fields.map(|(name, value)| (name.to_owned(), json!(value))));
    }

    /// Patches in a row at the tower's own resolution.
    pub(super) fn side(&self) -> Result<usize, ModelError> {
        match self.image.checked_div(self.patch) {
            Some(side) if side > 0 => Ok(side),
            _ => Err(ModelError::Sizes(format!(
                "an image of {} × {} has no whole patch of {} × {}",
                self.image, self.image, self.patch, self.patch
            ))),
        }
    }

    /// The column of pixels `[batch, channels, height, width]`.
    pub(super) fn pixels(&self, b: &mut Builder) -> NodeId {
        let [rows, columns] = ["height", "width"].map(Extent::named);
        b.input("pixel_values", vec![Extent::named("batch"), Extent::Fixed(self.channels), rows, columns])
    }

    /// The region `vision`; `prefix` goes before every stored name.
    pub(super) fn build(&self, b: &mut Builder, pixels: NodeId, prefix: &str) -> Result<Towered, ModelError> {
        let spec = BlockSpec { names: NAMES, ..self.sizes.spec(1)? };
        let side = self.side()?;
        let (width, epsilon) = (self.sizes.width, self.sizes.epsilon);
        Ok(b.region("vision", "Vision", RegionKind::Transformer, |b| {
            let grid = Grid::Patches { pixels, patch: [self.patch; 2] };
            b.tokens(Tokens { prefix: 1, grid, masked: false });
            let x = self.embeddings(b, pixels, side, prefix);
            // The name is misspelt in every checkpoint.
            let x = b.layer_norm("pre_norm", x, width, epsilon, &format!("{prefix}pre_layrnorm"));
            let states = stack(b, x, self.sizes.blocks, &spec, &format!("{prefix}encoder.layers"));
            let last = states.last().copied().unwrap_or(x);
            let token = b.op("cls", SelectToken { index: 0 }, &[last]);
            let pooled = b.layer_norm("norm", token, width, epsilon, &format!("{prefix}post_layernorm"));
            Towered { states, last, pooled }
        }))
    }

    fn embeddings(&self, b: &mut Builder, pixels: NodeId, side: usize, prefix: &str) -> NodeId {
        let (width, patch) = (self.sizes.width, self.patch);
        b.region("embeddings", "Embeddings", RegionKind::Embedding, |b| {
            let stored = |name: &str| format!("{prefix}embeddings.{name}");
            let patches = b.op("patches", Patchify { patch: [1, patch, patch], clip: false }, &[pixels]);
            let spec = LinearSpec {
                kernel: &[self.channels, patch, patch],
                features_out: width,
                init: Init::XavierUniform,
                bias: None,
                stored: &stored("patch_embedding"),
            };
            let x = b.linear("projection", patches, &spec);
            let init = Init::Normal { std: 0.02 };
            let token = b.param("cls_token", &[width], init, &stored("class_embedding"));
            let token = b.op("cls", Reshape { shape: vec![1, 1, width] }, &[token]);
            let rows = 1 + side * side;
            let table = b.param("position_table", &[rows, width], init, &stored("position_embedding.weight"));
            let table = b.op("table", Reshape { shape: vec![1, rows, width] }, &[table]);
            let fitted = ResizePositions { prefix: 1, grid: [side; 2], patch: [patch; 2] };
            let positions = b.op("positions", fitted, &[table, pixels]);
            let x = b.op("tokens", PrependToken, &[x, token]);
            b.op("add_positions", Add, &[x, positions])
        })
    }
}

impl TextTower {
    pub(super) fn from_config(c: Config<'_>) -> Result<Self, String> {
        let end = c.usize_or("eos_token_id", 49_407)?;
        Ok(Self {
            sizes: sizes(c, [512, 12, 8, 2048])?,
            vocabulary: c.usize_or("vocab_size", 49_408)?,
            positions: c.usize_or("max_position_embeddings", 77)?,
            end: if end == WRONG_END { None } else { i64::try_from(end).ok() },
        })
    }

    pub(super) fn write(&self, config: &mut serde_json::Map<String, Value>) {
        write_sizes(&self.sizes, config);
        config.insert("vocab_size".to_owned(), json!(self.vocabulary));
        config.insert("max_position_embeddings".to_owned(), json!(self.positions));
        let wrong = i64::try_from(WRONG_END).unwrap_or_default();
        config.insert("eos_token_id".to_owned(), json!(self.end.unwrap_or(wrong)));
    }

    /// The column of token ids `[texts, tokens]`; `texts` is the name of its first extent.
    pub(super) fn ids(b: &mut Builder, texts: &str) -> NodeId {
        b.column(InputLeaf::integers(IDS, vec![Extent::named(texts), Extent::named("tokens")]))
    }

    /// The region `text`; `prefix` goes before every stored name. A token sees those before it, so that padding behind
    /// the end changes nothing that is pooled.
    pub(super) fn build(&self, b: &mut Builder, ids: NodeId, prefix: &str) -> Result<Towered, ModelError> {
        let spec = BlockSpec { names: NAMES, ..self.sizes.spec(0)? };
        let (width, epsilon) = (self.sizes.width, self.sizes.epsilon);
        Ok(b.region("text", "Text", RegionKind::Transformer, |b| {
            b.tokens(Tokens { prefix: 0, grid: Grid::Row, masked: true });
            let x = b.region("embeddings", "Embeddings", RegionKind::Embedding, |b| {
                let stored = |name: &str| format!("{prefix}embeddings.{name}.weight");
                let init = Init::Normal { std: 0.02 };
                let words = b.param("table", &[self.vocabulary, width], init, &stored("token_embedding"));
                let words = b.op("words", Embedding, &[words, ids]);
                let table = [self.positions, width];
                let table = b.param("position_table", &table, init, &stored("position_embedding"));
                let positions = b.op("positions", LeadingRows, &[table, ids]);
                b.op("add_positions", Add, &[words, positions])
            });
            let mask = b.op("causal", CausalBias, &[x]);
            let spec = BlockSpec { mask: Some(mask), ..spec };
            let states = stack(b, x, self.sizes.blocks, &spec, &format!("{prefix}encoder.layers"));
            let last = states.last().copied().unwrap_or(x);
            let last = b.layer_norm("norm", last, width, epsilon, &format!("{prefix}final_layer_norm"));
            let pooled = b.op("end", SelectEnd { id: self.end }, &[last, ids]);
            Towered { states, last, pooled }
        }))
    }
}
