//! The walk over a whole model, adapters included, against burn's tape and against finite differences.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::collections::BTreeMap;

use graft_engine::device;
use graft_engine::exec::{Inputs, Walk};
use graft_engine::graph::{Graph, NodeId, NodeKind};
use graft_engine::ops::Context;
use graft_engine::project::{Built, build_stage, open_source};
use graft_engine::tensor::{Stream, Value, elements};
use graft_engine::train::{StepGraph, StepSpec};
use graft_engine::weights::Params;
use graft_tests::{repository, tiny_project};

struct Case {
    built: Built,
    step: StepGraph,
    params: Params,
    inputs: Inputs,
}

/// The tiny model with all adapters, every value drawn at random (so that no zero hides a path), in f64.
fn case(train_all: bool) -> Case {
    let device = device::open("flex").unwrap();
    let mut project = tiny_project();
    if train_all {
        project = graft_engine::project::set(&project, "stages.1.freeze", "[]").unwrap();
    }
    let base = repository("projects");
    let source = open_source(&project, &base, 1).unwrap();
    let built = build_stage(&project, &base, 1, source.as_ref()).unwrap();
    let columns = source.columns();
    let spec = StepSpec {
        leaves: &built.selection.nodes,
        label_smoothing: 0.1,
        columns: &columns,
        ..StepSpec::default()
    };
    let step = StepGraph::new(&built.graph, &spec).unwrap();
    let mut params = Params::new();
    for (_, path, leaf) in built.graph.params() {
        let mut draws = Stream::new(5, path).at(0);
        let data = (0..elements(&leaf.shape)).map(|_| f64::from(draws.normal()) * 0.4 + 0.1).collect();
        params.set(path, Value::from_f64(data, &leaf.shape, &device));
    }
    let mut draws = Stream::new(6, "pixels").at(0);
    let pixels = (0..2 * 8 * 24 * 24).map(|_| f64::from(draws.normal())).collect();
    let inputs = Inputs::from([
        ("pixel_values".to_owned(), Value::from_f64(pixels, &[2, 8, 1, 24, 24], &device)),
        ("labels".to_owned(), Value::from_i64(vec![1, 6], &[2], &device)),
    ]);
    Case { built, step, params, inputs }
}

fn walk(case: &Case, params: &Params) -> (f64, BTreeMap<String, Value>) {
    let mut gradients = BTreeMap::new();
    let walk = Walk { graph: &case.step.graph, schedule: &case.step.schedule, seed: 1, step: 1 };
    let outcome = walk
        .run(&mut params.clone(), &case.inputs, &mut |_, path, gradient, _| {
            assert!(gradients.insert(path.to_owned(), gradient).is_none(), "{path} twice");
        })
        .unwrap();
    (outcome.values[&case.step.loss].to_scalar(), gradients)
}

/// The same loss with burn's tape over everything.
fn tape(
    graph: &Graph,
    loss: NodeId,
    params: &Params,
    inputs: &Inputs,
    tracked: &[NodeId],
) -> BTreeMap<String, Value> {
    let mut values: Vec<Option<Value>> = vec![None; graph.nodes().len()];
    for &id in graph.order() {
        let node = graph.node(id);
        values[id.index()] = Some(match &node.kind {
            NodeKind::Input(leaf) => inputs[&leaf.column].clone(),
            NodeKind::State(_) | NodeKind::Const(_) => params.get(&node.path).unwrap().clone(),
            NodeKind::Param(_) => {
                let value = params.get(&node.path).unwrap().clone();
                if tracked.contains(&id) { value.tracked() } else { value }
            }
            NodeKind::Op(op) => {
                let inputs: Vec<Value> =
                    node.inputs.iter().map(|i| values[i.index()].clone().unwrap()).collect();
                op.forward(&inputs, &Context::inference())
            }
        });
    }
    let gradients = values[loss.index()].clone().unwrap().backward();
    tracked
        .iter()
        .map(|id| {
            let leaf = values[id.index()].as_ref().unwrap();
            (graph.node(*id).path.clone(), leaf.gradient(&gradients).unwrap())
        })
        .collect()
}

#[test]
fn the_walk_agrees_with_the_tape() {
    for train_all in [false, true] {
        let case = case(train_all);
        let (_, walked) = walk(&case, &case.params);
        let taped =
            tape(&case.step.graph, case.step.loss, &case.params, &case.inputs, &case.built.selection.nodes);
        assert_eq!(walked.len(), taped.len());
        assert_eq!(walked.keys().collect::<Vec<_>>(), taped.keys().collect::<Vec<_>>());
        for (path, want) in &taped {
            let (got, want) = (walked[path].to_f64(), want.to_f64());
            // A key's bias has a gradient of exactly zero, of which both ways leave some rounding.
            let scale = want.iter().fold(1e-4f64, |m, x| m.max(x.abs()));
            let worst = got.iter().zip(&want).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst < 1e-9 * scale, "{path}: {worst:e} on {scale:e}");
        }
    }
}

#[test]
fn every_trained_parameter_agrees_with_finite_differences() {
    let case = case(true);
    let (_, gradients) = walk(&case, &case.params);
    assert_eq!(gradients.len(), case.built.selection.nodes.len());
    for (path, gradient) in &gradients {
        let value = case.params.get(path).unwrap();
        for direction in 0..3 {
            let mut draws = Stream::new(direction, path).at(1);
            let towards: Vec<f64> =
                (0..elements(&value.shape())).map(|_| f64::from(draws.normal())).collect();
            let towards = Value::from_f64(towards, &value.shape(), &value.device());
            let step = 1e-5;
            let loss = |sign: f64| {
                let mut params = case.params.clone();
                params.set(path, value.clone().add(towards.clone().mul_scalar(sign * step)));
                walk(&case, &params).0
            };
            let numeric = (loss(1.0) - loss(-1.0)) / (2.0 * step);
            let analytic = gradient.clone().mul(towards.clone()).sum_all().to_scalar();
            // Key biases have a gradient of exactly zero, hence the absolute part.
            let tolerance = 1e-5 * numeric.abs().max(1e-3);
            assert!((numeric - analytic).abs() < tolerance, "{path}: {numeric} {analytic}");
        }
    }
}

#[test]
fn frozen_parts_get_no_gradient_and_keep_nothing() {
    let case = case(false);
    let (_, gradients) = walk(&case, &case.params);
    assert!(gradients.keys().all(|path| !path.starts_with("model.spatial")));
    for &id in case.step.graph.order() {
        if case.step.graph.node(id).path.starts_with("model.spatial") {
            assert!(!case.step.schedule.tracked[id.index()]);
        }
    }
}
