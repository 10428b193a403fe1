//! Rewrites of the proving graph: what stacks, what merges, what is tied, what a patch may ask for.

use std::collections::BTreeSet;

use graft_engine::exec::{Inputs, Walk, infer};
use graft_engine::graph::{Graph, NodeKind};
use graft_engine::project::set;
use graft_engine::tensor::{Stream, Value, elements};
use graft_engine::train::{StepGraph, StepSpec, merge, upload};
use graft_engine::weights::{Params, load};
use graft_tests::case::{case, device, in_f64, inputs_in_f64, walk};
use graft_tests::equal::same_bits;

#[test]
fn a_tied_weight_is_one_tensor_under_two_names() {
    let case = case(0, |project| project);
    let graph = &case.built.graph;
    assert_eq!(graph.find("model.text.table"), graph.find("model.text.unembed.weight"));
    let frozen = graft_tests::case::case(0, |project| {
        set(&project, "stages.0.freeze", r#"["model.text.unembed"]"#).unwrap()
    });
    assert!(case.built.selection.paths.contains("model.text.table"));
    assert!(!frozen.built.selection.paths.contains("model.text.table"));
    let readers =
        graph.nodes().iter().filter(|node| node.inputs.contains(&graph.find("model.text.table").unwrap()));
    assert_eq!(readers.count(), 2);
}

#[test]
fn merging_changes_nothing_but_rounding() {
    let case = case(2, |project| project);
    let merged: BTreeSet<usize> = [0, 1, 4, 5].into();
    let base = case.folder.path();
    let logits = case.built.graph.output("logits").unwrap();
    let batch = case.batch(6);
    let inputs = upload(batch, &case.built.graph, &device());
    let want = infer(&case.built.graph, &case.params, &inputs, &[logits]).unwrap()[&logits].to_f32();
    let mut params = case.params.clone();
    let changed = merge(&case.built.graph, &case.params, &merged).unwrap();
    let expected = [
        "model.joint.read.weight",
        "model.joint.seen.weight",
        "model.text.qkv.weight",
        "model.vision.coarse.weight",
    ];
    assert_eq!(changed.keys().collect::<Vec<_>>(), expected);
    for (path, value) in changed {
        params.set(&path, value);
    }
    let turns = case.project.turns().unwrap();
    let plain =
        graft_engine::project::build_turn(&case.project, base, &turns[2], &merged, case.source.as_ref())
            .unwrap();
    let logits = plain.graph.output("logits").unwrap();
    let got = infer(&plain.graph, &params, &inputs, &[logits]).unwrap()[&logits].to_f32();
    // A product of weights summed in another order: a few roundings.
    graft_tests::equal::same_to(1e-5, &got, &want, "merged");
    // One that stands on another cannot go before it; one that stays cannot go at all.
    let error = merge(&case.built.graph, &case.params, &[5].into()).unwrap_err().to_string();
    assert!(error.contains("adapter 6 stands on adapter 5"), "{error}");
    let error = merge(&case.built.graph, &case.params, &[2].into()).unwrap_err().to_string();
    assert!(error.contains("adapter 3 cannot be merged"), "{error}");
}

#[test]
fn kinds_multiply_with_forms() {
    let case = case(2, |project| project);
    let count = |prefix: &str| case.built.graph.parameter_count_below(prefix);
    // Both dense weights of the bottleneck are gone: shared left factors once, and the thin right ones.
    assert_eq!(count("model.P4.adapter_2.down.adapter_3"), 2 * (2 + 4));
    assert_eq!(count("model.shared.adapter_3"), 8);
    let paths: BTreeSet<&str> = case.built.graph.params().map(|(_, path, _)| path).collect();
    assert!(!paths.contains("model.P4.adapter_2.down.weight"));
    assert!(paths.contains("model.P4.adapter_2.down.bias"));
    let (_, report) = load(&case.built.graph, None, 1, &device()).unwrap();
    assert!(report.missing.iter().any(|misfit| misfit.path == "model.shared.adapter_3.left"));
    let states = case.built.graph.nodes().iter().filter(|node| matches!(node.kind, NodeKind::State(_)));
    assert_eq!(states.count(), 3 + 2, "running statistics, the centre, two masks");
}

#[test]
fn whole_and_sliced_weights_stack_in_listed_order() {
    let case = case(2, |project| {
        let mut project = project;
        let text = r#"[
            (at: "model.text.qkv", kind: LowRank(rank: 1)),
            (at: "model.text.qkv.value", kind: LowRank(rank: 1, alpha: 2)),
            (at: "model.text.qkv.{query,key}", kind: Lora(rank: 1, alpha: 3)),
            (at: "model.text.qkv", kind: Sparse(share: 0.5)),
        ]"#;
        project.adapters.clear();
        project.stages.truncate(3);
        set(&project, "adapters", text).unwrap()
    });
    let step = case.step();
    let params = in_f64(&case.params);
    let inputs = inputs_in_f64(&upload(case.batch(4), &step.graph, &device()), &step.graph);
    let (_, gradients) = walk(step, &step.schedule, &mut params.clone(), &inputs, 0);
    for (path, gradient) in gradients.iter().filter(|(path, _)| path.contains("adapter_")) {
        let value = params.get(path).unwrap();
        let mut draws = Stream::new(1, path).at(1);
        let towards = (0..elements(&value.shape())).map(|_| f64::from(draws.normal())).collect();
        let towards = Value::from_f64(towards, &value.shape(), &device());
        let at = |sign: f64| {
            let mut moved = params.clone();
            moved.set(path, value.clone().add(towards.clone().mul_scalar(sign * 1e-5)));
            walk(step, &step.schedule, &mut moved, &inputs, 0).0.values[&step.loss].to_scalar()
        };
        let numeric = (at(1.0) - at(-1.0)) / 2e-5;
        let analytic = gradient.clone().mul(towards).sum_all().to_scalar();
        assert!((numeric - analytic).abs() < 1e-5 * numeric.abs().max(1e-3), "{path}: {numeric} {analytic}");
    }
    let all: BTreeSet<usize> = (0..4).collect();
    let merged = merge(&case.built.graph, &case.params, &all).unwrap();
    assert_eq!(merged.keys().collect::<Vec<_>>(), ["model.text.qkv.weight"]);
    let mut changed = case.params.clone();
    for (path, value) in merged {
        changed.set(&path, value);
    }
    let turns = case.project.turns().unwrap();
    let folder = case.folder.path();
    let plain =
        graft_engine::project::build_turn(&case.project, folder, &turns[2], &all, case.source.as_ref())
            .unwrap();
    let logits = |graph: &Graph, params: &Params| {
        let id = graph.output("logits").unwrap();
        infer(graph, params, &upload(case.batch(4), graph, &device()), &[id]).unwrap()[&id].to_f32()
    };
    let (want, got) = (logits(&case.built.graph, &case.params), logits(&plain.graph, &changed));
    graft_tests::equal::same_to(1e-5, &got, &want, "merged");
    assert!(got != logits(&plain.graph, &case.params), "the adapters did something");
}

