//! The proving graph walked by hand: gradients, recomputation, routing, instances, the cut, one row at a time.

#![expect(clippy::cast_precision_loss, reason = "a test may end at whatever is wrong")]

use std::collections::BTreeSet;

use graft_engine::exec::{Inference, Inputs, Outcome, Walk, infer};
use graft_engine::graph::{Instance, Mode, Request, Schedule, Sharing, cut};
use graft_engine::project::set;
use graft_engine::tensor::{Stream, Value, elements};
use graft_engine::train::{Optimiser, OptimiserSpec, StepGraph, StepSpec, upload};
use graft_engine::weights::Params;
use graft_tests::case::{case, device, in_f64, inputs_in_f64, walk};
use graft_tests::equal::{same_bits, same_to_rounding};
use graft_tests::sound::check_schedule;

/// Every parameter of both training stages, in training mode, with dropout, draws, routing, two instances and a
/// moving average: three random directions in f64.
#[test]
fn every_parameter_agrees_with_finite_differences() {
    for turn in [0, 2] {
        let case = case(turn, |project| project);
        let step = case.step();
        let params = in_f64(&case.params);
        let inputs = inputs_in_f64(&upload(case.routed(&[0, 1, 2, 0]), &step.graph, &device()), &step.graph);
        // Steps in which either branch is drawn, so that both are reached.
        let mut reached = BTreeSet::new();
        for number in 0..4 {
            let (_, gradients) = walk(step, &step.schedule, &mut params.clone(), &inputs, number);
            let loss = |params: &Params| {
                let (outcome, _) = walk(step, &step.schedule, &mut params.clone(), &inputs, number);
                outcome.values[&step.loss].to_scalar()
            };
            for (path, gradient) in &gradients {
                if !reached.insert(path.clone()) {
                    continue;
                }
                let value = params.get(path).unwrap();
                for direction in 0..3 {
                    let mut draws = Stream::new(direction, path).at(1);
                    let towards = (0..elements(&value.shape())).map(|_| f64::from(draws.normal())).collect();
                    let towards = Value::from_f64(towards, &value.shape(), &value.device());
                    let small = 1e-5;
                    let at = |sign: f64| {
                        let mut moved = params.clone();
                        moved.set(path, value.clone().add(towards.clone().mul_scalar(sign * small)));
                        loss(&moved)
                    };
                    let numeric = (at(1.0) - at(-1.0)) / (2.0 * small);
                    let analytic = gradient.clone().mul(towards.clone()).sum_all().to_scalar();
                    let tolerance = 3e-5 * numeric.abs().max(1e-3);
                    assert!((numeric - analytic).abs() < tolerance, "{path}: {numeric} {analytic}");
                }
            }
        }
        let unreached: Vec<&String> = case.built.selection.paths.difference(&reached).collect();
        assert!(unreached.is_empty(), "{unreached:?}");
    }
}

#[test]
fn recomputed_regions_give_the_same_bits_and_keep_less() {
    let case = case(0, |project| project);
    let again = graft_tests::case::case(0, |project| {
        set(
            &project,
            "stages.0.recompute",
            r#"["model.{vision,text,experts}", "second.vision", "model.joint"]"#,
        )
        .unwrap()
    });
    for case in [&case, &again, &graft_tests::case::case(2, |project| project)] {
        check_schedule(&case.step().graph, &case.step().schedule);
    }
    let inputs = upload(case.batch(5), &case.step().graph, &device());
    let (mut kept_params, mut again_params) = (case.params.clone(), case.params.clone());
    let (kept, gradients) = walk(case.step(), &case.step().schedule, &mut kept_params, &inputs, 3);
    let (recomputed, repeated) = walk(again.step(), &again.step().schedule, &mut again_params, &inputs, 3);
    let loss = |outcome: &Outcome, step: &StepGraph| outcome.values[&step.loss].to_f32();
    same_bits(&loss(&recomputed, again.step()), &loss(&kept, case.step()), "loss");
    assert_eq!(gradients.keys().collect::<Vec<_>>(), repeated.keys().collect::<Vec<_>>());
    for (path, gradient) in &gradients {
        same_bits(&repeated[path].to_f32(), &gradient.to_f32(), path);
    }
    // States are committed once, whatever runs twice.
    for state in ["model.vision.norm.running_mean", "model.joint.centre"] {
        let value = |params: &Params| params.get(state).unwrap().to_f32();
        same_bits(&value(&again_params), &value(&kept_params), state);
        assert_ne!(value(&kept_params), value(&case.params), "{state}");
    }
    let count = |schedule: &Schedule| {
        use graft_engine::graph::Move;
        schedule.moves.iter().filter(|step| matches!(step, Move::Recompute { .. })).count()
    };
    assert_eq!(count(&case.step().schedule), 0);
    assert!(count(&again.step().schedule) > 10);
}

