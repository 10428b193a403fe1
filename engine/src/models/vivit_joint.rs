//! ViViT with joint space-time attention (Arnab et al., 2021, "Model 1") in Hugging Face's layout: one transformer over
//! the tubelets of all frames.

use serde_json::{Value, json};

use super::block::stack;
use super::config::{Config, labels_json};
use super::open::{Classified, Stored};
use super::sizes::{Sizes, prepend};
use super::trunk::{head, pooler};
use super::{Architecture, ModelError};
use crate::graph::{
    Binding, Builder, Extent, Fit, Graph, Grid, Init, LinearSpec, NodeId, RegionKind, Tokens,
};
use crate::ops::{Add, Flatten, Patchify, SelectToken};

/// `model_type` in `config.json`.
pub(super) const MODEL_TYPE: &str = "vivit";

/// A joint video transformer with all its sizes. Clips have the frames and pixels that its positions are for.
#[derive(Clone, Debug, PartialEq)]
pub struct VivitJoint {
    /// Its blocks.
    pub sizes: Sizes,
    /// Frames of one clip.
    pub frames: usize,
    /// Rows and columns of a frame.
    pub image: [usize; 2],
    /// Frames, rows and columns of a tubelet.
    pub tubelet: [usize; 3],
    /// Colour channels.
    pub channels: usize,
    /// Prefix of stored names: `vivit.` or nothing.
    pub prefix: String,
    /// Whether the file holds a pooler.
    pub pooler: bool,
    /// Class names, if there is a head.
    pub classes: Vec<String>,
    /// The config as found, written back with what changed.
    pub source: Value,
}

/// A folder's model, with a head for the data's classes.
pub(super) fn read(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    stored.with_classes(VivitJoint::from_config)
}

impl Classified for VivitJoint {
    fn classes_mut(&mut self) -> &mut Vec<String> {
        &mut self.classes
    }
}

impl VivitJoint {
    /// Reads a `config.json`; `has` says whether the file holds a tensor.
    pub(super) fn from_config(config: &Value, has: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let c = Config(config);
        let prefix = if has("vivit.embeddings.cls_token") { "vivit." } else { "" };
        let tubelet = match config.get("tubelet_size") {
            None => [2, 16, 16],
            Some(given) => serde_json::from_value(given.clone()).map_err(|_| {
                format!("`tubelet_size` in config.json should be [frames, rows, columns], found {given}")
            })?,
        };
        Ok(Self {
            sizes: Sizes::from_config(c, 1e-6, "gelu_fast")?,
            frames: c.usize_or("num_frames", 32)?,
            image: c.pair("image_size")?,
            tubelet,
            channels: c.usize_or("num_channels", 3)?,
            prefix: prefix.to_owned(),
            pooler: has(&format!("{prefix}pooler.dense.weight")),
            classes: if has("classifier.weight") { c.labels() } else { Vec::new() },
            source: config.clone(),
        })
    }

    /// Tubelets of one clip.
    fn tubelets(&self) -> Result<usize, ModelError> {
        let [time, rows, columns] = self.tubelet;
        let counts = [(self.frames, time), (self.image[0], rows), (self.image[1], columns)]
            .map(|(extent, of)| extent.checked_div(of).unwrap_or(0));
        if counts.contains(&0) {
            return Err(ModelError::Sizes(format!(
                "{} frames of {} × {} hold no tubelet of {time} × {rows} × {columns}",
                self.frames, self.image[0], self.image[1]
            )));
        }
        Ok(counts.iter().product())
    }

    fn embeddings(&self, b: &mut Builder, pixels: NodeId, tubelets: usize) -> NodeId {
        let (width, prefix) = (self.sizes.width, &self.prefix);
        let [time, rows, columns] = self.tubelet;
        let cut = b.op("tubelets", Patchify { patch: self.tubelet, clip: true }, &[pixels]);
        let sequence = b.op("sequence", Flatten { axis: 1 }, &[cut]);
        b.region("embeddings", "Embeddings", RegionKind::Embedding, |b| {
            let stored = |name: &str| format!("{prefix}embeddings.{name}");
            let spec = LinearSpec {
                kernel: &[self.channels, time, rows, columns],
                features_out: width,
                init: Init::XavierUniform,
                bias: Some(Init::Zeros),
                stored: &stored("patch_embeddings.projection"),
            };
            let x = b.linear_fitted("projection", sequence, &spec, Fit::Inflate { average: false });
            let x = prepend(b, x, "cls_token", width, &stored("cls_token"));
            let shape = [1, 1 + tubelets, width];
            let init = Init::Normal { std: 0.02 };
            let table = b.param("position_table", &shape, init, &stored("position_embeddings"));
            b.op("add_positions", Add, &[x, table])
        })
    }
}

impl Architecture for VivitJoint {
    fn title(&self) -> String {
        let Sizes { blocks, width, .. } = self.sizes;
        let [rows, columns] = self.image;
        format!("ViViT joint {blocks} × {width}, {} frames of {rows} × {columns}", self.frames)
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        let spec = self.sizes.spec(1)?;
        let tubelets = self.tubelets()?;
        let (width, prefix) = (self.sizes.width, &self.prefix);
        let mut b = Builder::new(name, &self.title());
        let fixed = [self.frames, self.channels, self.image[0], self.image[1]].map(Extent::Fixed);
        let extents = std::iter::once(Extent::named("batch")).chain(fixed).collect();
        let pixels = b.input("pixel_values", extents);
        b.tokens(Tokens { prefix: 1, grid: Grid::Row, masked: false });
        let x = self.embeddings(&mut b, pixels, tubelets);
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
            let logits = head(&mut b, token, width, self.classes.len());
            b.output("logits", logits);
        }
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        Binding::new().with("batch", batch)
    }

    fn config(&self) -> Value {
        let mut config = self.source.as_object().cloned().unwrap_or_default();
        self.sizes.write(&mut config);
        let [rows, columns] = self.image;
        let class = if self.classes.is_empty() { "VivitModel" } else { "VivitForVideoClassification" };
        let fields = [
            ("model_type", json!(MODEL_TYPE)),
            ("architectures", json!([class])),
            ("num_frames", json!(self.frames)),
            ("image_size", if rows == columns { json!(rows) } else { json!(self.image) }),
            ("tubelet_size", json!(self.tubelet)),
            ("num_channels", json!(self.channels)),
        ];
        config.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        if !self.classes.is_empty() {
            config.extend(labels_json(&self.classes));
        }
        Value::Object(config)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}
