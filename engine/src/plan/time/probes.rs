//! What is measured: ops at sizes that models have, forward and backward.

use std::time::Instant;

use burn::tensor::Device;

use super::rates::{ADAMW, Calibration, PACK, Rate, SQUARE, SUM, forward_key, vjp_key};
use crate::ops::{
    Add, Attention, BatchNorm, ChannelMean, ChannelVariance, Concat, Context, Conv2d, ConvTranspose2d,
    CrossEntropy, Dropout, DroppedAttention, Element, Gelu, GeluForm, GlobalMean, Kept, LayerNorm, Linear,
    MatMul, MaxPool2d, MeanTokens, Multiply, Op, Patchify, PrependToken, QuickGelu, Relu, RmsNorm, Scale,
    SelectToken, Sigmoid, Silu, Slice, Softmax, SwiGlu,
};
use crate::tensor::kernels::{AdamWStep, Packed, adamw_step};
use crate::tensor::{Shape, Stream, Value, elements};

/// An op at one size.
struct Probe {
    op: Box<dyn Op>,
    shapes: Vec<Shape>,
    /// Which gradients are measured together, one run for each.
    wanted: Vec<Vec<bool>>,
    training: bool,
}

fn probe(op: impl Op + 'static, shapes: &[&[usize]], wanted: &[&[bool]]) -> Probe {
    Probe {
        op: Box::new(op),
        shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
        wanted: wanted.iter().map(|mask| mask.to_vec()).collect(),
        training: true,
    }
}

/// `[tokens, width]` of small, middling and large activations.
const ROWS: [[usize; 2]; 4] = [[64, 96], [512, 128], [1576, 384], [6272, 768]];

