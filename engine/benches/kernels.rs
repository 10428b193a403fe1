//! The CPU kernels against burn's own ops: `cargo bench -p graft-engine --bench kernels`.
//!
//! Prints the median time of each, for a large and a small size, and how many times faster the
//! kernel is. A word on the command line chooses the kernels whose name contains it.
#![expect(clippy::cast_precision_loss, clippy::cast_possible_wrap, reason = "small counts")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use burn::backend::Dispatch;
use burn::backend::ops::{ActivationOps as _, AttentionModuleOptions, ModuleOps as _};
use burn::tensor::Device;
use graft_engine::tensor::kernels::{
    AdamWStep, GeluForm, Reading, Scores, adamw_step, attention, attention_vjp, cross_entropy, gelu,
    gelu_vjp, layer_norm, layer_norm_vjp, matmul, softmax_last, softmax_last_vjp, sum_rows,
};
use graft_engine::tensor::{Value, elements};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GROUPS: usize = 4;
const RUNS_IN_GROUP: usize = 8;
const WARM_UP: usize = 3;
const EPSILON: f64 = 1e-6;

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let bench = Bench { filter };
    println!("{:<44} {:>10} {:>10} {:>7}", "kernel", "ours, µs", "burn, µs", "ratio");
    for shape in [vec![8 * 197, 1536], vec![256 * 17, 96], vec![32, 96]] {
        elementwise(&bench, &shape);
    }
    for extents in [[576, 384, 384], [576, 1536, 384], [576, 384, 1536], [8 * 197, 384, 1536]] {
        products(&bench, extents);
    }
    for shape in [vec![8 * 197, 384], vec![256, 17, 96], vec![8, 6, 197, 197], vec![1024, 17, 17]] {
        rows(&bench, &shape);
    }
    for shape in [[256, 17, 4, 24], [8, 197, 6, 64], [1, 1024, 2, 64]] {
        attentions(&bench, shape);
    }
    for count in [384 * 1536, 384] {
        optimizer(&bench, count);
    }
    for (rows, classes) in [(256, 10), (64, 1000), (1576, 4096)] {
        losses(&bench, rows, classes);
    }
}

struct Bench {
    filter: Option<String>,
}

impl Bench {
    /// Times both in alternating groups, so that a busy moment of the machine meets both while
    /// neither works in what the other left of caches and freed memory.
    fn compare<A, B>(&self, name: &str, shape: &[usize], ours: impl Fn() -> A, burns: impl Fn() -> B) {
        if self.filter.as_ref().is_some_and(|filter| !name.contains(filter.as_str())) {
            return;
        }
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..GROUPS {
            own.extend(group(&ours));
            other.extend(group(&burns));
        }
        let (own, other) = (median(own), median(other));
        let ratio = other.as_secs_f64() / own.as_secs_f64();
        let name = format!("{name} {shape:?}");
        println!("{name:<44} {:>10.1} {:>10.1} {ratio:>6.1}x", micros(own), micros(other));
    }
}

fn group<T>(work: impl Fn() -> T) -> impl Iterator<Item = Duration> {
    (0..WARM_UP + RUNS_IN_GROUP).map(move |_| time(&work)).skip(WARM_UP)
}

fn time<T>(work: impl Fn() -> T) -> Duration {
    let start = Instant::now();
    black_box(work());
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn sample(shape: &[usize], seed: u32) -> Value {
    let mut state = seed.wrapping_mul(2_654_435_761);
    let numbers = (0..elements(shape)).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 4_194_304.0 - 2.0
    });
    Value::from_f32(numbers.collect(), shape, &Device::flex())
}

fn elementwise(bench: &Bench, shape: &[usize]) {
    let (x, dy) = (sample(shape, 1), sample(shape, 2));
    let inner = |value: &Value| value.inner().clone();
    for form in [GeluForm::Exact, GeluForm::Tanh] {
        // burn has the exact form only; both are compared with it.
        let ours = || gelu(&x, form);
        bench.compare(&format!("gelu {form:?}"), shape, ours, || Dispatch::gelu(inner(&x)));
        let ours = || gelu_vjp(&x, dy.clone(), form).ok();
        let burns = || Dispatch::gelu_backward(inner(&x), inner(&dy));
        bench.compare(&format!("gelu_vjp {form:?}"), shape, ours, burns);
    }
    bench.compare("sum_rows", shape, || sum_rows(&x), || x.clone().sum_axis(0));
}

/// A layer of a transformer forward, and the gradients of its input and its weight.
fn products(bench: &Bench, [rows, inner, out]: [usize; 3]) {
    let (x, weight, bias) = (sample(&[rows, inner], 1), sample(&[out, inner], 2), sample(&[out], 3));
    let dy = sample(&[rows, out], 4);
    let shape = [rows, inner, out];
    bench.compare(
        "x · weightᵀ + bias",
        &shape,
        || matmul((&x, Reading::Rows), (&weight, Reading::WeightTransposed), Some(&bias), &[rows, out]),
        || x.clone().matmul(weight.clone().swap_axes(0, 1)).add(bias.clone().reshape(&[1, out])),
    );
    bench.compare(
        "dy · weight",
        &shape,
        || matmul((&dy, Reading::Rows), (&weight, Reading::Weight), None, &[rows, inner]),
        || dy.clone().matmul(weight.clone()),
    );
    bench.compare(
        "dyᵀ · x",
        &shape,
        || matmul((&dy, Reading::Columns), (&x, Reading::Rows), None, &[out, inner]),
        || dy.clone().swap_axes(0, 1).matmul(x.clone()),
    );
}

