//! One side of the comparison in `tests/peers/`: real steps of a shape through the ordinary code path, one JSON line
//! a step, and a last one with memory and sizes.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use burn::backend::FloatDType;
use burn::tensor::Device;
use clap::Parser;
use graft_engine::cache::CacheSpec;
use graft_engine::data::Source;
use graft_engine::exec::NodeCost;
use graft_engine::graph::{Graph, KeptBits};
use graft_engine::memory::{Counting, Meter, heap};
use graft_engine::plan::{Part, tally};
use graft_engine::project::{Built, build_stage};
use graft_engine::tensor::kernels::{Reading, matmul};
use graft_engine::tensor::{Value, elements, take_part};
use graft_engine::train::{Caching, Control, Done, Optimiser, Progress, Snapshot, Stage, StepGraph};
use graft_engine::{device, weights};
use graft_tests::peer::{Held, Resident, Shape, stage_of};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Steps of one shape.
#[derive(Debug, Parser)]
#[command(name = "graft-peer")]
struct Arguments {
    /// Which shape: a, b or c.
    #[arg(long)]
    shape: String,
    /// Steps that count.
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Steps before them, whose lines say so.
    #[arg(long, default_value_t = 2)]
    warmup: usize,
    /// Compute every trained block again in backward.
    #[arg(long)]
    recompute: bool,
    /// Keep the frozen prefix's values in memory: steps behind the first epoch then find them.
    #[arg(long)]
    cached: bool,
    /// In how many bits activations wait for backward: 32, 16 or 8.
    #[arg(long, default_value_t = 32)]
    kept_bits: usize,
    /// Print what each node of the third step took, the slowest first.
    #[arg(long)]
    profile: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    take_part();
    let Some(shape) = Shape::named(&arguments.shape) else {
        bail!("there is no shape `{}`; there are a, b and c", arguments.shape)
    };
    let mut project = shape.project()?;
    let seed = project.seed;
    let spec = stage_of(&mut project).context("the project has no stage that trains")?;
    // An epoch is one batch, so that no batch is read ahead: both sides gather theirs within the step.
    spec.epochs = arguments.warmup + arguments.steps;
    if arguments.recompute {
        spec.recompute = shape.recompute();
    }
    spec.kept_bits = match arguments.kept_bits {
        16 => KeptBits::Bits16,
        8 => KeptBits::Bits8,
        _ => KeptBits::Full,
    };
    let spec = spec.clone();
    let source: Arc<dyn Source> = Arc::new(Held::new(spec.batch, 10, shape.sample(), seed));
    let device = device::open(&project.device)?;

