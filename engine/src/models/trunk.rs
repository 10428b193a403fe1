//! Image transformers in Hugging Face's layout: `ViT` and DINOv2, alone or as a video model's spatial part.

use serde_json::{Value, json};

use super::block::{BlockSpec, DINOV2_NAMES, DINOV2_SWIGLU_NAMES, VIT_NAMES, stack};
use super::config::{Config, labels_json};
use super::text::FeedForward;
use super::{Architecture, ModelError};
use crate::graph::{
    Binding, Builder, Extent, Fit, Graph, Grid, Init, LinearSpec, NodeId, RegionKind, Tokens,
};
use crate::ops::{
    Add, Concat, GeluForm, Linear, MeanTokens, Patchify, PrependToken, ResizePositions, SelectToken, Tanh,
};

/// Which of the two families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `transformers`' `ViT`.
    Vit,
    /// `transformers`' DINOv2: layer scale, positions always fitted to the image, head on class and mean token.
    Dinov2,
}

/// An image transformer with all its sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageTrunk {
    /// Family.
    pub flavour: Flavour,
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads.
    pub heads: usize,
    /// Inner width of the feed-forward part.
    pub mlp: usize,
    /// Gated feed-forward part.
    pub swiglu: bool,
    /// GELU's form.
    pub gelu: GeluForm,
    /// Layer norm's epsilon.
    pub epsilon: f64,
    /// Rows and columns of the image that the position table is for.
    pub image: [usize; 2],
    /// Rows and columns of a patch.
    pub patch: [usize; 2],
    /// Colour channels.
    pub channels: usize,
    /// Whether query, key and value have biases.
    pub qkv_bias: bool,
    /// Prefix of stored names: `vit.`, `dinov2.` or nothing.
    pub prefix: String,
    /// Whether the file holds `ViT`'s pooler.
    pub pooler: bool,
    /// Class names, if there is a head.
    pub classes: Vec<String>,
    /// The config as found, written back with what changed.
    pub source: Value,
}

impl ImageTrunk {
    /// Reads a `config.json`; `has` says whether the file holds a tensor.
    pub(super) fn from_config(
        flavour: Flavour,
        config: &Value,
        has: &dyn Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let c = Config(config);
        let width = c.usize("hidden_size")?;
        let (prefix, default_epsilon) = match flavour {
            Flavour::Vit => ("vit.", 1e-12),
            Flavour::Dinov2 => ("dinov2.", 1e-6),
        };
        let prefixed = has(&format!("{prefix}embeddings.cls_token"));
        let swiglu = flavour == Flavour::Dinov2 && c.bool_or("use_swiglu_ffn", false)?;
        let mlp = match flavour {
            Flavour::Vit => c.usize_or("intermediate_size", 4 * width)?,
            Flavour::Dinov2 => {
                let hidden = width * c.usize_or("mlp_ratio", 4)?;
                if swiglu { (hidden * 2 / 3).div_ceil(8) * 8 } else { hidden }
            }
        };
        let FeedForward::Gelu(gelu) = FeedForward::named(c.text("hidden_act").unwrap_or("gelu"))? else {
            return Err(
                "an image transformer's activation should be gelu or one of its tanh forms".to_owned()
            );
        };
        let head = has("classifier.weight");
        Ok(Self {
            flavour,
            width,
            blocks: c.usize("num_hidden_layers")?,
            heads: c.usize("num_attention_heads")?,
            mlp,
            swiglu,
            gelu,
            epsilon: c.f64_or("layer_norm_eps", default_epsilon)?,
            image: c.pair("image_size")?,
            patch: c.pair("patch_size")?,
            channels: c.usize_or("num_channels", 3)?,
            qkv_bias: c.bool_or("qkv_bias", true)?,
            prefix: if prefixed { prefix.to_owned() } else { String::new() },
            pooler: has("pooler.dense.weight") || has(&format!("{prefix}pooler.dense.weight")),
            classes: if head { c.labels() } else { Vec::new() },
            source: config.clone(),
        })
    }

    /// Patches in rows and columns at the model's own resolution.
    #[must_use]
    pub const fn grid(&self) -> [usize; 2] {
        [self.image[0] / self.patch[0], self.image[1] / self.patch[1]]
    }

