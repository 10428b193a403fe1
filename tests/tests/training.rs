//! Whole runs of a tiny project: same seed same bits, frozen means frozen, resume goes on exactly.

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test may end at whatever is wrong")]

use std::path::Path;
use std::sync::Arc;

use graft_engine::device;
use graft_engine::exec::{Inputs, infer};
use graft_engine::project::{Project, build_stage, open_source, set};
use graft_engine::runs::{Event, EventBody, Outcome, RunFolder, RunOptions, resume, train};
use graft_engine::tensor::Value;
use graft_engine::train::{Checkpoint, Control, Wish};
use graft_engine::weights::{from_params, load, read_tensors};
use graft_tests::{repository, tiny_project};

fn run(project: &Project, runs: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    let options = RunOptions { runs: runs.to_path_buf() };
    let summary = train(project, &repository("projects"), &options, &Control::new(), &mut |event| {
        events.push(event.clone());
    })
    .unwrap();
    assert_eq!(summary.outcome, Outcome::Finished);
    events
}

fn losses(events: &[Event]) -> Vec<(usize, u64, f64)> {
    events
        .iter()
        .filter_map(|event| match event.body {
            EventBody::Step { stage, step, loss, .. } => Some((stage, step, loss)),
            _ => None,
        })
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_losses_to_the_bit() {
    let runs = tempfile::tempdir().unwrap();
    let project = tiny_project();
    let first = run(&project, runs.path());
    let second = run(&project, runs.path());
    assert_eq!(losses(&first), losses(&second));
    assert_eq!(losses(&first).len(), 3 + 6);
    let other = run(&Project { seed: 4, ..project }, runs.path());
    assert_ne!(losses(&first), losses(&other));
}

#[test]
fn events_follow_the_contract_and_the_log_holds_them() {
    let runs = tempfile::tempdir().unwrap();
    let events = run(&tiny_project(), runs.path());
    assert!(matches!(events[0].body, EventBody::Started { .. }));
    let EventBody::Stage { loaded, .. } = &events[1].body else { panic!("a stage begins") };
    assert_eq!((loaded.copied, loaded.resized), (0, 0), "the first stage starts from scratch");
    let second = events.iter().filter_map(|e| match &e.body {
        EventBody::Stage { stage: 1, loaded, trainable, .. } => Some((*loaded, *trainable)),
        _ => None,
    });
    let (loaded, trainable) = second.into_iter().next().unwrap();
    assert_eq!(loaded.resized, 1, "the temporal position table");
    assert!(loaded.new > 0 && loaded.copied > 0 && trainable > 0);
    assert!(matches!(events.last().unwrap().body, EventBody::Finished { .. }));
    let folder = runs.path().join(&events[0].run);
    assert_eq!(RunFolder::events(&folder).unwrap(), events);
    for file in ["project.ron", "events.jsonl", "report.md", "checkpoints/last.json", "checkpoints/best.json"]
    {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let json = serde_json::to_value(&events[2]).unwrap();
    for field in [
        "event",
        "run",
        "time",
        "stage",
        "epoch",
        "step",
        "loss",
        "lr",
        "grad_norm",
        "samples_per_sec",
        "data_secs",
        "forward_secs",
        "backward_secs",
        "optimizer_secs",
        "live_bytes",
        "peak_bytes",
    ] {
        assert!(json.get(field).is_some(), "step event lacks {field}");
    }
}

#[test]
fn frozen_weights_keep_their_bits_and_have_no_state() {
    let runs = tempfile::tempdir().unwrap();
    let mut project = tiny_project();
    project.stages.remove(0);
    let base = repository("projects");
    let events = run(&project, runs.path());
    let folder = runs.path().join(&events[0].run);
    let checkpoint = Checkpoint::read(&folder.join("checkpoints"), "last").unwrap().unwrap();
    // Only what was trained is in the checkpoint; the rest is what it was.
    assert!(!checkpoint.params.is_empty());
    assert!(checkpoint.params.keys().all(|path| !path.starts_with("model.spatial")));
    assert_eq!(
        checkpoint.optimizer_steps.keys().collect::<Vec<_>>(),
        checkpoint.params.keys().collect::<Vec<_>>()
    );
    let source = open_source(&project, &base, 0).unwrap();
    let built = build_stage(&project, &base, 0, source.as_ref()).unwrap();
    assert_eq!(
        built.selection.paths.iter().collect::<Vec<_>>(),
        checkpoint.params.keys().collect::<Vec<_>>()
    );
    // And the values in memory at the run's end: train again by hand and compare the frozen ones.
    let device = device::open("flex").unwrap();
    let (params, _) = load(&built.graph, None, project.seed, &device).unwrap();
    let before = params.to_host();
    let mut params = params;
    let spec = project.stages[0].as_train().unwrap();
    let stage = graft_engine::train::Stage {
        index: 0,
        repetition: 0,
        spec,
        model: &built.graph,
        step: built.step.as_ref().unwrap(),
        selection: &built.selection,
        source: &source,
        device: &device,
        seed: project.seed,
        caching: None,
        profiles: false,
    };
    let mut optimiser = graft_engine::train::Optimiser::new(spec.optimiser.clone());
    let mut meter = graft_engine::memory::Meter::start();
    stage
        .run(
            &mut params,
            &mut optimiser,
            graft_engine::train::Done::default(),
            &Control::new(),
            &mut meter,
            &mut |_, _| Ok(()),
        )
        .unwrap();
    for (path, after) in params.to_host() {
        let same = before[&path].data == after.data;
        let trained = built.selection.paths.contains(&path);
        assert_eq!(same, !trained, "{path}");
        if trained {
            assert_eq!(after.data, checkpoint.params[&path].data, "the run ended at the same bits: {path}");
        }
    }
}

#[test]
fn placing_adapters_changes_no_bit_of_the_logits() {
    let device = device::open("flex").unwrap();
    let base = repository("projects");
    let with = tiny_project();
    let without = set(&with, "stages.1.adapters", "\"None\"").unwrap();
    let source = open_source(&with, &base, 1).unwrap();
    let adapted = build_stage(&with, &base, 1, source.as_ref()).unwrap();
    let plain = build_stage(&without, &base, 1, source.as_ref()).unwrap();
    assert!(adapted.graph.parameter_count() > plain.graph.parameter_count());
    let (mut params, _) = load(&plain.graph, None, 9, &device).unwrap();
    // A head of zeros would hide everything.
    let head = params.take("model.head.weight").unwrap();
    let shape = head.shape();
    let data = (0..shape[0] * shape[1]).map(|i| (i % 7) as f32 * 0.1 - 0.3).collect();
    params.set("model.head.weight", Value::from_f32(data, &shape, &device));
    let (adapted_params, _) = from_params(&adapted.graph, &params.to_host(), 9, &device);
    let sample = source.sample(graft_engine::data::Split::Train, 0).unwrap();
    let pixels = Value::from_f32(sample.pixels().to_vec(), &[1, 8, 1, 24, 24], &device);
    let inputs = Inputs::from([("pixel_values".to_owned(), pixels)]);
    let logits = |graph: &graft_engine::graph::Graph, params| {
        let id = graph.output("logits").unwrap();
        infer(graph, params, &inputs, &[id]).unwrap()[&id].to_f32()
    };
    let (a, b) = (logits(&plain.graph, &params), logits(&adapted.graph, &adapted_params));
    assert!(a.iter().any(|x| *x != 0.0));
    assert_eq!(
        a.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
        b.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    );
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bits() {
    let runs = tempfile::tempdir().unwrap();
    let project = tiny_project();
    let whole = run(&project, runs.path());
    // In the middle of an epoch of either stage, at a stage's last step, at an epoch's, and at the very last.
    for stop_at in [2usize, 5, 3, 6, 9] {
        let control = Arc::new(Control::new());
        let mut events = Vec::new();
        let options = RunOptions { runs: runs.path().to_path_buf() };
        let mut steps = 0;
        let summary = train(&project, &repository("projects"), &options, &control, &mut |event| {
            events.push(event.clone());
            if matches!(event.body, EventBody::Step { .. }) {
                steps += 1;
                if steps == stop_at {
                    control.set(Wish::Stop);
                }
            }
        })
        .unwrap();
        assert_eq!(summary.outcome, Outcome::Stopped);
        // A stage that is complete is left behind: the stop comes in the next one.
        assert_eq!(losses(&events).len(), if stop_at == 3 { 4 } else { stop_at });
        let resumed =
            resume(&summary.folder, &Control::new(), &mut |event| events.push(event.clone())).unwrap();
        assert_eq!(resumed.outcome, Outcome::Finished);
        assert_eq!(losses(&events), losses(&whole));
        assert_eq!(
            losses(&RunFolder::events(&summary.folder).unwrap()),
            losses(&whole),
            "the log reads as one run"
        );
        let last = |folder: &Path| {
            let checkpoint = Checkpoint::read(&folder.join("checkpoints"), "last").unwrap().unwrap();
            (checkpoint.params, checkpoint.optimizer)
        };
        assert_eq!(last(&summary.folder), last(&runs.path().join(&whole[0].run)));
        let evals = |events: &[Event]| -> Vec<String> {
            let evals = events.iter().filter_map(|event| match &event.body {
                EventBody::Eval { stage, epoch, step, split, loss, .. } => {
                    Some(format!("{stage} {epoch} {step} {split} {loss}"))
                }
                _ => None,
            });
            evals.collect()
        };
        assert_eq!(evals(&RunFolder::events(&summary.folder).unwrap()), evals(&whole));
        let again = resume(&summary.folder, &Control::new(), &mut |_| {}).unwrap_err();
        assert!(again.to_string().contains("finished"));
    }
}

/// A table that a stage's beginning made from another shape, and that no stage trains, is in no checkpoint's file of
/// the model: a resumed run must have it from the checkpoint.
#[test]
fn a_resized_parameter_that_nothing_trains_survives_a_resume() {
    let runs = tempfile::tempdir().unwrap();
    let mut project = tiny_project();
    for stage in 0..2 {
        project = set(&project, &format!("stages.{stage}.train"), r#"["model.head"]"#).unwrap();
        project = set(&project, &format!("stages.{stage}.freeze"), "[]").unwrap();
    }
    let whole = run(&project, runs.path());
    let control = Control::new();
    let options = RunOptions { runs: runs.path().to_path_buf() };
    let mut steps = 0;
    let summary = train(&project, &repository("projects"), &options, &control, &mut |event| {
        steps += usize::from(matches!(event.body, EventBody::Step { .. }));
        if steps == 5 {
            control.set(Wish::Stop);
        }
    })
    .unwrap();
    assert_eq!(summary.outcome, Outcome::Stopped);
    resume(&summary.folder, &Control::new(), &mut |_| {}).unwrap();
    assert_eq!(losses(&RunFolder::events(&summary.folder).unwrap()), losses(&whole));
}

#[test]
fn micro_batches_give_the_same_gradient_to_rounding() {
    let runs = tempfile::tempdir().unwrap();
    let project = tiny_project();
    let split = run(&project, runs.path());
    let whole = run(&set(&project, "stages.1.accumulate", "1").unwrap(), runs.path());
    for ((_, _, a), (_, _, b)) in losses(&split).iter().zip(losses(&whole)) {
        assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{a} {b}");
    }
}

/// Without clipping the optimiser steps as soon as a gradient is complete; with a limit that nothing reaches it waits
/// for all of them, and nothing else differs.
#[test]
fn stepping_at_once_is_the_same_as_waiting() {
    let runs = tempfile::tempdir().unwrap();
    let project = set(&tiny_project(), "stages.1.accumulate", "1").unwrap();
    let clipped = |limit: &str| {
        let project = set(&project, "stages.0.clip_norm", limit).unwrap();
        let events = run(&set(&project, "stages.1.clip_norm", limit).unwrap(), runs.path());
        let norms = events.iter().filter_map(|event| match event.body {
            EventBody::Step { grad_norm, .. } => Some(grad_norm),
            _ => None,
        });
        (losses(&events), norms.collect::<Vec<f64>>())
    };
    let (at_once, waiting) = (clipped("None"), clipped("1e30"));
    assert_eq!(at_once.0, waiting.0);
    // The same squares, added up in the same order.
    assert_eq!(at_once.1, waiting.1);
}

/// Where adapters alone train, the bare model of the export has nothing that trains.
#[test]
fn adapters_that_train_alone_are_exported() {
    use graft_engine::export::{Adapter, ExportOptions, Format, export};
    let runs = tempfile::tempdir().unwrap();
    let project = set(&tiny_project(), "stages.1.train", "[]").unwrap();
    let project = set(&project, "stages.1.freeze", "[]").unwrap();
    let events = run(&project, runs.path());
    let out = runs.path().join("out");
    let report = export(&runs.path().join(&events[0].run), &ExportOptions::new(Format::Graft), &out).unwrap();
    assert_eq!(report.max_difference.to_bits(), 0f64.to_bits());
    assert!(report.max_logit > 0.0);
    let adapter = Adapter::read(&out).unwrap();
    assert_eq!(adapter.placements.len(), 3);
    let twice = adapter.renumbered(3);
    assert_eq!(twice.placements.keys().copied().collect::<Vec<_>>(), [3, 4, 5]);
    assert!(twice.tensors.contains_key("model.bridge.adapter_3.down.weight"));
}

#[test]
fn a_trained_model_without_adapters_is_written_as_a_folder() {
    let runs = tempfile::tempdir().unwrap();
    let mut project = tiny_project();
    project.adapters.clear();
    project.stages.truncate(1);
    let events = run(&project, runs.path());
    let model = runs.path().join(&events[0].run).join("model");
    let names = read_tensors(&model.join("model.safetensors")).unwrap();
    assert!(names.contains_key("spatial.encoder.layer.0.attention.attention.query.weight"));
    let again = graft_engine::models::open(&model).unwrap();
    let graph = again.architecture.build("model").unwrap();
    let (_, report) = load(&graph, again.weights.as_ref(), 0, &device::open("flex").unwrap()).unwrap();
    assert!(report.missing.is_empty() && report.unused.is_empty(), "{report:?}");
}

#[test]
fn a_loss_that_is_no_number_fails_the_run_and_says_what_to_do() {
    let runs = tempfile::tempdir().unwrap();
    let mut project = set(&tiny_project(), "stages.0.optimiser.learning_rate", "1e30").unwrap();
    project = set(&project, "stages.0.clip_norm", "None").unwrap();
    project = set(&project, "stages.0.epochs", "4").unwrap();
    let mut events = Vec::new();
    let options = RunOptions { runs: runs.path().to_path_buf() };
    let error = train(&project, &repository("projects"), &options, &Control::new(), &mut |event: &Event| {
        events.push(event.clone());
    })
    .unwrap_err();
    assert!(error.to_string().contains("lower the learning rate"), "{error}");
    assert!(
        matches!(&events.last().unwrap().body, EventBody::Failed { error } if error.contains("learning rate"))
    );
}

/// A teacher's answers are written once and then learned from; edits do what they say.
#[test]
fn generated_data_are_trained_on_and_edits_change_what_they_name() {
    let text = r#"(
        version: 2,
        name: "taught",
        model: Vit(width: 16, blocks: 1, heads: 2, patch: 8),
        data: Digits(folder: "../assets/digits"),
        stages: [
            Train(name: "teacher", samples: 64, epochs: 1, batch: 16),
            Generate(name: "answers", samples: 64, batch: 16),
            Edit(name: "forget", edits: [Reset(at: "model")]),
            Train(
                name: "student",
                data: "answers",
                epochs: 1,
                batch: 16,
                losses: [Distillation(teacher: "batch.teacher", temperature: 2.0)],
            ),
            Edit(name: "silence", edits: [Scale(at: "model.head", factor: 0.0)]),
            Evaluate(name: "silent", split: test, samples: 24),
        ],
    )"#;
    let project = graft_engine::project::parse(text, Path::new("taught.ron")).unwrap();
    let runs = tempfile::tempdir().unwrap();
    let events = run(&project, runs.path());
    assert_eq!(losses(&events).iter().filter(|(stage, ..)| *stage == 3).count(), 4);
    let folder = runs.path().join(&events[0].run);
    let written = read_tensors(&folder.join("data/answers.safetensors")).unwrap();
    assert_eq!(written["teacher"].shape, [64, 10]);
    assert_eq!(written["inputs"].shape[0], 64);
    let silent = events.iter().find_map(|event| match &event.body {
        EventBody::Eval { stage: 5, loss, samples, .. } => Some((*loss, *samples)),
        _ => None,
    });
    let (loss, samples) = silent.unwrap();
    assert!((loss - 10f64.ln()).abs() < 1e-6 && samples == 24, "{loss} on {samples}");
    // The same from a stop in the student's stage: data and edits are made again.
    let control = Control::new();
    let options = RunOptions { runs: runs.path().to_path_buf() };
    let mut steps = 0;
    let summary = train(&project, &repository("projects"), &options, &control, &mut |event| {
        steps += usize::from(matches!(event.body, EventBody::Step { .. }));
        if steps == 6 {
            control.set(Wish::Stop);
        }
    })
    .unwrap();
    assert_eq!(summary.outcome, Outcome::Stopped);
    resume(&summary.folder, &Control::new(), &mut |_| {}).unwrap();
    assert_eq!(losses(&RunFolder::events(&summary.folder).unwrap()), losses(&events));
    let wrong = set(&project, "stages.3.data", "\"nothing\"").unwrap_err().to_string();
    assert!(wrong.contains("`nothing`") && wrong.contains("Generate"), "{wrong}");
}
