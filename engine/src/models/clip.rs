//! CLIP (Radford et al., 2021) in Hugging Face's layout: both towers with their similarities, or either alone.

use serde_json::{Value, json};

use super::clip_towers::{TextTower, VisionTower, project};
use super::config::{Config, labels_json};
use super::open::Stored;
use super::text::{IDS, boxed};
use super::trunk::head;
use super::{Architecture, ModelError};
use crate::graph::{Binding, Builder, Fit, Graph, Init, NodeId, RegionKind};
use crate::ops::{L2Normalise, MeanTokens, Similarities, Transpose};

/// Both towers, or a classifier over images.
pub(super) const MODEL_TYPE: &str = "clip";
/// The image transformer alone.
pub(super) const VISION: &str = "clip_vision_model";
/// The text transformer alone.
pub(super) const TEXT: &str = "clip_text_model";

/// Logarithm of the scale that similarities begin with.
pub(super) const LOG_SCALE: f64 = 2.6592;

/// One or two towers with all their sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// The image transformer, if there is one.
    pub vision: Option<VisionTower>,
    /// The text transformer, if there is one.
    pub text: Option<TextTower>,
    /// Features that both are projected to, if they are.
    pub projection: Option<usize>,
    /// Class names, if there is a head; it reads the mean of the patches, or the text's end.
    pub classes: Vec<String>,
    /// The config as found, written back with what changed.
    pub source: Value,
}

/// A folder's model, with a head for the data's classes.
pub(super) fn read(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    let mut model = Clip::from_stored(stored).map_err(|why| stored.wrong(why))?;
    if let Some(data) = stored.data {
        model.classes.clone_from(&data.classes);
    }
    Ok(boxed(model))
}

impl Clip {
    /// Reads a folder. Of both towers, those are built that the data have columns for.
    pub(super) fn from_stored(stored: &Stored<'_>) -> Result<Self, String> {
        let c = Config(stored.config);
        let (vision, text) = match stored.model_type() {
            VISION => (Some(c), None),
            TEXT => (None, Some(c)),
            _ => (Some(c.section("vision_config")), Some(c.section("text_config"))),
        };
        let vision =
            vision.filter(|_| stored.has("vision_model.pre_layrnorm.weight") && stored.reads("pixel_values"));
        let text = text.filter(|_| stored.has("text_model.final_layer_norm.weight") && stored.reads(IDS));
        if vision.is_none() && text.is_none() {
            return Err("neither the file nor the data have what one of CLIP's towers needs".to_owned());
        }
        let projected = stored.has("visual_projection.weight") || stored.has("text_projection.weight");
        let projection = if projected { Some(c.usize_or("projection_dim", 512)?) } else { None };
        let classes = if stored.has("classifier.weight") { c.labels() } else { Vec::new() };
        Ok(Self {
            vision: vision.map(VisionTower::from_config).transpose()?,
            text: text.map(TextTower::from_config).transpose()?,
            projection,
            classes,
            source: stored.config.clone(),
        })
    }

    /// Whether both towers are there, to be compared.
    const fn compares(&self) -> bool {
        self.vision.is_some() && self.text.is_some()
    }

    fn projected(&self, b: &mut Builder, name: &str, pooled: NodeId, width: usize) -> Option<NodeId> {
        self.projection.map(|features| project(b, pooled, name, [width, features], name))
    }

    fn compare(b: &mut Builder, image: NodeId, text: NodeId) {
        b.region("similarity", "Similarity", RegionKind::Head, |b| {
            let [image, text] =
                [("image", image), ("text", text)].map(|(name, x)| b.op(name, L2Normalise, &[x]));
            b.output("image_embeds", image);
            b.output("text_embeds", text);
            let scale =
                b.param_fitted("log_scale", &[1], Init::Constant(LOG_SCALE), "logit_scale", Fit::Scalar);
            let per_image = b.op("per_image", Similarities, &[image, text, scale]);
            b.output("logits_per_image", per_image);
            let per_text = b.op("per_text", Transpose, &[per_image]);
            b.output("logits_per_text", per_text);
        });
    }
}

impl Architecture for Clip {
    fn title(&self) -> String {
        let vision = self.vision.as_ref().map(|tower| {
            let sizes = &tower.sizes;
            format!("images {} × {}, patch {}, {}²", sizes.blocks, sizes.width, tower.patch, tower.image)
        });
        let text =
            self.text.as_ref().map(|tower| format!("text {} × {}", tower.sizes.blocks, tower.sizes.width));
        format!("CLIP, {}", vision.into_iter().chain(text).collect::<Vec<_>>().join(", "))
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        let mut b = Builder::new(name, &self.title());
        let mut features = None;
        let mut embeds = Vec::new();
        if let Some(tower) = &self.vision {
            let pixels = tower.pixels(&mut b);
            let towered = tower.build(&mut b, pixels, "vision_model.")?;
            let width = tower.sizes.width;
            embeds.extend(self.projected(&mut b, "visual_projection", towered.pooled, width));
            if !self.compares() {
                b.output("last_hidden_state", towered.last);
                b.output("pooler_output", towered.pooled);
                let mean = b.op("mean", MeanTokens { skip: 1 }, &[towered.last]);
                features = Some((mean, width));
                for embed in &embeds {
                    b.output("image_embeds", *embed);
                }
            }
        }
        if let Some(tower) = &self.text {
            let ids = TextTower::ids(&mut b, if self.compares() { "texts" } else { "batch" });
            let towered = tower.build(&mut b, ids, "text_model.")?;
            let width = tower.sizes.width;
            let embed = self.projected(&mut b, "text_projection", towered.pooled, width);
            if !self.compares() {
                b.output("last_hidden_state", towered.last);
                b.output("pooler_output", towered.pooled);
                features = Some((towered.pooled, width));
                if let Some(embed) = embed {
                    b.output("text_embeds", embed);
                }
            }
            embeds.extend(embed);
        }
        if let (true, &[image, text]) = (self.compares(), &embeds[..]) {
            Self::compare(&mut b, image, text);
        }
        if let (false, Some((features, width))) = (self.classes.is_empty(), features) {
            let logits = head(&mut b, features, width, self.classes.len());
            b.output("logits", logits);
        }
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        let mut binding = Binding::new().with("batch", batch);
        if let Some(tower) = &self.vision {
            binding = binding.with("height", tower.image).with("width", tower.image);
        }
        if let Some(tower) = &self.text {
            binding = binding.with("texts", batch).with("tokens", tower.positions);
        }
        binding
    }

    fn config(&self) -> Value {
        let mut config = self.source.as_object().cloned().unwrap_or_default();
        let nested = !matches!(Config(&self.source).text("model_type"), Some(VISION | TEXT));
        let mut section = |name: &str, write: &dyn Fn(&mut serde_json::Map<String, Value>)| {
            if nested {
                let mut own = config.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
                write(&mut own);
                config.insert(name.to_owned(), Value::Object(own));
            } else {
                write(&mut config);
            }
        };
        if let Some(tower) = &self.vision {
            section("vision_config", &|own| tower.write(own));
        }
        if let Some(tower) = &self.text {
            section("text_config", &|own| tower.write(own));
        }
        if let Some(features) = self.projection {
            config.insert("projection_dim".to_owned(), json!(features));
        }
        if !self.classes.is_empty() {
            config.insert("architectures".to_owned(), json!(["CLIPForImageClassification"]));
            config.extend(labels_json(&self.classes));
        }
        Value::Object(config)
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}
