//! Text models against `transformers` (fixtures made by `fixtures/make_text.py`).

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test may end at whatever is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::Device;
use graft_engine::adapters::{AdapterSpec, Bottleneck, Placement, Prompt, Start, place};
use graft_engine::device;
use graft_engine::exec::{Inputs, Walk, infer};
use graft_engine::graph::{Graph, NodeId, Request, Schedule};
use graft_engine::models;
use graft_engine::ops::{Context, Op, RelativeBias};
use graft_engine::tensor::Value;
use graft_engine::weights::{Params, load, read_integers, save_model};
use graft_tests::equal::{same_bits, same_to};
use graft_tests::{fixture, integers, tensors};

/// Agreement wanted, as a share of the output's largest value.
const TOLERANCE: f32 = 1e-4;

fn open(folder: &Path, inputs: &Inputs) -> (Graph, Params) {
    let columns: BTreeSet<String> = inputs.keys().cloned().collect();
    let resolved = models::open_reading(folder, &columns).unwrap();
    let graph = resolved.architecture.build("model").unwrap();
    let (params, report) =
        load(&graph, resolved.weights.as_ref(), 0, &device::open("flex").unwrap()).unwrap();
    assert!(report.missing.is_empty(), "{} misses {:?}", folder.display(), report.missing);
    assert!(report.unused.is_empty(), "{} leaves {:?}", folder.display(), report.unused);
    (graph, params)
}

/// The columns of one run of a fixture.
fn columns(folder: &str, suffix: &str, device: &Device) -> Inputs {
    let all = read_integers(&fixture(&format!("{folder}/io.safetensors"))).unwrap();
    all.into_iter()
        .filter_map(|(name, (shape, values))| {
            let column =
                name.strip_suffix(suffix).filter(|own| !suffix.is_empty() || !own.ends_with("_bare"))?;
            Some((column.to_owned(), Value::from_i64(values, &shape, device)))
        })
        .collect()
}

fn outputs(graph: &Graph, params: &Params, inputs: &Inputs) -> BTreeMap<String, Value> {
    let results: Vec<NodeId> = graph.outputs().values().copied().collect();
    let values = infer(graph, params, inputs, &results).unwrap();
    graph.outputs().iter().map(|(name, id)| (name.clone(), values[id].clone())).collect()
}

/// Runs a folder's model on the columns of one run and compares every output of it.
fn check(folder: &str, suffix: &str, wanted_columns: usize, wanted_outputs: usize) {
    let device = device::open("flex").unwrap();
    let inputs = columns(folder, suffix, &device);
    assert_eq!(inputs.len(), wanted_columns, "{:?}", inputs.keys());
    let (graph, params) = open(&fixture(folder), &inputs);
    let io = tensors(&format!("{folder}/io.safetensors"));
    let got = outputs(&graph, &params, &inputs);
    assert_eq!(got.len(), wanted_outputs);
    for (output, value) in got {
        let want = &io[&format!("{output}{suffix}")];
        assert_eq!(value.shape(), want.shape, "{folder} {output}{suffix}");
        same_to(TOLERANCE, &value.to_f32(), &want.data, &format!("{folder} {output}{suffix}"));
    }
}

#[test]
fn bert_with_mask_and_types_and_without() {
    check("bert_tiny", "", 3, 3);
    check("bert_tiny", "_bare", 1, 3);
}

#[test]
fn bert_with_tanh_gelu_and_pooler() {
    check("bert_tanh_gelu", "", 2, 2);
}

#[test]
fn bert_with_relu_and_no_pooler() {
    check("bert_relu", "", 2, 1);
}

#[test]
fn t5_with_tied_head() {
    check("t5_relu", "", 4, 3);
    check("t5_relu", "_bare", 2, 3);
}

#[test]
fn t5_gated_with_a_head_of_its_own() {
    check("t5_gated", "", 4, 3);
    check("t5_gated", "_bare", 2, 3);
}