    pub(super) fn check(&self) -> Result<(), ModelError> {
        if self.heads == 0 || !self.width.is_multiple_of(self.heads) {
            return Err(ModelError::Sizes(format!(
                "{} heads do not divide the width {}",
                self.heads, self.width
            )));
        }
        if self.grid().contains(&0) {
            return Err(ModelError::Sizes(format!(
                "an image of {} × {} has no whole patch of {} × {}",
                self.image[0], self.image[1], self.patch[0], self.patch[1]
            )));
        }
        Ok(())
    }

    fn block_spec(&self) -> BlockSpec {
        let dinov2 = self.flavour == Flavour::Dinov2;
        BlockSpec {
            width: self.width,
            heads: self.heads,
            mlp: self.mlp,
            epsilon: self.epsilon,
            activation: FeedForward::Gelu(self.gelu),
            qkv_bias: self.qkv_bias,
            layer_scale: dinov2
                .then(|| self.source.get("layerscale_value").and_then(Value::as_f64).unwrap_or(1.0)),
            swiglu: self.swiglu,
            prefix: 1,
            mask: None,
            names: match (dinov2, self.swiglu) {
                (false, _) => VIT_NAMES,
                (true, false) => DINOV2_NAMES,
                (true, true) => DINOV2_SWIGLU_NAMES,
            },
        }
    }

    /// From patches `[batch, tokens, features]` to normed states `[batch, 1 + tokens, width]`.
    ///
    /// `pixels` gives the image's extents; `kernel` is the patch kernel without its output axis; `prefix`
    /// goes before every stored name.
    pub(super) fn states(
        &self,
        b: &mut Builder,
        patches: NodeId,
        pixels: NodeId,
        kernel: &[usize],
        fit: Fit,
        prefix: &str,
    ) -> NodeId {
        let width = self.width;
        b.tokens(Tokens { prefix: 1, grid: Grid::Patches { pixels, patch: self.patch }, masked: false });
        let x = b.region("embeddings", "Embeddings", RegionKind::Embedding, |b| {
            let stored = format!("{prefix}embeddings.patch_embeddings.projection");
            let embedded = b.linear_fitted(
                "projection",
                patches,
                &LinearSpec {
                    kernel,
                    features_out: width,
                    init: Init::XavierUniform,
                    bias: Some(Init::Zeros),
                    stored: &stored,
                },
                fit,
            );
            let token =
                b.param("cls_token", &[1, 1, width], Init::Zeros, &format!("{prefix}embeddings.cls_token"));
            let grid = self.grid();
            let table = b.param(
                "position_table",
                &[1, 1 + grid[0] * grid[1], width],
                Init::Normal { std: 0.02 },
                &format!("{prefix}embeddings.position_embeddings"),
            );
            let positions =
                b.op("positions", ResizePositions { prefix: 1, grid, patch: self.patch }, &[table, pixels]);
            let tokens = b.op("tokens", PrependToken, &[embedded, token]);
            b.op("add_positions", Add, &[tokens, positions])
        });
        let states = stack(b, x, self.blocks, &self.block_spec(), &format!("{prefix}encoder.layer"));
        let x = states.last().copied().unwrap_or(x);
        b.layer_norm("norm", x, width, self.epsilon, &format!("{prefix}layernorm"))
    }

    /// `config.json` of this trunk in Hugging Face's terms.
    pub(super) fn config_json(&self) -> Value {
        let mut config = self.source.as_object().cloned().unwrap_or_default();
        let mut set = |name: &str, value: Value| {
            config.insert(name.to_owned(), value);
        };
        let size = |pair: [usize; 2]| if pair[0] == pair[1] { json!(pair[0]) } else { json!(pair) };
        set("hidden_size", json!(self.width));
        set("num_hidden_layers", json!(self.blocks));
        set("num_attention_heads", json!(self.heads));
        set("layer_norm_eps", json!(self.epsilon));
        set("image_size", size(self.image));
        set("patch_size", size(self.patch));
        set("num_channels", json!(self.channels));
        set("qkv_bias", json!(self.qkv_bias));
        set("hidden_act", json!(if self.gelu == GeluForm::Exact { "gelu" } else { "gelu_pytorch_tanh" }));
        let (kind, name) = match self.flavour {
            Flavour::Vit => {
                set("intermediate_size", json!(self.mlp));
                ("vit", "ViT")
            }
            Flavour::Dinov2 => ("dinov2", "Dinov2"),
        };
        set("model_type", json!(kind));
        let class = if self.classes.is_empty() { "Model" } else { "ForImageClassification" };
        set("architectures", json!([format!("{name}{class}")]));
        if !self.classes.is_empty() {
            for (key, value) in labels_json(&self.classes) {
                set(&key, value);
            }
        }
        Value::Object(config)
    }
}

