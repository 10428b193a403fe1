//! The compact convolutional transformer (Hassani et al., 2021, arXiv 2104.05704): tokens from convolutions, a sequence
//! pooled by learned weights instead of a class token.
//!
//! The block is the one that the authors' code runs (`src/utils/transformers.py`), which is no plain pre-norm block: the
//! second norm's output takes the place of the residual stream.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::block::fused_projections;
use super::config::{Config, labels_json};
use super::open::Stored;
use super::spec::{DataShape, Resolved};
use super::text::boxed;
use super::trunk::head_as;
use super::{Architecture, ModelError};
use crate::graph::{
    Beginning, Binding, Builder, Extent, Graph, Grid, Init, LinearSpec, NodeId, Port, RegionKind, Tokens,
};
use crate::ops::{
    Add, Attention, Conv2d, Gelu, GeluForm, GridToTokens, MatMul, MaxPool2d, Relu, ResizePositions,
    SelectToken, Softmax, Transpose,
};

/// `model_type` in `config.json`.
pub(super) const MODEL_TYPE: &str = "cct";

/// PyTorch's default, which the authors keep.
const EPSILON: f64 = 1e-5;
/// Channels between two convolutions of the tokenizer.
const MIDDLE: usize = 64;
/// Behind each convolution.
const POOL: MaxPool2d = MaxPool2d { kernel: 3, stride: 2, padding: 1 };
/// How linear layers begin.
const LINEAR: Init = Init::TruncatedNormal { std: 0.02 };

/// A compact transformer in a project file; image size and classes are those of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CctSpec {
    /// Width, blocks and heads.
    pub size: CctSize,
    /// Rows (and columns) of the tokenizer's kernels: the 3 of CCT-7/3x1.
    #[serde(default = "three")]
    pub kernel: usize,
    /// Convolutions of the tokenizer: the 1 of CCT-7/3x1.
    #[serde(default = "one")]
    pub convolutions: usize,
    /// What tells tokens' places apart.
    #[serde(default)]
    pub positions: CctPositions,
}

const fn three() -> usize {
    3
}

const fn one() -> usize {
    1
}

/// The published sizes, or one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CctSize {
    /// 2 blocks, 2 heads, 128 wide, feed-forward as wide.
    Cct2,
    /// 4 blocks, 2 heads, 128 wide, feed-forward as wide.
    Cct4,
    /// 6 blocks, 4 heads, 256 wide, feed-forward twice as wide.
    Cct6,
    /// 7 blocks, 4 heads, 256 wide, feed-forward twice as wide.
    Cct7,
    /// 14 blocks, 6 heads, 384 wide, feed-forward three times as wide.
    Cct14,
    /// Any other.
    Custom {
        /// Width of a token.
        width: usize,
        /// Number of blocks.
        blocks: usize,
        /// Attention heads.
        heads: usize,
        /// Inner width of the feed-forward part.
        mlp: usize,
    },
}

impl CctSize {
    /// Blocks, heads, inner width of the feed-forward part and width.
    const fn extents(self) -> [usize; 4] {
        match self {
            Self::Cct2 => [2, 2, 128, 128],
            Self::Cct4 => [4, 2, 128, 128],
            Self::Cct6 => [6, 4, 512, 256],
            Self::Cct7 => [7, 4, 512, 256],
            Self::Cct14 => [14, 6, 1152, 384],
            Self::Custom { width, blocks, heads, mlp } => [blocks, heads, mlp, width],
        }
    }
}

/// What tells tokens' places apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CctPositions {
    /// A learned table.
    #[default]
    Learned,
    /// Sine and cosine, never trained.
    Sine,
    /// Nothing: the convolutions know.
    None,
}

/// A compact convolutional transformer with all its sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Cct {
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub blocks: usize,
    /// Attention heads.
    pub heads: usize,
    /// Inner width of the feed-forward part.
    pub mlp: usize,
    /// Rows (and columns) of the tokenizer's kernels.
    pub kernel: usize,
    /// From one position of a kernel to the next.
    pub stride: usize,
    /// Zeros beyond each edge.
    pub padding: usize,
    /// Convolutions of the tokenizer.
    pub convolutions: usize,
    /// What tells tokens' places apart.
    pub positions: CctPositions,
    /// Rows and columns of the image that the position table is for.
    pub image: [usize; 2],
    /// Colour channels.
    pub channels: usize,
    /// Class names, if there is a head.
    pub classes: Vec<String>,
}

