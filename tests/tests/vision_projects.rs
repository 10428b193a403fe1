//! Vision models in projects: compact transformers from scratch, folders whose head is made for the data's classes.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::path::Path;

use graft_engine::project::{Project, build_stage, open_source, parse};
use graft_engine::runs::{EventBody, Outcome, RunOptions, train};
use graft_engine::train::Control;
use graft_tests::repository;

fn project(model: &str, adapters: &str, stage: &str) -> Project {
    let text = format!(
        r#"(
            version: 2, name: "vision", seed: 2, model: {model},
            data: Digits(folder: "../assets/digits", size: 18, digit: 14, channels: 3, validation: 10),
            adapters: [{adapters}],
            stages: [Train({stage})],
        )"#
    );
    parse(&text, Path::new("vision.ron")).unwrap_or_else(|error| panic!("{error}"))
}

/// The losses of a run's steps.
fn losses(project: &Project) -> Vec<f64> {
    let runs = tempfile::tempdir().unwrap();
    let options = RunOptions { runs: runs.path().to_path_buf() };
    let mut losses = Vec::new();
    let summary = train(project, &repository("projects"), &options, &Control::new(), &mut |event| {
        if let EventBody::Step { loss, .. } = event.body {
            losses.push(loss);
        }
    });
    assert_eq!(summary.unwrap().outcome, Outcome::Finished);
    losses
}

const TINY: &str = "Cct(size: Custom(width: 32, blocks: 2, heads: 4, mlp: 64), convolutions: 2)";

/// Of 64 images, seen 60 times, the loss falls to less than half of what chance gives.
#[test]
fn a_compact_transformer_learns_from_scratch() {
    let stage = r#"
        epochs: 60, samples: 64, batch: 16, clip_norm: 1.0,
        optimiser: AdamW(learning_rate: 1e-2, weight_decay: 0.0),
    "#;
    let losses = losses(&project(TINY, "", stage));
    let chance = 10f64.ln();
    let last: f64 = losses[losses.len() - 4..].iter().sum::<f64>() / 4.0;
    assert!((losses[0] - chance).abs() < 0.2, "{}", losses[0]);
    assert!(last < 0.5 * chance, "{last}");
}

/// Adapters of several kinds sit at every port, at slices of the fused layer and at the tokenizer's kernels.
#[test]
fn adapters_of_several_kinds_sit_on_a_compact_transformer() {
    let adapters = r#"
        (at: "model.blocks.*.{P1,P2,P3,P4,P5}", kind: Bottleneck(width: 3)),
        (at: "model.blocks.*.attention.qkv.{query,value}", kind: Lora(rank: 2)),
        (at: "model.tokenizer.conv_*", kind: Lora(rank: 2)),
        (at: "model.blocks.tokens", kind: Prompt()),
        (at: "model.blocks.*.P4", kind: Convolution()),
    "#;
    let stage = r#"epochs: 1, samples: 8, batch: 4, train: ["model.**.adapter_*", "model.head"]"#;
    assert_eq!(losses(&project(TINY, adapters, stage)).len(), 2);
}

/// A folder's head is made for the data's classes: one, or one on each of two tokens.
#[test]
fn folders_get_heads_for_the_data() {
    let base = repository("projects");
    for folder in ["deit_teacher", "deit_model", "clip_vision", "clip_both"] {
        let model = format!(r#"Folder("../tests/fixtures/{folder}")"#);
        let project = project(&model, "", "epochs: 1");
        let source = open_source(&project, &base, 0).unwrap();
        let built =
            build_stage(&project, &base, 0, source.as_ref()).unwrap_or_else(|error| panic!("{error}"));
        let columns: Vec<&str> = built.graph.columns().map(|leaf| leaf.column.as_str()).collect();
        assert_eq!(columns, ["pixel_values"], "{folder}");
        let shapes = built.graph.shapes(&built.architecture.binding(2)).unwrap();
        assert_eq!(shapes[built.graph.output("logits").unwrap().index()], [2, 10], "{folder}");
    }
}