impl Architecture for ImageTrunk {
    fn title(&self) -> String {
        let name = match self.flavour {
            Flavour::Vit => "ViT",
            Flavour::Dinov2 => "DINOv2",
        };
        format!(
            "{name} {} × {}, patch {}, {} × {}",
            self.blocks, self.width, self.patch[0], self.image[0], self.image[1]
        )
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        self.check()?;
        let mut b = Builder::new(name, &self.title());
        let pixels = b.input(
            "pixel_values",
            vec![
                Extent::named("batch"),
                Extent::Fixed(self.channels),
                Extent::named("height"),
                Extent::named("width"),
            ],
        );
        let [rows, columns] = self.patch;
        let patches = b.op("patches", Patchify { patch: [1, rows, columns], clip: false }, &[pixels]);
        let prefix = &self.prefix;
        let states =
            self.states(&mut b, patches, pixels, &[self.channels, rows, columns], Fit::Exact, prefix);
        b.output("last_hidden_state", states);
        let token = b.op("cls", SelectToken { index: 0 }, &[states]);
        if self.flavour == Flavour::Dinov2 {
            b.output("pooler_output", token);
        } else if self.pooler {
            let pooled = pooler(&mut b, token, self.width, &format!("{prefix}pooler.dense"));
            b.output("pooler_output", pooled);
        }
        if !self.classes.is_empty() {
            let features = match self.flavour {
                Flavour::Vit => token,
                Flavour::Dinov2 => {
                    let mean = b.op("mean", MeanTokens { skip: 1 }, &[states]);
                    b.op("features", Concat { axis: 1 }, &[token, mean])
                }
            };
            let width = if self.flavour == Flavour::Dinov2 { 2 * self.width } else { self.width };
            let logits = head(&mut b, features, width, self.classes.len());
            b.output("logits", logits);
        }
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        Binding::new().with("batch", batch).with("height", self.image[0]).with("width", self.image[1])
    }

    fn config(&self) -> Value {
        self.config_json()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

/// A linear layer and tanh over one token, as `transformers` makes a `pooler_output`.
pub(super) fn pooler(b: &mut Builder, token: NodeId, width: usize, stored: &str) -> NodeId {
    b.region("pooler", "Pooler", RegionKind::Other, |b| {
        let spec = LinearSpec {
            kernel: &[width],
            features_out: width,
            init: Init::XavierUniform,
            bias: Some(Init::Zeros),
            stored,
        };
        let dense = b.linear("dense", token, &spec);
        b.op("tanh", Tanh, &[dense])
    })
}

/// The classifier: a linear layer that begins at zero, stored as `classifier`.
pub(super) fn head(b: &mut Builder, features: NodeId, width: usize, classes: usize) -> NodeId {
    head_as(b, "head", features, [width, classes], Init::Zeros, "classifier")
}

/// A classifier `[features, classes]` as a region `name` of its own, stored as `stored`.
pub(super) fn head_as(
    b: &mut Builder,
    name: &str,
    features: NodeId,
    [width, classes]: [usize; 2],
    init: Init,
    stored: &str,
) -> NodeId {
    b.region(name, "Head", RegionKind::Head, |b| {
        let weight = b.param("weight", &[classes, width], init, &format!("{stored}.weight"));
        let bias = b.param("bias", &[classes], Init::Zeros, &format!("{stored}.bias"));
        let logits = b.op("logits", Linear, &[features, weight, bias]);
        b.weight_site(logits, weight, width, classes);
        logits
    })
}
