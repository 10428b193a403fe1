//! Published counts and file sizes, from graphs of the published sizes.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::collections::{BTreeMap, BTreeSet};

use graft_engine::adapters::{AdapterSpec, Lora, Placement, Preset, Quantised, Unfreeze, place};
use graft_engine::export::Adapter;
use graft_engine::graph::{Builder, Extent, Graph, Init, LinearSpec, RegionKind};
use graft_engine::models::{DataShape, ModelSpec, VitSpec};
use graft_engine::tensor::{Value, elements};
use graft_engine::weights::Params;
use graft_tests::case::device;

/// `ViT`-B/16 with a head of so many classes.
fn vit_base(classes: usize) -> Graph {
    let spec = ModelSpec::Vit(VitSpec { width: 768, blocks: 12, heads: 12, mlp: None, patch: 16 });
    let names = (0..classes).map(|class| class.to_string()).collect();
    let data = DataShape { columns: Vec::new(), sample: vec![3, 224, 224], classes: names };
    spec.resolve(std::path::Path::new("."), &data).unwrap().architecture.build("model").unwrap()
}

fn placed(graph: &Graph, placements: &[Placement]) -> (Graph, Vec<u64>) {
    let mut graph = graph.clone();
    let mut counts = Vec::new();
    for (index, placement) in placements.iter().enumerate() {
        let (next, coverage) = place(&graph, index, placement).unwrap();
        counts.push(placement.parameter_count(&graph, &coverage.matched));
        graph = next;
    }
    (graph, counts)
}

