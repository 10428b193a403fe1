//! One schedule: what it says lives is what the executor holds, and nothing else decides.

#![expect(clippy::unwrap_used, clippy::cast_precision_loss, reason = "a test may end at whatever is wrong")]

use graft_engine::data::{Batch, Split};
use graft_engine::device;
use graft_engine::exec::Walk;
use graft_engine::memory::{Counting, heap, reset_peak};
use graft_engine::plan::{Part, tally};
use graft_engine::project::{Project, build_stage, open_source, parse, set};
use graft_engine::train::upload;
use graft_engine::weights::load;
use graft_tests::repository;
use graft_tests::sound::check_schedule;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A video transformer whose activations outweigh everything that the tally leaves out.
fn project() -> Project {
    let text = r#"(
        version: 2,
        name: "wide",
        model: Vivit(
            spatial: Vit(width: 64, blocks: 2, heads: 4, patch: 4),
            temporal: (blocks: 2, heads: 4),
        ),
        data: MovingDigits(folder: "../assets/digits", frames: 8, size: 32, digit: 14, train: 16, validation: 0, test: 0),
        adapters: [
            (at: "model.bridge", kind: Bridge(width: 16)),
            (at: "model.spatial.blocks.1.attention.{query,value}", kind: Lora(rank: 4, dropout: 0.1)),
        ],
        stages: [Train(batch: 16, clip_norm: 1.0)],
    )"#;
    parse(text, std::path::Path::new("wide.ron")).unwrap()
}

#[test]
fn what_the_tally_says_is_what_the_allocator_sees() {
    let base = repository("projects");
    let device = device::open("flex").unwrap();
    let frozen = set(&project(), "stages.0.freeze", r#"["model.spatial.blocks.0"]"#).unwrap();
    let regions = r#"["model.*.blocks.*", "model.spatial.embeddings"]"#;
    let again = set(&project(), "stages.0.recompute", regions).unwrap();
    let mut peaks = Vec::new();
    for (name, project) in [("everything", project()), ("partly frozen", frozen), ("recomputed", again)] {
        let source = open_source(&project, &base, 0).unwrap();
        let built = build_stage(&project, &base, 0, source.as_ref()).unwrap();
        let step = built.step.as_ref().unwrap();
        check_schedule(&step.graph, &step.schedule);
        let (mut params, _) = load(&step.graph, None, 1, &device).unwrap();
        let batch = Batch::read(source.as_ref(), Split::Train, &(0..16).collect::<Vec<_>>()).unwrap();
        let inputs = upload(batch, &step.graph, &device);
        let walk = Walk { graph: &step.graph, schedule: &step.schedule, seed: 1, step: 1 };
        let mut waiting = Vec::new();
        // Once to have every lazily made buffer, then for the numbers.
        walk.run(&mut params, &inputs, &mut |_, _, _, _| {}).unwrap();
        let before = heap().live_bytes;
        reset_peak();
        walk.run(&mut params, &inputs, &mut |_, _, gradient, _| waiting.push(gradient)).unwrap();
        let measured = heap().peak_bytes - before;
        let shapes = step.graph.shapes(&built.architecture.binding(16)).unwrap();
        let said = tally(&step.graph, &step.schedule, &shapes, Part::First);
        let ratio = measured as f64 / said.peak_bytes as f64;
        let at = said.peak_at.map(|id| step.graph.node(id).path.clone());
        println!(
            "{name}: said {} KiB at {at:?} (kept {} KiB, waiting {} KiB), seen {} KiB, ratio {ratio:.3}",
            said.peak_bytes >> 10,
            said.kept_bytes >> 10,
            said.waiting_bytes >> 10,
            measured >> 10
        );
        // What ops need while they run is not in the tally.
        assert!((0.95..1.3).contains(&ratio), "{name}: {ratio}");
        peaks.push((said.peak_bytes, measured));
    }
    // Both say so when less is kept.
    for pair in peaks.windows(2) {
        assert!(pair[1].0 < pair[0].0 && pair[1].1 < pair[0].1, "{peaks:?}");
    }
}
