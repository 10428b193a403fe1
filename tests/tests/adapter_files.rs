//! Adapter files of other libraries (fixtures made by `fixtures/make_adapters.py`): what they hold computes what it
//! computes there, goes out and comes in with the same bits, and what is wrong with a folder is told by file and tensor.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use graft_engine::adapters::{AdapterSpec, Bottleneck, Lora, Mask, Placement, Sparse};
use graft_engine::device;
use graft_engine::exec::{Inputs, Walk, infer};
use graft_engine::export::{Adapter, AdapterFormat, AdapterHub, Base, Peft, Spelling, read_adapter};
use graft_engine::graph::{Builder, Graph, NodeId, Request, Schedule};
use graft_engine::models;
use graft_engine::ops::{Linear, Reshape};
use graft_engine::tensor::Value;
use graft_engine::weights::{Params, Tensor, load, read_tensors, write_tensors};
use graft_tests::equal::{same_bits, same_to};
use graft_tests::{fixture, tensors};
use serde_json::{Value as Json, json};

/// Agreement wanted, as a share of the largest value.
const TOLERANCE: f32 = 1e-4;

const PEFT: [&str; 7] = [
    "peft_ranks",
    "peft_rslora",
    "peft_dora",
    "peft_conv",
    "peft_layers",
    "peft_shira",
    "peft_shira_unseeded",
];
const HUB: [&str; 8] = [
    "hub_seq_bn",
    "hub_double_seq_bn",
    "hub_par_bn",
    "hub_par_bn_both",
    "hub_learned",
    "hub_compacter",
    "hub_compacterpp",
    "hub_pickled",
];

/// The tiny `ViT` that all fixtures are for.
struct Model {
    device: Device,
    folder: PathBuf,
    graph: Graph,
    params: Params,
    config: Json,
}

impl Model {
    fn open(name: &str) -> Self {
        let device = device::open("flex").unwrap();
        let folder = fixture(name);
        let resolved = models::open(&folder).unwrap();
        let graph = resolved.architecture.build("model").unwrap();
        let (params, _) = load(&graph, resolved.weights.as_ref(), 0, &device).unwrap();
        Self { device, folder, graph, params, config: resolved.architecture.config() }
    }

    fn tiny() -> Self {
        Self::open("vit_tiny")
    }

    fn base(&self) -> Base<'_> {
        Base { graph: &self.graph, params: &self.params, config: &self.config, folder: Some(&self.folder) }
    }

    fn read(&self, folder: &Path) -> Result<Adapter, String> {
        read_adapter(folder, &self.base()).map_err(|error| error.to_string())
    }

    fn with(&self, adapter: &Adapter) -> (Graph, Params) {
        let graph = adapter.place(&self.graph).unwrap();
        let mut params = self.params.clone();
        adapter.fill(&graph, &mut params, &self.device).unwrap();
        (graph, params)
    }

    fn pixels(&self, tensor: &Tensor) -> Inputs {
        let value = Value::from_f32(tensor.data.clone(), &tensor.shape, &self.device);
        Inputs::from([("pixel_values".to_owned(), value)])
    }

    fn logits(&self, adapter: &Adapter, pixels: &Tensor) -> Vec<f32> {
        let (graph, params) = self.with(adapter);
        let logits = graph.output("logits").unwrap();
        infer(&graph, &params, &self.pixels(pixels), &[logits]).unwrap()[&logits].to_f32()
    }
}

fn folder_of(name: &str) -> PathBuf {
    fixture(&format!("adapters/{name}"))
}

/// A copy of a fixture that can be changed.
fn copied(name: &str) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder_of(name)).unwrap().flatten() {
        std::fs::copy(entry.path(), out.path().join(entry.file_name())).unwrap();
    }
    out
}

fn change_json(folder: &Path, file: &str, change: impl Fn(&mut Json)) {
    let path = folder.join(file);
    let mut json: Json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, json.to_string()).unwrap();
}