fn rows(bench: &Bench, shape: &[usize]) {
    let axis = shape.len() - 1;
    let (x, dy) = (sample(shape, 1), sample(shape, 2));
    bench.compare("softmax", shape, || softmax_last(&x), || x.clone().softmax(axis));
    let y = x.clone().softmax(axis);
    let burns = || {
        let product = dy.clone().mul(y.clone());
        let sum = product.clone().sum_axis(axis);
        product.sub(y.clone().mul(sum))
    };
    bench.compare("softmax_vjp", shape, || softmax_last_vjp(&y, &dy), burns);

    let width = shape[axis];
    let (gamma, beta) = (sample(&[width], 3), sample(&[width], 4));
    let ours = || layer_norm(&x, &gamma, &beta, EPSILON);
    let burns = || x.clone().layer_norm(gamma.clone(), beta.clone(), EPSILON);
    bench.compare("layer_norm", shape, ours, burns);
    // burn has the gradient only on its tape, so its forward is in the time as well.
    let ours = || layer_norm_vjp(&x, &gamma, &dy, EPSILON, [true; 3]);
    let burns = || {
        let (x, gamma, beta) = (x.clone().tracked(), gamma.clone().tracked(), beta.clone().tracked());
        let y = x.clone().layer_norm(gamma.clone(), beta.clone(), EPSILON);
        let gradients = y.mul(dy.clone()).sum_all().backward();
        [x.gradient(&gradients), gamma.gradient(&gradients), beta.gradient(&gradients)]
    };
    bench.compare("layer_norm_vjp (burn: with forward)", shape, ours, burns);
}

fn attentions(bench: &Bench, [batch, tokens, heads, dim]: [usize; 4]) {
    let shape = [batch, tokens, heads, dim];
    let [q, k, v, dy] = [1, 2, 3, 4].map(|seed| sample(&[batch, tokens, heads * dim], seed));
    let split = |value: &Value| value.clone().reshape(&[batch, tokens, heads, dim]).permute(&[0, 2, 1, 3]);
    let join = |value: Value| value.permute(&[0, 2, 1, 3]).reshape(&[batch, tokens, heads * dim]);
    let scale = 1.0 / (dim as f64).sqrt();
    let how = Scores { heads, scale, biases: &[] };
    let burns = || {
        let parts = [&q, &k, &v].map(|value| split(value).into_inner());
        let [q, k, v] = parts;
        let options = AttentionModuleOptions::default();
        join(Value::new(Dispatch::attention(q, k, v, None, None, options)))
    };
    bench.compare("attention", &shape, || attention(&q, &k, &v, how), burns);

    let p = split(&q).matmul(split(&k).swap_axes(2, 3)).mul_scalar(scale).softmax(3);
    let ours = || attention_vjp(&q, &k, &v, &dy, how, &[true; 3]);
    let burns = || {
        let dy = split(&dy);
        let dv = p.clone().swap_axes(2, 3).matmul(dy.clone());
        let product = dy.matmul(split(&v).swap_axes(2, 3)).mul(p.clone());
        let sum = product.clone().sum_axis(3);
        let ds = product.sub(p.clone().mul(sum)).mul_scalar(scale);
        let dk = ds.clone().swap_axes(2, 3).matmul(split(&q));
        [join(ds.matmul(split(&k))), join(dk), join(dv)]
    };
    bench.compare("attention_vjp, softmax again; burn's keeps it", &shape, ours, burns);
}

fn optimizer(bench: &Bench, count: usize) {
    use std::cell::RefCell;
    let step = AdamWStep {
        learning_rate: 1e-3,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.05,
        bias_correction1: 0.1,
        bias_correction2: 0.001,
    };
    let gradient = sample(&[count], 2);
    let start = || [sample(&[count], 1), sample(&[count], 3), sample(&[count], 4).square()];
    let (own, other) = (RefCell::new(Some(start())), RefCell::new(Some(start())));
    let ours = || {
        let state = own.take().map(|[p, m, v]| match adamw_step(p, &gradient, m, v, &step) {
            Ok(state) | Err(state) => state,
        });
        own.replace(state);
    };
    let burns = || {
        let state = other.take().map(|[p, m, v]| {
            let g = gradient.clone();
            let m = m.mul_scalar(step.beta1).add(g.clone().mul_scalar(1.0 - step.beta1));
            let v = v.mul_scalar(step.beta2).add(g.square().mul_scalar(1.0 - step.beta2));
            let root = v.clone().sqrt().mul_scalar(1.0 / step.bias_correction2.sqrt());
            let update = m.clone().div(root.add_scalar(step.epsilon));
            let p = p.mul_scalar(1.0 - step.learning_rate * step.weight_decay);
            [p.sub(update.mul_scalar(step.learning_rate / step.bias_correction1)), m, v]
        });
        other.replace(state);
    };
    bench.compare("adamw_step", &[count], ours, burns);
}

fn losses(bench: &Bench, rows: usize, classes: usize) {
    let logits = sample(&[rows, classes], 1);
    let labels: Vec<i64> = (0..rows).map(|row| (row * 7 % classes) as i64).collect();
    let ids = Value::from_i64(labels.clone(), &[rows], &Device::flex());
    let burns = || {
        let target = Value::one_hot(&ids, classes, &logits);
        let probabilities = logits.clone().softmax(1);
        let loss = probabilities.clone().log().mul(target.clone()).sum_all().to_scalar();
        (loss, probabilities.sub(target).mul_scalar(1.0 / rows as f64))
    };
    bench.compare("cross_entropy", &[rows, classes], || cross_entropy(&logits, &labels, 0.0), burns);
}