impl CctSpec {
    /// The architecture for some data, from scratch.
    pub(super) fn resolve(&self, data: &DataShape) -> Result<Resolved, ModelError> {
        let picture = data.picture()?;
        if picture.frames.is_some() {
            return Err(ModelError::Sizes(
                "a compact transformer takes images, but the data are clips".to_owned(),
            ));
        }
        let [blocks, heads, mlp, width] = self.size.extents();
        let half = self.kernel / 2;
        let architecture = Cct {
            width,
            blocks,
            heads,
            mlp,
            kernel: self.kernel,
            stride: half.saturating_sub(1).max(1),
            padding: half.max(1),
            convolutions: self.convolutions,
            positions: self.positions,
            image: picture.image,
            channels: picture.channels,
            classes: data.classes.clone(),
        };
        Ok(Resolved { architecture: Box::new(architecture), weights: None })
    }
}

/// A folder's model, with a head for the data's classes.
pub(super) fn read(stored: &Stored<'_>) -> Result<Box<dyn Architecture>, ModelError> {
    let has = |name: &str| stored.has(name);
    let mut model = Cct::from_config(stored.config, &has).map_err(|why| stored.wrong(why))?;
    if let Some(data) = stored.data {
        model.classes.clone_from(&data.classes);
    }
    Ok(boxed(model))
}

impl Cct {
    /// Reads a `config.json`; `has` says whether the file holds a tensor.
    pub(super) fn from_config(config: &Value, has: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let c = Config(config);
        let positions = match c.text("positional_embedding").unwrap_or("learnable") {
            "learnable" => CctPositions::Learned,
            "sine" => CctPositions::Sine,
            "none" => CctPositions::None,
            other => {
                return Err(format!(
                    "`positional_embedding` in config.json is `{other}`; known are learnable, sine and none"
                ));
            }
        };
        let kernel = c.usize("kernel_size")?;
        Ok(Self {
            width: c.usize("embedding_dim")?,
            blocks: c.usize("num_layers")?,
            heads: c.usize("num_heads")?,
            mlp: c.usize("dim_feedforward")?,
            kernel,
            stride: c.usize_or("stride", (kernel / 2).saturating_sub(1).max(1))?,
            padding: c.usize_or("padding", (kernel / 2).max(1))?,
            convolutions: c.usize_or("n_conv_layers", 1)?,
            positions,
            image: c.pair("image_size")?,
            channels: c.usize_or("num_channels", 3)?,
            classes: if has("classifier.fc.weight") { c.labels() } else { Vec::new() },
        })
    }

    const fn conv(&self) -> Conv2d {
        Conv2d { stride: [self.stride; 2], padding: [self.padding; 2], groups: 1 }
    }

    /// Rows and columns of tokens at the model's own resolution.
    fn grid(&self) -> Result<[usize; 2], ModelError> {
        let mut grid = self.image;
        for extent in &mut grid {
            for _ in 0..self.convolutions {
                let padded = *extent + 2 * self.padding;
                let convolved = padded.checked_sub(self.kernel).map(|free| free / self.stride.max(1) + 1);
                *extent = convolved.and_then(|extent| POOL.extent(extent)).unwrap_or(0);
            }
        }
        if grid.contains(&0) {
            let [rows, columns] = self.image;
            return Err(ModelError::Sizes(format!(
                "an image of {rows} × {columns} has no place for {} kernels of {}",
                self.convolutions, self.kernel
            )));
        }
        Ok(grid)
    }

