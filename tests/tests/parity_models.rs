//! `forward` on Hugging Face folders against `transformers` (fixtures made by `fixtures/make_models.py`).

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use graft_engine::adapters::{AdapterSpec, Lora, Placement, place};
use graft_engine::device;
use graft_engine::exec::{Inputs, infer};
use graft_engine::models;
use graft_engine::tensor::Value;
use graft_engine::weights::{load, save_model};
use graft_tests::equal::same_to;
use graft_tests::{fixture, tensors};

/// Agreement wanted, as a share of the output's largest value.
const TOLERANCE: f32 = 1e-4;

/// Runs a folder's model on every input of its `io.safetensors` and compares every output found there.
fn check(folder: &str, wanted_outputs: usize) {
    let device = device::open("flex").unwrap();
    let resolved = models::open(&fixture(folder)).unwrap();
    let graph = resolved.architecture.build("model").unwrap();
    let (params, report) = load(&graph, resolved.weights.as_ref(), 0, &device).unwrap();
    assert!(report.missing.is_empty(), "{folder} misses {:?}", report.missing);
    let unused: Vec<&String> = report.unused.iter().filter(|n| !n.ends_with("mask_token")).collect();
    assert!(unused.is_empty(), "{folder} leaves {unused:?}");

    let io = tensors(&format!("{folder}/io.safetensors"));
    let mut compared = 0;
    for (name, pixels) in io.iter().filter(|(name, _)| name.starts_with("pixel_values")) {
        let suffix = name.strip_prefix("pixel_values").unwrap();
        let value = Value::from_f32(pixels.data.clone(), &pixels.shape, &device);
        let inputs = Inputs::from([("pixel_values".to_owned(), value)]);
        let results: Vec<_> = graph.outputs().values().copied().collect();
        let values = infer(&graph, &params, &inputs, &results).unwrap();
        for (output, id) in graph.outputs() {
            let Some(want) = io.get(&format!("{output}{suffix}")) else { continue };
            let got = &values[id];
            assert_eq!(got.shape(), want.shape, "{folder} {output}{suffix}");
            same_to(TOLERANCE, &got.to_f32(), &want.data, &format!("{folder} {output}{suffix}"));
            compared += 1;
        }
    }
    assert_eq!(compared, wanted_outputs, "outputs compared for {folder}");
}

#[test]
fn vit_at_its_own_size_and_at_an_odd_one() {
    check("vit_tiny", 4);
}

#[test]
fn vit_in_shards_with_pooler_and_tanh_gelu() {
    check("vit_sharded", 2);
}

/// What Scenic trains, as Flax saves it: names and axes are others, and an optimiser's tree has the same names.
#[test]
fn factorised_video_transformer_in_a_flax_checkpoint() {
    check("vivit_flax", 1);
}

#[test]
fn dinov2_at_its_own_size_and_at_an_odd_one() {
    check("dinov2_tiny", 4);
}

#[test]
fn dinov2_with_gated_feed_forward() {
    check("dinov2_swiglu", 2);
}

#[test]
fn dinov2_classifier_reads_class_and_mean_token() {
    check("dinov2_classifier", 2);
}

#[test]
fn saving_keeps_names_and_bits() {
    let device = device::open("flex").unwrap();
    for folder in ["vit_tiny", "vit_sharded", "dinov2_classifier"] {
        let resolved = models::open(&fixture(folder)).unwrap();
        let graph = resolved.architecture.build("model").unwrap();
        let (params, _) = load(&graph, resolved.weights.as_ref(), 0, &device).unwrap();
        let out = tempfile::tempdir().unwrap();
        save_model(&graph, &params, &resolved.architecture.config(), out.path()).unwrap();
        let again = models::open(out.path()).unwrap();
        assert_eq!(again.architecture.title(), resolved.architecture.title());
        let (reloaded, report) = load(&graph, again.weights.as_ref(), 1, &device).unwrap();
        assert!(report.missing.is_empty() && report.resized.is_empty() && report.unused.is_empty());
        for (path, value) in params.iter() {
            assert_eq!(reloaded.get(path).unwrap().to_f32(), value.to_f32(), "{path}");
        }
    }
}

#[test]
fn a_folder_without_weights_says_what_was_expected() {
    let empty = tempfile::tempdir().unwrap();
    let error = models::open(empty.path()).unwrap_err().to_string();
    assert!(error.contains("config.json"), "{error}");
    std::fs::write(empty.path().join("config.json"), "{\"model_type\": \"bert\"}").unwrap();
    let error = models::open(empty.path()).unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
}

/// LoRA on query and value of every block, with weights that `peft` wrote.
#[test]
fn lora_computes_what_peft_computes() {
    let device = device::open("flex").unwrap();
    let resolved = models::open(&fixture("vit_tiny")).unwrap();
    let base = resolved.architecture.build("model").unwrap();
    let lora = AdapterSpec::Lora(Lora { rank: 4, alpha: 6.0, ..Lora::default() });
    let placement = Placement::new("model.blocks.*.attention.{query,value}", lora);
    let (graph, coverage) = place(&base, 0, &placement).unwrap();
    assert_eq!(coverage.matched.len(), 4);
    let (mut params, report) = load(&graph, resolved.weights.as_ref(), 0, &device).unwrap();
    assert_eq!(report.missing.len(), 8, "{:?}", report.missing);
    let file = tensors("peft_lora/adapter_model.safetensors");
    for (path, _) in params.clone().iter().filter(|(path, _)| path.contains("adapter_0")) {
        // model.blocks.0.attention.query.adapter_0.A.weight
        let parts: Vec<&str> = path.split('.').collect();
        let name = format!(
            "base_model.model.vit.encoder.layer.{}.attention.attention.{}.lora_{}.weight",
            parts[2], parts[4], parts[6]
        );
        let tensor = &file[&name];
        params.set(path, Value::from_f32(tensor.data.clone(), &tensor.shape, &device));
    }
    let io = tensors("peft_lora/io.safetensors");
    let pixels = &io["pixel_values"];
    let pixels = Value::from_f32(pixels.data.clone(), &pixels.shape, &device);
    let logits = graph.output("logits").unwrap();
    let inputs = Inputs::from([("pixel_values".to_owned(), pixels)]);
    let got = infer(&graph, &params, &inputs, &[logits]).unwrap();
    same_to(TOLERANCE, &got[&logits].to_f32(), &io["logits"].data, "logits");
    // The fixture can tell: without the adapter the logits are others.
    let (plain, _) = load(&base, resolved.weights.as_ref(), 0, &device).unwrap();
    let logits = base.output("logits").unwrap();
    let without = infer(&base, &plain, &inputs, &[logits]).unwrap();
    let without = without[&logits].to_f32();
    let apart = without.iter().zip(&io["logits"].data).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) > 0.01);
}
