//! The proving graph: a model that needs everything the engine can do and that no architecture of the engine has.
//!
//! Pictures of several odd sizes go through a strided convolution pyramid with batch norm and a skip connection;
//! words of several lengths through an embedding whose table is also the weight of a layer, and a fused attention.
//! Both meet, a moving average is taken away, rows go to one of three experts by a column of the data, one of two
//! branches is drawn for each step, and a head gives three classes.

use std::collections::BTreeMap;
use std::path::Path;

use graft_engine::graph::{
    Beginning, Binding, Builder, Extent, Graph, Init, InputLeaf, LinearSpec, NodeId, Port, RegionKind,
    RowRange, SiteKind, When,
};
use graft_engine::models::{Architecture, ModelError, Resolved, register};
use graft_engine::ops::{
    Add, Attention, BatchNorm, Blend, ChannelMean, ChannelVariance, Combine, Concat, Conv2d, Dispatch, Draw,
    Dropout, Embedding, FirstPresent, Gate, Gelu, GeluForm, GlobalMean, Linear, MeanTokens, Relu,
    ResizeNearest, Slice, Subtract, Unbias,
};
use graft_engine::tensor::Stream;
use safetensors::tensor::{Dtype, TensorView};

/// The name that projects call it by.
pub const NAME: &str = "proving";

/// Width of what both halves meet in.
pub const WIDTH: usize = 8;
/// Width of a word and of the pyramid's channels.
const HALF: usize = 4;
/// Words that there are.
pub const WORDS: usize = 6;
/// Classes.
pub const CLASSES: usize = 3;
/// Experts.
pub const EXPERTS: usize = 3;

/// Makes the model known to projects.
pub fn make_known() {
    register(NAME, |_, data| {
        let architecture = Proving { classes: data.classes.clone() };
        Ok(Resolved { architecture: Box::new(architecture), weights: None })
    });
}

/// The architecture.
#[derive(Debug)]
pub struct Proving {
    /// Class names.
    pub classes: Vec<String>,
}

fn spec<'a>(kernel: &'a [usize], features_out: usize, stored: &'a str) -> LinearSpec<'a> {
    LinearSpec { kernel, features_out, init: Init::XavierUniform, bias: Some(Init::Zeros), stored }
}