fn change_tensors(folder: &Path, file: &str, change: impl Fn(&mut BTreeMap<String, Tensor>)) {
    let path = folder.join(file);
    let mut tensors = read_tensors(&path).unwrap();
    change(&mut tensors);
    write_tensors(&tensors, &path).unwrap();
}

#[test]
fn every_layout_computes_what_its_library_computes() {
    let model = Model::tiny();
    for name in PEFT.iter().chain(&HUB) {
        let adapter = model.read(&folder_of(name)).unwrap();
        let io = tensors(&format!("adapters/{name}/io.safetensors"));
        let got = model.logits(&adapter, &io["pixel_values"]);
        same_to(TOLERANCE, &got, &io["logits"].data, name);
        // The fixture can tell: without the adapter the logits are others.
        let without = model.logits(&Adapter::default(), &io["pixel_values"]);
        let apart = without.iter().zip(&io["logits"].data).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) > 0.01, "{name}");
    }
}

#[test]
fn what_is_written_comes_back_with_the_same_bits() {
    let model = Model::tiny();
    for name in PEFT.iter().chain(&HUB) {
        let adapter = model.read(&folder_of(name)).unwrap();
        let format: Box<dyn AdapterFormat> =
            if name.starts_with("peft") { Box::new(Peft::default()) } else { Box::new(AdapterHub) };
        let out = tempfile::tempdir().unwrap();
        if *name == "hub_compacterpp" {
            // Left factors of its own for each weight are read, not written.
            let error = format.write(&adapter, &model.base(), out.path()).unwrap_err().to_string();
            assert!(error.contains("left factors"), "{error}");
            continue;
        }
        format.write(&adapter, &model.base(), out.path()).unwrap();
        let again = model.read(out.path()).unwrap();
        assert_eq!(again.placements, adapter.placements, "{name}");
        for (path, tensor) in &again.tensors {
            match adapter.tensors.get(path) {
                Some(own) if path.ends_with(".magnitude") => {
                    // Stored as a length, from which the row's own was taken: the last bits of the sum are lost.
                    let apart = own.data.iter().zip(&tensor.data).map(|(a, b)| (a - b).abs());
                    assert!(apart.fold(0.0, f32::max) < 1e-6, "{name} {path}");
                }
                Some(own) => {
                    assert_eq!(own.shape, tensor.shape, "{name} {path}");
                    same_bits(&tensor.data, &own.data, &format!("{name} {path}"));
                }
                // The rest of a module that was saved in whole.
                None => {
                    let base = model.params.get(path).unwrap().to_f32();
                    same_bits(&tensor.data, &base, &format!("{name} {path}"));
                }
            }
        }
        assert!(adapter.tensors.keys().all(|path| again.tensors.contains_key(path)), "{name}");
        // And the file itself is the same for what the library wrote.
        let file = if name.starts_with("peft") { "adapter_model.safetensors" } else { "adapter.safetensors" };
        if *name == "hub_pickled" {
            continue;
        }
        let theirs = tensors(&format!("adapters/{name}/{file}"));
        let ours = read_tensors(&out.path().join(file)).unwrap();
        for (path, tensor) in
            theirs.iter().filter(|(path, _)| path.contains("lora_") || path.contains("shira_weight"))
        {
            assert_eq!(ours[path].shape, tensor.shape, "{name} {path}");
            if !path.contains("magnitude") {
                same_bits(&ours[path].data, &tensor.data, &format!("{name} {path}"));
            }
        }
    }
}

#[test]
fn modules_are_named_as_either_version_names_them() {
    let model = Model::tiny();
    let adapter = model.read(&folder_of("peft_ranks")).unwrap();
    let out = tempfile::tempdir().unwrap();
    Peft { spelling: Spelling::Transformers5 }.write(&adapter, &model.base(), out.path()).unwrap();
    let names = read_tensors(&out.path().join("adapter_model.safetensors")).unwrap();
    assert!(
        names.contains_key("base_model.model.vit.layers.0.attention.q_proj.lora_A.weight"),
        "{:?}",
        names.keys()
    );
    assert!(!names.keys().any(|name| name.contains("encoder")));
    assert_eq!(model.read(out.path()).unwrap().tensors, adapter.tensors);
}

