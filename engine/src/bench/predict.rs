//! The planner's published error: random stages, predicted and measured.

use serde::Serialize;

use super::draw::{Drawn, draw, subjects, with_batch};
use super::measure::{Seen, measure, name};
use super::models;
use crate::graph::Move;
use crate::plan::{Calibration, Level, Part, StepBytes, StepShape, WalkSecs, tally, walk_secs};
use crate::tensor::{Shape, Stream};
use crate::train::{TrainError, TrainSpec, optimizer_secs};

/// A number that was predicted and measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Prediction {
    /// By the planner.
    pub predicted: f64,
    /// By the allocator or the clock.
    pub measured: f64,
}

impl Prediction {
    #[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
    const fn bytes(predicted: u64, measured: u64) -> Self {
        Self { predicted: predicted as f64, measured: measured as f64 }
    }

    /// `predicted / measured − 1`.
    #[must_use]
    pub fn error(&self) -> f64 {
        if self.measured == 0.0 { 0.0 } else { self.predicted / self.measured - 1.0 }
    }
}

/// A move where the two disagree.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Miss {
    /// What it did, at which node.
    pub at: String,
    /// Bytes that the move's peak was predicted and measured above.
    pub peak_bytes: Prediction,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The model.
    pub model: &'static str,
    /// Placement and what trains.
    pub title: String,
    /// Samples a step.
    pub batch: usize,
    /// Bytes between forward and backward.
    pub boundary: Prediction,
    /// Peaks by phase.
    pub forward_peak: Prediction,
    /// Peaks by phase.
    pub backward_peak: Prediction,
    /// Peaks by phase.
    pub optimizer_peak: Prediction,
    /// The step's peak.
    pub peak: Prediction,
    /// Seconds of a step: forward, backward and optimiser.
    pub secs: Prediction,
    /// Seconds of forward.
    pub forward_secs: Prediction,
    /// Seconds of backward.
    pub backward_secs: Prediction,
    /// Where a peak that misses by more than 5 % goes wrong.
    pub misses: Vec<Miss>,
}

/// Errors over all rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Rows.
    pub rows: usize,
    /// 95th percentile of the absolute relative error of the peak.
    pub peak_error_95: f64,
    /// The same of what lives between forward and backward.
    pub boundary_error_95: f64,
    /// Median absolute relative error of the peak.
    pub peak_error_median: f64,
    /// Rows whose peak misses by more than 5 %.
    pub misses: usize,
    /// Median absolute relative error of a step's time.
    pub secs_error_median: f64,
    /// 95th percentile of it.
    pub secs_error_95: f64,
}

