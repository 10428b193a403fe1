//! One side of the comparison in `tests/peers/`: real steps of a shape through the ordinary code path, one JSON line
//! a step, and a last one with memory and sizes.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Parser;
use graft_engine::cache::CacheSpec;
use graft_engine::data::Source;
use graft_engine::graph::KeptBits;
use graft_engine::memory::{Counting, Meter, heap};
use graft_engine::project::build_stage;
use graft_engine::train::{Caching, Control, Optimiser, Progress, Snapshot, Stage};
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
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
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
        Ok(())
    };
    stage.run(&mut params, &mut optimiser, 0, &Control::new(), &mut meter, &mut observe)?;
    let last = json!({
        "live_peak_bytes": heap().peak_bytes.saturating_sub(before),
        "resident_peak_bytes": resident.peak(),
        "params_trainable": built.selection.count,
        "params_total": built.graph.parameter_count(),
        "threads": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "version": env!("CARGO_PKG_VERSION"),
    });
    println!("{last}");
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}