#[test]
fn a_branch_without_rows_is_not_run_and_its_weights_are_left_alone() {
    let case = case(0, |project| project);
    let step = case.step();
    let inputs = upload(case.routed(&[0, 1, 0]), &step.graph, &device());
    assert!(!inputs.contains_key("route=2"));
    let mut params = case.params.clone();
    let (_, gradients) = walk(step, &step.schedule, &mut params, &inputs, 1);
    let absent: BTreeSet<&String> =
        case.built.selection.paths.iter().filter(|path| !gradients.contains_key(*path)).collect();
    let drawn: BTreeSet<&str> = absent.iter().filter_map(|path| path.strip_prefix("model.drawn.")).collect();
    assert!(absent.iter().filter(|path| path.starts_with("model.experts.2")).count() == 2, "{absent:?}");
    // The second instance draws for itself, so a branch is without a gradient only if neither drew it.
    assert!(drawn.len() == 2 || drawn.is_empty(), "{drawn:?}");

    // With momentum and decay, a parameter without a gradient keeps value and moments.
    let mut optimiser = Optimiser::new(OptimiserSpec::default());
    let rare = "model.experts.2.fc.weight";
    let full = upload(case.routed(&[0, 1, 2]), &step.graph, &device());
    let (_, all) = walk(step, &step.schedule, &mut params, &full, 1);
    for (path, gradient) in all {
        optimiser.apply(&mut params, &path, gradient, 0.1);
    }
    let (before, steps) = (params.get(rare).unwrap().to_f32(), optimiser.to_host());
    for (path, gradient) in gradients {
        optimiser.apply(&mut params, &path, gradient, 0.1);
    }
    same_bits(&params.get(rare).unwrap().to_f32(), &before, rare);
    let after = optimiser.to_host();
    assert_eq!(after.0[&format!("{rare}#0")], steps.0[&format!("{rare}#0")]);
    assert_eq!(after.1[rare], 1);
    assert_eq!(after.1["model.head.weight"], 2);
}

#[test]
fn a_batch_of_one_is_a_row_of_a_batch() {
    let case = case(2, |project| project);
    let graph = &case.built.graph;
    let logits = graph.output("logits").unwrap();
    let batch = case.batch(6);
    let whole = infer(graph, &case.params, &upload(batch.clone(), graph, &device()), &[logits]).unwrap();
    let whole = whole[&logits].to_f32();
    for (row, one) in batch.split(1).into_iter().enumerate() {
        let found = infer(graph, &case.params, &upload(one, graph, &device()), &[logits]).unwrap();
        let wanted = &whole[row * 3..(row + 1) * 3];
        same_to_rounding(&found[&logits].to_f32(), wanted, &format!("row {row}"));
    }
}

