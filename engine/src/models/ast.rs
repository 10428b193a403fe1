//! The audio spectrogram transformer (Gong et al., 2021) in Hugging Face's layout: overlapping patches of a log-mel
//! spectrogram, class and distillation token, whose mean a head reads.

use serde_json::{Value, json};

use super::block::stack;
use super::config::{Config, labels_json};
use super::open::{Classified, Stored};
use super::sizes::{Sizes, mean_of_two, prepend};
use super::trunk::head_as;
use super::{Architecture, ModelError};
use crate::graph::{Binding, Builder, Extent, Graph, Grid, Init, LinearSpec, NodeId, RegionKind, Tokens};
use crate::ops::{Add, Conv2d, GridToTokens, ResizePositions, SelectToken, Transpose, Unsqueeze};

/// `model_type` in `config.json`.
pub(super) const MODEL_TYPE: &str = "audio-spectrogram-transformer";

/// A spectrogram transformer with all its sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Ast {
    /// Its blocks.
    pub sizes: Sizes,
    /// Mel bands.
    pub mel: usize,
    /// Frames that the position table is for.
    pub frames: usize,
    /// Bands (and frames) of a patch.
    pub patch: usize,
    /// Bands and frames from one patch to the next.
    pub stride: [usize; 2],
    /// Prefix of stored names: `audio_spectrogram_transformer.` or nothing.
    pub prefix: String,
    /// Class names, if there is a head.
    pub classes: Vec<String>,
    /// The config as found, written back with what changed.
    pub source: Value,
}

/// A folder's model, with a head for the data's classes.
pub(super) fn read(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    stored.with_classes(Ast::from_config)
}

impl Classified for Ast {
    fn classes_mut(&mut self) -> &mut Vec<String> {
        &mut self.classes
    }
}

impl Ast {
    /// Reads a `config.json`; `has` says whether the file holds a tensor.
    pub(super) fn from_config(config: &Value, has: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let c = Config(config);
        let prefixed = has("audio_spectrogram_transformer.embeddings.cls_token");
        Ok(Self {
            sizes: Sizes::from_config(c, 1e-12, "gelu")?,
            mel: c.usize_or("num_mel_bins", 128)?,
            frames: c.usize_or("max_length", 1024)?,
            patch: c.usize_or("patch_size", 16)?,
            stride: [c.usize_or("frequency_stride", 10)?, c.usize_or("time_stride", 10)?],
            prefix: if prefixed { "audio_spectrogram_transformer.".to_owned() } else { String::new() },
            classes: if has("classifier.dense.weight") { c.labels() } else { Vec::new() },
            source: config.clone(),
        })
    }

    /// Patches along bands and along frames at the model's own length.
    fn grid(&self) -> Result<[usize; 2], ModelError> {
        let count = |extent: usize, stride: usize| extent.checked_sub(self.patch)?.checked_div(stride);
        match (count(self.mel, self.stride[0]), count(self.frames, self.stride[1])) {
            (Some(bands), Some(frames)) if self.patch > 0 => Ok([bands + 1, frames + 1]),
            _ => Err(ModelError::Sizes(format!(
                "a spectrogram of {} bands and {} frames has no patch of {} with strides {} and {}",
                self.mel, self.frames, self.patch, self.stride[0], self.stride[1]
            ))),
        }
    }

    /// Both tokens and the patches, band by band, each with its position; and the map of patches.
    fn embeddings(&self, b: &mut Builder, values: NodeId, grid: [usize; 2]) -> (NodeId, NodeId) {
        let (width, prefix) = (self.sizes.width, &self.prefix);
        b.region("embeddings", "Embeddings", RegionKind::Embedding, |b| {
            let bands = b.op("bands", Transpose, &[values]);
            let picture = b.op("picture", Unsqueeze { axis: 1 }, &[bands]);
            let spec = LinearSpec {
                kernel: &[1, self.patch, self.patch],
                features_out: width,
                init: Init::XavierUniform,
                bias: Some(Init::Zeros),
                stored: &format!("{prefix}embeddings.patch_embeddings.projection"),
            };
            let conv = Conv2d { stride: self.stride, padding: [0, 0], groups: 1 };
            let map = b.conv2d("projection", picture, conv, &spec);
            let x = b.op("patches", GridToTokens, &[map]);
            let stored = |name: &str| format!("{prefix}embeddings.{name}");
            let x = prepend(b, x, "distillation_token", width, &stored("distillation_token"));
            let x = prepend(b, x, "cls_token", width, &stored("cls_token"));
            let table = b.param(
                "position_table",
                &[1, 2 + grid[0] * grid[1], width],
                Init::Normal { std: 0.02 },
                &stored("position_embeddings"),
            );
            let fitted = ResizePositions { prefix: 2, grid, patch: [1, 1] };
            let positions = b.op("positions", fitted, &[table, map]);
            (b.op("add_positions", Add, &[x, positions]), map)
        })
    }
}