/// Batch norm with its running statistics: what PyTorch does with momentum 0.1.
fn batch_norm(b: &mut Builder, x: NodeId) -> NodeId {
    b.region("norm", "Batch norm", RegionKind::Other, |b| {
        let gamma = b.param("weight", &[HALF], Init::Ones, "norm.weight");
        let beta = b.param("bias", &[HALF], Init::Zeros, "norm.bias");
        let begins = Beginning::Values;
        let running_mean = b.state("running_mean", &[HALF], begins(Init::Zeros), "norm.running_mean");
        let running_variance = b.state("running_var", &[HALF], begins(Init::Ones), "norm.running_var");
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

impl Proving {
    fn vision(b: &mut Builder) -> NodeId {
        let extents =
            vec![Extent::named("batch"), Extent::Fixed(2), Extent::named("height"), Extent::named("width")];
        let pixels = b.input("pixel_values", extents);
        b.region("vision", "Vision", RegionKind::Transformer, |b| {
            let halving = Conv2d { stride: [2, 2], padding: [1, 1], groups: 1 };
            let fine = b.conv2d("fine", pixels, halving, &spec(&[2, 3, 3], HALF, "fine"));
            let normed = batch_norm(b, fine);
            let fine = b.op("fine_active", Relu, &[normed]);
            let coarse = b.conv2d("coarse", fine, halving, &spec(&[HALF, 3, 3], HALF, "coarse"));
            let coarse = b.op("coarse_active", Gelu { form: GeluForm::Exact }, &[coarse]);
            let up = b.op("up", ResizeNearest, &[coarse, fine]);
            let skip = b.op("skip", Add, &[fine, up]);
            b.op("pooled", GlobalMean, &[skip])
        })
    }

    fn text(b: &mut Builder) -> NodeId {
        let leaf = InputLeaf::integers("tokens", vec![Extent::named("batch"), Extent::named("length")]);
        let tokens = b.column(leaf);
        b.region("text", "Text", RegionKind::Transformer, |b| {
            let table = b.param("table", &[WORDS, HALF], Init::Normal { std: 1.0 }, "embed.weight");
            b.tie(table, "unembed.weight", "unembed.weight");
            let words = b.op("words", Embedding, &[table, tokens]);
            let fused = b.linear("qkv", words, &spec(&[HALF], 3 * HALF, "qkv"));
            let mut parts = Vec::new();
            for (number, name) in ["query", "key", "value"].into_iter().enumerate() {
                let rows = RowRange { start: number * HALF, length: HALF };
                b.slice_site(fused, name, rows);
                let slice = Slice { axis_from_end: 1, start: rows.start, length: HALF };
                parts.push(b.op(&format!("take_{name}"), slice, &[fused]));
            }
            let mixed = b.op("heads", Attention { heads: 2, scale: None }, &parts);
            let mean = b.op("mean", MeanTokens { skip: 0 }, &[mixed]);
            let named = b.op("unembed", Linear, &[mean, table]);
            b.op("features", Concat { axis: 1 }, &[mean, named])
        })
    }

    fn experts(b: &mut Builder, x: NodeId) -> NodeId {
        b.region("experts", "Experts", RegionKind::FeedForward, |b| {
            let mut inputs = vec![x];
            for number in 0..EXPERTS {
                let value = i64::try_from(number).unwrap_or(0);
                let rows = b.column(InputLeaf::rows("route", value));
                let (y, rows) = b.region(&number.to_string(), "Expert", RegionKind::Block, |b| {
                    let own = b.op("rows", Dispatch, &[x, rows]);
                    let stored = format!("experts.{number}");
                    let y = b.linear("fc", own, &spec(&[WIDTH], WIDTH, &stored));
                    (b.op("active", Gelu { form: GeluForm::Tanh }, &[y]), rows)
                });
                inputs.extend([y, rows]);
            }
            b.op("combined", Combine { branches: EXPERTS }, &inputs)
        })
    }

    fn drawn(b: &mut Builder, x: NodeId) -> NodeId {
        b.region("drawn", "Drawn branch", RegionKind::Other, |b| {
            let draw = b.op("draw", Draw { branches: 2 }, &[x]);
            let mut branches = Vec::new();
            for branch in 0..2 {
                branches.push(b.region(&branch.to_string(), "Branch", RegionKind::Block, |b| {
                    let own = b.op("gate", Gate { branch }, &[x, draw]);
                    let stored = format!("drawn.{branch}");
                    b.linear("fc", own, &spec(&[WIDTH], WIDTH, &stored))
                }));
            }
            b.op("one", FirstPresent, &branches)
        })
    }
}

impl Architecture for Proving {
    fn title(&self) -> String {
        "Proving graph".to_owned()
    }

    fn build(&self, name: &str) -> Result<Graph, ModelError> {
        let mut b = Builder::new(name, &self.title());
        let vision = Self::vision(&mut b);
        let text = Self::text(&mut b);
        let (joint, centred) = b.region("joint", "Joint", RegionKind::Other, |b| {
            let seen = b.linear("seen", vision, &spec(&[HALF], WIDTH, "seen"));
            let read = b.linear("read", text, &spec(&[HALF + WORDS], WIDTH, "read"));
            let joint = b.op("sum", Add, &[seen, read]);
            let joint = b.op("dropout", Dropout { probability: 0.2 }, &[joint]);
            let centre = b.state("centre", &[WIDTH], Beginning::Values(Init::Zeros), "centre");
            let mean = b.op("mean", ChannelMean, &[joint]);
            let next = b.op("next_centre", Blend { share: 0.3 }, &[centre, mean]);
            b.update(centre, next, When::AfterBackward);
            (joint, b.op("centred", Subtract, &[joint, centre]))
        });
        let mixed = Self::experts(&mut b, centred);
        let drawn = Self::drawn(&mut b, mixed);
        b.site("P4", SiteKind::Port(Port::P4), drawn, WIDTH);
        let out = b.op("out", Add, &[mixed, drawn]);
        let logits = b.region("head", "Head", RegionKind::Head, |b| {
            let weight = b.param("weight", &[self.classes.len(), WIDTH], Init::XavierUniform, "head.weight");
            let bias = b.param("bias", &[self.classes.len()], Init::Zeros, "head.bias");
            let logits = b.op("logits", Linear, &[out, weight, bias]);
            b.weight_site(logits, weight, WIDTH, self.classes.len());
            logits
        });
        b.output("logits", logits);
        b.output("features", out);
        b.entry("see", &[], &[("pooled", vision)]);
        b.entry("decide", &[("joint", joint)], &[("logits", logits)]);
        Ok(b.finish()?)
    }

    fn binding(&self, batch: usize) -> Binding {
        Binding::new().with("batch", batch).with("height", 9).with("width", 7).with("length", 5)
    }

    fn config(&self) -> serde_json::Value {
        serde_json::json!({ "model_type": NAME })
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

/// Extents of the pictures and lengths of the texts that the data have.
const SIZES: [([usize; 2], usize); 3] = [([9, 7], 3), ([7, 5], 5), ([5, 9], 2)];

/// Writes a file of samples of three sizes and lengths: class and route follow from what is in them, the last
/// expert's route is rare.
///
/// # Errors
/// When the file cannot be written.
pub fn write_data(path: &Path, samples: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut pixels: Vec<f32> = Vec::new();
    let mut tokens: Vec<i64> = Vec::new();
    let (mut pixel_extents, mut token_extents) = (Vec::new(), Vec::new());
    let (mut labels, mut routes) = (Vec::new(), Vec::new());
    for index in 0..samples {
        let mut draws = Stream::new(1, "proving data").at(index as u64);
        let ([height, width], length) = SIZES[draws.below(SIZES.len())];
        let label = draws.below(CLASSES);
        #[expect(clippy::cast_precision_loss, reason = "a class number is small")]
        pixels.extend((0..2 * height * width).map(|_| draws.normal() + label as f32));
        for _ in 0..length {
            tokens.push(i64::try_from((label + draws.below(3)) % WORDS)?);
        }
        pixel_extents.extend([2, i64::try_from(height)?, i64::try_from(width)?]);
        token_extents.push(i64::try_from(length)?);
        labels.push(i64::try_from(label)?);
        routes.push(if draws.below(8) == 0 { 2 } else { i64::try_from(draws.below(2))? });
    }
    let floats = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let integers = |values: &[i64]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let tensors: BTreeMap<&str, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::from([
        ("inputs", (Dtype::F32, vec![pixels.len()], floats(&pixels))),
        ("inputs.extents", (Dtype::I64, vec![samples, 3], integers(&pixel_extents))),
        ("tokens", (Dtype::I64, vec![tokens.len()], integers(&tokens))),
        ("tokens.extents", (Dtype::I64, vec![samples, 1], integers(&token_extents))),
        ("route", (Dtype::I64, vec![samples], integers(&routes))),
        ("labels", (Dtype::I64, vec![samples], integers(&labels))),
    ]);
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| Ok((*name, TensorView::new(*dtype, shape.clone(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    std::fs::write(path, safetensors::serialize(views, None)?)?;
    Ok(())
}

/// The project that takes the model through every kind of stage. Its data file is `proving.safetensors`.
pub const PROJECT: &str = r#"(
    version: 2,
    name: "proving",
    seed: 5,
    model: Registered(name: "proving"),
    data: Tensors(file: "proving.safetensors", validation: 0.25),
    adapters: [
        (at: "model.text.qkv.query", kind: Lora(rank: 2, alpha: 4, dropout: 0.1)),
        (at: "model.joint.{seen,read}", kind: Sparse(share: 0.25, saliency: Snip)),
        (at: "model.P4", kind: Bottleneck(width: 4)),
        (at: "model.P4.adapter_2.{down,up}", kind: Phm(n: 2)),
        (at: "model.vision.coarse", kind: LowRank(rank: 1)),
        (at: "model.vision.coarse", kind: LowRank(rank: 2, alpha: 1)),
    ],
    stages: [
        Train(
            name: "whole",
            adapters: None,
            epochs: 3,
            batch: 4,
            instances: [(name: "second")],
            losses: [CrossEntropy(), SymmetricKl(a: "logits", b: "second.logits", weight: 0.5)],
            optimiser: AdamW(learning_rate: 0.01),
            clip_norm: 1.0,
        ),
        Measure(name: "where it matters", batch: 4, samples: 24),
        Repeat(
            variable: "rate",
            over: ["0.02", "0.005"],
            into: ["0.optimiser.learning_rate"],
            stages: [
                Train(
                    name: "adapters",
                    train: ["model.head"],
                    epochs: 2,
                    batch: 4,
                    accumulate: 2,
                    instances: [(name: "average", weights: Average(decay: 0.9))],
                    losses: [CrossEntropy(), Distillation(teacher: "average.logits", weight: 0.1)],
                ),
            ],
        ),
        Generate(
            name: "features",
            split: train,
            outputs: [("inputs", "features"), ("logits", "logits")],
            copy: [("labels", "labels")],
        ),
        Edit(name: "merge", edits: [Merge([0, 1, 4, 5])]),
        Evaluate(name: "as it stands", split: validation, batch: 4),
    ],
)"#;