/// Bi-AdaptFormer of width 32 in one bit with a head of 102 classes in one bit: 73,728 + 24·8 + 768·102/8 + 8 bytes
/// (methods, section 4), which is the file that its authors ship.
#[test]
fn a_one_bit_adaptformer_has_the_published_file_size() {
    let mut placements = Preset::named("Bi-AdaptFormer").unwrap().placements("model", 0);
    placements.push(Placement::new("model.head", AdapterSpec::Unfreeze(Unfreeze::default())));
    placements.push(Placement::new("model.head", AdapterSpec::Quantised(Quantised::default())));
    let (graph, _) = placed(&vit_base(102), &placements);
    let mut params = Params::new();
    // Of the head the authors store the weight alone.
    let stored = |path: &str| path.contains(".adapter_") || path == "model.head.weight";
    for (_, path, leaf) in graph.params().filter(|(_, path, _)| stored(path)) {
        let mut draws = graft_engine::tensor::Stream::new(1, path).at(0);
        let values = (0..elements(&leaf.shape)).map(|_| draws.normal()).collect();
        params.set(path, Value::from_f32(values, &leaf.shape, &device()));
    }
    let changed = BTreeSet::from(["model.head.weight".to_owned()]);
    let placements: BTreeMap<usize, Placement> = placements.into_iter().enumerate().collect();
    let folder = tempfile::tempdir().unwrap();
    Adapter::of(placements, &graph, &params, &changed).write(folder.path()).unwrap();
    let bytes = std::fs::read(folder.path().join("adapter.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes.len() as u64 - 8 - header, 83_720);
}

/// Phi-4's speech and vision members: rank 320 and 256 on the four fused matrices of 32 layers (methods, section 2).
#[test]
fn rank_320_on_phi_4_has_the_published_count() {
    let mut b = Builder::new("model", "Phi-4-mini's linear layers");
    let width = 3072;
    let mut x =
        b.input("inputs_embeds", vec![Extent::named("batch"), Extent::named("tokens"), Extent::Fixed(width)]);
    for layer in 0..32 {
        x = b.region(&layer.to_string(), "Layer", RegionKind::Block, |b| {
            let linear = |b: &mut Builder, name: &str, x, [features_in, features_out]: [usize; 2]| {
                let kernel = [features_in];
                let init = Init::Zeros;
                b.linear(
                    name,
                    x,
                    &LinearSpec { kernel: &kernel, features_out, init, bias: None, stored: name },
                )
            };
            // 24 query and 2 · 8 key and value heads of 128.
            let qkv = linear(b, "qkv_proj", x, [width, 5120]);
            let heads =
                b.op("take", graft_engine::ops::Slice { axis_from_end: 1, start: 0, length: width }, &[qkv]);
            let attended = linear(b, "o_proj", heads, [width, width]);
            let wide = linear(b, "gate_up_proj", attended, [width, 16_384]);
            let gated = b.op("gated", graft_engine::ops::SwiGlu, &[wide]);
            linear(b, "down_proj", gated, [8192, width])
        });
    }
    b.output("logits", x);
    let graph = b.finish().unwrap();
    for (rank, count) in [(320, 461_373_440), (256, 369_098_752)] {
        let lora = AdapterSpec::Lora(Lora { rank, ..Lora::default() });
        let placement = Placement::new("model.*.{qkv,o,gate_up,down}_proj", lora);
        let (graph, counts) = placed(&graph, std::slice::from_ref(&placement));
        assert_eq!(counts, [count]);
        let live: u64 = graph
            .params()
            .filter(|(_, _, leaf)| leaf.placement.is_some())
            .map(|(_, _, leaf)| elements(&leaf.shape) as u64)
            .sum();
        assert_eq!(live, count);
    }
}

/// A placement that asks for a number of parameters gets within one in a hundred of it, where a step of its size is
/// not larger than that.
#[test]
fn a_budget_of_parameters_is_met() {
    let graph = vit_base(10);
    for (rule, kind, wanted) in [
        ("model.**.attention.{query,value}", "Lora()", 590_000),
        ("model.**.{P1,P4}", "Bottleneck()", 2_000_000),
        ("model.**.{P1,P4}", "Bottleneck(reduction: 4)", 8_000_000),
        ("model.**.P5", "Convolution(depth: 2)", 3_000_000),
        ("model.**.P5", "Conformer()", 2_000_000),
        ("model.**.P4", "Attention(head_width: 4)", 10_000_000),
        ("model.**.fc1", "Sparse()", 123_456),
        ("model.blocks.*.tokens", "Prompt()", 500_000),
    ] {
        let text = format!("(at: \"{rule}\", kind: {kind}, parameters: {wanted})");
        let placement: Placement = graft_tests::matrix::written(&text).unwrap();
        let (sized, coverage) = place(&graph, 0, &placement).unwrap();
        let live: u64 = sized
            .params()
            .filter(|(_, _, leaf)| leaf.placement.is_some())
            .map(|(_, _, leaf)| elements(&leaf.shape) as u64)
            .sum();
        let chosen = placement.sized(&graph, &coverage.matched).unwrap();
        let formula = Placement::new(rule, chosen).parameter_count(&graph, &coverage.matched);
        assert_eq!(live, formula, "{text}");
        assert!(live.abs_diff(wanted) * 100 <= wanted, "{text}: {live}");
    }
    let text = "(at: \"model.**.{query,value}\", kind: Lora(), parameters: 5)";
    let placement: Placement = graft_tests::matrix::written(text).unwrap();
    let message = place(&graph, 0, &placement).unwrap_err().to_string();
    assert!(message.contains("36864") && message.contains("24 sites"), "{message}");
}

/// Every preset stands on a `ViT`, but for those that are for `CLIPSeg`, which stand there.
#[test]
fn presets_stand() {
    let folder = graft_tests::fixture("clipseg_plain");
    let clipseg = graft_engine::models::open(&folder).unwrap().architecture.build("model").unwrap();
    for preset in graft_engine::adapters::PRESETS {
        let placements = preset.placements("model", 0);
        let base = if preset.name.starts_with("VLSM") { clipseg.clone() } else { vit_base(10) };
        let (graph, _) = placed(&base, &placements);
        assert!(graph.live().iter().any(|live| *live), "{}", preset.name);
        for placement in &placements {
            let text = graft_engine::project::written(placement).unwrap();
            let again: Placement = graft_tests::matrix::written(&text).unwrap();
            assert_eq!(again, *placement, "{text}");
        }
    }
}

/// What is split trains in its parts alone: the weight that they are added to stays, and is not counted.
#[test]
fn a_split_weight_trains_its_parts_only() {
    let placements = Preset::named("MoSA").unwrap().placements("model", 0);
    let (graph, _) = placed(&vit_base(10), &placements);
    let spec = graft_engine::train::TrainSpec { train: Vec::new(), ..Default::default() };
    let selection = graft_engine::train::select(&graph, &spec).unwrap();
    assert!(selection.paths.iter().all(|path| !path.ends_with("up.weight")), "{:?}", selection.paths);
    // Down- and up-projection with biases and a norm in front, in twelve blocks.
    assert_eq!(selection.count, 12 * (2 * 768 * 64 + 768 + 64 + 2 * 768));
}
