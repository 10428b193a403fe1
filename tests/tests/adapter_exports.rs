//! Runs exported to the layouts of other libraries by the command line, and read by it.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use graft_engine::tensor::Stream;
use graft_engine::weights::{Tensor, read_tensors, write_tensors};
use graft_tests::equal::{same_bits, same_to};
use graft_tests::fixture;
use serde_json::Value as Json;

/// Exit code, standard output and error of the command line.
fn graft(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_graft-proving"))
        .current_dir(folder)
        .env("GRAFT_CALIBRATE", "off")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn pixels(label: &str, count: usize) -> Tensor {
    let mut draws = Stream::new(1, label).at(0);
    Tensor { shape: vec![count, 3, 30, 30], data: (0..count * 2700).map(|_| draws.normal()).collect() }
}

/// A folder with a trained run of `vit_tiny` with these adapters, and the run's path in it.
fn trained(adapters: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("vit_tiny").to_string_lossy().replace('\\', "/");
    let inputs = BTreeMap::from([("inputs", pixels("train", 24)), ("test_inputs", pixels("test", 8))]);
    write_data(&folder.path().join("data.safetensors"), &inputs);
    let project = format!(
        r#"(
            version: 2, name: "tiny", seed: 4, model: Folder("{model}"), data: Tensors(file: "data.safetensors"),
            adapters: [{adapters}],
            stages: [Train(train: ["model.head"], epochs: 2, batch: 8, evaluate_every: 0,
                optimiser: AdamW(learning_rate: 2e-2))],
        )"#
    );
    std::fs::write(folder.path().join("tiny.ron"), project).unwrap();
    let (code, events, error) = graft(folder.path(), &["train", "tiny.ron", "--json"]);
    assert_eq!(code, 0, "{error}");
    let first: Json = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    let run = format!("runs/{}", first["run"].as_str().unwrap());
    (folder, run)
}

/// Inputs with labels, as a file of tensors has them.
fn write_data(path: &Path, inputs: &BTreeMap<&str, Tensor>) {
    use safetensors::tensor::{Dtype, TensorView};
    let mut bytes: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, tensor) in inputs {
        let data = tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect();
        bytes.push(((*name).to_owned(), Dtype::F32, tensor.shape.clone(), data));
        let labels =
            (0..tensor.shape[0]).flat_map(|at| i64::try_from(at % 5).unwrap().to_le_bytes()).collect();
        bytes.push((name.replace("inputs", "labels"), Dtype::I64, vec![tensor.shape[0]], labels));
    }
    let views = bytes.iter().map(|(name, dtype, shape, data)| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn forward(folder: &Path, adapters: &[&str]) -> Vec<f32> {
    let input = BTreeMap::from([("pixel_values".to_owned(), pixels("forward", 3))]);
    write_tensors(&input, &folder.join("in.safetensors")).unwrap();
    let model = fixture("vit_tiny").to_string_lossy().into_owned();
    let mut arguments =
        vec!["forward", "--model", &model, "--input", "in.safetensors", "--output", "out.safetensors"];
    for adapter in adapters {
        arguments.extend(["--adapter", adapter]);
    }
    let (code, _, error) = graft(folder, &arguments);
    assert_eq!(code, 0, "{error}");
    read_tensors(&folder.join("out.safetensors")).unwrap().remove("logits").unwrap().data
}

fn report(folder: &Path, out: &str) -> Json {
    serde_json::from_str(&std::fs::read_to_string(folder.join(out).join("graft_report.json")).unwrap())
        .unwrap()
}

#[test]
fn a_run_of_lora_goes_out_in_every_form_that_holds_it() {
    let (desk, run) = trained(
        r#"(at: "model.blocks.*.attention.{query,value}", kind: Lora(rank: 2, alpha: 6)),
           (at: "model.embeddings.projection", kind: Lora(rank: 3, alpha: 6)),
           (at: "model.blocks.1.mlp.norm", kind: Unfreeze())"#,
    );
    let folder = desk.path();
    for format in ["graft", "peft", "merged"] {
        let (code, _, error) = graft(folder, &["export", &run, "--format", format, "--out", format]);
        assert_eq!(code, 0, "{format}: {error}");
        let report = report(folder, format);
        assert_eq!((&report["format"], &report["split"]), (&Json::from(format), &Json::from("test")));
        assert_eq!(report["agrees"], true, "{report}");
        assert!(report["max_logit"].as_f64().unwrap() > 0.0);
        assert!(report.get("folder").is_none());
        if format != "merged" {
            assert_eq!(report["max_difference"], 0.0, "{format}");
        }
    }
    let config: Json =
        serde_json::from_str(&std::fs::read_to_string(folder.join("peft/adapter_config.json")).unwrap())
            .unwrap();
    assert_eq!(
        (&config["r"], &config["rank_pattern"]["vit.embeddings.patch_embeddings.projection"]),
        (&Json::from(2), &Json::from(3))
    );
    assert_eq!(
        config["modules_to_save"],
        serde_json::json!(["classifier", "vit.encoder.layer.1.layernorm_after"])
    );
    let names = read_tensors(&folder.join("peft/adapter_model.safetensors")).unwrap();
    assert_eq!(
        names["base_model.model.vit.embeddings.patch_embeddings.projection.lora_A.weight"].shape,
        [3, 3, 6, 6]
    );
    assert_eq!(
        names["base_model.model.vit.embeddings.patch_embeddings.projection.lora_B.weight"].shape,
        [24, 3, 1, 1]
    );
    assert!(names.contains_key("base_model.model.classifier.weight"));

    let (own, theirs) = (forward(folder, &["graft"]), forward(folder, &["peft"]));
    same_bits(&theirs, &own, "peft's files and Graft's");
    let without = forward(folder, &[]);
    assert!(own.iter().zip(&without).any(|(a, b)| (a - b).abs() > 1e-3), "something was learned");

    // What a form cannot hold leaves nothing behind.
    let (code, _, error) = graft(folder, &["export", &run, "--format", "adapterhub", "--out", "hub"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("LoRA at `model.blocks.0.attention.query`") && error.contains("--format peft"),
        "{error}"
    );
    // Merging rounds, so that nothing at all is too little.
    let strict = ["export", &run, "--format", "merged", "--out", "strict", "--tolerance", "0"];
    let (code, _, error) = graft(folder, &strict);
    assert_eq!(code, 1);
    assert!(error.contains("--force") && error.contains("strict"), "{error}");
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| ["hub", "strict", ".hub.partial", ".strict.partial"]
                .contains(&&*name.to_string_lossy())),
        "{left:?}"
    );
    let (code, _, error) = graft(folder, &[&strict[..], &["--force"]].concat());
    assert_eq!(code, 0, "{error}");
    assert_eq!(report(folder, "strict")["agrees"], false);
}

