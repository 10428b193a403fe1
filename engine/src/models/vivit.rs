//! ViViT's factorised encoder (Arnab et al., 2021, "Model 2"): an image transformer over every temporal position,
//! then a small transformer over the sequence of its class tokens.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::block::{BlockSpec, stack};
use super::config::{Config, labels_json};
use super::text::FeedForward;
use super::trunk::{Flavour, ImageTrunk, head};
use super::{Architecture, ModelError};
use crate::graph::{Binding, Builder, Extent, Fit, Graph, Grid, Init, NodeId, RegionKind, SiteKind, Tokens};
use crate::ops::{Add, Fold, Patchify, PrependToken, SelectToken, Unfold};

/// How a patch kernel becomes a tubelet kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TubeletInit {
    /// The image kernel at the middle frame, zero elsewhere.
    #[default]
    CentralFrame,
    /// The image kernel at every frame, divided by their number.
    Average,
}

/// A factorised video transformer with all its sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Vivit {
    /// The image transformer (its own head and pooler are not used).
    pub spatial: ImageTrunk,
    /// Frames of one clip.
    pub frames: usize,
    /// Frames of one tubelet.
    pub tubelet: usize,
    /// How an image checkpoint's kernel is spread over a tubelet.
    pub tubelet_init: TubeletInit,
    /// Blocks of the temporal transformer.
    pub temporal_blocks: usize,
    /// Its heads.
    pub temporal_heads: usize,
    /// Its feed-forward width.
    pub temporal_mlp: usize,
    /// Activation of its feed-forward part.
    pub temporal_activation: FeedForward,
    /// Standard deviation of the temporal position table's initial values.
    pub position_std: f64,
    /// Class names.
    pub classes: Vec<String>,
}

/// `model_type` in `config.json`.
pub(super) const MODEL_TYPE: &str = "vivit_factorised";

impl Vivit {
    pub(super) fn from_config(config: &Value, has: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let c = Config(config);
        let spatial = config.get("spatial").ok_or("config.json lacks `spatial`")?;
        let flavour = match Config(spatial).text("model_type") {
            Some("dinov2") => Flavour::Dinov2,
            _ => Flavour::Vit,
        };
        let mut spatial = ImageTrunk::from_config(flavour, spatial, &|name| has(&format!("spatial.{name}")))?;
        spatial.classes = Vec::new();
        Ok(Self {
            frames: c.usize("num_frames")?,
            tubelet: c.usize("tubelet_frames")?,
            tubelet_init: TubeletInit::CentralFrame,
            temporal_blocks: c.usize("temporal_layers")?,
            temporal_heads: c.usize("temporal_heads")?,
            temporal_mlp: c.usize("temporal_intermediate_size")?,
            temporal_activation: FeedForward::named(c.text("temporal_hidden_act").unwrap_or("gelu"))?,
            position_std: c.f64_or("temporal_position_std", 0.02)?,
            classes: c.labels(),
            spatial,
        })
    }

    /// Temporal positions of one clip.
    #[must_use]
    pub const fn positions(&self) -> usize {
        self.frames / self.tubelet
    }

    fn check(&self) -> Result<(), ModelError> {
        self.spatial.check()?;
        if self.tubelet == 0 || self.positions() == 0 {
            return Err(ModelError::Sizes(format!(
                "{} frames hold no tubelet of {} frames",
                self.frames, self.tubelet
            )));
        }
        if !(self.position_std.is_finite() && self.position_std >= 0.0) {
            return Err(ModelError::Sizes(format!(
                "`position_std` is {}; it should be 0 or more",
                self.position_std
            )));
        }
        if self.temporal_heads == 0 || !self.spatial.width.is_multiple_of(self.temporal_heads) {
            return Err(ModelError::Sizes(format!(
                "{} temporal heads do not divide the width {}",
                self.temporal_heads, self.spatial.width
            )));
        }
        Ok(())
    }

    /// All tokens `[batch·positions, 1 + tokens, width]`, and the class tokens `[batch, positions, width]`.
    fn spatial(&self, b: &mut Builder, pixels: NodeId) -> (NodeId, NodeId) {
        let [rows, columns] = self.spatial.patch;
        let tubelets =
            b.op("tubelets", Patchify { patch: [self.tubelet, rows, columns], clip: true }, &[pixels]);
        b.region("spatial", "Spatial", RegionKind::Transformer, |b| {
            let images = b.op("fold", Fold, &[tubelets]);
            let kernel = [self.spatial.channels, self.tubelet, rows, columns];
            let fit = Fit::Inflate { average: self.tubelet_init == TubeletInit::Average };
            let states = self.spatial.states(b, images, pixels, &kernel, fit, "spatial.");
            let token = b.op("cls", SelectToken { index: 0 }, &[states]);
            (states, b.op("unfold", Unfold, &[token, tubelets]))
        })
    }