    fn check(&self) -> Result<(), ModelError> {
        if self.heads == 0 || !self.width.is_multiple_of(self.heads) {
            return Err(ModelError::Sizes(format!(
                "{} heads do not divide the width {}",
                self.heads, self.width
            )));
        }
        if self.kernel == 0 || self.convolutions == 0 || self.stride == 0 {
            return Err(ModelError::Sizes(
                "the tokenizer should have one convolution or more, with kernel and stride of 1 or more"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// From pixels to a feature map `[batch, width, rows, columns]`.
    #[expect(clippy::cast_precision_loss, reason = "a kernel is small")]
    fn tokenizer(&self, b: &mut Builder, pixels: NodeId) -> NodeId {
        let mut x = pixels;
        let mut channels = self.channels;
        for index in 0..self.convolutions {
            let out = if index + 1 == self.convolutions { self.width } else { MIDDLE };
            // Kaiming-normal for what a ReLU follows.
            let std = (2.0 / (channels * self.kernel * self.kernel) as f64).sqrt();
            let spec = LinearSpec {
                kernel: &[channels, self.kernel, self.kernel],
                features_out: out,
                init: Init::Normal { std },
                bias: None,
                stored: &format!("tokenizer.conv_layers.{index}.0"),
            };
            x = b.conv2d(&format!("conv_{index}"), x, self.conv(), &spec);
            x = b.op(&format!("relu_{index}"), Relu, &[x]);
            x = b.op(&format!("pool_{index}"), POOL, &[x]);
            channels = out;
        }
        x
    }

    /// The position table fitted to a feature map, added to the tokens.
    fn placed(&self, b: &mut Builder, tokens: NodeId, map: NodeId, grid: [usize; 2]) -> NodeId {
        let shape = [1, grid[0] * grid[1], self.width];
        let (name, stored) = ("position_table", "classifier.positional_emb");
        let table = match self.positions {
            CctPositions::None => return tokens,
            CctPositions::Learned => b.param(name, &shape, Init::TruncatedNormal { std: 0.2 }, stored),
            CctPositions::Sine => b.state(name, &shape, Beginning::Values(Init::Sinusoidal), stored),
        };
        let fitted = b.op("positions", ResizePositions { prefix: 0, grid, patch: [1, 1] }, &[table, map]);
        b.op("add_positions", Add, &[tokens, fitted])
    }

    /// One block: `h = norm₂(x + attention(norm₁(x)))`, `y = h + mlp(h)`. P2 is before the second norm, P3 behind it.
    fn block(&self, b: &mut Builder, index: usize, x: NodeId) -> NodeId {
        let width = self.width;
        let stored = |name: &str| format!("classifier.blocks.{index}.{name}");
        let linear = |b: &mut Builder, name: &str, input: NodeId, [from, to]: [usize; 2], file: &str| {
            let stored = &stored(file);
            let (kernel, bias) = (&[from][..], Some(Init::Zeros));
            b.linear(name, input, &LinearSpec { kernel, features_out: to, init: LINEAR, bias, stored })
        };
        b.region(&index.to_string(), &format!("Block {}", index + 1), RegionKind::Block, |b| {
            b.port(Port::P0, x, width);
            let (normed, attended) = b.region("attention", "Attention", RegionKind::Attention, |b| {
                let normed = b.layer_norm("norm", x, width, EPSILON, &stored("pre_norm"));
                let inputs = fused_projections(b, normed, width, LINEAR, false, &stored("self_attn.qkv"));
                let mixed = b.op("heads", Attention { heads: self.heads, scale: None }, &inputs);
                (normed, linear(b, "output", mixed, [width, width], "self_attn.proj"))
            });
            b.port(Port::NORMED, normed, width);
            b.port(Port::P1, attended, width);
            let h = b.op("add_attention", Add, &[x, attended]);
            b.port(Port::P2, h, width);
            let (normed, fed) = b.region("mlp", "MLP", RegionKind::FeedForward, |b| {
                let normed = b.layer_norm("norm", h, width, EPSILON, &stored("norm1"));
                let wide = linear(b, "fc1", normed, [width, self.mlp], "linear1");
                let active = b.op("activation", Gelu { form: GeluForm::Exact }, &[wide]);
                (normed, linear(b, "fc2", active, [self.mlp, width], "linear2"))
            });
            b.port(Port::P3, normed, width);
            b.port(Port::P4, fed, width);
            let y = b.op("add_mlp", Add, &[normed, fed]);
            b.port(Port::P5, y, width);
            b.sequence(x, y, 0, width);
            y
        })
    }

    /// Mean over the tokens, weighted by a softmax of one score each: `[batch, tokens, width] → [batch, width]`.
    fn sequence_pool(&self, b: &mut Builder, states: NodeId) -> NodeId {
        b.region("pool", "Sequence pooling", RegionKind::Other, |b| {
            let spec = LinearSpec {
                kernel: &[self.width],
                features_out: 1,
                init: LINEAR,
                bias: Some(Init::Zeros),
                stored: "classifier.attention_pool",
            };
            let scores = b.linear("score", states, &spec);
            let row = b.op("row", Transpose, &[scores]);
            let weights = b.op("weights", Softmax, &[row]);
            let mean = b.op("mean", MatMul, &[weights, states]);
            b.op("pooled", SelectToken { index: 0 }, &[mean])
        })
    }
}

impl Architecture for Cct {
    fn title(&self) -> String {
        format!(
            "CCT-{}/{}x{}, {} wide, {} × {}",
            self.blocks, self.kernel, self.convolutions, self.width, self.image[0], self.image[1]
        )
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        self.check()?;
        let grid = self.grid()?;
        let mut b = Builder::new(name, &self.title());
        let extents = vec![
            Extent::named("batch"),
            Extent::Fixed(self.channels),
            Extent::named("height"),
            Extent::named("width"),
        ];
        let pixels = b.input("pixel_values", extents);
        let (map, mut x) = b.region("tokenizer", "Tokenizer", RegionKind::Embedding, |b| {
            let map = self.tokenizer(b, pixels);
            let tokens = b.op("tokens", GridToTokens, &[map]);
            (map, self.placed(b, tokens, map, grid))
        });
        b.tokens(Tokens { prefix: 0, grid: Grid::Patches { pixels: map, patch: [1, 1] }, masked: false });
        b.region("blocks", "Blocks", RegionKind::Stack, |b| {
            let enters = x;
            for index in 0..self.blocks {
                x = self.block(b, index, x);
            }
            b.sequence(enters, x, 0, self.width);
        });
        let states = b.layer_norm("norm", x, self.width, EPSILON, "classifier.norm");
        b.output("last_hidden_state", states);
        let pooled = self.sequence_pool(&mut b, states);
        b.output("pooler_output", pooled);
        if !self.classes.is_empty() {
            let sizes = [self.width, self.classes.len()];
            let logits = head_as(&mut b, "head", pooled, sizes, LINEAR, "classifier.fc");
            b.output("logits", logits);
        }
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        Binding::new().with("batch", batch).with("height", self.image[0]).with("width", self.image[1])
    }

    fn config(&self) -> Value {
        let positions = match self.positions {
            CctPositions::Learned => "learnable",
            CctPositions::Sine => "sine",
            CctPositions::None => "none",
        };
        let mut config = json!({
            "model_type": MODEL_TYPE,
            "image_size": self.image,
            "num_channels": self.channels,
            "embedding_dim": self.width,
            "num_layers": self.blocks,
            "num_heads": self.heads,
            "dim_feedforward": self.mlp,
            "kernel_size": self.kernel,
            "stride": self.stride,
            "padding": self.padding,
            "n_conv_layers": self.convolutions,
            "positional_embedding": positions,
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

    fn model(
        size: CctSize,
        kernel: usize,
        convolutions: usize,
        image: usize,
        classes: usize,
    ) -> Box<dyn Architecture> {
        let data = DataShape {
            columns: Vec::new(),
            sample: vec![3, image, image],
            classes: (0..classes).map(|i| i.to_string()).collect(),
        };
        let spec = CctSpec { size, kernel, convolutions, positions: CctPositions::Learned };
        spec.resolve(&data).unwrap().architecture
    }

    /// The counts of the published models (methods, section 7).
    #[test]
    fn published_sizes_have_their_parameter_counts() {
        for (size, kernel, convolutions, image, classes, count) in [
            (CctSize::Cct2, 3, 2, 32, 10, 283_723),
            (CctSize::Cct7, 3, 1, 32, 10, 3_760_139),
            (CctSize::Cct14, 7, 2, 224, 1000, 22_367_273),
        ] {
            let graph = model(size, kernel, convolutions, image, classes).build("model").unwrap();
            assert_eq!(graph.parameter_count(), count, "{size:?}");
        }
    }

    /// 5.11 G of multiply-adds an image for CCT-14/7x2 at 224 (the authors' table).
    #[test]
    fn the_largest_costs_the_known_multiply_adds() {
        let model = model(CctSize::Cct14, 7, 2, 224, 1000);
        let graph = model.build("model").unwrap();
        let shapes = graph.shapes(&model.binding(1)).unwrap();
        let total: u64 = graph.order().iter().map(|id| graph.multiply_adds(*id, &shapes)).sum();
        let giga = u32::try_from(total / 1_000_000).map(f64::from).unwrap() / 1e3;
        assert!((giga - 5.11).abs() < 0.6, "{giga}");
        assert_eq!(shapes[graph.output("logits").unwrap().index()], [1, 1000]);
    }

    #[test]
    fn another_image_size_resizes_the_positions() {
        let model = model(CctSize::Cct2, 3, 1, 32, 10);
        let graph = model.build("model").unwrap();
        let binding = Binding::new().with("batch", 2).with("height", 20).with("width", 44);
        let shapes = graph.shapes(&binding).unwrap();
        assert_eq!(shapes[graph.output("last_hidden_state").unwrap().index()], [2, 10 * 22, 128]);
    }

    #[test]
    fn wrong_sizes_are_told() {
        let custom = |heads| CctSize::Custom { width: 16, blocks: 1, heads, mlp: 16 };
        let error = model(custom(3), 3, 1, 8, 2).build("model").unwrap_err();
        assert!(error.to_string().contains("3 heads do not divide the width 16"), "{error}");
        let config = json!({
            "image_size": 8, "embedding_dim": 16, "num_layers": 1, "num_heads": 2, "dim_feedforward": 16,
            "kernel_size": 9, "padding": 0, "n_conv_layers": 3,
        });
        let error = Cct::from_config(&config, &|_| false).unwrap().build("model").unwrap_err();
        assert!(error.to_string().contains("no place for 3 kernels of 9"), "{error}");
    }
}
