//! Two architectures that the prediction bench draws beside the built-in ones: one with convolutions and
//! normalisation statistics, one with a fused query-key-value weight and dropout.

use crate::graph::{
    Beginning, Binding, Builder, Extent, Graph, Init, LinearSpec, NodeId, Port, RegionKind, RowRange,
    SiteKind, When,
};
use crate::models::{Architecture, DataShape, ModelError, Resolved, register};
use crate::ops::{
    Add, Attention, BatchNorm, Blend, ChannelMean, ChannelVariance, Conv2d, Dropout, Gelu, GeluForm,
    GlobalMean, LayerNorm, MeanTokens, Patchify, Relu, Slice, Unbias,
};

/// Name of the convolutional one.
pub(super) const CONV: &str = "bench_conv";
/// Name of the fused one.
pub(super) const FUSED: &str = "bench_fused";

/// Makes both known to projects.
pub(super) fn make_known() {
    register(CONV, |_, data| resolved(Conv { sizes: Sizes::of(data)? }));
    register(FUSED, |_, data| resolved(Fused { sizes: Sizes::of(data)? }));
}

#[expect(clippy::unnecessary_wraps, reason = "a maker may fail")]
fn resolved(architecture: impl Architecture + 'static) -> Result<Resolved, ModelError> {
    Ok(Resolved { architecture: Box::new(architecture), weights: None })
}

/// What the data decide.
#[derive(Clone, Debug)]
struct Sizes {
    channels: usize,
    image: [usize; 2],
    classes: Vec<String>,
}

impl Sizes {
    fn of(data: &DataShape) -> Result<Self, ModelError> {
        match data.sample[..] {
            [channels, height, width] => {
                Ok(Self { channels, image: [height, width], classes: data.classes.clone() })
            }
            _ => Err(ModelError::Sizes("needs pictures [channels, height, width]".to_owned())),
        }
    }

    fn binding(&self, batch: usize) -> Binding {
        Binding::new().with("batch", batch).with("height", self.image[0]).with("width", self.image[1])
    }

    fn pixels(&self, b: &mut Builder) -> NodeId {
        let extents = vec![
            Extent::named("batch"),
            Extent::Fixed(self.channels),
            Extent::named("height"),
            Extent::named("width"),
        ];
        b.input("pixel_values", extents)
    }

    fn head(&self, b: &mut Builder, features: NodeId, width: usize) {
        let logits = b.region("head", "Head", RegionKind::Head, |b| {
            b.linear("classifier", features, &spec(&[width], self.classes.len(), "classifier"))
        });
        b.output("logits", logits);
    }
}

const fn spec<'a>(kernel: &'a [usize], features_out: usize, stored: &'a str) -> LinearSpec<'a> {
    LinearSpec { kernel, features_out, init: Init::XavierUniform, bias: Some(Init::Zeros), stored }
}

/// A residual network of 3×3 convolutions with batch norm.
#[derive(Debug)]
struct Conv {
    sizes: Sizes,
}

const CHANNELS: usize = 32;

/// Batch norm with running statistics, as PyTorch has it with momentum 0.1.
fn batch_norm(b: &mut Builder, name: &str, x: NodeId, channels: usize) -> NodeId {
    b.region(name, "Batch norm", RegionKind::Other, |b| {
        let gamma = b.param("weight", &[channels], Init::Ones, &format!("{name}.weight"));
        let beta = b.param("bias", &[channels], Init::Zeros, &format!("{name}.bias"));
        let running_mean = b.state("running_mean", &[channels], Beginning::Values(Init::Zeros), "");
        let running_variance = b.state("running_var", &[channels], Beginning::Values(Init::Ones), "");
        let mean = b.op("mean", ChannelMean, &[x]);
        let variance = b.op("variance", ChannelVariance, &[x, mean]);
        let next_mean = b.op("next_mean", Blend { share: 0.1 }, &[running_mean, mean]);
        let unbiased = b.op("unbiased", Unbias, &[variance, x]);
        let next_variance = b.op("next_var", Blend { share: 0.1 }, &[running_variance, unbiased]);
        b.update(running_mean, next_mean, When::AfterBackward);
        b.update(running_variance, next_variance, When::AfterBackward);
        let inputs = [x, mean, variance, running_mean, running_variance, gamma, beta];
        b.op("normed", BatchNorm { epsilon: 1e-5 }, &inputs)
    })
}