fn probes() -> Vec<Probe> {
    let mut all = Vec::new();
    // Projections, feed-forward parts, adapters, heads.
    let layers =
        [[16, 384], [384, 16], [96, 96], [128, 512], [384, 384], [384, 1536], [1536, 384], [768, 768]];
    for rows in [8, 128, 1576, 6272] {
        for [inner, out] in layers {
            if rows * inner * out > 3 << 30 {
                continue;
            }
            all.push(probe(
                Linear,
                &[&[rows, inner], &[out, inner], &[out]],
                &[&[true, false, false], &[false, true, false], &[false, false, true]],
            ));
        }
    }
    for [rows, inner, out] in [[1576, 384, 8], [1576, 8, 384], [384, 8, 384], [96, 4, 96]] {
        all.push(probe(MatMul, &[&[rows, inner], &[inner, out]], &[&[true, false], &[false, true]]));
    }
    for [batch, tokens, heads, dim] in
        [[8, 16, 4, 24], [64, 50, 4, 24], [8, 197, 6, 64], [32, 65, 4, 32], [64, 49, 6, 64], [2, 577, 6, 64]]
    {
        let shape = [batch, tokens, heads * dim];
        all.push(probe(Attention { heads, scale: None }, &[&shape, &shape, &shape], &[&[true, true, true]]));
    }
    for [batch, tokens, heads, dim] in [[8, 16, 4, 24], [64, 50, 4, 24], [8, 197, 6, 64]] {
        let shape = [batch, tokens, heads * dim];
        let dropped = DroppedAttention { attention: Attention { heads, scale: None }, probability: 0.1 };
        all.push(probe(dropped, &[&shape, &shape, &shape], &[&[true, true, true]]));
    }
    for [rows, width] in ROWS {
        let (x, w): (&[usize], &[usize]) = (&[1, rows, width], &[width]);
        let norm = LayerNorm { epsilon: 1e-6 };
        all.push(probe(norm, &[x, w, w], &[&[true, false, false], &[true, true, true]]));
        all.push(probe(RmsNorm { epsilon: 1e-6 }, &[x, w], &[&[true, false], &[true, true]]));
        all.push(probe(Gelu { form: GeluForm::Exact }, &[x], &[&[true]]));
        all.push(probe(QuickGelu, &[x], &[&[true]]));
        all.push(probe(Silu, &[x], &[&[true]]));
        all.push(probe(Sigmoid, &[x], &[&[true]]));
        all.push(probe(Relu, &[x], &[&[true]]));
        all.push(probe(Softmax, &[x], &[&[true]]));
        all.push(probe(Scale { factor: 0.5 }, &[x], &[&[true]]));
        all.push(probe(Dropout { probability: 0.1 }, &[x], &[&[true]]));
        all.push(probe(SwiGlu, &[x], &[&[true]]));
        all.push(probe(Add, &[x, x], &[&[true, true]]));
        all.push(probe(Multiply, &[x, w], &[&[true, false], &[true, true]]));
        all.push(probe(PrependToken, &[x, &[1, 1, width]], &[&[true, false]]));
        all.push(probe(SelectToken { index: 0 }, &[x], &[&[true]]));
        all.push(probe(MeanTokens { skip: 1 }, &[x], &[&[true]]));
        all.push(probe(Concat { axis: 1 }, &[x, x], &[&[true, true]]));
        all.push(probe(Slice { axis_from_end: 1, start: 0, length: width / 3 }, &[x], &[&[true]]));
    }
    for side in [32, 112, 224] {
        let patches = Patchify { patch: [1, 16, 16], clip: false };
        all.push(probe(patches, &[&[8, 3, side, side]], &[]));
    }
    for [batch, channels, side] in [[4, 16, 16], [8, 32, 32], [32, 32, 32], [16, 64, 28]] {
        let (x, c): (&[usize], &[usize]) = (&[batch, channels, side, side], &[channels]);
        let same = Conv2d { stride: [1, 1], padding: [1, 1], groups: 1 };
        let gradients: &[&[bool]] = &[&[true, false], &[false, true]];
        all.push(probe(same, &[x, &[channels, channels, 3, 3]], gradients));
        let depthwise = Conv2d { groups: channels, ..same };
        all.push(probe(depthwise, &[x, &[channels, 1, 3, 3]], gradients));
        let pointwise = Conv2d { padding: [0, 0], ..same };
        all.push(probe(pointwise, &[x, &[channels, channels, 1, 1]], gradients));
        let halving = Conv2d { stride: [2, 2], ..same };
        all.push(probe(halving, &[&[batch, 3, 2 * side, 2 * side], &[channels, 3, 3, 3]], gradients));
        all.push(probe(ChannelMean, &[x], &[&[true]]));
        all.push(probe(ChannelVariance, &[x, c], &[&[true, true]]));
        all.push(probe(GlobalMean, &[x], &[&[true]]));
        let pool = MaxPool2d { kernel: 3, stride: 2, padding: 1 };
        all.push(probe(pool, &[x], &[&[true]]));
        let statistics: &[&[usize]] = &[x, c, c, c, c, c, c];
        let [on, off] = [true, false];
        all.push(probe(BatchNorm { epsilon: 1e-5 }, statistics, &[&[on, on, on, off, off, on, on]]));
        let frozen: &[&[bool]] = &[&[on, off, off, off, off, off, off]];
        all.push(Probe { training: false, ..probe(BatchNorm { epsilon: 1e-5 }, statistics, frozen) });
    }
    for [batch, channels, side, patch] in [[4, 32, 8, 8], [4, 64, 22, 16]] {
        let pixels = ConvTranspose2d { stride: [patch; 2], padding: [0, 0] };
        let shapes: [&[usize]; 2] = [&[batch, channels, side, side], &[channels, 1, patch, patch]];
        all.push(probe(pixels, &shapes, &[&[true, false], &[false, true]]));
    }
    for rows in [8, 128] {
        all.push(probe(CrossEntropy { label_smoothing: 0.0 }, &[&[rows, 10], &[rows]], &[&[true, false]]));
    }
    all
}

/// Numbers without a pattern that matters; labels for an op's second input where it wants whole numbers.
#[expect(clippy::cast_precision_loss, reason = "below 97")]
fn input(op: &dyn Op, place: usize, shape: &[usize], device: &Device) -> Value {
    if op.name() == "cross-entropy" && place == 1 {
        return Value::from_i64(vec![1; elements(shape)], shape, device);
    }
    let data = (0..elements(shape)).map(|i| (i % 97) as f32 / 97.0 + 0.01).collect();
    Value::from_f32(data, shape, device)
}

/// Seconds that one probe may take in all, warm-up included.
const MOST_SECS: f64 = 0.02;
/// Runs that are looked at, at the most.
const RUNS: usize = 9;

/// Usual seconds of `work`, which is run again as long as that is cheap.
fn usual(device: &Device, mut work: impl FnMut()) -> f64 {
    let mut taken = Vec::with_capacity(RUNS);
    let begin = Instant::now();
    work();
    while taken.len() < 3 || (taken.len() < RUNS && begin.elapsed().as_secs_f64() < MOST_SECS) {
        let one = Instant::now();
        work();
        // On a device without a queue this does nothing, and a failure shows in the next run.
        drop(device.sync());
        taken.push(one.elapsed().as_secs_f64());
    }
    taken.sort_by(f64::total_cmp);
    // The lower quartile: what else the machine does only ever adds.
    taken[taken.len() / 4]
}

