//! `CLIPSeg` (Lüddecke and Ecker, 2022) in Hugging Face's layout: a mask of an image for a text. States of a few blocks of
//! CLIP's image transformer go through a small decoder, one of whose inputs the text scales and shifts (`FiLM`).
//!
//! Three kinds of edges are bridges: the condition, the extracted states on their way to the decoder, and the text's end
//! behind the same blocks on its way to the condition. Over the last ones comes nothing but what an adapter there adds
//! (VLSM-Adapter, arXiv 2405.06196).

use serde_json::{Value, json};

use super::clip_towers::{NAMES, TextTower, Towered, VisionTower, project};
use super::config::Config;
use super::open::Stored;
use super::text::{FeedForward, boxed};
use super::{Architecture, ModelError};
use crate::graph::{
    Binding, Builder, Fit, Graph, Grid, Init, LinearSpec, NodeId, Port, RegionKind, SiteKind, Tokens,
};
use crate::ops::{
    Add, Attention, Conv2d, ConvTranspose2d, GridOf, Identity, L2Normalise, Multiply, Relu, SelectEnd,
    Similarities, Squeeze, Subtract, TokensToGrid, Transpose, Unsqueeze,
};

/// `model_type` in `config.json`.
pub(super) const MODEL_TYPE: &str = "clipseg";

/// A text-prompted segmenter with all its sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipSeg {
    /// The image transformer.
    pub vision: VisionTower,
    /// The text transformer.
    pub text: TextTower,
    /// Features that both are projected to.
    pub projection: usize,
    /// Blocks whose states the decoder reads, from 0 on; it begins with the last of them.
    pub extract: Vec<usize>,
    /// Width of the decoder.
    pub reduce: usize,
    /// Attention heads of the decoder.
    pub heads: usize,
    /// Inner width of its feed-forward parts.
    pub mlp: usize,
    /// Which of the decoder's blocks the text conditions, from 0 on.
    pub conditional: usize,
    /// Whether pixels come by three convolutions rather than by one.
    pub complex: bool,
    /// The config as found, written back with what changed.
    pub source: Value,
}

/// A folder's model.
pub(super) fn read(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    Ok(boxed(ClipSeg::from_config(stored.config).map_err(|why| stored.wrong(why))?))
}

impl ClipSeg {
    /// Reads a `config.json`.
    pub(super) fn from_config(config: &Value) -> Result<Self, String> {
        let c = Config(config);
        let extract = match config.get("extract_layers").filter(|given| !given.is_null()) {
            None => vec![3, 6, 9],
            Some(given) => serde_json::from_value(given.clone()).map_err(|_| {
                format!("`extract_layers` in config.json should be a list of blocks, found {given}")
            })?,
        };
        Ok(Self {
            vision: VisionTower::from_config(c.section("vision_config"))?,
            text: TextTower::from_config(c.section("text_config"))?,
            projection: c.usize_or("projection_dim", 512)?,
            extract,
            reduce: c.usize_or("reduce_dim", 64)?,
            heads: c.usize_or("decoder_num_attention_heads", 4)?,
            mlp: c.usize_or("decoder_intermediate_size", 2048)?,
            conditional: c.usize_or("conditional_layer", 0)?,
            complex: c.bool_or("use_complex_transposed_convolution", false)?,
            source: config.clone(),
        })
    }

    fn check(&self) -> Result<(), ModelError> {
        if self.heads == 0 || !self.reduce.is_multiple_of(self.heads) {
            return Err(ModelError::Sizes(format!(
                "{} heads do not divide the decoder's width {}",
                self.heads, self.reduce
            )));
        }
        let blocks = self.vision.sizes.blocks;
        if self.extract.is_empty() || self.extract.iter().any(|block| *block >= blocks) {
            return Err(ModelError::Sizes(format!(
                "the decoder should read some of the blocks 0 to {}, not {:?}",
                blocks.saturating_sub(1),
                self.extract
            )));
        }
        if self.complex && !self.vision.patch.is_multiple_of(4) {
            return Err(ModelError::Sizes(format!(
                "a patch of {} pixels does not come by two steps of a quarter of it",
                self.vision.patch
            )));
        }
        Ok(())
    }

    /// What the text asks for, `[batch, projection]`: its projected vector, and what adapters add at its inner blocks.
    fn condition(&self, b: &mut Builder, ids: NodeId, text: &Towered, embed: NodeId) -> NodeId {
        let (from, to) = (b.path("text"), b.path("decoder"));
        b.region("condition", "Condition", RegionKind::Other, |b| {
            let bridge =
                |from: &str| SiteKind::Bridge { from: from.to_owned(), to: to.clone(), tokens: None };
            let mut condition = b.op("text", Identity, &[embed]);
            b.site("text", bridge(&from), condition, self.projection);
            if self.text.sizes.width != self.projection {
                return condition;
            }
            for &block in &self.extract {
                let Some(state) = text.states.get(block) else { continue };
                let end = b.op(&format!("end_{block}"), SelectEnd { id: self.text.end }, &[*state, ids]);
                let name = format!("text_{block}");
                let edge = b.op(&name, Identity, &[end]);
                b.site(&name, bridge(&from), edge, self.text.sizes.width);
                let added = b.op(&format!("added_{block}"), Subtract, &[edge, end]);
                condition = b.op(&format!("with_{block}"), Add, &[condition, added]);
            }
            condition
        })
    }

