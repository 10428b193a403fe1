//! Image transformers under timm's names: one fused layer for query, key and value, `blocks.0.norm1`, `mlp.fc1`.
//!
//! timm's `config.json` has no `model_type` but an `architecture`; sizes are those of the tensors, and heads follow from
//! the architecture's name where no `num_heads` is given.

use serde_json::{Value, json};

use super::block::{BlockNames, BlockSpec, VIT_NAMES, stack};
use super::config::Config;
use super::open::Stored;
use super::sizes::prepend;
use super::text::{FeedForward, boxed};
use super::trunk::head_as;
use super::{Architecture, ModelError};
use crate::graph::{Binding, Builder, Extent, Graph, Grid, Init, LinearSpec, NodeId, RegionKind, Tokens};
use crate::ops::{Add, GeluForm, MeanTokens, Patchify, ResizePositions, SelectToken};

/// What stands in the place of a `model_type`.
pub(super) const MODEL_TYPE: &str = "timm";

/// timm's names of a block's tensors.
const NAMES: BlockNames = BlockNames {
    norm1: "norm1",
    qkv: "attn.qkv",
    output: "attn.proj",
    norm2: "norm2",
    fc1: "mlp.fc1",
    fc2: "mlp.fc2",
    scale1: "ls1.gamma",
    scale2: "ls2.gamma",
    ..VIT_NAMES
};

/// timm's epsilon in all its image transformers.
const EPSILON: f64 = 1e-6;
/// More than any of them has.
const MOST_BLOCKS: usize = 1000;
/// Width of a head where no table says otherwise.
const HEAD: usize = 64;
/// Architectures whose heads are not 64 wide, by a part of their name, with their number of heads.
const HEADS: [(&str, usize); 4] = [("huge", 16), ("giant", 16), ("gigantic", 16), ("so400m", 16)];

/// An image transformer of timm with all its sizes.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in timm")]
pub struct TimmVit {
    /// timm's name of it.
    pub architecture: String,
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads.
    pub heads: usize,
    /// Inner width of the feed-forward part.
    pub mlp: usize,
    /// Rows and columns of the image that the position table is for.
    pub image: [usize; 2],
    /// Rows and columns of a patch.
    pub patch: [usize; 2],
    /// Colour channels.
    pub channels: usize,
    /// Whether query, key and value have biases.
    pub qkv_bias: bool,
    /// Whether each branch has a learned scale.
    pub layer_scale: bool,
    /// Whether a distillation token follows the class token, with a head of its own if there are heads.
    pub distilled: bool,
    /// Whether the head reads the mean of the patches rather than the class token.
    pub average: bool,
    /// Class names, if there is a head.
    pub classes: Vec<String>,
    /// The config as found, written back with what changed.
    pub source: Value,
}

/// Whether a folder without `model_type` is one of timm's image transformers.
pub(super) fn is(stored: &Stored<'_>) -> bool {
    stored.config.get("architecture").is_some() && stored.has("blocks.0.attn.qkv.weight")
}

/// A folder's model, with a head for the data's classes.
pub(super) fn read(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    let mut model = TimmVit::from_stored(stored).map_err(|why| stored.wrong(why))?;
    if let Some(data) = stored.data {
        model.classes.clone_from(&data.classes);
    }
    Ok(boxed(model))
}