/// Draws `placements` stages a model, each at three batch sizes, predicts and measures them.
///
/// # Errors
/// When a step fails.
pub fn predict(
    seed: u64,
    placements: usize,
    steps: usize,
    calibration: &Calibration,
    tell: &mut dyn FnMut(&Row),
) -> Result<Vec<Row>, TrainError> {
    models::make_known();
    let device = burn::tensor::Device::flex();
    let mut rows = Vec::new();
    for subject in subjects() {
        for number in 0..placements {
            let mut draws = Stream::new(seed, subject.name).at(number as u64);
            let stage = draw(&subject, &mut draws);
            for batch in subject.batches {
                let spec = with_batch(&stage, batch);
                let said = said(&stage, &spec, calibration);
                let measured = measure(&stage, &spec, &device, steps)?;
                let row = row(subject.name, &stage, batch, &said, &measured);
                tell(&row);
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

/// What the planner says of one stage's step.
pub(super) struct Said {
    bytes: StepBytes,
    levels: Vec<Level>,
    forward_secs: f64,
    backward_secs: f64,
    optimizer_secs: f64,
    /// Moves of all its walks.
    pub(super) moves: f64,
}

impl Said {
    pub(super) fn secs(&self) -> f64 {
        self.forward_secs + self.backward_secs + self.optimizer_secs
    }
}

#[expect(clippy::cast_precision_loss, reason = "a walk has some hundred moves")]
pub(super) fn said(drawn: &Drawn, spec: &TrainSpec, calibration: &Calibration) -> Said {
    let Some(step) = &drawn.built.step else { unreachable!("the bench draws stages that train") };
    let part = spec.batch.div_ceil(spec.accumulate);
    let last = spec.batch - part * (spec.batch.div_ceil(part) - 1);
    let later = if spec.batch > 2 * part { part } else { last };
    let shapes = |rows| match step.graph.shapes(&drawn.built.architecture.binding(rows)) {
        Ok(shapes) => shapes,
        Err(error) => unreachable!("the graph was built for them: {error}"),
    };
    let (first, second, whole) = (shapes(part), shapes(later), shapes(spec.batch));
    let several = spec.batch > part;
    let shape = StepShape {
        graph: &step.graph,
        schedule: &step.schedule,
        shapes: &first,
        later: several.then_some(&second),
        whole: &whole,
        given: &[],
    };
    let (bytes, _) = shape.bytes();
    // The meter's moves are those of the last micro-batch.
    let which = if several { Part::Later } else { Part::First };
    let levels = tally(&step.graph, &step.schedule, &shapes(last), which).levels;
    let parts: Vec<Vec<Shape>> =
        (0..spec.batch).step_by(part).map(|begin| shapes(part.min(spec.batch - begin))).collect();
    let walks: Vec<WalkSecs> =
        parts.iter().map(|shapes| walk_secs(&step.graph, &step.schedule, shapes, calibration)).collect();
    let optimizer = optimizer_secs(&step.graph, &step.schedule, spec, calibration);
    let within: f64 = optimizer.within_backward;
    let works = |step: &&Move| matches!(step, Move::Run { .. } | Move::Recompute { .. } | Move::Vjp(_));
    let moves = parts.len() * step.schedule.moves.iter().filter(works).count();
    Said {
        bytes,
        levels,
        forward_secs: walks.iter().map(WalkSecs::forward).sum(),
        backward_secs: walks.iter().map(|walk| walk.backward).sum::<f64>() + within,
        optimizer_secs: optimizer.after,
        moves: moves as f64,
    }
}

fn row(model: &'static str, drawn: &Drawn, batch: usize, said: &Said, seen: &Seen) -> Row {
    let bytes = &said.bytes;
    let peak = Prediction::bytes(bytes.peak, seen.peak());
    let misses = if peak.error().abs() > 0.05 { misses(drawn, &said.levels, seen) } else { Vec::new() };
    let secs = |predicted, measured| Prediction { predicted, measured };
    Row {
        model,
        title: drawn.title.clone(),
        batch,
        boundary: Prediction::bytes(bytes.boundary, seen.boundary),
        forward_peak: Prediction::bytes(bytes.forward_peak, seen.forward_peak),
        backward_peak: Prediction::bytes(bytes.backward_peak, seen.backward_peak),
        optimizer_peak: Prediction::bytes(bytes.optimizer_peak, seen.optimizer_peak),
        peak,
        secs: secs(said.secs(), seen.step_secs()),
        forward_secs: secs(said.forward_secs, seen.forward_secs),
        backward_secs: secs(said.backward_secs, seen.backward_secs),
        misses,
    }
}

/// The moves whose peaks differ most, above what the move before had differed by.
fn misses(drawn: &Drawn, levels: &[Level], seen: &Seen) -> Vec<Miss> {
    let Some(step) = &drawn.built.step else { return Vec::new() };
    let mut found: Vec<(i128, Miss)> = Vec::new();
    let mut before = (0, 0);
    for ((&step_move, said), seen) in step.schedule.moves.iter().zip(levels).zip(&seen.levels) {
        let (own_said, own_seen) =
            (said.peak_bytes.saturating_sub(before.0), seen.peak_bytes.saturating_sub(before.1));
        before = (said.live_bytes, seen.live_bytes);
        let difference = i128::from(own_said) - i128::from(own_seen);
        found.push((
            difference.abs(),
            Miss { at: name(&step.graph, step_move), peak_bytes: Prediction::bytes(own_said, own_seen) },
        ));
    }
    found.sort_by_key(|(difference, _)| -difference);
    found.into_iter().take(4).map(|(_, miss)| miss).collect()
}

/// Adds rows up.
#[must_use]
pub fn summary(rows: &[Row]) -> Summary {
    let sorted = |of: &dyn Fn(&Row) -> f64| {
        let mut errors: Vec<f64> = rows.iter().map(|row| of(row).abs()).collect();
        errors.sort_by(f64::total_cmp);
        errors
    };
    let at = |errors: &[f64], percent: usize| {
        errors.get((errors.len() * percent / 100).min(errors.len().saturating_sub(1))).copied().unwrap_or(0.0)
    };
    let peak = sorted(&|row| row.peak.error());
    let secs = sorted(&|row| row.secs.error());
    Summary {
        rows: rows.len(),
        peak_error_95: at(&peak, 95),
        peak_error_median: at(&peak, 50),
        boundary_error_95: at(&sorted(&|row| row.boundary.error()), 95),
        secs_error_median: at(&secs, 50),
        secs_error_95: at(&secs, 95),
        misses: rows.iter().filter(|row| row.peak.error().abs() > 0.05).count(),
    }
}

/// The table that the repository keeps.
#[must_use]
pub fn markdown(seed: u64, rows: &[Row]) -> String {
    use std::fmt::Write as _;
    let found = summary(rows);
    let mut text = String::new();
    let percent = |value: f64| format!("{:+.1} %", 100.0 * value);
    let mib = |bytes: f64| format!("{:.1}", bytes / f64::from(1 << 20));
    let _ = writeln!(
        text,
        "Seed {seed}, {} stages. Absolute error of the peak: median {:.1} %, 95th percentile {:.1} %; of what lives \
         between forward and backward: 95th percentile {:.1} %. {} peaks miss by more than 5 %. Absolute error of a step's time: \
         median {:.1} %, 95th percentile {:.1} %.\n",
        found.rows,
        100.0 * found.peak_error_median,
        100.0 * found.peak_error_95,
        100.0 * found.boundary_error_95,
        found.misses,
        100.0 * found.secs_error_median,
        100.0 * found.secs_error_95
    );
    let _ = writeln!(
        text,
        "| model | stage | batch | peak MiB, predicted | measured | error | boundary error | step ms, predicted | measured | error |"
    );
    let _ = writeln!(text, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {} |",
            row.model,
            row.title,
            row.batch,
            mib(row.peak.predicted),
            mib(row.peak.measured),
            percent(row.peak.error()),
            percent(row.boundary.error()),
            1e3 * row.secs.predicted,
            1e3 * row.secs.measured,
            percent(row.secs.error())
        );
    }
    let missed: Vec<&Row> = rows.iter().filter(|row| !row.misses.is_empty()).collect();
    if !missed.is_empty() {
        let _ = writeln!(text, "\nMisses above 5 %, by node:\n");
    }
    for row in missed {
        let _ = writeln!(
            text,
            "- {}, batch {}, {}: {}",
            row.model,
            row.batch,
            row.title,
            percent(row.peak.error())
        );
        for miss in &row.misses {
            let _ = writeln!(
                text,
                "  - {}: predicted {} MiB, measured {} MiB",
                miss.at,
                mib(miss.peak_bytes.predicted),
                mib(miss.peak_bytes.measured)
            );
        }
    }
    text
}
