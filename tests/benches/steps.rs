//! Whole steps of the peers' shapes: `cargo bench --workspace --bench steps`.
//!
//! One sample is one optimiser step through the ordinary code path, data included.

use std::path::Path;
use std::sync::Arc;

use divan::Bencher;
use graft_engine::data::{Batch, Source, Split};
use graft_engine::device;
use graft_engine::exec::Unwatched;
use graft_engine::graph::KeptBits;
use graft_engine::memory::Counting;
use graft_engine::project::build_stage;
use graft_engine::train::{Optimiser, Stage, StepReport, TrainSpec};
use graft_engine::weights::load;
use graft_tests::peer::{Held, Shape, stage_of};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    divan::main();
}

/// Steps of a shape, its stage changed first.
fn steps(bencher: Bencher<'_, '_>, shape: Shape, change: impl Fn(&mut TrainSpec)) {
    let fail = |what: &str| -> ! { panic!("the bench cannot be set up: {what}") };
    let Ok(mut project) = shape.project() else { fail("the project file") };
    let seed = project.seed;
    let Some(spec) = stage_of(&mut project) else { fail("no stage trains") };
    change(spec);
    let spec = spec.clone();
    let source: Arc<dyn Source> = Arc::new(Held::new(spec.batch, 10, shape.sample(), seed));
    let Ok(device) = device::open(&project.device) else { fail("the device") };
    let Ok(built) = build_stage(&project, Path::new("."), 0, source.as_ref()) else { fail("the stage") };
    let Some(step) = &built.step else { fail("no step") };
    let Ok((mut params, _)) = load(built.walked(), None, seed, &device) else { fail("the weights") };
    let mut optimiser = Optimiser::new(spec.optimiser.clone());
    let stage = Stage {
        index: 0,
        repetition: 0,
        spec: &spec,
        model: &built.graph,
        step,
        selection: &built.selection,
        caching: None,
        profiles: false,
        source: &source,
        device: &device,
        seed,
    };
    let indices: Vec<usize> = (0..spec.batch).collect();
    let mut number = 0;
    bencher.bench_local(|| {
        number += 1;
        let mut report = StepReport { step: number, steps: u64::MAX, ..StepReport::default() };
        let Ok(batch) = Batch::read(source.as_ref(), Split::Train, &indices) else { fail("a batch") };
        let taken = stage.step(batch, &mut params, &mut optimiser, &mut report, &mut Unwatched);
        assert!(taken.is_ok(), "a step failed");
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn lora(bencher: Bencher<'_, '_>) {
    steps(bencher, Shape::A, |_| {});
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn lora_in_16_bits(bencher: Bencher<'_, '_>) {
    steps(bencher, Shape::A, |spec| spec.kept_bits = KeptBits::Bits16);
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn lora_recomputed(bencher: Bencher<'_, '_>) {
    steps(bencher, Shape::A, |spec| spec.recompute = Shape::A.recompute());
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn full(bencher: Bencher<'_, '_>) {
    steps(bencher, Shape::B, |_| {});
}