    /// A linear layer of the decoder.
    fn linear(b: &mut Builder, name: &str, x: NodeId, [from, to]: [usize; 2], stored: &str) -> NodeId {
        let spec = LinearSpec {
            kernel: &[from],
            features_out: to,
            init: Init::XavierUniform,
            bias: Some(Init::Zeros),
            stored,
        };
        b.linear(name, x, &spec)
    }

    /// A post-norm block: `h = norm₁(x + attention(x))`, `y = norm₂(h + mlp(h))`.
    fn block(&self, b: &mut Builder, index: usize, x: NodeId) -> NodeId {
        let (width, epsilon) = (self.reduce, self.vision.sizes.epsilon);
        let stored = |name: &str| format!("decoder.layers.{index}.{name}");
        b.region(&index.to_string(), &format!("Block {}", index + 1), RegionKind::Block, |b| {
            b.port(Port::P0, x, width);
            let attended = b.region("attention", "Attention", RegionKind::Attention, |b| {
                let inputs = [("query", NAMES.query), ("key", NAMES.key), ("value", NAMES.value)]
                    .map(|(name, file)| Self::linear(b, name, x, [width, width], &stored(file)));
                let mixed = b.op("heads", Attention { heads: self.heads, scale: None }, &inputs);
                Self::linear(b, "output", mixed, [width, width], &stored(NAMES.output))
            });
            b.port(Port::P1, attended, width);
            let sum = b.op("add_attention", Add, &[x, attended]);
            let h = b.layer_norm("attention_norm", sum, width, epsilon, &stored(NAMES.norm1));
            b.port(Port::P2, h, width);
            let fed = b.region("mlp", "MLP", RegionKind::FeedForward, |b| {
                let wide = Self::linear(b, "fc1", h, [width, self.mlp], &stored(NAMES.fc1));
                let active = FeedForward::Relu.op(b, "activation", wide);
                Self::linear(b, "fc2", active, [self.mlp, width], &stored(NAMES.fc2))
            });
            b.port(Port::P4, fed, width);
            let sum = b.op("add_mlp", Add, &[h, fed]);
            let y = b.layer_norm("mlp_norm", sum, width, epsilon, &stored(NAMES.norm2));
            b.port(Port::P5, y, width);
            b.sequence(x, y, 1, width);
            y
        })
    }

    /// `x` scaled and shifted by what linear layers make of the condition.
    fn film(&self, b: &mut Builder, x: NodeId, condition: NodeId) -> NodeId {
        let sizes = [self.projection, self.reduce];
        let [factor, shift] = ["film_mul", "film_add"].map(|name| {
            let vector = Self::linear(b, name, condition, sizes, &format!("decoder.{name}"));
            b.op(&format!("{name}_tokens"), Unsqueeze { axis: 1 }, &[vector])
        });
        let scaled = b.op("scaled", Multiply, &[x, factor]);
        b.op("conditioned", Add, &[scaled, shift])
    }

    /// States of the extracted blocks to decoded tokens `[batch, 1 + tokens, reduce]`.
    fn decoder(&self, b: &mut Builder, pixels: NodeId, vision: &Towered, condition: NodeId) -> NodeId {
        let (from, to) = (b.path("vision"), b.path("decoder"));
        b.region("decoder", "Decoder", RegionKind::Transformer, |b| {
            let grid = Grid::Patches { pixels, patch: [self.vision.patch; 2] };
            b.tokens(Tokens { prefix: 1, grid, masked: false });
            let mut x: Option<NodeId> = None;
            for (index, &block) in self.extract.iter().rev().enumerate() {
                let (name, width) = (format!("extracted_{block}"), self.vision.sizes.width);
                let state = b.op(&name, Identity, &[vision.states[block]]);
                let bridge = SiteKind::Bridge { from: from.clone(), to: to.clone(), tokens: None };
                b.site(&name, bridge, state, width);
                let stored = format!("decoder.reduces.{index}");
                let reduced =
                    Self::linear(b, &format!("reduce_{index}"), state, [width, self.reduce], &stored);
                let mut own = match x {
                    Some(before) => b.op(&format!("join_{index}"), Add, &[reduced, before]),
                    None => reduced,
                };
                if index == self.conditional {
                    own = self.film(b, own, condition);
                }
                let out = b.region("blocks", "Blocks", RegionKind::Stack, |b| self.block(b, index, own));
                x = Some(out);
            }
            x.unwrap_or(condition)
        })
    }