#[test]
fn bottlenecks_go_out_and_stack_with_other_layouts() {
    let (desk, run) = trained(
        r#"(at: "model.blocks.*.{P1,P4}", kind: Bottleneck(width: 6)),
           (at: "model.**.adapter_0.{down,up}", kind: Phm(n: 2))"#,
    );
    let folder = desk.path();
    let (code, _, error) = graft(folder, &["export", &run, "--format", "adapterhub", "--out", "hub"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(report(folder, "hub")["max_difference"], 0.0);
    let (code, _, error) = graft(folder, &["export", &run, "--format", "graft", "--out", "own"]);
    assert_eq!(code, 0, "{error}");
    same_bits(&forward(folder, &["hub"]), &forward(folder, &["own"]), "AdapterHub's files and Graft's");
    // Three layouts at once: the order of those at different places does not matter.
    let peft = fixture("adapters/peft_conv").to_string_lossy().into_owned();
    let hub = fixture("adapters/hub_par_bn").to_string_lossy().into_owned();
    let one = forward(folder, &["own", &peft]);
    same_to(1e-6, &forward(folder, &["hub", &peft]), &one, "stacked");
    let more = forward(folder, &["own", &peft, &hub]);
    assert!(one.iter().zip(&more).any(|(a, b)| (a - b).abs() > 1e-3));
    // What is wrong ends with 1 and names file and tensor.
    let broken = folder.join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::copy(folder.join("hub/adapter_config.json"), broken.join("adapter_config.json")).unwrap();
    let mut tensors = read_tensors(&folder.join("hub/adapter.safetensors")).unwrap();
    tensors.remove("vit.shared_parameters.graft.phm_rule").unwrap();
    write_tensors(&tensors, &broken.join("adapter.safetensors")).unwrap();
    let model = fixture("vit_tiny").to_string_lossy().into_owned();
    let arguments =
        ["forward", "--model", &model, "--adapter", "broken", "--input", "in.safetensors", "--output", "x"];
    let (code, _, error) = graft(folder, &arguments);
    assert_eq!(code, 1);
    assert!(
        error.contains("vit.shared_parameters.graft.phm_rule") && error.contains("adapter.safetensors"),
        "{error}"
    );
}
