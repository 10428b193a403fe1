//! Ops, optimisers, schedules and losses against PyTorch (fixtures made by `fixtures/make_numerics.py`).

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may end at whatever is wrong"
)]

use std::collections::BTreeMap;

use graft_engine::ops::{
    Attention, Context, CrossEntropy, Gelu, GeluForm, Kept, LayerNorm, Linear, Op, Patchify, bicubic_weights,
};
use graft_engine::tensor::Value;
use graft_engine::train::{AdamW, Decay, Optimiser, OptimiserSpec, Sgd, clip_factor};
use graft_engine::weights::{Tensor, resample_rows};
use graft_tests::equal::same_to;
use graft_tests::{fixture, integers, tensors};

fn numerics() -> BTreeMap<String, Tensor> {
    tensors("numerics.safetensors")
}

fn settings() -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("numerics.json")).unwrap()).unwrap()
}

fn value(tensor: &Tensor) -> Value {
    Value::from_f32(tensor.data.clone(), &tensor.shape, &graft_engine::device::open("flex").unwrap())
}

/// Forward and every gradient of an op with the given input names below `prefix`.
fn check_op(op: &dyn Op, prefix: &str, names: &[&str], tolerance: f32) {
    let all = numerics();
    let get = |name: &str| &all[&format!("{prefix}.{name}")];
    let inputs: Vec<Value> = names.iter().map(|name| value(get(name))).collect();
    let (output, extras) = op.forward_keeping(&inputs, &Context::inference());
    same_to(tolerance, &output.to_f32(), &get("output").data, &format!("{prefix} output"));
    let kept = Kept {
        inputs: inputs.iter().cloned().map(Some).collect(),
        output: Some(output),
        extras,
        input_shapes: inputs.iter().map(Value::shape).collect(),
    };
    let wanted = vec![true; inputs.len()];
    let gradients = op.vjp(&kept, value(get("upstream")), &wanted, &Context::inference());
    for (name, gradient) in names.iter().zip(gradients) {
        let want = get(&format!("{name}_grad"));
        same_to(tolerance, &gradient.unwrap().to_f32(), &want.data, &format!("{prefix} {name} gradient"));
    }
}

#[test]
fn ops_and_their_gradients() {
    check_op(&Gelu { form: GeluForm::Exact }, "gelu", &["x"], 2e-6);
    check_op(&Gelu { form: GeluForm::Tanh }, "gelu_tanh", &["x"], 2e-6);
}

#[test]
fn layer_norm_with_both_epsilons() {
    let settings = settings();
    let epsilon = settings["layer_norm"]["eps"].as_f64().unwrap_or(1e-6);
    check_op(&LayerNorm { epsilon }, "layer_norm", &["x", "weight", "bias"], 1e-5);
    check_op(&LayerNorm { epsilon: 1e-6 }, "layer_norm_small_1e-6", &["x", "weight", "bias"], 1e-4);
    check_op(&LayerNorm { epsilon: 1e-12 }, "layer_norm_small_1e-12", &["x", "weight", "bias"], 1e-4);
}

#[test]
fn attention_and_its_gradients() {
    // The fixture is split in heads: [batch, heads, tokens, dim]; the op takes [batch, tokens, heads·dim].
    let all = numerics();
    let joined = |name: &str| {
        let tensor = &all[&format!("attention.{name}")];
        let [batch, heads, tokens, dim] = tensor.shape[..] else { panic!("four axes") };
        let value = value(tensor).swap_axes(1, 2).reshape(&[batch, tokens, heads * dim]);
        (value, heads)
    };
    let (q, heads) = joined("query");
    let inputs = vec![q, joined("key").0, joined("value").0];
    let op = Attention { heads, scale: None };
    let (output, extras) = op.forward_keeping(&inputs, &Context::inference());
    same_to(1e-5, &output.to_f32(), &joined("output").0.to_f32(), "attention");
    let kept = Kept {
        input_shapes: inputs.iter().map(Value::shape).collect(),
        inputs: inputs.into_iter().map(Some).collect(),
        output: None,
        extras,
    };
    let gradients = op.vjp(&kept, joined("upstream").0, &[true; 3], &Context::inference());
    for (name, gradient) in ["query_grad", "key_grad", "value_grad"].iter().zip(gradients) {
        same_to(1e-5, &gradient.unwrap().to_f32(), &joined(name).0.to_f32(), name);
    }
}

#[test]
fn a_tubelet_embedding_is_a_strided_convolution() {
    // [batch, channels, frames, height, width] in the fixture; frames come before channels in a clip.
    let all = numerics();
    let x = value(&all["conv3d.x"]).swap_axes(1, 2);
    let weight = value(&all["conv3d.weight"]);
    let kernel = weight.shape();
    let patches = Patchify { patch: [kernel[2], kernel[3], kernel[4]], clip: true };
    let cut = patches.forward(&[x], &Context::inference());
    let embedded = Linear.forward(&[cut, weight, value(&all["conv3d.bias"])], &Context::inference());
    let want = &all["conv3d.output"];
    let [batch, out, frames, rows, columns] = want.shape[..] else { panic!("five axes") };
    let got =
        embedded.reshape(&[batch, frames, rows, columns, out]).permute(&[0, 4, 1, 2, 3]).reshape(&want.shape);
    same_to(1e-5, &got.to_f32(), &want.data, "tubelets");
}