#[test]
fn a_patch_may_ask_for_everything() {
    use graft_engine::graph::{Becomes, Beginning, Init, PatchBuilder, When};
    use graft_engine::ops::{Add, Blend, MeanSquaredError, Multiply};
    let case = case(2, |project| project);
    let graph = &case.built.graph;
    let site = graph.site("model.P4").unwrap();
    let mut patch = PatchBuilder::new(graph, site, 9, "Everything");
    let gain = patch.param("gain", &[8], Init::Constant(0.5));
    let fixed = patch.constant("fixed", &[8], vec![2.0; 8]);
    let scaled = patch.op("scaled", Multiply, &[gain, fixed]);
    let branch = patch.op("branch", Multiply, &[site.node, scaled]);
    let sum = patch.op("sum", Add, &[site.node, branch]);
    patch.replace(sum);
    let average = patch.state("average", &[8], Beginning::CopyOf(gain));
    let next = patch.op("next", Blend { share: 0.25 }, &[average, gain]);
    patch.update(average, next, When::AfterStep);
    let apart = patch.op("apart", MeanSquaredError, &[gain, average]);
    patch.loss("pull", apart, 0.1);
    patch.unfreeze(graph.find("model.joint.seen.bias").unwrap());
    patch.ends(Becomes::Gone);
    let graph = graph.apply(&patch.finish()).unwrap();

    let stage = case.project.turns().unwrap()[2].spec.as_train().unwrap().clone();
    let selection = graft_engine::train::select(&graph, &stage).unwrap();
    assert!(selection.paths.contains("model.joint.seen.bias"));
    assert!(selection.paths.contains("model.P4.adapter_9.gain"));
    let columns = case.source.columns();
    let step = StepGraph::new(&graph, &StepSpec::of(&stage, &selection.nodes, &columns)).unwrap();
    let terms: Vec<&str> = step.terms.iter().map(|term| term.name.as_str()).collect();
    assert_eq!(terms, ["model.P4.adapter_9.pull", "cross_entropy", "distillation"]);
    let mut params = case.params.clone();
    let (fresh, _) = load(&step.graph, None, 1, &device()).unwrap();
    for (path, value) in fresh.iter() {
        if params.get(path).is_none() {
            params.set(path, value.clone());
        }
    }
    let inputs = upload(case.batch(4), &step.graph, &device());
    let average = "model.P4.adapter_9.average";
    let before = params.get(average).unwrap().to_f32();
    let (outcome, gradients) = walk(&step, &step.schedule, &mut params, &inputs, 0);
    assert_eq!(outcome.values[&step.terms[0].node].to_f32(), [0.0], "an average begins as a copy");
    assert!(gradients.contains_key("model.P4.adapter_9.gain"));
    same_bits(&params.get(average).unwrap().to_f32(), &before, "nothing moves before the step");
    params.set("model.P4.adapter_9.gain", Value::from_f32(vec![1.0; 8], &[8], &device()));
    let after = step.after.as_ref().unwrap();
    let late = Walk { graph: &step.graph, schedule: after, seed: 0, step: 0 };
    late.run(&mut params, &Inputs::new(), &mut |_, _, _, _| {}).unwrap();
    same_bits(&params.get(average).unwrap().to_f32(), &[0.5 * 0.75 + 0.25; 8], "blended");
    // What is gone in inference merges into nothing.
    assert!(merge(&graph, &params, &[9].into()).unwrap().is_empty());
    // An update after the step that reads the batch is refused.
    let mut wrong = PatchBuilder::new(&graph, graph.site("model.P4").unwrap(), 10, "Wrong");
    let target = wrong.state("state", &[1], Beginning::Values(Init::Zeros));
    wrong.update(target, graph.output("logits").unwrap(), When::AfterStep);
    let error = graph.apply(&wrong.finish()).unwrap_err().to_string();
    assert!(error.contains("after the step") && error.contains("model.P4.adapter_10.state"), "{error}");
}