impl Architecture for Ast {
    fn title(&self) -> String {
        let Sizes { blocks, width, .. } = self.sizes;
        format!("AST {blocks} × {width}, {} bands × {} frames", self.mel, self.frames)
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        let spec = self.sizes.spec(2)?;
        let grid = self.grid()?;
        let (width, epsilon, prefix) = (self.sizes.width, self.sizes.epsilon, &self.prefix);
        let mut b = Builder::new(name, &self.title());
        let extents = vec![Extent::named("batch"), Extent::named("frames"), Extent::Fixed(self.mel)];
        let values = b.input("input_values", extents);
        let (x, map) = self.embeddings(&mut b, values, grid);
        b.tokens(Tokens { prefix: 2, grid: Grid::Patches { pixels: map, patch: [1, 1] }, masked: false });
        let stored = format!("{prefix}encoder.layer");
        let x = stack(&mut b, x, self.sizes.blocks, &spec, &stored).last().copied().unwrap_or(x);
        let states = b.layer_norm("norm", x, width, epsilon, &format!("{prefix}layernorm"));
        b.output("last_hidden_state", states);
        let tokens = [("cls", 0), ("distillation", 1)]
            .map(|(name, index)| b.op(name, SelectToken { index }, &[states]));
        let pooled = mean_of_two(&mut b, "pooled", tokens);
        b.output("pooler_output", pooled);
        if !self.classes.is_empty() {
            let normed = b.region("head_norm", "Head's norm", RegionKind::Head, |b| {
                b.layer_norm("norm", pooled, width, epsilon, "classifier.layernorm")
            });
            let sizes = [width, self.classes.len()];
            let logits = head_as(&mut b, "head", normed, sizes, Init::Zeros, "classifier.dense");
            b.output("logits", logits);
        }
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        Binding::new().with("batch", batch).with("frames", self.frames)
    }

    fn config(&self) -> Value {
        let mut config = self.source.as_object().cloned().unwrap_or_default();
        self.sizes.write(&mut config);
        let class = if self.classes.is_empty() { "ASTModel" } else { "ASTForAudioClassification" };
        let fields = [
            ("model_type", json!(MODEL_TYPE)),
            ("architectures", json!([class])),
            ("num_mel_bins", json!(self.mel)),
            ("max_length", json!(self.frames)),
            ("patch_size", json!(self.patch)),
            ("frequency_stride", json!(self.stride[0])),
            ("time_stride", json!(self.stride[1])),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// 128 bands × 1024 frames give 12 × 101 patches of 16 with strides of 10; 527 classes of `AudioSet`.
    #[test]
    fn base_size_has_the_patches_of_the_paper() {
        let config = json!({
            "model_type": MODEL_TYPE, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        });
        let model = Ast::from_config(&config, &|_| false).unwrap();
        assert_eq!(model.grid().unwrap(), [12, 101]);
        let graph = model.build("model").unwrap();
        let shapes = graph.shapes(&model.binding(2)).unwrap();
        assert_eq!(shapes[graph.output("last_hidden_state").unwrap().index()], [2, 1214, 768]);
    }

    #[test]
    fn a_spectrogram_without_a_patch_is_told() {
        let config = json!({
            "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_mel_bins": 12,
        });
        let error = Ast::from_config(&config, &|_| false).unwrap().build("model").unwrap_err();
        assert!(error.to_string().contains("12 bands and 1024 frames has no patch of 16"), "{error}");
    }
}