/// The published model's buckets at every distance to 600.
#[test]
fn buckets_of_relative_positions() {
    let device = device::open("flex").unwrap();
    let table = Value::from_f32((0..32u8).map(f32::from).collect(), &[32, 1], &device);
    let tokens = Value::from_f32(vec![0.0; 601], &[1, 601], &device);
    for (name, both_ways) in [("both_ways", true), ("back", false)] {
        let want = integers("t5_buckets/io.safetensors", name);
        let op = RelativeBias { farthest: 128, both_ways };
        let inputs = [table.clone(), tokens.clone(), tokens.clone()];
        let got = op.forward(&inputs, &Context::inference()).to_f32();
        for query in [0, 300, 600] {
            for key in 0..601 {
                same_bits(&got[query * 601 + key..][..1], &[want[600 + key - query] as f32], name);
            }
        }
    }
}

/// Columns that say nothing change nothing: all ones as a mask, all zeros as types.
#[test]
fn columns_left_out_are_ones_and_zeros() {
    let device = device::open("flex").unwrap();
    for folder in ["bert_tiny", "t5_relu"] {
        let mut inputs = columns(folder, "_bare", &device);
        let (graph, params) = open(&fixture(folder), &inputs);
        let without = outputs(&graph, &params, &inputs);
        for (ids, mask) in [("input_ids", "attention_mask"), ("decoder_input_ids", "decoder_attention_mask")]
        {
            if let Some(ids) = inputs.get(ids).cloned() {
                let (shape, count) = (ids.shape(), ids.to_i64().len());
                inputs.insert(mask.to_owned(), Value::from_i64(vec![1; count], &shape, &device));
                if folder == "bert_tiny" {
                    let zeros = Value::from_i64(vec![0; count], &shape, &device);
                    inputs.insert("token_type_ids".to_owned(), zeros);
                }
            }
        }
        let (graph, params) = open(&fixture(folder), &inputs);
        for (name, with) in outputs(&graph, &params, &inputs) {
            same_bits(&with.to_f32(), &without[&name].to_f32(), &format!("{folder} {name}"));
        }
    }
}

/// The encoder alone, then the decoder from its states.
#[test]
fn t5_by_its_entries() {
    let device = device::open("flex").unwrap();
    let mut inputs = columns("t5_relu", "", &device);
    let (graph, params) = open(&fixture("t5_relu"), &inputs);
    let whole = outputs(&graph, &params, &inputs);
    let walk = |name: &str, inputs: &Inputs| {
        let entry = &graph.entries()[name];
        let (results, given): (Vec<_>, Vec<_>) =
            (entry.outputs.values().copied().collect(), entry.inputs.values().copied().collect());
        let request = Request { results: &results, given: &given, ..Request::default() };
        let schedule = Schedule::new(&graph, &request).unwrap();
        let walk = Walk { graph: &graph, schedule: &schedule, seed: 0, step: 0 };
        let values = walk.run(&mut params.clone(), inputs, &mut |_, _, _, _| {}).unwrap().values;
        entry.outputs.iter().map(|(name, id)| (name.clone(), values[id].clone())).collect::<BTreeMap<_, _>>()
    };
    let encoder_columns = ["input_ids", "attention_mask"];
    let encoder_inputs = inputs.iter().filter(|(name, _)| encoder_columns.contains(&name.as_str()));
    let encoder_inputs: Inputs = encoder_inputs.map(|(name, value)| (name.clone(), value.clone())).collect();
    let encoded = walk("encode", &encoder_inputs).remove("encoder_last_hidden_state").unwrap();
    same_bits(&encoded.to_f32(), &whole["encoder_last_hidden_state"].to_f32(), "states");
    inputs.remove("input_ids");
    let states = graph.node(graph.output("encoder_last_hidden_state").unwrap());
    inputs.insert(states.path.clone(), encoded);
    for (name, value) in walk("decode_step", &inputs) {
        same_bits(&value.to_f32(), &whole[&name].to_f32(), &name);
    }
}

