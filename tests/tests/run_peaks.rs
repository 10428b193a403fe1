//! What the planner says of whole stages is what the allocator sees in their runs: with a cache that memory has room for, in
//! part or not at all, and of stages that do not train. One test alone in its process: the counters count every thread.

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test may end at whatever is wrong")]

use std::path::Path;

use graft_engine::memory::{Counting, heap, reset_peak};
use graft_engine::project::{Project, parse, plan};
use graft_engine::runs::{Outcome, RunOptions, train};
use graft_engine::train::Control;
use graft_tests::repository;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Values of 130 KiB a sample lie between the first spatial block and what trains.
fn project(adapters: &str, stages: &str) -> Project {
    let text = format!(
        r#"(
            version: 2,
            name: "wide",
            model: Vivit(
                spatial: Vit(width: 64, blocks: 2, heads: 4, patch: 4),
                temporal: (blocks: 1, heads: 4),
            ),
            data: MovingDigits(
                folder: "../assets/digits", frames: 8, size: 32, digit: 14, train: 320, validation: 32, test: 64,
            ),
            adapters: [{adapters}],
            stages: [{stages}],
        )"#
    );
    parse(&text, Path::new("wide.ron")).unwrap()
}

fn cached(memory_bytes: u64) -> Project {
    let lora = r#"(at: "model.spatial.blocks.1.attention.{query,value}", kind: Lora(rank: 2))"#;
    let stage = format!(
        r#"Train(train: ["model.head"], epochs: 2, batch: 8, cache: (memory_bytes: {memory_bytes}))"#
    );
    project(lora, &stage)
}

#[test]
fn stages_need_what_was_predicted() {
    let sparse = r#"(at: "model.temporal.blocks.*.mlp.fc1", kind: Sparse(share: 0.1, mask: Snip))"#;
    let measured = r#"Measure(batch: 64, samples: 64), Train(train: ["model.head"], epochs: 1, batch: 4, samples: 8, evaluate_every: 0)"#;
    let cases = [
        ("nothing in memory", cached(0), 0),
        ("some in memory", cached(24 << 20), 0),
        ("all in memory", cached(512 << 20), 0),
        ("evaluated", project("", "Evaluate(batch: 64)"), 0),
        ("measured", project(sparse, measured), 0),
        (
            "written",
            project("", r#"Generate(name: "teacher", batch: 16), Evaluate(batch: 4, samples: 4)"#),
            0,
        ),
    ];
    let base = repository("projects");
    for (name, project, stage) in cases {
        let runs = tempfile::tempdir().unwrap();
        let found = plan(&project, &base, None).unwrap();
        let predicted = found.stages[stage].predicted.clone().unwrap().peak_bytes;
        reset_peak();
        let options = RunOptions { runs: runs.path().to_path_buf() };
        let summary = train(&project, &base, &options, &Control::new(), &mut |_| {}).unwrap();
        assert_eq!(summary.outcome, Outcome::Finished);
        // The counter begins anew with each stage that trains.
        let seen = heap().peak_bytes.max(summary.peak_bytes);
        let ratio = predicted as f64 / seen as f64;
        println!("{name}: predicted {} KiB, seen {} KiB, {ratio:.3}", predicted >> 10, seen >> 10);
        assert!((0.93..1.1).contains(&ratio), "{name}: predicted {predicted}, seen {seen}, {ratio:.3}");
    }
}