#[test]
fn cross_entropy_with_and_without_smoothing() {
    let all = numerics();
    let device = graft_engine::device::open("flex").unwrap();
    let labels = integers("numerics.safetensors", "cross_entropy.labels");
    let labels = Value::from_i64(labels.clone(), &[labels.len()], &device);
    for (name, label_smoothing) in [("plain", 0.0), ("smooth", 0.1)] {
        let op = CrossEntropy { label_smoothing };
        let inputs = [value(&all["cross_entropy.logits"]), labels.clone()];
        let loss = op.forward(&inputs, &Context::inference());
        same_to(1e-6, &loss.to_f32(), &all[&format!("cross_entropy.{name}.loss")].data, name);
        let kept = Kept {
            input_shapes: inputs.iter().map(Value::shape).collect(),
            inputs: inputs.into_iter().map(Some).collect(),
            ..Kept::default()
        };
        let one = Value::from_f32(vec![1.0], &[1], &device);
        let gradients = op.vjp(&kept, one, &[true, false], &Context::inference());
        let want = &all[&format!("cross_entropy.{name}.logits_grad")].data;
        same_to(1e-5, &gradients[0].clone().unwrap().to_f32(), want, name);
    }
}

#[test]
fn optimisers_follow_pytorch_step_by_step() {
    let all = numerics();
    let settings = settings();
    let adamw = AdamW { learning_rate: 0.01, ..AdamW::default() };
    let sgd = Sgd {
        learning_rate: settings["sgd"]["lr"].as_f64().unwrap_or(0.01),
        weight_decay: 1e-4,
        ..Sgd::default()
    };
    let rates: Option<Vec<f64>> =
        settings["adamw_schedule"]["lrs"].as_array().map(|l| l.iter().map(|x| x.as_f64().unwrap()).collect());
    for (name, spec, rates) in [
        ("adamw", OptimiserSpec::AdamW(adamw.clone()), None),
        ("adamw_schedule", OptimiserSpec::AdamW(adamw), rates),
        ("sgd", OptimiserSpec::Sgd(sgd.clone()), None),
        ("sgd_nesterov", OptimiserSpec::Sgd(Sgd { nesterov: true, ..sgd }), None),
    ] {
        let rate = spec.learning_rate();
        let mut optimiser = Optimiser::new(spec);
        let mut parameter = value(&all["optimiser.start"]);
        let gradients = &all["optimiser.gradients"];
        let want = &all[&format!("{name}.parameter_after")];
        for step in 0..12 {
            let gradient = Tensor { shape: vec![3, 5], data: gradients.data[step * 15..][..15].to_vec() };
            let rate = rates.as_ref().map_or(rate, |rates| rates[step]);
            parameter = optimiser.step("p", parameter, value(&gradient), rate);
            same_to(1e-5, &parameter.to_f32(), &want.data[step * 15..][..15], &format!("{name} step {step}"));
        }
    }
}

#[test]
fn clipping_scales_by_the_global_norm() {
    let all = numerics();
    let norm = f64::from(all["clip.norm"].data[0]);
    let factor = clip_factor(norm, 1.0) as f32;
    for i in 0..2 {
        let scaled: Vec<f32> = all[&format!("clip.grad_{i}")].data.iter().map(|x| x * factor).collect();
        same_to(1e-6, &scaled, &all[&format!("clip.clipped_{i}")].data, "clipped");
    }
    assert!((clip_factor(f64::from(all["clip_small.norm"].data[0]), 1.0) - 1.0).abs() < 1e-12);
}

#[test]
fn schedules_follow_transformers() {
    let settings = settings();
    for (name, decay) in [("cosine", Decay::Cosine), ("linear", Decay::Linear), ("constant", Decay::Constant)]
    {
        let golden = settings["schedules"][name].as_array().unwrap();
        for (step, want) in golden.iter().enumerate() {
            let got = decay.factor(step as u64, 10, 100);
            assert!((got - want.as_f64().unwrap()).abs() < 1e-9, "{name} step {step}: {got} {want}");
        }
    }
}

#[test]
fn resizing_follows_pytorch_and_scipy() {
    let all = numerics();
    let (input, want) = (&all["bicubic.input"], &all["bicubic.output"]);
    let [_, channels, rows, columns] = input.shape[..] else { panic!("four axes") };
    let [_, _, down, across] = want.shape[..] else { panic!("four axes") };
    let (vertical, horizontal) = (bicubic_weights(rows, down), bicubic_weights(columns, across));
    let mut got = Vec::new();
    for c in 0..channels {
        for r in 0..down {
            for k in 0..across {
                let mut sum = 0.0;
                for i in 0..rows {
                    for j in 0..columns {
                        let pixel = f64::from(input.data[(c * rows + i) * columns + j]);
                        sum += vertical[r * rows + i] * horizontal[k * columns + j] * pixel;
                    }
                }
                got.push(sum as f32);
            }
        }
    }
    same_to(1e-5, &got, &want.data, "bicubic");
    let settings = settings();
    let list = |name: &str| -> Vec<f32> {
        settings["linear_resize"][name]
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap() as f32)
            .collect()
    };
    let (input, output) = (list("input"), list("output"));
    same_to(1e-5, &resample_rows(&input, 0, input.len(), output.len(), 1), &output, "linear");
}
