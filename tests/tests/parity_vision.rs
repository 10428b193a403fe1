//! `forward` of vision and audio architectures against the libraries that they come from (fixtures made by
//! `fixtures/make_vision.py`), and saving under the original names.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use burn::tensor::Device;
use graft_engine::adapters::{
    Activation, AdapterKind as _, AdapterSpec, Bottleneck, Placement, Preset, Start, place,
};
use graft_engine::device;
use graft_engine::exec::{Inputs, infer};
use graft_engine::graph::{Graph, SiteKind};
use graft_engine::models;
use graft_engine::ops::Element;
use graft_engine::tensor::Value;
use graft_engine::weights::{Params, Tensor, load, read_integers, save_model, write_tensors};
use graft_tests::equal::same_to;
use graft_tests::{fixture, tensors};

/// Agreement wanted, as a share of the output's largest value.
const TOLERANCE: f32 = 1e-4;

fn flex() -> Device {
    device::open("flex").unwrap()
}

/// A folder's model with its weights; every tensor of the model is in the file.
fn opened(folder: &str) -> (Graph, Params) {
    let resolved = models::open(&fixture(folder)).unwrap();
    let graph = resolved.architecture.build("model").unwrap();
    let (params, report) = load(&graph, resolved.weights.as_ref(), 0, &flex()).unwrap();
    assert!(report.missing.is_empty(), "{folder} misses {:?}", report.missing);
    let unused: Vec<&String> = report.unused.iter().filter(|n| !n.ends_with("mask_token")).collect();
    assert!(unused.is_empty(), "{folder} leaves {unused:?}");
    (graph, params)
}

fn value(tensor: &Tensor) -> Value {
    Value::from_f32(tensor.data.clone(), &tensor.shape, &flex())
}

/// The graph's columns as a fixture has them under a suffix.
fn columns(graph: &Graph, folder: &str, suffix: &str) -> Inputs {
    let (floats, path) =
        (tensors(&format!("{folder}/io.safetensors")), fixture(folder).join("io.safetensors"));
    let integers = read_integers(&path).unwrap();
    let column = |leaf: &graft_engine::graph::InputLeaf| {
        let name = format!("{}{suffix}", leaf.column);
        let value = if leaf.element == Element::Integer {
            let (shape, values) = &integers[&name];
            Value::from_i64(values.clone(), shape, &flex())
        } else {
            value(&floats[&name])
        };
        (leaf.column.clone(), value)
    };
    graph.columns().map(column).collect()
}

