//! Activations that wait for backward in fewer bits: how much less they take, and how little the gradient changes.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::collections::BTreeMap;

use graft_engine::bench::gradient_bits;
use graft_engine::data::{Batch, Split};
use graft_engine::device;
use graft_engine::exec::Walk;
use graft_engine::graph::KeptBits;
use graft_engine::plan::{Part, tally};
use graft_engine::project::{Project, build_stage, open_source, parse, set};
use graft_engine::train::upload;
use graft_engine::weights::load;
use graft_tests::repository;
use graft_tests::sound::check_schedule;

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
            (at: "model.spatial.blocks.*.attention.{query,value}", kind: Lora(rank: 4, dropout: 0.1)),
        ],
        stages: [Train(batch: 16, clip_norm: 1.0)],
    )"#;
    parse(text, std::path::Path::new("wide.ron")).unwrap()
}

/// Loss, gradients by path, and bytes that are said to live between forward and backward.
fn walk(project: &Project) -> (f64, BTreeMap<String, Vec<f32>>, u64) {
    let base = repository("projects");
    let device = device::open("flex").unwrap();
    let source = open_source(project, &base, 0).unwrap();
    let built = build_stage(project, &base, 0, source.as_ref()).unwrap();
    let step = built.step.as_ref().unwrap();
    check_schedule(&step.graph, &step.schedule);
    let (mut params, _) = load(&step.graph, None, 1, &device).unwrap();
    // A head or up-projection of zeros would leave gradients of nought.
    let values: Vec<String> = params.iter().map(|(path, _)| path.to_owned()).collect();
    for path in values
        .iter()
        .filter(|path| path.contains("head") || path.contains(".up.") || path.rsplit('.').next() == Some("B"))
    {
        let value = params.take(path).unwrap();
        let noise = graft_engine::tensor::Stream::new(3, path);
        let mut draws = noise.at(0);
        let data =
            (0..graft_engine::tensor::elements(&value.shape())).map(|_| 0.1 * draws.normal()).collect();
        params.set(path, graft_engine::tensor::Value::from_f32(data, &value.shape(), &device));
    }
    let batch = Batch::read(source.as_ref(), Split::Train, &(0..16).collect::<Vec<_>>()).unwrap();
    let inputs = upload(batch, &step.graph, &device);
    let walk = Walk { graph: &step.graph, schedule: &step.schedule, seed: 1, step: 1 };
    let mut gradients = BTreeMap::new();
    let outcome = walk
        .run(&mut params, &inputs, &mut |_, path, gradient, _| {
            drop(gradients.insert(path.to_owned(), gradient.to_f32()));
        })
        .unwrap();
    let shapes = step.graph.shapes(&built.architecture.binding(16)).unwrap();
    let kept = tally(&step.graph, &step.schedule, &shapes, Part::First).kept_bytes;
    (outcome.values[&step.loss].to_scalar(), gradients, kept)
}

/// Norm of the difference of two gradients over that of the first.
fn distance(a: &BTreeMap<String, Vec<f32>>, b: &BTreeMap<String, Vec<f32>>) -> f64 {
    assert!(a.keys().eq(b.keys()) && !a.is_empty());
    let pairs =
        || a.values().flatten().zip(b.values().flatten()).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let square: f64 = pairs().map(|(a, b)| (a - b).powi(2)).sum();
    (square / pairs().map(|(a, _)| a * a).sum::<f64>()).sqrt()
}

#[test]
fn computing_again_gives_the_same_bits_on_random_stages() {
    for number in 0..12 {
        let plain = gradient_bits(7, number, &[]).unwrap();
        assert!(
            plain.values().flatten().any(|bits| *bits << 1 != 0),
            "{number}: some gradient is not nought"
        );
        for rules in
            [&["model.**.blocks.*"][..], &["model.**.blocks.1"], &["model.**.blocks.{0,2}", "model.head"]]
        {
            let again = gradient_bits(7, number, rules).unwrap();
            assert!(plain == again, "{number} differs when {rules:?} are computed again");
        }
    }
}

#[test]
fn fewer_bits_change_the_gradient_by_no_more_than_is_said() {
    for stage in
        [project(), set(&project(), "stages.0.freeze", r#"["model.spatial", "model.temporal"]"#).unwrap()]
    {
        let (loss, full, bytes) = walk(&stage);
        for (bits, most, share) in [(KeptBits::Bits16, 1e-4, 0.6), (KeptBits::Bits8, 2e-2, 0.4)] {
            let with = set(&stage, "stages.0.kept_bits", &format!("{bits:?}")).unwrap();
            let (same, gradients, fewer) = walk(&with);
            assert_eq!(loss.to_bits(), same.to_bits(), "forward does not know of it");
            let off = distance(&full, &gradients);
            println!("{bits:?}: gradient off by {off:.2e}, kept {} of {} KiB", fewer >> 10, bytes >> 10);
            assert!(off > 0.0 && off < most, "{bits:?}: {off}");
            #[expect(clippy::cast_precision_loss, reason = "bytes of a small model")]
            let ratio = fewer as f64 / bytes as f64;
            assert!(ratio < share, "{bits:?} keeps {ratio} of the bytes");
        }
        // With regions that are computed again, from inputs that were packed.
        let again = set(&stage, "stages.0.recompute", r#"["model.**.blocks.*"]"#).unwrap();
        let again = set(&again, "stages.0.kept_bits", "Bits16").unwrap();
        assert!(distance(&full, &walk(&again).1) < 1e-3);
    }
}