    let before = heap().live_bytes;
    let resident = Resident::start();
    let mut meter = Meter::start();
    let built = build_stage(&project, Path::new("."), 0, source.as_ref())?;
    let step = built.step.as_ref().context("the stage does not train")?;
    let (mut params, _) = weights::load(built.walked(), built.weights.as_ref(), seed, &device)?;
    let folder = std::env::temp_dir().join(format!("graft-peer-{}", std::process::id()));
    let place = CacheSpec { memory_bytes: 4 << 30, folder: None }.place(
        Path::new("."),
        &folder,
        &project.device,
        built.architecture.binding(1),
    );
    let caching = if arguments.cached { Some(Caching::new(step, &place, source.as_ref())?) } else { None };
    let stage = Stage {
        index: 0,
        repetition: 0,
        spec: &spec,
        model: &built.graph,
        step,
        selection: &built.selection,
        caching: caching.as_ref(),
        profiles: arguments.profile,
        source: &source,
        device: &device,
        seed,
    };
    let mut optimiser = Optimiser::new(spec.optimiser.clone());
    let warmup = arguments.warmup as u64;
    let mut observe = |progress: Progress<'_>, _: &Snapshot<'_>| {
        if let Progress::Step(report) = progress {
            let phases = &report.phases;
            let line = json!({
                "warmup": report.step <= warmup,
                "loss": report.loss,
                "grad_norm": report.grad_norm,
                "step_secs": report.step_secs,
                "data_secs": report.data_secs,
                "frozen_forward_secs": phases.frozen_forward_secs,
                "forward_secs": phases.frozen_forward_secs + phases.trainable_forward_secs,
                "backward_secs": phases.backward_secs,
                "optimizer_secs": report.optimizer_secs,
            });
            println!("{line}");
        }
        if let Progress::Profile(costs) = progress {
            print_slowest(&step.graph, costs);
        }
        Ok(())
    };
    stage.run(&mut params, &mut optimiser, Done::default(), &Control::new(), &mut meter, &mut observe)?;
    let last = json!({
        "live_peak_bytes": heap().peak_bytes.saturating_sub(before),
        "resident_peak_bytes": resident.peak(),
        "params_trainable": built.selection.count,
        "params_total": built.graph.parameter_count(),
        "threads": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "version": env!("CARGO_PKG_VERSION"),
        "bound_secs": bound(caching.as_ref(), step, &built, spec.batch)?,
    });
    println!("{last}");
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

/// What each node took, the slowest first, on the error stream: the lines of JSON are for programs.
fn print_slowest(graph: &Graph, costs: &[NodeCost]) {
    let mut nodes: Vec<_> = graph.nodes().iter().zip(costs).collect();
    nodes.sort_by(|(_, a), (_, b)| {
        (b.forward_secs + b.backward_secs).total_cmp(&(a.forward_secs + a.backward_secs))
    });
    for (node, cost) in nodes.iter().take_while(|(_, cost)| cost.forward_secs + cost.backward_secs > 0.0) {
        let [forward, backward] = [cost.forward_secs, cost.backward_secs].map(|secs| secs * 1e3);
        eprintln!("{forward:9.3} ms {backward:9.3} ms  {}", node.path);
    }
}

/// The least that a step from the cut on could take: its products at the rate of this machine's best one, and one pass
/// over what the optimiser, the cache and the values kept for backward move, at the rate of a copy.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn bound(
    caching: Option<&Caching>,
    step: &StepGraph,
    built: &Built,
    batch: usize,
) -> anyhow::Result<Option<f64>> {
    let Some(caching) = caching else { return Ok(None) };
    let rest = step.schedule_from(caching.after())?;
    let shapes = step.graph.shapes(&built.architecture.binding(batch))?;
    let tally = tally(&step.graph, &rest, &shapes, Part::First);
    // A layer's input and weight each get a gradient by a product of the same size.
    let products = 3.0 * tally.forward_multiply_adds as f64 / multiply_adds_per_sec();
    let features: usize = caching.after().iter().map(|id| 4 * elements(&shapes[id.index()])).sum();
    // Parameter, gradient and two moments are read, three of them written; features are read and written once.
    // What waits for backward is written once and read once: it is more than the caches hold.
    let moved = 28.0 * built.selection.count as f64 + 2.0 * (features as f64 + tally.kept_bytes as f64);
    Ok(Some(products + moved / bytes_per_sec()))
}

/// The fastest of some products of 1,024 × 1,024 matrices.
fn multiply_adds_per_sec() -> f64 {
    let side = 1024;
    let ones = Value::full(&[side, side], 1.0, FloatDType::F32, &Device::flex());
    let fastest = (0..20)
        .map(|_| {
            let begin = Instant::now();
            drop(matmul((&ones, Reading::Rows), (&ones, Reading::Rows), None, &[side, side]));
            begin.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    f64::from(1_u32 << 30) / fastest
}

/// Bytes read and written by the fastest of some copies on all cores.
fn bytes_per_sec() -> f64 {
    let bytes = 64 << 20;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (from, mut to) = (vec![1_u8; bytes], vec![0_u8; bytes]);
    let share = bytes / threads;
    let fastest = (0..10)
        .map(|_| {
            let begin = Instant::now();
            std::thread::scope(|scope| {
                for (from, to) in from.chunks(share).zip(to.chunks_mut(share)) {
                    scope.spawn(move || to.copy_from_slice(from));
                }
            });
            begin.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let moved = 2.0 * bytes as f64;
    moved / fastest
}
