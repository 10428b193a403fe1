//! `forward` of vision and audio architectures against the libraries that they come from (fixtures made by
//! `fixtures/make_vision.py`), and saving under the original names.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use burn::tensor::Device;
use graft_engine::device;
use graft_engine::exec::{Inputs, infer};
use graft_engine::graph::Graph;
use graft_engine::models;
use graft_engine::ops::Element;
use graft_engine::tensor::Value;
use graft_engine::weights::{Params, Tensor, load, read_integers, save_model};
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
    for folder in ["cct_learned", "cct_sine"] {
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
