//! What single ops do not show of a walk: reaching for memory that others have used meanwhile, and the walk itself.

use burn::tensor::Device;

use super::draw::{draw, subjects, with_batch};
use super::measure::measure;
use super::models;
use super::predict::said;
use crate::plan::{Calibration, CalibrationError, calibration};
use crate::tensor::Stream;

/// Stages of each model that are walked, and steps of each.
const STAGES: usize = 4;
const STEPS: usize = 8;

/// The times of a device: those in the file when they are of this build, else measured now, ops first and then whole walks.
/// `tell` is called before that begins, and `stopped` asked between probes and walks: where it says so, nothing is kept.
///
/// # Errors
/// When `stopped` says so, and when what was measured cannot be written.
pub fn calibrate(
    name: &str,
    device: &Device,
    tell: &mut dyn FnMut(),
    stopped: &dyn Fn() -> bool,
) -> Result<Calibration, CalibrationError> {
    calibration(name, device, tell, stopped, &mut |found| refine(found, device, stopped))
}

/// Fits seconds of a move and a factor on the ops' own seconds to walks of random stages.
fn refine(found: &mut Calibration, device: &Device, stopped: &dyn Fn() -> bool) {
    models::make_known();
    // Seconds of ops as measured alone, moves, and seconds of the step, of each walk.
    let mut walks: Vec<[f64; 3]> = Vec::new();
    for subject in subjects() {
        for number in 0..STAGES {
            if stopped() {
                return;
            }
            // Other stages than those that the bench draws.
            let mut draws = Stream::new(0, "refine").at(number as u64);
            let stage = draw(&subject, &mut draws);
            let batch = subject.batches[number % subject.batches.len()];
            let spec = with_batch(&stage, batch);
            let alone = said(&stage, &spec, found);
            // A walk that fails teaches nothing.
            if let Ok(seen) = measure(&stage, &spec, device, STEPS) {
                walks.push([alone.secs(), alone.moves, seen.step_secs()]);
            }
        }
    }
    if let Some([factor, move_secs]) = least_deviation(&walks) {
        (found.factor, found.move_secs) = (factor, move_secs);
    }
}

/// Factors and seconds of a move that are tried: what is believable, in steps finer than the machine's noise.
const FACTORS: [f64; 2] = [0.5, 3.0];
const MOVE_SECS: [f64; 2] = [0.0, 40e-6];
const TRIED: usize = 100;

/// The factor and the seconds a move whose predictions are off by the least in the mean, as ratios. Ratios count twice
/// too much as half of it, and one walk that another program disturbed does not pull the others along, as it would with
/// squares.
#[expect(clippy::cast_precision_loss, reason = "a hundred steps")]
fn least_deviation(walks: &[[f64; 3]]) -> Option<[f64; 2]> {
    let walks: Vec<_> = walks.iter().filter(|[secs, _, seen]| *secs > 0.0 && *seen > 0.0).collect();
    if walks.len() < 4 {
        return None;
    }
    let between = |[from, to]: [f64; 2], step: usize| from + (to - from) * step as f64 / TRIED as f64;
    let deviation = |factor: f64, move_secs: f64| -> f64 {
        walks.iter().map(|[secs, moves, seen]| ((factor * secs + move_secs * moves) / seen).ln().abs()).sum()
    };
    let tried = (0..=TRIED).flat_map(|factor| {
        (0..=TRIED).map(move |of_move| [between(FACTORS, factor), between(MOVE_SECS, of_move)])
    });
    let scored = tried.map(|fit| (deviation(fit[0], fit[1]), fit));
    scored.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, fit)| fit)
}

#[cfg(test)]
mod tests {
    use super::least_deviation;

    /// Walks that take 1.2 of their ops' seconds and 4 µs a move.
    fn walks() -> Vec<[f64; 3]> {
        let all = [(1e-3, 50.0), (5e-3, 80.0), (2e-2, 60.0), (8e-3, 200.0), (3e-3, 300.0)];
        all.into_iter().map(|(secs, moves)| [secs, moves, 1.2 * secs + 4e-6 * moves]).collect()
    }

    #[test]
    fn both_numbers_are_found_again() {
        let [factor, move_secs] = least_deviation(&walks()).unwrap();
        assert!((factor - 1.2).abs() < 1e-9 && (move_secs - 4e-6).abs() < 1e-12, "{factor} {move_secs}");
        assert_eq!(least_deviation(&walks()[..2]), None);
    }

    #[test]
    fn a_disturbed_walk_does_not_pull_the_others_along() {
        let mut walks = walks();
        walks.push([5e-3, 100.0, 40.0 * 5e-3]);
        let [factor, move_secs] = least_deviation(&walks).unwrap();
        assert!((factor - 1.2).abs() < 0.03 && (move_secs - 4e-6).abs() < 1e-6, "{factor} {move_secs}");
    }
}
