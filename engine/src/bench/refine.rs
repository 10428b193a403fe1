//! What single ops do not show of a walk: reaching for memory that others have used meanwhile, and the walk itself.

use burn::tensor::Device;

use super::draw::{draw, subjects, with_batch};
use super::measure::measure;
use super::models;
use super::predict::said;
use crate::plan::{Calibration, CalibrationError, calibration};
use crate::tensor::Stream;

/// Stages of each model that are walked, and steps of each.
const STAGES: usize = 3;
const STEPS: usize = 5;

/// The times of a device: those in the file when they are of this build, else measured now, ops first and then whole walks.
/// `tell` is called before that begins.
///
/// # Errors
/// When what was measured cannot be written.
pub fn calibrate(
    name: &str,
    device: &Device,
    tell: &mut dyn FnMut(),
) -> Result<Calibration, CalibrationError> {
    calibration(name, device, tell, &mut |found| refine(found, device))
}

/// Fits seconds of a move and a factor on the ops' own seconds to walks of random stages.
fn refine(found: &mut Calibration, device: &Device) {
    models::make_known();
    // Seconds of ops as measured alone, moves, and seconds of the step, of each walk.
    let mut walks: Vec<[f64; 3]> = Vec::new();
    for subject in subjects() {
        for number in 0..STAGES {
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
    if let Some([factor, move_secs]) = least_squares(&walks) {
        (found.factor, found.move_secs) = (factor, move_secs);
    }
}

/// The factor and the seconds a move with the least relative squares, both within what is believable.
fn least_squares(walks: &[[f64; 3]]) -> Option<[f64; 2]> {
    let mut sums = [0.0; 5];
    for [secs, moves, seen] in walks.iter().filter(|[_, _, seen]| *seen > 0.0) {
        let (a, b) = (secs / seen, moves / seen);
        for (sum, term) in sums.iter_mut().zip([a * a, a * b, b * b, a, b]) {
            *sum += term;
        }
    }
    let [aa, ab, bb, a, b] = sums;
    let determinant = aa * bb - ab * ab;
    if walks.len() < 4 || determinant <= 1e-9 * aa * bb {
        return None;
    }
    let factor = (a * bb - b * ab) / determinant;
    let move_secs = (aa * b - ab * a) / determinant;
    if (0.5..3.0).contains(&factor) && move_secs >= 0.0 {
        return Some([factor, move_secs]);
    }
    // Noise has won: the factor alone.
    Some([(a / aa).clamp(0.5, 3.0), 0.0])
}

#[cfg(test)]
mod tests {
    use super::least_squares;

    #[test]
    fn both_numbers_are_found_again() {
        let walks: Vec<[f64; 3]> = [(1e-3, 50.0), (5e-3, 80.0), (2e-2, 60.0), (8e-3, 200.0), (3e-3, 300.0)]
            .into_iter()
            .map(|(secs, moves)| [secs, moves, 1.2 * secs + 4e-6 * moves])
            .collect();
        let [factor, move_secs] = least_squares(&walks).unwrap();
        assert!((factor - 1.2).abs() < 1e-9 && (move_secs - 4e-6).abs() < 1e-12, "{factor} {move_secs}");
        assert_eq!(least_squares(&walks[..2]), None);
    }
}