    /// Tokens to one value a pixel, `[batch, height, width]`.
    fn mask(&self, b: &mut Builder, tokens: NodeId, pixels: NodeId) -> NodeId {
        let (reduce, patch) = (self.reduce, self.vision.patch);
        b.region("mask", "Mask", RegionKind::Head, |b| {
            let grid = GridOf::Patches([patch; 2]);
            let x = b.op("grid", TokensToGrid { grid }, &[tokens, pixels]);
            let stored = |place: &str| format!("decoder.transposed_convolution{place}");
            let picture = if self.complex {
                let (half, quarter) = (reduce / 2, patch / 4);
                let spec = LinearSpec {
                    kernel: &[reduce, 3, 3],
                    features_out: reduce,
                    init: Init::XavierUniform,
                    bias: Some(Init::Zeros),
                    stored: &stored(".0"),
                };
                let same = Conv2d { stride: [1, 1], padding: [1, 1], groups: 1 };
                let x = b.conv2d("conv", x, same, &spec);
                let x = b.op("conv_active", Relu, &[x]);
                let x = transposed(b, "coarse", x, [reduce, half, quarter], &stored(".2"));
                let x = b.op("coarse_active", Relu, &[x]);
                transposed(b, "fine", x, [half, 1, quarter], &stored(".4"))
            } else {
                transposed(b, "pixels", x, [reduce, 1, patch], &stored(""))
            };
            b.op("logits", Squeeze { axis: 1 }, &[picture])
        })
    }
}

/// A transposed convolution `[channels, out, step]` whose kernel is as wide as its stride.
fn transposed(
    b: &mut Builder,
    name: &str,
    x: NodeId,
    [channels, out, step]: [usize; 3],
    stored: &str,
) -> NodeId {
    let init = Init::XavierUniform;
    let shape = [channels, out, step, step];
    let weight = b.param(&format!("{name}.weight"), &shape, init, &format!("{stored}.weight"));
    let bias = b.param(&format!("{name}.bias"), &[out], Init::Zeros, &format!("{stored}.bias"));
    b.op(name, ConvTranspose2d { stride: [step; 2], padding: [0, 0] }, &[x, weight, bias])
}

impl Architecture for ClipSeg {
    fn title(&self) -> String {
        let (vision, text) = (&self.vision.sizes, &self.text.sizes);
        format!(
            "CLIPSeg, images {} × {}, text {} × {}, decoder {} × {}",
            vision.blocks,
            vision.width,
            text.blocks,
            text.width,
            self.extract.len(),
            self.reduce
        )
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        self.check()?;
        let mut b = Builder::new(name, &self.title());
        let pixels = self.vision.pixels(&mut b);
        let ids = TextTower::ids(&mut b, "batch");
        let vision = self.vision.build(&mut b, pixels, "clip.vision_model.")?;
        let text = self.text.build(&mut b, ids, "clip.text_model.")?;
        let [image_embed, text_embed] = [
            ("visual_projection", vision.pooled, self.vision.sizes.width),
            ("text_projection", text.pooled, self.text.sizes.width),
        ]
        .map(|(name, x, width)| project(&mut b, x, name, [width, self.projection], &format!("clip.{name}")));
        let condition = self.condition(&mut b, ids, &text, text_embed);
        b.output("conditional_embeddings", condition);
        b.output("pooled_output", image_embed);
        let decoded = self.decoder(&mut b, pixels, &vision, condition);
        let logits = self.mask(&mut b, decoded, pixels);
        b.output("logits", logits);
        // CLIP's own answer: what keeps the rest of its tensors in the model, and costs nothing where it is not asked for.
        b.region("similarity", "Similarity", RegionKind::Head, |b| {
            let [image, text] =
                [("image", image_embed), ("text", text_embed)].map(|(name, x)| b.op(name, L2Normalise, &[x]));
            let start = Init::Constant(super::clip::LOG_SCALE);
            let scale = b.param_fitted("log_scale", &[1], start, "clip.logit_scale", Fit::Scalar);
            let per_image = b.op("per_image", Similarities, &[image, text, scale]);
            b.output("logits_per_image", per_image);
            let per_text = b.op("per_text", Transpose, &[per_image]);
            b.output("logits_per_text", per_text);
        });
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        let image = self.vision.image;
        let binding = Binding::new().with("batch", batch).with("height", image).with("width", image);
        binding.with("tokens", self.text.positions)
    }

    fn config(&self) -> Value {
        let mut config = self.source.as_object().cloned().unwrap_or_default();
        let section = |name: &str| {
            let found = self.source.get(name).and_then(Value::as_object);
            found.cloned().unwrap_or_default()
        };
        let (mut vision, mut text) = (section("vision_config"), section("text_config"));
        self.vision.write(&mut vision);
        self.text.write(&mut text);
        let fields = [
            ("model_type", json!(MODEL_TYPE)),
            ("architectures", json!(["CLIPSegForImageSegmentation"])),
            ("vision_config", Value::Object(vision)),
            ("text_config", Value::Object(text)),
            ("projection_dim", json!(self.projection)),
            ("extract_layers", json!(self.extract)),
            ("reduce_dim", json!(self.reduce)),
            ("decoder_num_attention_heads", json!(self.heads)),
            ("decoder_intermediate_size", json!(self.mlp)),
            ("conditional_layer", json!(self.conditional)),
            ("use_complex_transposed_convolution", json!(self.complex)),
        ];
        config.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(config)
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}