#[test]
fn settings_are_read_as_they_are_meant() {
    let model = Model::tiny();
    let kinds = |name: &str| -> BTreeMap<String, AdapterSpec> {
        let adapter = model.read(&folder_of(name)).unwrap();
        adapter.placements.into_values().map(|placement| (placement.at, placement.kind)).collect()
    };
    let ranks: Vec<(usize, f64)> = kinds("peft_ranks")
        .into_values()
        .map(|spec| match spec {
            AdapterSpec::Lora(lora) => (lora.rank, lora.alpha),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(ranks.contains(&(4, 6.0)) && ranks.contains(&(2, 6.0)), "{ranks:?}");
    assert!(ranks.contains(&(3, 6.0)) && ranks.contains(&(4, 5.0)), "{ranks:?}");
    assert_eq!(kinds("peft_layers").into_keys().collect::<Vec<_>>(), ["model.blocks.1.attention.query"]);
    let shira = kinds("peft_shira");
    let drawn = Sparse { rank: 2, mask: Mask::Random, seed: 7, ..Sparse::default() };
    assert_eq!(shira["model.blocks.{0,1}.attention.{query,value}"], AdapterSpec::Sparse(drawn));
    let stored = Sparse { rank: 1, mask: Mask::Gradient, ..Sparse::default() };
    assert_eq!(kinds("peft_shira_unseeded")["model.blocks.{0,1}.attention.key"], AdapterSpec::Sparse(stored));
    let wide: Vec<String> = kinds("hub_double_seq_bn").into_keys().collect();
    assert_eq!(wide, ["model.blocks.{0,1}.{P1,P4}"]);
    assert_eq!(kinds("hub_seq_bn").into_keys().collect::<Vec<_>>(), ["model.blocks.{0,1}.P5"]);
}

/// Graft's DoRA takes the row's length for constant, as peft does.
#[test]
fn gradients_of_lora_and_dora_are_those_of_peft() {
    let model = Model::tiny();
    for name in ["peft_ranks", "peft_dora"] {
        let adapter = model.read(&folder_of(name)).unwrap();
        let (graph, params) = model.with(&adapter);
        let io = tensors(&format!("adapters/{name}/io.safetensors"));
        let upstream = &io["upstream"];
        // The sum of the logits times fixed values.
        let mut b = Builder::extend(&graph, "loss", "Loss");
        let count = upstream.data.len();
        let weights = b.constant("upstream", &[1, count], upstream.data.clone());
        let row = b.op("row", Reshape { shape: vec![1, count] }, &[graph.output("logits").unwrap()]);
        let product = b.op("product", Linear, &[row, weights]);
        let loss = b.op("sum", Reshape { shape: vec![1] }, &[product]);
        let graph = b.finish().unwrap();
        let leaves: Vec<NodeId> =
            graph.params().filter(|(_, _, leaf)| leaf.placement.is_some()).map(|(id, _, _)| id).collect();
        let request = Request { results: &[loss], loss: Some(loss), leaves: &leaves, ..Request::default() };
        let schedule = Schedule::new(&graph, &request).unwrap();
        let mut params = params;
        params.set("loss.upstream", Value::from_f32(upstream.data.clone(), &[1, count], &model.device));
        let mut gradients = BTreeMap::new();
        let walk = Walk { graph: &graph, schedule: &schedule, seed: 0, step: 0 };
        walk.run(&mut params, &model.pixels(&io["pixel_values"]), &mut |_, path, gradient, _| {
            gradients.insert(path.to_owned(), gradient.to_f32());
        })
        .unwrap();
        let mut compared = 0;
        for (number, placement) in &adapter.placements {
            let covered = placement.coverage(&model.graph).unwrap().matched;
            for site in covered {
                let module = modules_of(&site);
                for (ours, theirs) in [
                    ("A.weight", "lora_A.weight"),
                    ("B.weight", "lora_B.weight"),
                    ("magnitude", "lora_magnitude_vector.weight"),
                ] {
                    let Some(got) = gradients.get(&format!("{site}.adapter_{number}.{ours}")) else {
                        continue;
                    };
                    let want = &io[&format!("gradient.{module}.{theirs}")].data;
                    same_to(TOLERANCE, got, want, &format!("{name} {site} {ours}"));
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, leaves.len(), "{name}");
        assert!(compared >= 9, "{name}: {compared}");
    }
}

/// The module of a site of the tiny `ViT`.
fn modules_of(site: &str) -> String {
    let segments: Vec<&str> = site.split('.').collect();
    match segments[..] {
        [_, "embeddings", "projection"] => "vit.embeddings.patch_embeddings.projection".to_owned(),
        [_, "blocks", block, part, layer] => {
            let layer = match (part, layer) {
                ("attention", "output") => "attention.output.dense".to_owned(),
                ("attention", layer) => format!("attention.attention.{layer}"),
                (_, "fc1") => "intermediate.dense".to_owned(),
                _ => "output.dense".to_owned(),
            };
            format!("vit.encoder.layer.{block}.{layer}")
        }
        _ => panic!("{site}"),
    }
}

#[test]
fn folders_in_no_layout_say_what_was_found() {
    let model = Model::tiny();
    let error = model.read(Path::new("nowhere")).unwrap_err();
    assert!(error.contains("no such folder") && error.ends_with("nowhere"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert!(model.read(empty.path()).unwrap_err().contains("neither adapter.ron nor adapter_config.json"));
    std::fs::write(empty.path().join("adapter_config.json"), r#"{"r": 4, "alpha": 8}"#).unwrap();
    let error = model.read(empty.path()).unwrap_err();
    assert!(error.contains("the keys `alpha`, `r`") && error.contains("`peft_type`"), "{error}");
    assert!(error.ends_with("adapter_config.json"), "{error}");
    std::fs::write(empty.path().join("adapter_config.json"), "{").unwrap();
    assert!(model.read(empty.path()).unwrap_err().contains("not JSON"));
    std::fs::write(empty.path().join("adapter.ron"), "()").unwrap();
    assert!(model.read(empty.path()).unwrap_err().contains("both adapter.ron and adapter_config.json"));
}

/// Folders with something wrong, and what the error must name.
#[test]
fn what_is_wrong_with_a_peft_folder_is_told() {
    let model = Model::tiny();
    let file = "adapter_model.safetensors";
    let a = "base_model.model.vit.encoder.layer.0.attention.attention.query.lora_A.weight";
    let told = |folder: &Path, parts: &[&str]| {
        let error = model.read(folder).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{error} should name {part}");
        }
    };
    let with = |change: &dyn Fn(&mut BTreeMap<String, Tensor>), parts: &[&str]| {
        let folder = copied("peft_rslora");
        change_tensors(folder.path(), file, change);
        told(folder.path(), parts);
    };
    let said = |key: &str, value: Json, parts: &[&str]| {
        let folder = copied("peft_rslora");
        change_json(folder.path(), "adapter_config.json", |json| json[key] = value.clone());
        told(folder.path(), parts);
    };
    with(&|all| drop(all.remove(a)), &[a, "is missing", file]);
    with(
        &|all| drop(all.remove(&a.replace("lora_A", "lora_B"))),
        &["query.lora_B.weight", "is missing", file],
    );
    with(
        &|all| {
            let tensor = all[a].clone();
            all.insert(a.to_owned(), Tensor { shape: vec![2, 24], data: tensor.data[..48].to_vec() });
        },
        &[a, "[2, 24]", "[4, 24]", file],
    );
    with(
        &|all| {
            let other: BTreeMap<String, Tensor> =
                all.iter().map(|(name, t)| (name.replace("query", "qeury"), t.clone())).collect();
            *all = other;
        },
        &["qeury", "does not have", "`vit.encoder.layer.0.attention.attention.query`"],
    );
    with(
        &|all| {
            let tensor = Tensor { shape: vec![1], data: vec![0.0] };
            all.insert("base_model.model.clasifier.weight".to_owned(), tensor);
        },
        &["base_model.model.clasifier.weight", "for nothing", "`classifier.weight`", file],
    );
    with(
        &|all| drop(all.insert("../../etc/passwd".to_owned(), Tensor { shape: vec![1], data: vec![0.0] })),
        &["../../etc/passwd", "no name of this layout"],
    );
    said("r", json!(1_000_000_000_000_u64), &["lora_A.weight", "[1000000000000, 24]", file]);
    said("r", json!(-1), &["`r` should be a whole number", "adapter_config.json"]);
    said("r", Json::Null, &["`r` is missing", "adapter_config.json"]);
    said("lora_alpha", json!("x"), &["`lora_alpha` should be a number"]);
    said("target_modules", json!(["query"]), &["attention.key.lora_A.weight", "`target_modules`", file]);
    said("target_modules", json!(["query", "key", "value"]), &["attention.value", "no tensors"]);
    said("target_modules", json!("(?<=x)query"), &["target_modules", "cannot be used"]);
    said("peft_type", json!("IA3"), &["peft_type: IA3", "LORA and SHIRA"]);
    said("layer_replication", json!([[0, 1]]), &["layer_replication"]);
    said("megatron_config", json!({ "a": 1 }), &["megatron_config"]);
    said("loftq_config", json!({ "loftq_bits": 4 }), &["loftq_config"]);
    said("init_lora_weights", json!("pissa_niter_4"), &["init_lora_weights: pissa_niter_4"]);
    said("fan_in_fan_out", json!(true), &["fan_in_fan_out"]);
    said("lora_bias", json!(true), &["lora_bias"]);
    said("trainable_token_indices", json!([1]), &["trainable_token_indices"]);
    said("use_dora", json!(true), &["lora_magnitude_vector", "is missing"]);
    let folder = copied("peft_shira_unseeded");
    // Rewriting drops the places, which are integers.
    change_tensors(folder.path(), file, |_| ());
    told(folder.path(), &["key.shira_weight", "no places", file]);
    let folder = copied("peft_shira");
    change_json(folder.path(), "adapter_config.json", |json| json["r"] = json!(20));
    told(folder.path(), &["shira_weight", "r = 20"]);
    let folder = copied("peft_rslora");
    std::fs::rename(folder.path().join(file), folder.path().join("adapter_model.bin")).unwrap();
    told(folder.path(), &["adapter_model.bin"]);
    with(&|all| all.get_mut(a).unwrap().data[3] = f32::NAN, &[a, "not finite", file]);
}

#[test]
fn what_is_wrong_with_a_hub_folder_is_told() {
    let model = Model::tiny();
    let file = "adapter.safetensors";
    let told = |name: &str, change: &dyn Fn(&Path), parts: &[&str]| {
        let folder = copied(name);
        change(folder.path());
        let error = model.read(folder.path()).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{error} should name {part}");
        }
    };
    let said = |key: &str, value: Json, parts: &[&str]| {
        told(
            "hub_seq_bn",
            &|folder| change_json(folder, "adapter_config.json", |json| json["config"][key] = value.clone()),
            parts,
        );
    };
    said("reduction_factor", json!(3), &["adapter_down.0.weight", "[6, 24]", "[8, 24]", file]);
    said("reduction_factor", json!(1e-12), &["reduction_factor", "no width"]);
    said("reduction_factor", json!(0), &["reduction_factor"]);
    said("reduction_factor", Json::Null, &["`reduction_factor` is missing", "adapter_config.json"]);
    said("mh_adapter", json!(true), &["attention_adapters", "is missing", file]);
    said("output_adapter", json!(false), &["places nothing"]);
    said("leave_out", json!([1]), &["layer.1", "for nothing", file]);
    said("use_gating", json!(true), &["use_gating"]);
    said("ln_after", json!(true), &["ln_after"]);
    said("inv_adapter", json!("nice"), &["inv_adapter"]);
    said("cross_adapter", json!(true), &["cross_adapter"]);
    said("original_ln_after", json!(false), &["original_ln_after: false", "residual"]);
    said("non_linearity", json!("leakyrelu"), &["non_linearity: leakyrelu"]);
    said("architecture", json!("prefix_tuning"), &["architecture: prefix_tuning"]);
    let bert =
        |folder: &Path| change_json(folder, "adapter_config.json", |json| json["model_type"] = json!("bert"));
    told("hub_seq_bn", &bert, &["type `bert`", "`vit`"]);
    let head =
        |folder: &Path| change_json(folder, "head_config.json", |json| json["model_class"] = json!("Other"));
    told("hub_seq_bn", &head, &["`Other`", "`ViTForImageClassification`", "head_config.json"]);
    let cut = |folder: &Path| std::fs::write(folder.join("pytorch_adapter.bin"), b"PK").unwrap();
    told("hub_pickled", &cut, &["pytorch_adapter.bin"]);
    let other = Model::open("dinov2_classifier");
    let error = other.read(&folder_of("hub_seq_bn")).unwrap_err();
    assert!(error.contains("vit, bert") && error.contains("`dinov2`"), "{error}");
}

#[test]
fn what_a_format_cannot_hold_is_refused_by_name() {
    let model = Model::tiny();
    let adapter = |kinds: &[(&str, AdapterSpec)]| {
        let placements: BTreeMap<usize, Placement> =
            kinds.iter().cloned().map(|(at, kind)| Placement::new(at, kind)).enumerate().collect();
        let graph =
            Adapter { placements: placements.clone(), ..Adapter::default() }.place(&model.graph).unwrap();
        let (params, _) = load(&graph, None, 0, &model.device).unwrap();
        Adapter::of(placements, &graph, &params, &std::collections::BTreeSet::new())
    };
    let refused = |format: &dyn AdapterFormat, kinds: &[(&str, AdapterSpec)], parts: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let error =
            format.write(&adapter(kinds), &model.base(), &out.path().join("x")).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error} should name {part}");
        }
        assert!(!out.path().join("x").exists(), "{error}");
    };
    let peft = Peft::default();
    let lora = |rank: usize| AdapterSpec::Lora(Lora { rank, ..Lora::default() });
    let bottleneck = |width: usize| AdapterSpec::Bottleneck(Bottleneck { width, ..Bottleneck::default() });
    let (query, p1, p4) = ("model.blocks.*.attention.query", "model.blocks.*.P1", "model.blocks.*.P4");
    refused(&peft, &[(p4, bottleneck(3))], &["Bottleneck at `model.blocks.0.P4`", "adapterhub"]);
    refused(&AdapterHub, &[(query, lora(2))], &["LoRA at `model.blocks.0.attention.query`", "peft"]);
    refused(&peft, &[(query, lora(2)), (query, lora(3))], &["another LoRA is on the same module"]);
    refused(&peft, &[(p4, bottleneck(3)), ("model.**.adapter_0.up", lora(2))], &["Bottleneck"]);
    let dora = AdapterSpec::Lora(Lora { dora: true, ..Lora::default() });
    refused(&peft, &[(query, lora(2)), ("model.blocks.*.attention.key", dora)], &["DoRA", "others"]);
    let sparse = AdapterSpec::Sparse(Sparse { share: 0.1, mask: Mask::Random, ..Sparse::default() });
    refused(&peft, &[(query, sparse)], &["58 values", "multiple of 48"]);
    refused(&AdapterHub, &[(p4, bottleneck(3)), (p1, bottleneck(4))], &["its width"]);
    refused(
        &AdapterHub,
        &[("model.blocks.0.P4", bottleneck(3)), ("model.blocks.1.P1", bottleneck(3))],
        &["block 0"],
    );
    refused(&AdapterHub, &[("model.blocks.*.P3", bottleneck(3))], &["P1 and P4"]);
}

/// In a post-norm block the library's bottlenecks are before the residual add and the norm.
#[test]
fn bottlenecks_of_a_post_norm_model_compute_what_the_library_computes() {
    let model = Model::open("bert_tiny");
    for name in [
        "hub_bert_double",
        "hub_bert_parallel",
        "hub_bert_compacter",
        "hub_bert_seq_bn",
        "hub_bert_seq_bn_both",
    ] {
        let adapter = model.read(&folder_of(name)).unwrap();
        let (graph, params) = model.with(&adapter);
        let file = format!("adapters/{name}/io.safetensors");
        let integers = graft_engine::weights::read_integers(&fixture(&file)).unwrap();
        let inputs: Inputs = integers
            .into_iter()
            .map(|(column, (shape, values))| (column, Value::from_i64(values, &shape, &model.device)))
            .collect();
        let logits = graph.output("logits").unwrap();
        let got = infer(&graph, &params, &inputs, &[logits]).unwrap()[&logits].to_f32();
        same_to(TOLERANCE, &got, &tensors(&file)["logits"].data, name);
        let out = tempfile::tempdir().unwrap();
        AdapterHub.write(&adapter, &model.base(), out.path()).unwrap();
        assert_eq!(model.read(out.path()).unwrap(), adapter, "{name}");
    }
    let kinds = model.read(&folder_of("hub_bert_seq_bn_both")).unwrap().placements;
    let places: Vec<&str> = kinds.values().map(|placement| placement.at.as_str()).collect();
    assert_eq!(places, ["model.blocks.{0,1}.{P1,P4}"]);
    // Its own value behind the norm, and the norm once more, is no bottleneck of Graft's.
    let folder = copied("hub_bert_double");
    change_json(folder.path(), "adapter_config.json", |json| {
        json["config"]["original_ln_before"] = json!(true);
        json["config"]["residual_before_ln"] = json!(false);
    });
    let error = model.read(folder.path()).unwrap_err();
    assert!(error.contains("original_ln_before") && error.contains("residual"), "{error}");
}

/// Adapters of three layouts on one model, each found in its own way.
#[test]
fn adapters_of_different_layouts_stack() {
    let model = Model::tiny();
    let out = tempfile::tempdir().unwrap();
    let own = out.path().join("own");
    // Without a head of its own, so that none replaces another's.
    let mut third = model.read(&folder_of("peft_conv")).unwrap();
    third.tensors.retain(|path, _| path.contains("adapter_"));
    third.write(&own).unwrap();
    let folders = [folder_of("peft_rslora"), folder_of("hub_compacter"), own];
    let mut graph = model.graph.clone();
    let (mut next, mut values) = (0, Vec::new());
    for folder in &folders {
        let adapter = model.read(folder).unwrap().renumbered(next);
        next = adapter.placements.keys().max().unwrap() + 1;
        graph = adapter.place(&graph).unwrap();
        values.push(adapter);
    }
    let (mut params, _) = load(&graph, None, 0, &model.device).unwrap();
    for (path, value) in model.params.iter() {
        params.set(path, value.clone());
    }
    for adapter in &values {
        adapter.fill(&graph, &mut params, &model.device).unwrap();
    }
    let products = graph.params().filter(|(_, path, _)| path.rsplit('.').next() == Some("s")).count();
    assert_eq!(products, 8, "two projections of two bottlenecks in two blocks");
}