#[test]
fn a_frozen_region_runs_in_inference_mode_and_keeps_its_statistics() {
    let case = case(2, |project| project);
    let step = case.step();
    let training = |path: &str| step.schedule.training[step.graph.find(path).unwrap().index()];
    // Stage 3 trains adapters and head: the base around them is frozen, an adapter's own nodes are not.
    assert!(!training("model.vision.norm.normed"));
    assert!(!training("model.joint.dropout"), "frozen, though an adapter lies before it");
    assert!(training("model.text.qkv.query.adapter_0.dropout"));
    let targets: Vec<&str> =
        step.schedule.updates.iter().map(|update| step.graph.node(update.target).path.as_str()).collect();
    assert!(targets.is_empty(), "{targets:?}");
    let asked = graft_tests::case::case(2, |project| {
        set(&project, "stages.2.stages.0.modes", r#"[["model.joint", "Training"]]"#).unwrap()
    });
    let joint = asked.step().graph.find("model.joint.dropout").unwrap();
    assert!(asked.step().schedule.training[joint.index()]);
    assert_eq!(asked.step().schedule.updates.len(), 1);
}

#[test]
fn instances_share_weights_but_not_streams() {
    let divergence = |mode: Option<Mode>, weights: Sharing| {
        let case = case(0, |project| project);
        let instances = [Instance { name: "second".to_owned(), of: "model".to_owned(), weights, mode }];
        let columns = case.source.columns();
        let stage = case.project.stages[0].as_train().unwrap();
        let spec =
            StepSpec { instances: &instances, ..StepSpec::of(stage, &case.built.selection.nodes, &columns) };
        let step = StepGraph::new(&case.built.graph, &spec).unwrap();
        let mut params = case.params.clone();
        for (_, path, leaf) in step.graph.states() {
            if let graft_engine::graph::Beginning::CopyOf(of) = leaf.begins {
                let value = params.get(&step.graph.node(of).path).unwrap().clone();
                params.set(path, value);
            }
        }
        let inputs = upload(case.batch(5), &step.graph, &device());
        let (outcome, gradients) = walk(&step, &step.schedule, &mut params, &inputs, 2);
        let kl = step.terms.iter().find(|term| term.name == "symmetric_kl").unwrap();
        (outcome.values[&kl.node].to_scalar(), gradients)
    };
    let (second, _) = divergence(None, Sharing::Shared);
    assert!(second > 0.0, "dropout and draws are each instance's own");
    let (detached, gradients) = divergence(Some(Mode::Inference), Sharing::Detached);
    let (average, of_average) = divergence(Some(Mode::Inference), Sharing::Average { decay: 0.9 });
    assert!(detached > 0.0);
    // An average begins as a copy: the same values by another way, and neither passes a gradient back.
    assert!((detached - average).abs() <= 1e-6 * detached);
    for (path, gradient) in &gradients {
        same_bits(&gradient.to_f32(), &of_average[path].to_f32(), path);
    }
}

#[test]
fn the_cut_is_two_edges_before_the_frozen_sides() {
    let case = case(2, |project| {
        // Without adapters in the frozen halves.
        let project = set(&project, "adapters.0.at", "model.joint.seen").unwrap();
        let project = set(&project, "adapters.4.at", "model.joint.read").unwrap();
        set(&project, "adapters.5.at", "model.joint.read").unwrap()
    });
    let graph = &case.step().graph;
    let mut binding = case.built.architecture.binding(1);
    for leaf in graph.columns().filter(|leaf| leaf.rows_where.is_some()) {
        binding = binding.with(&leaf.key(), 1);
    }
    let shapes = graph.shapes(&binding).unwrap();
    let found = cut(graph, &case.step().schedule, &shapes).unwrap();
    let paths: Vec<&str> = found.after.iter().map(|id| graph.node(*id).path.as_str()).collect();
    // The unembedding costs work, so its features are kept, not the mean before it.
    assert_eq!(paths, ["model.vision.pooled", "model.text.features"]);
    assert_eq!(found.bytes_per_sample, 4 * (4 + 4 + 6));
    assert_eq!(found.columns[0], BTreeSet::from(["pixel_values".to_owned()]));
    assert_eq!(found.columns[1], BTreeSet::from(["tokens".to_owned()]));
    assert!(found.multiply_adds > 0);
    // Walked from there, the logits are the same bits.
    let logits = graph.output("logits").unwrap();
    let inputs = upload(case.batch(4), graph, &device());
    let mut wanted = found.after.clone();
    wanted.push(logits);
    let all = infer(graph, &case.params, &inputs, &wanted).unwrap();
    let mut handed = inputs;
    handed.remove("pixel_values");
    handed.remove("tokens");
    for id in &found.after {
        handed.insert(graph.node(*id).path.clone(), all[id].clone());
    }
    let request = Request { results: &[logits], given: &found.after, ..Request::default() };
    let schedule = Schedule::new(graph, &request).unwrap();
    let walk = Walk { graph, schedule: &schedule, seed: 0, step: 0 };
    let values = walk.run(&mut case.params.clone(), &handed, &mut |_, _, _, _| {}).unwrap().values;
    same_bits(&values[&logits].to_f32(), &all[&logits].to_f32(), "from the cut");
    // With everything trained there is nothing before it.
    let whole = graft_tests::case::case(0, |project| project);
    let shapes = whole.step().graph.shapes(&binding).unwrap();
    assert_eq!(cut(&whole.step().graph, &whole.step().schedule, &shapes), None);
}

/// In inference, what forms made of weights is computed once, and the rest comes out the same.
#[test]
fn what_reads_no_column_is_computed_once() {
    let case = case(2, |project| project);
    let graph = &case.built.graph;
    let logits = graph.output("logits").unwrap();
    let fixed: Vec<&str> =
        graph.without_batch(&[logits]).into_iter().map(|id| graph.node(id).path.as_str()).collect();
    for weight in ["model.joint.seen.adapter_1.weight", "model.vision.coarse.adapter_5.weight"] {
        assert!(fixed.contains(&weight), "{fixed:?}");
    }
    assert_eq!(fixed.len(), 2 + 1 + 2, "two sparse weights, the stacked kernel, two sums of products");
    let mut inference = Inference::new(graph, &case.params, &[logits]).unwrap();
    for rows in [4, 2] {
        let inputs = upload(case.batch(rows), graph, &device());
        let want = infer(graph, &case.params, &inputs, &[logits]).unwrap()[&logits].to_f32();
        same_bits(&inference.run(inputs).unwrap()[&logits].to_f32(), &want, "logits");
    }
}

#[test]
fn entries_are_walked_on_their_own() {
    let case = case(0, |project| project);
    let graph = &case.built.graph;
    let see = &graph.entries()["see"];
    let batch = case.batch(4);
    let inputs = upload(batch, graph, &device());
    let pictures = Inputs::from([("pixel_values".to_owned(), inputs["pixel_values"].clone())]);
    let pooled = see.outputs["pooled"];
    let alone = infer(graph, &case.params, &pictures, &[pooled]).unwrap();
    assert_eq!(alone[&pooled].shape(), [4, 4]);
    let decide = &graph.entries()["decide"];
    let (joint, logits) = (decide.inputs["joint"], decide.outputs["logits"]);
    let whole = infer(graph, &case.params, &inputs, &[joint, logits]).unwrap();
    let mut handed = Inputs::from([(graph.node(joint).path.clone(), whole[&joint].clone())]);
    handed.insert("route".to_owned(), inputs["route"].clone());
    let request = Request { results: &[logits], given: &[joint], ..Request::default() };
    let schedule = Schedule::new(graph, &request).unwrap();
    let walk = Walk { graph, schedule: &schedule, seed: 0, step: 0 };
    let values = walk.run(&mut case.params.clone(), &handed, &mut |_, _, _, _| {}).unwrap().values;
    same_bits(&values[&logits].to_f32(), &whole[&logits].to_f32(), "decide");
}

/// The gradient of a column, against finite differences: what a controller needs.
#[test]
fn leaves_may_be_columns() {
    let case = case(0, |project| project);
    let step = case.step();
    let graph = &step.graph;
    let pixels = graph.find("model.pixel_values").unwrap();
    let request = Request { loss: Some(step.loss), leaves: &[pixels], ..Request::default() };
    let schedule = Schedule::new(graph, &request).unwrap();
    let params = in_f64(&case.params);
    let inputs = inputs_in_f64(&upload(case.batch(3), graph, &device()), graph);
    let run = |inputs: &Inputs| {
        let (outcome, gradients) = walk(step, &schedule, &mut params.clone(), inputs, 0);
        (outcome.values[&step.loss].to_scalar(), gradients)
    };
    let (_, gradients) = run(&inputs);
    assert_eq!(gradients.keys().collect::<Vec<_>>(), ["model.pixel_values"]);
    let value = inputs["pixel_values"].clone();
    let mut draws = Stream::new(1, "towards").at(0);
    let towards = (0..elements(&value.shape())).map(|_| f64::from(draws.normal())).collect();
    let towards = Value::from_f64(towards, &value.shape(), &device());
    let at = |sign: f64| {
        let mut moved = inputs.clone();
        let value = value.clone().add(towards.clone().mul_scalar(sign * 1e-5));
        moved.insert("pixel_values".to_owned(), value);
        run(&moved).0
    };
    let numeric = (at(1.0) - at(-1.0)) / 2e-5;
    let analytic = gradients["model.pixel_values"].clone().mul(towards.clone()).sum_all().to_scalar();
    assert!((numeric - analytic).abs() < 1e-5 * numeric.abs().max(1e-3), "{numeric} {analytic}");
}

/// Forms on a fused weight and on its slices, and a path beside another slice, all at once.
/// Whatever a kind may ask for, in one patch.
/// A router's own row lists, within a capacity: shapes say the most, a walk runs what there is.
#[test]
fn a_router_sends_rows_within_its_capacity() {
    use graft_engine::graph::{Binding, Builder, Extent, Init, LinearSpec};
    use graft_engine::ops::{Combine, Dispatch, Route};
    let mut b = Builder::new("model", "Routed");
    let x = b.input("x", vec![Extent::named("batch"), Extent::Fixed(2)]);
    let linear = |features_out| LinearSpec {
        kernel: &[2],
        features_out,
        init: Init::XavierUniform,
        bias: None,
        stored: "",
    };
    let scores = b.linear("router", x, &linear(3));
    let mut inputs = vec![x];
    for branch in 0..3 {
        let rows = b.op(&format!("route_{branch}"), Route { branch, share: 0.5 }, &[scores]);
        let own = b.op(&format!("rows_{branch}"), Dispatch, &[x, rows]);
        inputs.extend([b.linear(&format!("expert_{branch}"), own, &linear(2)), rows]);
    }
    let out = b.op("out", Combine { branches: 3 }, &inputs);
    b.output("out", out);
    let graph = b.finish().unwrap();
    let shapes = graph.shapes(&Binding::new().with("batch", 4)).unwrap();
    assert_eq!(shapes[graph.find("model.rows_1").unwrap().index()], [2, 2]);
    let mut params = Params::new();
    // Scores: the row itself, and never the third branch.
    let router = Value::from_f32(vec![1.0, 0.0, 0.0, 1.0, -9.0, -9.0], &[3, 2], &device());
    params.set("model.router.weight", router);
    for branch in 0..3 {
        let double = Value::from_f32(vec![1.0 + branch as f32, 0.0, 0.0, 1.0], &[2, 2], &device());
        params.set(&format!("model.expert_{branch}.weight"), double);
    }
    let rows = vec![2.0, 1.0, 1.0, 3.0, 5.0, 4.0, 7.0, 6.0];
    let x = Inputs::from([("x".to_owned(), Value::from_f32(rows, &[4, 2], &device()))]);
    let found = infer(&graph, &params, &x, &[out]).unwrap()[&out].to_f32();
    // The first branch takes rows 0 and 2 and has no room for row 3, which stays as it was.
    same_bits(&found, &[4.0, 2.0, 3.0, 6.0, 10.0, 8.0, 7.0, 6.0], "routed");
}

/// Every extent that the data have is priced, and the largest costs most.
#[test]
fn batches_of_several_extents_are_priced() {
    let case = case(0, |project| project);
    let graph = &case.step().graph;
    let price = |height, width, length, batch| {
        let binding = case.built.architecture.binding(batch);
        let binding = binding.with("height", height).with("width", width).with("length", length);
        let shapes = graph.shapes(&binding).unwrap();
        graft_engine::plan::tally(graph, &case.step().schedule, &shapes, graft_engine::plan::Part::First)
    };
    let (small, large) = (price(7, 5, 2, 4), price(9, 7, 5, 4));
    assert!(small.peak_bytes < large.peak_bytes);
    assert!(small.forward_multiply_adds < large.forward_multiply_adds);
    assert!(price(9, 7, 5, 1).peak_bytes < large.peak_bytes, "a last partial batch");
}
