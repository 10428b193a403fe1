//! The ops that decide a step's time, forward and backward: `cargo bench --workspace --bench ops`.
//!
//! Sizes are those of a `ViT`-S block with a batch of 8 at 224².

use divan::Bencher;
use graft_engine::memory::Counting;
use graft_engine::ops::{Attention, Context, Gelu, GeluForm, Kept, LayerNorm, Linear, Op, Softmax};
use graft_engine::tensor::{Stream, Value, elements};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const TOKENS: usize = 8 * 197;
const WIDTH: usize = 384;

fn main() {
    divan::main();
}

fn random(name: &str, shape: &[usize]) -> Value {
    let mut draws = Stream::new(1, name).at(0);
    let data = (0..elements(shape)).map(|_| draws.normal()).collect();
    Value::from_f32(data, shape, &burn::tensor::Device::flex())
}

fn inputs(shapes: &[&[usize]]) -> Vec<Value> {
    shapes.iter().enumerate().map(|(place, shape)| random(&place.to_string(), shape)).collect()
}

fn forward(bencher: Bencher<'_, '_>, op: &dyn Op, shapes: &[&[usize]]) {
    let inputs = inputs(shapes);
    bencher.bench_local(|| op.forward(&inputs, &Context::inference()));
}

fn backward(bencher: Bencher<'_, '_>, op: &dyn Op, shapes: &[&[usize]], wanted: &[bool]) {
    let inputs = inputs(shapes);
    let context = Context::inference();
    let (output, extras) = op.forward_keeping(&inputs, &context);
    let keeps = op.keeps(wanted, false);
    let gradient = random("gradient", &output.shape());
    // An op may change its gradient in place: each run gets one of its own.
    bencher.with_inputs(|| gradient.clone().mul_scalar(1.0)).bench_local_values(|dy| {
        let kept = Kept {
            inputs: (0..inputs.len()).map(|i| keeps.input(i).then(|| inputs[i].clone())).collect(),
            output: keeps.output.then(|| output.clone()),
            extras: extras.clone(),
            input_shapes: inputs.iter().map(Value::shape).collect(),
        };
        op.vjp(&kept, dy, wanted, &context)
    });
}

const LAYER: [&[usize]; 3] = [&[TOKENS, WIDTH], &[4 * WIDTH, WIDTH], &[4 * WIDTH]];
const HEADS: [&[usize]; 3] = [&[8, 197, WIDTH], &[8, 197, WIDTH], &[8, 197, WIDTH]];
const NORM: [&[usize]; 3] = [&[TOKENS, WIDTH], &[WIDTH], &[WIDTH]];
const WIDE: [&[usize]; 1] = [&[TOKENS, 4 * WIDTH]];

#[divan::bench]
fn linear(bencher: Bencher<'_, '_>) {
    forward(bencher, &Linear, &LAYER);
}

#[divan::bench]
fn linear_backward_to_input(bencher: Bencher<'_, '_>) {
    backward(bencher, &Linear, &LAYER, &[true, false, false]);
}

#[divan::bench]
fn linear_backward_to_weight(bencher: Bencher<'_, '_>) {
    backward(bencher, &Linear, &LAYER, &[false, true, true]);
}

#[divan::bench]
fn attention(bencher: Bencher<'_, '_>) {
    forward(bencher, &Attention { heads: 6, scale: None }, &HEADS);
}

#[divan::bench]
fn attention_backward(bencher: Bencher<'_, '_>) {
    backward(bencher, &Attention { heads: 6, scale: None }, &HEADS, &[true; 3]);
}

#[divan::bench]
fn layer_norm(bencher: Bencher<'_, '_>) {
    forward(bencher, &LayerNorm { epsilon: 1e-6 }, &NORM);
}

#[divan::bench]
fn layer_norm_backward(bencher: Bencher<'_, '_>) {
    backward(bencher, &LayerNorm { epsilon: 1e-6 }, &NORM, &[true, false, false]);
}

#[divan::bench]
fn gelu(bencher: Bencher<'_, '_>) {
    forward(bencher, &Gelu { form: GeluForm::Exact }, &WIDE);
}

#[divan::bench]
fn gelu_backward(bencher: Bencher<'_, '_>) {
    backward(bencher, &Gelu { form: GeluForm::Exact }, &WIDE, &[true]);
}

#[divan::bench]
fn softmax(bencher: Bencher<'_, '_>) {
    forward(bencher, &Softmax, &[&[8, 6, 197, 197]]);
}