    fn temporal(&self, b: &mut Builder, sequence: NodeId) -> NodeId {
        let (width, epsilon) = (self.spatial.width, self.spatial.epsilon);
        b.region("temporal", "Temporal", RegionKind::Transformer, |b| {
            b.tokens(Tokens { prefix: 1, grid: Grid::Row, masked: false });
            let x = b.region("embeddings", "Embeddings", RegionKind::Embedding, |b| {
                let token =
                    b.param("cls_token", &[1, 1, width], Init::Zeros, "temporal.embeddings.cls_token");
                let table = b.param_fitted(
                    "position_table",
                    &[1, 1 + self.positions(), width],
                    Init::Normal { std: self.position_std },
                    "temporal.embeddings.position_embeddings",
                    Fit::ResampleRows { prefix: 1 },
                );
                let tokens = b.op("tokens", PrependToken, &[sequence, token]);
                b.op("add_positions", Add, &[tokens, table])
            });
            let sizes = [width, self.temporal_heads, self.temporal_mlp];
            let activation = self.temporal_activation;
            let spec = BlockSpec { activation, ..BlockSpec::plain(sizes, epsilon, 1) };
            let states = stack(b, x, self.temporal_blocks, &spec, "temporal.encoder.layer");
            let x = states.last().copied().unwrap_or(x);
            b.layer_norm("norm", x, width, epsilon, "temporal.layernorm")
        })
    }
}

impl Architecture for Vivit {
    fn title(&self) -> String {
        format!(
            "ViViT factorised {} + {} × {}, {} frames",
            self.spatial.blocks, self.temporal_blocks, self.spatial.width, self.frames
        )
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        self.check()?;
        let mut b = Builder::new(name, &self.title());
        let pixels = b.input(
            "pixel_values",
            vec![
                Extent::named("batch"),
                Extent::named("frames"),
                Extent::Fixed(self.spatial.channels),
                Extent::named("height"),
                Extent::named("width"),
            ],
        );
        let (tokens, sequence) = self.spatial(&mut b, pixels);
        let between =
            SiteKind::Bridge { from: b.path("spatial"), to: b.path("temporal"), tokens: Some(tokens) };
        b.site("bridge", between, sequence, self.spatial.width);
        let states = self.temporal(&mut b, sequence);
        let token = b.op("cls", SelectToken { index: 0 }, &[states]);
        b.output("last_hidden_state", states);
        b.output("pooler_output", token);
        if !self.classes.is_empty() {
            let logits = head(&mut b, token, self.spatial.width, self.classes.len());
            b.output("logits", logits);
        }
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        self.spatial.binding(batch).with("frames", self.frames)
    }

    fn config(&self) -> Value {
        let mut spatial = self.spatial.config_json();
        if let Some(object) = spatial.as_object_mut() {
            object.remove("id2label");
            object.remove("label2id");
        }
        let mut config = json!({
            "model_type": MODEL_TYPE,
            "spatial": spatial,
            "num_frames": self.frames,
            "tubelet_frames": self.tubelet,
            "temporal_layers": self.temporal_blocks,
            "temporal_heads": self.temporal_heads,
            "temporal_intermediate_size": self.temporal_mlp,
            "temporal_hidden_act": self.temporal_activation.name(),
            "temporal_position_std": self.position_std,
        });
        if let Some(object) = config.as_object_mut() {
            object.extend(labels_json(&self.classes));
        }
        config
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::GeluForm;

    fn base(frames: usize) -> Vivit {
        Vivit {
            spatial: ImageTrunk {
                flavour: Flavour::Vit,
                width: 768,
                blocks: 12,
                heads: 12,
                mlp: 3072,
                swiglu: false,
                gelu: GeluForm::Exact,
                epsilon: 1e-6,
                image: [224, 224],
                patch: [16, 16],
                channels: 3,
                qkv_bias: true,
                prefix: String::new(),
                pooler: false,
                classes: Vec::new(),
                source: Value::Null,
            },
            frames,
            tubelet: 2,
            tubelet_init: TubeletInit::CentralFrame,
            temporal_blocks: 4,
            temporal_heads: 12,
            temporal_mlp: 3072,
            temporal_activation: FeedForward::Gelu(GeluForm::Exact),
            position_std: 0.02,
            classes: (0..400).map(|i| i.to_string()).collect(),
        }
    }

    /// The counts of ViViT-FE-B/16x2 on 400 classes (methods, section 1).
    #[test]
    fn base_size_has_the_published_parameter_count() {
        let graph = base(32).build("model").unwrap();
        assert_eq!(graph.parameter_count(), 115_062_928);
        assert_eq!(graph.parameter_count_below("model.spatial"), 86_388_480);
        assert_eq!(graph.parameter_count_below("model.temporal"), 28_366_848);
        assert_eq!(graph.parameter_count_below("model.head"), 307_600);
    }

    /// Multiply-adds per clip: spatial 282.9 G, temporal 0.48 G (methods, section 1).
    #[test]
    fn base_size_costs_the_known_multiply_adds() {
        let model = base(32);
        let graph = model.build("model").unwrap();
        let shapes = graph.shapes(&model.binding(1)).unwrap();
        let total = |prefix: &str| -> f64 {
            let macs: u64 = graph
                .order()
                .iter()
                .filter(|id| graph.node(**id).path.starts_with(prefix))
                .map(|id| graph.multiply_adds(*id, &shapes))
                .sum();
            macs as f64 / 1e9
        };
        assert!((total("model.spatial") - 282.9).abs() < 1.5, "{}", total("model.spatial"));
        assert!((total("model.temporal") - 0.48).abs() < 0.02, "{}", total("model.temporal"));
        assert_eq!(shapes[graph.output("logits").unwrap().index()], [1, 400]);
    }

    #[test]
    fn wrong_sizes_are_told() {
        let error = Vivit { temporal_heads: 7, ..base(32) }.build("model").unwrap_err();
        assert!(error.to_string().contains("7 temporal heads do not divide the width 768"));
        let error = base(1).build("model").unwrap_err();
        assert!(error.to_string().contains("hold no tubelet"));
    }
}
