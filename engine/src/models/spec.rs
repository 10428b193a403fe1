//! Models as projects describe them, and how such a description becomes an architecture with weights.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cct_spec::CctSpec;
use super::config::read_config;
use super::open::{open_folder, open_fresh};
use super::registry::{self, RegisteredSpec};
use super::text::FeedForward;
use super::trunk::{Flavour, ImageTrunk};
use super::vivit::{TubeletInit, Vivit};
use super::{Architecture, ModelError};
use crate::data::{Column, Source};
use crate::ops::GeluForm;
use crate::tensor::Shape;
use crate::weights::{Checkpoint, WeightSource};

/// A model in a project file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ModelSpec {
    /// A Hugging Face folder, path relative to the project file.
    Folder(String),
    /// A folder of which only `config.json` is read: its architecture from scratch. Relative to the project file.
    Fresh(String),
    /// An image transformer from scratch.
    Vit(VitSpec),
    /// A factorised video transformer over an image transformer.
    Vivit(VivitSpec),
    /// A compact convolutional transformer from scratch.
    Cct(CctSpec),
    /// An architecture that the program around the engine has registered.
    Registered(RegisteredSpec),
}

/// An image transformer from scratch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitSpec {
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads.
    pub heads: usize,
    /// Inner width of the feed-forward part; 4 × width if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlp: Option<usize>,
    /// Rows (and columns) of a patch, in pixels.
    pub patch: usize,
}

/// Where a video transformer's spatial part comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrunkSpec {
    /// A Hugging Face folder of a `ViT` or DINOv2.
    Folder(String),
    /// From scratch.
    Vit(VitSpec),
}

/// A factorised video transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VivitSpec {
    /// The image transformer.
    pub spatial: TrunkSpec,
    /// Frames of one tubelet.
    #[serde(default = "two")]
    pub tubelet: usize,
    /// How an image checkpoint's kernel is spread over a tubelet.
    #[serde(default)]
    pub tubelet_init: TubeletInit,
    /// The temporal transformer.
    pub temporal: TemporalSpec,
}

/// The temporal transformer, as wide as the spatial one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemporalSpec {
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads.
    pub heads: usize,
    /// Inner width of the feed-forward part; 4 × width if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlp: Option<usize>,
    /// Standard deviation of the position table's initial values. The tokens that it is added to have values
    /// of about 1: a larger table lets a model with many positions tell them apart from the first step on.
    #[serde(default = "small", skip_serializing_if = "is_small")]
    pub position_std: f64,
}

/// Scenic's value.
const fn small() -> f64 {
    0.02
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde passes a reference to exactly the default"
)]
fn is_small(std: &f64) -> bool {
    *std == small()
}

const fn two() -> usize {
    2
}

/// What the data say about the model: columns, a sample's shape, classes.
#[derive(Clone, Debug, PartialEq)]
pub struct DataShape {
    /// Columns of a sample.
    pub columns: Vec<Column>,
    /// Extents of the main column, the largest where they vary.
    pub sample: Shape,
    /// Class names.
    pub classes: Vec<String>,
}

/// What the data say of pictures and clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// Frames, if samples are clips.
    pub frames: Option<usize>,
    /// Colour channels.
    pub channels: usize,
    /// Rows and columns of a frame.
    pub image: [usize; 2],
}

impl DataShape {
    /// Of an opened source.
    #[must_use]
    pub fn of(source: &dyn Source) -> Self {
        let (columns, sample) = (source.columns(), source.sample_shape());
        Self { columns, sample, classes: source.classes().to_vec() }
    }

    pub(super) fn picture(&self) -> Result<Picture, ModelError> {
        match self.sample[..] {
            [channels, height, width] => Ok(Picture { frames: None, channels, image: [height, width] }),
            [frames, channels, height, width] => {
                Ok(Picture { frames: Some(frames), channels, image: [height, width] })
            }
            _ => Err(ModelError::Sizes(format!(
                "samples should be images [channels, height, width] or clips [frames, channels, height, width], \
                 not {:?}",
                self.sample
            ))),
        }
    }
}

/// An architecture and the weights that it starts from, if any.
#[derive(Debug)]
pub struct Resolved {
    /// The architecture with all sizes.
    pub architecture: Box<dyn Architecture>,
    /// Weights to load.
    pub weights: Option<WeightSource>,
}