/// Runs a folder's model on what its `io.safetensors` holds for each suffix and compares every output found there.
fn check(folder: &str, suffixes: &[&str], wanted_outputs: usize) {
    let (graph, params) = opened(folder);
    let io = tensors(&format!("{folder}/io.safetensors"));
    let mut compared = 0;
    for suffix in suffixes {
        let inputs = columns(&graph, folder, suffix);
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
fn compact_transformer_at_its_own_size_and_at_another() {
    check("cct_learned", &["", "_16x28"], 6);
    check("cct_sine", &["", "_18x26"], 6);
}

#[test]
fn distilled_transformer_with_one_head_with_two_and_with_none() {
    check("deit_teacher", &["", "_24x12"], 8);
    check("deit_single", &[""], 2);
    check("deit_model", &[""], 2);
}

#[test]
fn spectrogram_transformer_with_and_without_head() {
    check("ast_classifier", &[""], 3);
    check("ast_model", &[""], 2);
}

#[test]
fn joint_video_transformer_with_and_without_head() {
    check("vivit_classifier", &[""], 2);
    check("vivit_model", &[""], 2);
}

#[test]
fn clip_compares_images_and_texts() {
    check("clip_both", &[""], 4);
}

#[test]
fn either_tower_of_clip_alone() {
    check("clip_vision", &["", "_12x30"], 4);
    check("clip_text", &[""], 2);
    check("clip_classifier", &[""], 1);
}

#[test]
fn prompted_masks_at_their_own_size_and_at_another() {
    check("clipseg_plain", &["", "_24x24"], 6);
    check("clipseg_complex", &[""], 3);
}

/// Another text gives another mask: the condition reaches the decoder.
#[test]
fn another_prompt_gives_another_mask() {
    let (graph, params) = opened("clipseg_plain");
    let logits = graph.output("logits").unwrap();
    let mut inputs = columns(&graph, "clipseg_plain", "");
    let mask = |inputs: &Inputs| infer(&graph, &params, inputs, &[logits]).unwrap()[&logits].to_f32();
    let first = mask(&inputs);
    let shape = inputs["input_ids"].shape();
    let ids = inputs["input_ids"].to_i64().into_iter().map(|id| if id == 39 { id } else { (id + 3) % 39 });
    let ids = Value::from_i64(ids.collect(), &shape, &flex());
    inputs.insert("input_ids".to_owned(), ids);
    let second = mask(&inputs);
    let apart = first.iter().zip(&second).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart > 0.01, "{apart}");
}

/// `CLIPSeg` at its published size, built from a config alone.
fn published_clipseg() -> Graph {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"{ "model_type": "clipseg", "vision_config": {}, "text_config": {} }"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let nothing = [("nothing".to_owned(), Tensor { shape: vec![1], data: vec![0.0] })];
    write_tensors(&nothing.into(), &folder.path().join("model.safetensors")).unwrap();
    models::open(folder.path()).unwrap().architecture.build("model").unwrap()
}

fn vlsm(width: usize) -> Bottleneck {
    Bottleneck {
        width,
        activation: Activation::Relu,
        activate_after: true,
        start: Start::Torch,
        ..Bottleneck::default()
    }
}

/// VLSM-Adapter's dense adapters on the first 9 blocks of both towers (methods, section 14).
#[test]
fn dense_adapters_have_the_published_count() {
    let base = published_clipseg();
    let blocks = "blocks.{0,1,2,3,4,5,6,7,8}.{P1,P4}";
    let mut counts = Vec::new();
    for tower in ["vision", "text"] {
        let placement = Placement::new(&format!("model.{tower}.{blocks}"), AdapterSpec::Bottleneck(vlsm(64)));
        let (graph, coverage) = place(&base, 0, &placement).unwrap();
        assert_eq!(coverage.matched.len(), 18, "{tower}");
        counts.push(graph.parameter_count() - base.parameter_count());
    }
    assert_eq!(counts, [1_784_448, 1_190_016]);
    assert_eq!(counts.iter().sum::<u64>(), 2_974_464);
}

/// The bridges of the shallow form: extracted states, the text's ends behind the same blocks, and the condition.
#[test]
fn shallow_adapters_have_the_published_count() {
    let base = published_clipseg();
    let count = |path: &str, width: usize| {
        let site = base.site(path).unwrap_or_else(|| panic!("{path} is no site"));
        assert!(matches!(site.kind, SiteKind::Bridge { .. }), "{path}");
        vlsm(width).parameter_count(&base, site)
    };
    let sum =
        |name: &str| [3, 6, 9].iter().map(|block| count(&format!("model.{name}_{block}"), 512)).sum::<u64>();
    let counts = [sum("decoder.extracted"), sum("condition.text"), count("model.condition.text", 256)];
    assert_eq!(counts, [2_363_136, 1_575_936, 262_912]);
    assert_eq!(counts.iter().sum::<u64>(), 4_201_984);
}

/// Both presets place what the counts above are of, with the condition's bottleneck in each.
#[test]
fn presets_for_clipseg_have_the_published_counts() {
    for (name, count) in [("VLSM dense", 3_237_376), ("VLSM shallow", 4_201_984)] {
        let base = published_clipseg();
        let mut graph = base.clone();
        for (number, placement) in Preset::named(name).unwrap().placements("model", 0).iter().enumerate() {
            graph = place(&graph, number, placement).unwrap().0;
        }
        assert_eq!(graph.parameter_count() - base.parameter_count(), count, "{name}");
    }
}

#[test]
fn image_transformer_under_timm_s_names() {
    check("timm_vit", &[""], 2);
}

/// The same weights under timm's names and under Hugging Face's give the same outputs, also at another size.
#[test]
fn names_change_no_output() {
    let (graph, params) = opened("timm_converted");
    let io = tensors("vit_tiny/io.safetensors");
    for suffix in ["", "_42x24"] {
        let inputs =
            Inputs::from([("pixel_values".to_owned(), value(&io[&format!("pixel_values{suffix}")]))]);
        for output in ["last_hidden_state", "logits"] {
            let id = graph.output(output).unwrap();
            let got = infer(&graph, &params, &inputs, &[id]).unwrap();
            let want = &io[&format!("{output}{suffix}")];
            same_to(TOLERANCE, &got[&id].to_f32(), &want.data, &format!("{output}{suffix}"));
        }
    }
    let slices = graph.sites().iter().filter(|site| site.path.starts_with("model.blocks.0.attention.qkv."));
    let names: Vec<&str> = slices.filter_map(|site| site.path.rsplit('.').next()).collect();
    assert_eq!(names, ["query", "key", "value"]);
}

/// The pooling's weights are a softmax: without a score they are equal, and the pooled vector is the mean.
#[test]
fn sequence_pooling_without_a_score_is_the_mean() {
    let (graph, mut params) = opened("cct_learned");
    let weight = params.get("model.pool.score.weight").unwrap().zeros_like();
    params.set("model.pool.score.weight", weight);
    let inputs = columns(&graph, "cct_learned", "");
    let weights = graph.find("model.pool.weights").unwrap();
    let (states, pooled) =
        (graph.output("last_hidden_state").unwrap(), graph.output("pooler_output").unwrap());
    let values = infer(&graph, &params, &inputs, &[states, pooled, weights]).unwrap();
    let [batch, tokens, width] = values[&states].shape()[..] else { panic!("states have three axes") };
    for row in values[&weights].to_f32().chunks(tokens) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
    let mean = values[&states].clone().mean_axis(1).reshape(&[batch, width]);
    same_to(1e-6, &values[&pooled].to_f32(), &mean.to_f32(), "pooled");
}

#[test]
fn saving_keeps_names_and_bits() {
    for folder in [
        "cct_learned",
        "cct_sine",
        "deit_teacher",
        "deit_model",
        "ast_classifier",
        "vivit_classifier",
        "timm_vit",
        "clip_both",
        "clip_text",
        "clip_classifier",
        "clipseg_plain",
        "clipseg_complex",
    ] {
        let resolved = models::open(&fixture(folder)).unwrap();
        let (graph, params) = opened(folder);
        let out = tempfile::tempdir().unwrap();
        save_model(&graph, &params, &resolved.architecture.config(), out.path()).unwrap();
        let again = models::open(out.path()).unwrap();
        assert_eq!(again.architecture.title(), resolved.architecture.title());
        assert_eq!(again.architecture.classes(), resolved.architecture.classes());
        let rebuilt = again.architecture.build("model").unwrap();
        let (reloaded, report) = load(&rebuilt, again.weights.as_ref(), 1, &flex()).unwrap();
        assert!(report.missing.is_empty() && report.resized.is_empty(), "{folder}: {report:?}");
        assert!(report.unused.is_empty(), "{folder}: {report:?}");
        for (path, value) in params.iter() {
            assert_eq!(reloaded.get(path).unwrap().to_f32(), value.to_f32(), "{path}");
        }
    }
}