impl TimmVit {
    /// Reads a folder.
    pub(super) fn from_stored(stored: &Stored<'_>) -> Result<Self, String> {
        let c = Config(stored.config);
        let architecture = c.text("architecture").unwrap_or_default().to_owned();
        for odd in ["norm_pre.weight", "reg_token", "blocks.0.attn.q_norm.weight", "fc_norm.weight"] {
            if stored.has(odd) {
                return Err(format!(
                    "the tensor `{odd}` of {architecture} belongs to a form that is not known here"
                ));
            }
        }
        let shape =
            |name: &str| stored.shape(name).ok_or_else(|| format!("the file lacks the tensor `{name}`"));
        let [width, channels, rows, columns] = *shape("patch_embed.proj.weight")? else {
            return Err("`patch_embed.proj.weight` should be [width, channels, rows, columns]".to_owned());
        };
        shape("cls_token")?;
        let distilled = stored.has("dist_token");
        let positions = shape("pos_embed")?.get(1).copied().unwrap_or(0);
        let places = positions.saturating_sub(if distilled { 2 } else { 1 });
        let image = image(c, places, [rows, columns]).ok_or_else(|| {
            format!("`pos_embed` has {places} places, which no image size in config.json explains")
        })?;
        let arguments = c.section("model_args");
        let heads = match (c.usize_or("num_heads", 0)?, arguments.usize_or("num_heads", 0)?) {
            (0, 0) => heads_of(&architecture, width),
            (0, heads) | (heads, _) => heads,
        };
        let average = match c.text("global_pool").unwrap_or("token") {
            "token" => false,
            "avg" => true,
            other => {
                return Err(format!("`global_pool` in config.json is `{other}`; known are token and avg"));
            }
        };
        let classes = stored.shape("head.weight").map_or(0, |shape| shape.first().copied().unwrap_or(0));
        Ok(Self {
            width,
            blocks: (0..MOST_BLOCKS).take_while(|i| stored.has(&format!("blocks.{i}.norm1.weight"))).count(),
            heads,
            mlp: shape("blocks.0.mlp.fc1.weight")?.first().copied().unwrap_or(0),
            image,
            patch: [rows, columns],
            channels,
            qkv_bias: stored.has("blocks.0.attn.qkv.bias"),
            layer_scale: stored.has("blocks.0.ls1.gamma"),
            distilled,
            average,
            classes: class_names(stored.config, classes),
            architecture,
            source: stored.config.clone(),
        })
    }

    const fn grid(&self) -> [usize; 2] {
        [self.image[0] / self.patch[0], self.image[1] / self.patch[1]]
    }

    const fn prefix(&self) -> usize {
        if self.distilled { 2 } else { 1 }
    }

    fn block_spec(&self) -> BlockSpec {
        let quick = self.architecture.contains("quickgelu");
        BlockSpec {
            activation: if quick { FeedForward::QuickGelu } else { FeedForward::Gelu(GeluForm::Exact) },
            qkv_bias: self.qkv_bias,
            layer_scale: self.layer_scale.then_some(1e-5),
            names: NAMES,
            ..BlockSpec::plain([self.width, self.heads, self.mlp], EPSILON, self.prefix())
        }
    }

    fn embeddings(&self, b: &mut Builder, pixels: NodeId) -> NodeId {
        let [rows, columns] = self.patch;
        let patches = b.op("patches", Patchify { patch: [1, rows, columns], clip: false }, &[pixels]);
        b.region("embeddings", "Embeddings", RegionKind::Embedding, |b| {
            let spec = LinearSpec {
                kernel: &[self.channels, rows, columns],
                features_out: self.width,
                init: Init::XavierUniform,
                bias: Some(Init::Zeros),
                stored: "patch_embed.proj",
            };
            let mut x = b.linear("projection", patches, &spec);
            if self.distilled {
                x = prepend(b, x, "distillation_token", self.width, "dist_token");
            }
            let x = prepend(b, x, "cls_token", self.width, "cls_token");
            let (grid, prefix) = (self.grid(), self.prefix());
            let shape = [1, prefix + grid[0] * grid[1], self.width];
            let table = b.param("position_table", &shape, Init::Normal { std: 0.02 }, "pos_embed");
            let fitted = ResizePositions { prefix, grid, patch: self.patch };
            let positions = b.op("positions", fitted, &[table, pixels]);
            b.op("add_positions", Add, &[x, positions])
        })
    }

    fn heads(&self, b: &mut Builder, states: NodeId) {
        let sizes = [self.width, self.classes.len()];
        let token = |b: &mut Builder, name: &str, index| b.op(name, SelectToken { index }, &[states]);
        let features = if self.average {
            b.op("mean", MeanTokens { skip: self.prefix() }, &[states])
        } else {
            token(b, "cls", 0)
        };
        b.output("pooler_output", features);
        if self.classes.is_empty() {
            return;
        }
        let own = head_as(b, "head", features, sizes, Init::Zeros, "head");
        let logits = if self.distilled {
            let second = token(b, "distillation", 1);
            let taught = head_as(b, "distillation_head", second, sizes, Init::Zeros, "head_dist");
            super::sizes::mean_of_two(b, "logits", [own, taught])
        } else {
            own
        };
        b.output("logits", logits);
    }
}

