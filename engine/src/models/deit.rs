//! Image transformers with a distillation token beside the class token, in Hugging Face's layout (`DeiT`, Touvron et al.,
//! 2021): one head on the class token, or one on each whose answers are averaged.

use serde_json::{Value, json};

use super::block::stack;
use super::config::{Config, labels_json};
use super::open::{Classified, Stored};
use super::sizes::{Sizes, mean_of_two, prepend};
use super::trunk::{head, head_as, pooler};
use super::{Architecture, ModelError};
use crate::graph::{Binding, Builder, Extent, Graph, Grid, Init, LinearSpec, NodeId, RegionKind, Tokens};
use crate::ops::{Add, Patchify, ResizePositions, SelectToken};

/// `model_type` in `config.json`.
pub(super) const MODEL_TYPE: &str = "deit";

/// A distilled image transformer with all its sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Deit {
    /// Its blocks.
    pub sizes: Sizes,
    /// Rows and columns of the image that the position table is for.
    pub image: [usize; 2],
    /// Rows and columns of a patch.
    pub patch: [usize; 2],
    /// Colour channels.
    pub channels: usize,
    /// Prefix of stored names: `deit.` or nothing.
    pub prefix: String,
    /// Whether the file holds a pooler.
    pub pooler: bool,
    /// Whether class and distillation token have a head each.
    pub two_heads: bool,
    /// Class names, if there is a head.
    pub classes: Vec<String>,
    /// The config as found, written back with what changed.
    pub source: Value,
}

/// A folder's model, with a head for the data's classes.
pub(super) fn read(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    stored.with_classes(Deit::from_config)
}

impl Classified for Deit {
    fn classes_mut(&mut self) -> &mut Vec<String> {
        &mut self.classes
    }
}

impl Deit {
    /// Reads a `config.json`; `has` says whether the file holds a tensor.
    pub(super) fn from_config(config: &Value, has: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let c = Config(config);
        let prefixed = has("deit.embeddings.cls_token");
        let prefix = if prefixed { "deit." } else { "" };
        let two_heads = has("cls_classifier.weight");
        Ok(Self {
            sizes: Sizes::from_config(c, 1e-12, "gelu")?,
            image: c.pair("image_size")?,
            patch: c.pair("patch_size")?,
            channels: c.usize_or("num_channels", 3)?,
            prefix: prefix.to_owned(),
            pooler: has(&format!("{prefix}pooler.dense.weight")),
            two_heads,
            classes: if two_heads || has("classifier.weight") { c.labels() } else { Vec::new() },
            source: config.clone(),
        })
    }

    const fn grid(&self) -> [usize; 2] {
        [self.image[0] / self.patch[0], self.image[1] / self.patch[1]]
    }

    /// Class token, distillation token, patches, each with its position.
    fn embeddings(&self, b: &mut Builder, pixels: NodeId) -> NodeId {
        let (width, [rows, columns], prefix) = (self.sizes.width, self.patch, &self.prefix);
        let patches = b.op("patches", Patchify { patch: [1, rows, columns], clip: false }, &[pixels]);
        b.region("embeddings", "Embeddings", RegionKind::Embedding, |b| {
            let spec = LinearSpec {
                kernel: &[self.channels, rows, columns],
                features_out: width,
                init: Init::XavierUniform,
                bias: Some(Init::Zeros),
                stored: &format!("{prefix}embeddings.patch_embeddings.projection"),
            };
            let x = b.linear("projection", patches, &spec);
            let stored = |name: &str| format!("{prefix}embeddings.{name}");
            let x = prepend(b, x, "distillation_token", width, &stored("distillation_token"));
            let x = prepend(b, x, "cls_token", width, &stored("cls_token"));
            let grid = self.grid();
            let table = b.param(
                "position_table",
                &[1, 2 + grid[0] * grid[1], width],
                Init::Normal { std: 0.02 },
                &stored("position_embeddings"),
            );
            let fitted = ResizePositions { prefix: 2, grid, patch: self.patch };
            let positions = b.op("positions", fitted, &[table, pixels]);
            b.op("add_positions", Add, &[x, positions])
        })
    }

    fn heads(&self, b: &mut Builder, states: NodeId, token: NodeId) {
        let (width, classes) = (self.sizes.width, self.classes.len());
        if !self.two_heads {
            let logits = head(b, token, width, classes);
            b.output("logits", logits);
            return;
        }
        let second = b.op("distillation", SelectToken { index: 1 }, &[states]);
        let own = head_as(b, "head", token, [width, classes], Init::Zeros, "cls_classifier");
        let taught = "distillation_classifier";
        let taught = head_as(b, "distillation_head", second, [width, classes], Init::Zeros, taught);
        b.output("cls_logits", own);
        b.output("distillation_logits", taught);
        let logits = mean_of_two(b, "logits", [own, taught]);
        b.output("logits", logits);
    }
}

impl Architecture for Deit {
    fn title(&self) -> String {
        let Sizes { blocks, width, .. } = self.sizes;
        format!("DeiT {blocks} × {width}, patch {}, {} × {}", self.patch[0], self.image[0], self.image[1])
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        let spec = self.sizes.spec(2)?;
        if self.grid().contains(&0) {
            return Err(ModelError::Sizes(format!(
                "an image of {} × {} has no whole patch of {} × {}",
                self.image[0], self.image[1], self.patch[0], self.patch[1]
            )));
        }
        let (width, prefix) = (self.sizes.width, &self.prefix);
        let mut b = Builder::new(name, &self.title());
        let [height, columns] = ["height", "width"].map(Extent::named);
        let extents = vec![Extent::named("batch"), Extent::Fixed(self.channels), height, columns];
        let pixels = b.input("pixel_values", extents);
        b.tokens(Tokens { prefix: 2, grid: Grid::Patches { pixels, patch: self.patch }, masked: false });
        let x = self.embeddings(&mut b, pixels);
        let stored = format!("{prefix}encoder.layer");
        let x = stack(&mut b, x, self.sizes.blocks, &spec, &stored).last().copied().unwrap_or(x);
        let states = b.layer_norm("norm", x, width, self.sizes.epsilon, &format!("{prefix}layernorm"));
        b.output("last_hidden_state", states);
        let token = b.op("cls", SelectToken { index: 0 }, &[states]);
        if self.pooler {
            let pooled = pooler(&mut b, token, width, &format!("{prefix}pooler.dense"));
            b.output("pooler_output", pooled);
        }
        if !self.classes.is_empty() {
            self.heads(&mut b, states, token);
        }
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        Binding::new().with("batch", batch).with("height", self.image[0]).with("width", self.image[1])
    }

    fn config(&self) -> Value {
        let mut config = self.source.as_object().cloned().unwrap_or_default();
        self.sizes.write(&mut config);
        let size = |pair: [usize; 2]| if pair[0] == pair[1] { json!(pair[0]) } else { json!(pair) };
        config.insert("model_type".to_owned(), json!(MODEL_TYPE));
        config.insert("image_size".to_owned(), size(self.image));
        config.insert("patch_size".to_owned(), size(self.patch));
        config.insert("num_channels".to_owned(), json!(self.channels));
        let class = match (self.classes.is_empty(), self.two_heads) {
            (true, _) => "DeiTModel",
            (false, false) => "DeiTForImageClassification",
            (false, true) => "DeiTForImageClassificationWithTeacher",
        };
        config.insert("architectures".to_owned(), json!([class]));
        if !self.classes.is_empty() {
            config.extend(labels_json(&self.classes));
        }
        Value::Object(config)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}