pub(super) fn trunk_of(kind: &str, config: &Value, has: &dyn Fn(&str) -> bool) -> Result<ImageTrunk, String> {
    let flavour = if kind == "dinov2" { Flavour::Dinov2 } else { Flavour::Vit };
    ImageTrunk::from_config(flavour, config, has)
}

impl VitSpec {
    fn trunk(&self, data: &DataShape) -> Result<ImageTrunk, ModelError> {
        let picture = data.picture()?;
        Ok(ImageTrunk {
            flavour: Flavour::Vit,
            width: self.width,
            blocks: self.blocks,
            heads: self.heads,
            mlp: self.mlp.unwrap_or(4 * self.width),
            swiglu: false,
            gelu: GeluForm::Exact,
            epsilon: 1e-6,
            image: picture.image,
            patch: [self.patch; 2],
            channels: picture.channels,
            qkv_bias: true,
            prefix: "vit.".to_owned(),
            pooler: false,
            classes: data.classes.clone(),
            source: Value::Null,
        })
    }
}

impl ModelSpec {
    /// Makes the architecture that fits the data; `base` is the project file's folder.
    ///
    /// # Errors
    /// When a folder cannot be read or the sizes do not go together.
    pub fn resolve(&self, base: &Path, data: &DataShape) -> Result<Resolved, ModelError> {
        match self {
            Self::Folder(folder) => open_folder(&base.join(folder), Some(data), None),
            Self::Fresh(folder) => open_fresh(&base.join(folder), data),
            Self::Vit(spec) => Ok(Resolved { architecture: Box::new(spec.trunk(data)?), weights: None }),
            Self::Registered(spec) => registry::build(spec, data),
            Self::Vivit(spec) => spec.resolve(base, data),
            Self::Cct(spec) => spec.resolve(data),
        }
    }

    /// The model's folder, if it is one.
    #[must_use]
    pub fn folders(&self) -> Vec<&str> {
        match self {
            Self::Folder(folder)
            | Self::Fresh(folder)
            | Self::Vivit(VivitSpec { spatial: TrunkSpec::Folder(folder), .. }) => {
                vec![folder]
            }
            _ => Vec::new(),
        }
    }
}

impl VivitSpec {
    fn resolve(&self, base: &Path, data: &DataShape) -> Result<Resolved, ModelError> {
        let picture = data.picture()?;
        let frames = picture.frames.ok_or_else(|| {
            ModelError::Sizes("a video transformer needs clips, but the data are single images".to_owned())
        })?;
        let (mut spatial, weights) = match &self.spatial {
            TrunkSpec::Vit(spec) => (spec.trunk(data)?, None),
            TrunkSpec::Folder(folder) => {
                let folder = base.join(folder);
                let config = read_config(&folder)?;
                let checkpoint = Checkpoint::open(&folder)?;
                let kind = config.get("model_type").and_then(Value::as_str).unwrap_or_default();
                if kind != "vit" && kind != "dinov2" {
                    return Err(ModelError::UnknownType {
                        found: kind.to_owned(),
                        known: vec!["vit".into(), "dinov2".into()],
                        path: folder.join("config.json"),
                    });
                }
                let trunk = trunk_of(kind, &config, &|name| checkpoint.has(name))
                    .map_err(|why| ModelError::Config { why, path: folder.join("config.json") })?;
                let from = trunk.prefix.clone();
                (trunk, Some(WeightSource { folder, from, to: "spatial.".to_owned(), partial: true }))
            }
        };
        if spatial.channels != picture.channels {
            return Err(ModelError::Sizes(format!(
                "the spatial transformer takes {} channels, the data have {}; set `channels` in the data",
                spatial.channels, picture.channels
            )));
        }
        spatial.classes = Vec::new();
        spatial.prefix = String::new();
        spatial.pooler = false;
        let architecture = Vivit {
            frames,
            tubelet: self.tubelet,
            tubelet_init: self.tubelet_init,
            temporal_blocks: self.temporal.blocks,
            temporal_heads: self.temporal.heads,
            temporal_activation: FeedForward::Gelu(GeluForm::Exact),
            temporal_mlp: self.temporal.mlp.unwrap_or(4 * spatial.width),
            position_std: self.temporal.position_std,
            classes: data.classes.clone(),
            spatial,
        };
        Ok(Resolved { architecture: Box::new(architecture), weights })
    }
}