/// Measures everything on a device; nothing where `stopped`, which is asked before each probe.
pub(super) fn measure(
    device: &Device,
    fingerprint: String,
    stopped: &dyn Fn() -> bool,
) -> Option<Calibration> {
    let begin = Instant::now();
    let mut found = Calibration { fingerprint, ..Calibration::default() };
    let tiny = Value::full(&[1, 8], 1.0, burn::backend::FloatDType::F32, device);
    found.overhead =
        usual(device, || drop(Add.forward(&[tiny.clone(), tiny.clone()], &Context::inference())));
    for probe in probes() {
        if stopped() {
            return None;
        }
        take(&probe, device, &mut found);
    }
    for count in [1 << 10, 1 << 16, 1 << 20, 1 << 22] {
        if stopped() {
            return None;
        }
        plain(count, device, &mut found);
    }
    found.secs = begin.elapsed().as_secs_f64();
    Some(found)
}

#[expect(clippy::cast_precision_loss, reason = "work is far below 2^52")]
fn note(found: &mut Calibration, key: String, op: &dyn Op, shapes: &[Shape], output: &Shape, secs: f64) {
    let effort = op.effort(shapes, output);
    let secs = (secs - found.overhead).max(0.2 * secs) / effort.work.max(1) as f64;
    found.rates.entry(key).or_default().push(Rate { extents: effort.extents, secs });
}

fn take(probe: &Probe, device: &Device, found: &mut Calibration) {
    let op = probe.op.as_ref();
    let Ok(output) = op.shape(&probe.shapes) else { return };
    let context = Context { stream: Stream::new(1, "calibration"), step: 1, training: probe.training };
    let inputs: Vec<Value> =
        probe.shapes.iter().enumerate().map(|(place, shape)| input(op, place, shape, device)).collect();
    let secs = usual(device, || drop(op.forward(&inputs, &context)));
    note(found, forward_key(op, false), op, &probe.shapes, &output, secs);
    let keeps_extras = !op.extras(&probe.shapes, &output).is_empty();
    if keeps_extras {
        let secs = usual(device, || drop(op.forward_keeping(&inputs, &context)));
        note(found, forward_key(op, true), op, &probe.shapes, &output, secs);
    }
    for wanted in &probe.wanted {
        let keeps = op.keeps(wanted, probe.training);
        let (value, extras) = op.forward_keeping(&inputs, &context);
        let gradient = match op.element() {
            Element::Float => value.clone(),
            Element::Integer => continue,
        };
        // An op may change its gradient in place: each run gets one of its own, whose copying is taken off.
        let secs = usual(device, || {
            let dy = gradient.clone().mul_scalar(1.0);
            let kept = Kept {
                inputs: (0..inputs.len())
                    .map(|place| keeps.input(place).then(|| inputs[place].clone()))
                    .collect(),
                output: keeps.output.then(|| value.clone()),
                extras: extras.clone(),
                input_shapes: probe.shapes.clone(),
            };
            drop(op.vjp(&kept, dy, wanted, &context));
        });
        let copying = usual(device, || drop(gradient.clone().mul_scalar(1.0)));
        let secs = (secs - copying).max(0.1 * secs);
        note(found, vjp_key(op, wanted), op, &probe.shapes, &output, secs);
    }
}

/// What the optimiser and sums of gradients take.
#[expect(clippy::cast_precision_loss, reason = "below 2^52")]
fn plain(count: usize, device: &Device, found: &mut Calibration) {
    let value = || Value::full(&[count], 0.5, burn::backend::FloatDType::F32, device);
    let gradient = value();
    let step = AdamWStep {
        learning_rate: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
        bias_correction1: 0.1,
        bias_correction2: 0.001,
    };
    let mut state = Some([value(), value(), value()]);
    let adamw = usual(device, || {
        if let Some([parameter, first, second]) = state.take() {
            let stepped = adamw_step(parameter, &gradient, first, second, &step);
            state = Some(stepped.unwrap_or_else(|same| same));
        }
    });
    let square = usual(device, || drop(gradient.sum_of_squares()));
    let mut sum = Some(value());
    let adding = usual(device, || sum = sum.take().map(|sum| sum.add(gradient.clone())));
    let rows = gradient.clone().reshape(&[count / 64, 64]);
    let both = usual(device, || drop(Packed::of(&rows, false).map(|packed| packed.value())));
    for (key, secs) in [(ADAMW, adamw), (SQUARE, square), (SUM, adding), (PACK, both / 2.0)] {
        let rate = Rate { extents: vec![count], secs: secs / count as f64 };
        found.rates.entry(key.to_owned()).or_default().push(rate);
    }
}