#[test]
fn saving_keeps_names_and_bits() {
    let device = device::open("flex").unwrap();
    for folder in ["bert_tiny", "bert_relu", "t5_relu", "t5_gated"] {
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

/// A folder's model with an adapter, on the columns of one run: what matched, and the outputs.
fn adapted(folder: &str, inputs: &Inputs, at: &str, kind: AdapterSpec) -> (usize, BTreeMap<String, Value>) {
    let resolved = models::open_reading(&fixture(folder), &inputs.keys().cloned().collect()).unwrap();
    let base = resolved.architecture.build("model").unwrap();
    let (graph, coverage) = place(&base, 0, &Placement::new(at, kind)).unwrap();
    let (params, _) = load(&graph, resolved.weights.as_ref(), 0, &device::open("flex").unwrap()).unwrap();
    (coverage.matched.len(), outputs(&graph, &params, inputs))
}

/// A bottleneck at any port begins as the identity, to the bit, and is in the way once it is none.
#[test]
fn adapters_sit_at_every_port() {
    let device = device::open("flex").unwrap();
    let bert = ["P0", "attention.normed", "P1", "P2", "P3", "P4", "P5"].map(|port| ("bert_tiny", port, 2));
    let t5 = ["P0", "attention.normed", "P1", "P2", "P3", "P4", "P5"].map(|port| ("t5_relu", port, 4));
    let cross = ["normed", "output", "added"].map(|port| format!("cross_attention.{port}"));
    let cross = cross.iter().map(|port| ("t5_relu", port.as_str(), 2));
    for (folder, port, places) in bert.into_iter().chain(t5).chain(cross) {
        let inputs = columns(folder, "", &device);
        let (graph, params) = open(&fixture(folder), &inputs);
        let plain = outputs(&graph, &params, &inputs);
        let kind = |start| AdapterSpec::Bottleneck(Bottleneck { width: 3, start, ..Bottleneck::default() });
        let at = format!("model.**.blocks.*.{port}");
        let (matched, begins) = adapted(folder, &inputs, &at, kind(Start::Xavier));
        assert_eq!(matched, places, "{folder} {port}");
        for (name, value) in begins {
            same_bits(&value.to_f32(), &plain[&name].to_f32(), &format!("{folder} {port} {name}"));
        }
        let (_, moved) = adapted(folder, &inputs, &at, kind(Start::Torch));
        assert_ne!(
            moved["last_hidden_state"].to_f32(),
            plain["last_hidden_state"].to_f32(),
            "{folder} {port}"
        );
    }
}

#[test]
fn prompts_enter_a_sequence_without_padding() {
    let device = device::open("flex").unwrap();
    let inputs = columns("bert_tiny", "_bare", &device);
    let (graph, params) = open(&fixture("bert_tiny"), &inputs);
    let plain = outputs(&graph, &params, &inputs);
    for (at, places) in [("model.blocks.tokens", 1), ("model.blocks.*.tokens", 2)] {
        let kind = AdapterSpec::Prompt(Prompt { tokens: 3 });
        let (matched, prompted) = adapted("bert_tiny", &inputs, at, kind);
        assert_eq!(matched, places);
        let (value, before) = (&prompted["last_hidden_state"], &plain["last_hidden_state"]);
        assert_eq!(value.shape(), before.shape());
        assert_ne!(value.to_f32(), before.to_f32());
    }
    let masked = columns("bert_tiny", "", &device);
    let (graph, _) = open(&fixture("bert_tiny"), &masked);
    let kind = AdapterSpec::Prompt(Prompt { tokens: 3 });
    let error = place(&graph, 0, &Placement::new("model.blocks.tokens", kind)).unwrap_err();
    assert!(error.to_string().contains("mask"), "{error}");
}