impl Architecture for Conv {
    fn title(&self) -> String {
        "residual convolutions".to_owned()
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        let mut b = Builder::new(name, "Convolutions");
        let pixels = self.sizes.pixels(&mut b);
        let halving = Conv2d { stride: [2, 2], padding: [1, 1], groups: 1 };
        let same = Conv2d { stride: [1, 1], padding: [1, 1], groups: 1 };
        let mut x = b.region("stem", "Stem", RegionKind::Embedding, |b| {
            let x = b.conv2d("conv", pixels, halving, &spec(&[self.sizes.channels, 3, 3], CHANNELS, "stem"));
            let x = batch_norm(b, "norm", x, CHANNELS);
            b.op("active", Relu, &[x])
        });
        x = b.region("blocks", "Blocks", RegionKind::Transformer, |b| {
            let mut x = x;
            for number in 0..3 {
                x = b.region(&number.to_string(), "Block", RegionKind::Block, |b| {
                    let stored = format!("blocks.{number}");
                    let y = b.conv2d("first", x, same, &spec(&[CHANNELS, 3, 3], CHANNELS, &stored));
                    let y = batch_norm(b, "norm1", y, CHANNELS);
                    let y = b.op("active", Relu, &[y]);
                    let depthwise = Conv2d { groups: CHANNELS, ..same };
                    let y = b.conv2d("second", y, depthwise, &spec(&[1, 3, 3], CHANNELS, &stored));
                    let y = batch_norm(b, "norm2", y, CHANNELS);
                    b.op("add", Add, &[x, y])
                });
            }
            x
        });
        let pooled = b.op("pooled", GlobalMean, &[x]);
        self.sizes.head(&mut b, pooled, CHANNELS);
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        self.sizes.binding(batch)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn classes(&self) -> &[String] {
        &self.sizes.classes
    }
}

/// A transformer whose query, key and value are one weight, with dropout behind each branch.
#[derive(Debug)]
struct Fused {
    sizes: Sizes,
}

const WIDTH: usize = 96;

fn norm(b: &mut Builder, name: &str, x: NodeId) -> NodeId {
    let gamma = b.param(&format!("{name}.weight"), &[WIDTH], Init::Ones, "");
    let beta = b.param(&format!("{name}.bias"), &[WIDTH], Init::Zeros, "");
    b.op(name, LayerNorm { epsilon: 1e-6 }, &[x, gamma, beta])
}

impl Architecture for Fused {
    fn title(&self) -> String {
        "transformer with a fused qkv".to_owned()
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        let mut b = Builder::new(name, "Fused");
        let pixels = self.sizes.pixels(&mut b);
        let patch = 8;
        let mut x = b.region("embeddings", "Embeddings", RegionKind::Embedding, |b| {
            let patches = b.op("patches", Patchify { patch: [1, patch, patch], clip: false }, &[pixels]);
            b.linear("projection", patches, &spec(&[self.sizes.channels, patch, patch], WIDTH, "projection"))
        });
        x = b.region("blocks", "Blocks", RegionKind::Transformer, |b| {
            let mut x = x;
            for number in 0..3 {
                x = b.region(&number.to_string(), "Block", RegionKind::Block, |b| block(b, x));
            }
            x
        });
        let pooled = b.op("pooled", MeanTokens { skip: 0 }, &[x]);
        self.sizes.head(&mut b, pooled, WIDTH);
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        self.sizes.binding(batch)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn classes(&self) -> &[String] {
        &self.sizes.classes
    }
}

fn block(b: &mut Builder, x: NodeId) -> NodeId {
    let normed = norm(b, "norm1", x);
    let fused = b.linear("qkv", normed, &spec(&[WIDTH], 3 * WIDTH, "qkv"));
    let mut parts = Vec::new();
    for (number, name) in ["query", "key", "value"].into_iter().enumerate() {
        let rows = RowRange { start: number * WIDTH, length: WIDTH };
        b.slice_site(fused, name, rows);
        let slice = Slice { axis_from_end: 1, start: rows.start, length: WIDTH };
        parts.push(b.op(&format!("take_{name}"), slice, &[fused]));
    }
    let mixed = b.op("heads", Attention { heads: 4, scale: None }, &parts);
    let out = b.linear("output", mixed, &spec(&[WIDTH], WIDTH, "output"));
    let out = b.op("dropout1", Dropout { probability: 0.1 }, &[out]);
    b.site(Port::P1.name(), SiteKind::Port(Port::P1), out, WIDTH);
    let h = b.op("add1", Add, &[x, out]);
    let normed = norm(b, "norm2", h);
    let wide = b.linear("fc1", normed, &spec(&[WIDTH], 3 * WIDTH, "fc1"));
    let active = b.op("active", Gelu { form: GeluForm::Tanh }, &[wide]);
    let fed = b.linear("fc2", active, &spec(&[3 * WIDTH], WIDTH, "fc2"));
    let fed = b.op("dropout2", Dropout { probability: 0.1 }, &[fed]);
    b.site(Port::P4.name(), SiteKind::Port(Port::P4), fed, WIDTH);
    b.op("add2", Add, &[h, fed])
}