/// Rows and columns of the image: what the config says, if the table has that many places, else a square.
fn image(c: Config<'_>, places: usize, patch: [usize; 2]) -> Option<[usize; 2]> {
    let configured = c.section("pretrained_cfg").0.get("input_size").and_then(|size| {
        let size: [usize; 3] = serde_json::from_value(size.clone()).ok()?;
        Some([size[1], size[2]])
    });
    let explained = |size: &[usize; 2]| {
        patch.iter().all(|&extent| extent > 0) && (size[0] / patch[0]) * (size[1] / patch[1]) == places
    };
    let argument = c.section("model_args").pair("img_size").ok();
    let side = places.isqrt();
    let square = (side > 0 && side * side == places).then(|| [side * patch[0], side * patch[1]]);
    argument.into_iter().chain(configured).chain(square).find(explained)
}

/// Heads of an architecture by its name.
fn heads_of(architecture: &str, width: usize) -> usize {
    let known = HEADS.iter().find(|(part, _)| architecture.contains(part));
    known.map_or(width / HEAD, |(_, heads)| *heads)
}

/// As many class names as the head has classes: the config's own, or numbers.
fn class_names(config: &Value, classes: usize) -> Vec<String> {
    let given = Config(config).section("pretrained_cfg").0.get("label_names").or(config.get("label_names"));
    let given: Option<Vec<String>> = given.and_then(|names| serde_json::from_value(names.clone()).ok());
    match given {
        Some(names) if names.len() == classes => names,
        _ => (0..classes).map(|class| class.to_string()).collect(),
    }
}

impl Architecture for TimmVit {
    fn title(&self) -> String {
        let name = if self.architecture.is_empty() { "timm ViT" } else { &self.architecture };
        format!("{name} {} × {}, {} × {}", self.blocks, self.width, self.image[0], self.image[1])
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        if self.heads == 0 || !self.width.is_multiple_of(self.heads) {
            return Err(ModelError::Sizes(format!(
                "{} heads do not divide the width {}; give `num_heads` in config.json",
                self.heads, self.width
            )));
        }
        let mut b = Builder::new(name, &self.title());
        let [rows, columns] = ["height", "width"].map(Extent::named);
        let extents = vec![Extent::named("batch"), Extent::Fixed(self.channels), rows, columns];
        let pixels = b.input("pixel_values", extents);
        let grid = Grid::Patches { pixels, patch: self.patch };
        b.tokens(Tokens { prefix: self.prefix(), grid, masked: false });
        let x = self.embeddings(&mut b, pixels);
        let spec = self.block_spec();
        let x = stack(&mut b, x, self.blocks, &spec, "blocks").last().copied().unwrap_or(x);
        let states = b.layer_norm("norm", x, self.width, EPSILON, "norm");
        b.output("last_hidden_state", states);
        self.heads(&mut b, states);
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        Binding::new().with("batch", batch).with("height", self.image[0]).with("width", self.image[1])
    }

    fn config(&self) -> Value {
        let mut config = self.source.as_object().cloned().unwrap_or_default();
        let fields = [
            ("architecture", json!(self.architecture)),
            ("num_heads", json!(self.heads)),
            ("num_classes", json!(self.classes.len())),
            ("label_names", json!(self.classes)),
            ("global_pool", json!(if self.average { "avg" } else { "token" })),
        ];
        config.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(config)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_follow_from_the_name_and_the_width() {
        for (name, width, heads) in [
            ("vit_tiny_patch16_224", 192, 3),
            ("vit_base_patch16_224", 768, 12),
            ("vit_large_patch14_224", 1024, 16),
            ("vit_huge_patch14_224", 1280, 16),
            ("vit_so400m_patch14_siglip_224", 1152, 16),
        ] {
            assert_eq!(heads_of(name, width), heads, "{name}");
        }
    }

    #[test]
    fn the_image_is_what_the_table_has_places_for() {
        let config = json!({ "pretrained_cfg": { "input_size": [3, 32, 64] } });
        assert_eq!(image(Config(&config), 8, [16, 16]), Some([32, 64]));
        // Of another size than the config says: a square.
        assert_eq!(image(Config(&config), 9, [16, 16]), Some([48, 48]));
        assert_eq!(image(Config(&config), 7, [16, 16]), None);
        let config = json!({ "model_args": { "img_size": [16, 112] } });
        assert_eq!(image(Config(&config), 7, [16, 16]), Some([16, 112]));
    }
}
