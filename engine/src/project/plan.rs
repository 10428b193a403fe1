//! What a project will cost, before anything is run: the same answer for the command line and the window.

mod cut;
mod fit;
mod passes;
mod stage;
mod walk;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use cut::CutPlan;
pub use fit::{Fit, FitOption, Floor, fit};
pub use stage::{Heat, Peak, Predicted, StagePlan, plan_built};

use super::{BuildError, Project, build_turn, open_source};
use crate::graph::Coverage;
use crate::memory::heap;
use crate::plan::Calibration;
use crate::tensor::kernels::make_thread_buffers;

/// What a project will cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProjectPlan {
    /// The device that the times are of.
    pub device: String,
    /// Weights in all, adapters included.
    pub params_total: u64,
    /// Of these, the adapters'.
    pub adapter_params: u64,
    /// Each adapter of the project.
    pub adapters: Vec<AdapterPlan>,
    /// What each placement rule matches.
    pub rules: Vec<Coverage>,
    /// The stages in order, repetitions written out.
    pub stages: Vec<StagePlan>,
}

/// One adapter of the project's list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterPlan {
    /// Its rule.
    pub at: String,
    /// Its kind.
    pub kind: String,
    /// Sites that it sits on.
    pub sites: usize,
    /// Weights that it brings.
    pub params: u64,
}

/// Plans every turn of a project; `base` is the folder that relative paths start from. Without a calibration no times
/// are given.
///
/// # Errors
/// When a stage cannot be built.
pub fn plan(
    project: &Project,
    base: &Path,
    calibration: Option<&Calibration>,
) -> Result<ProjectPlan, BuildError> {
    let mut found = ProjectPlan { device: project.device.clone(), ..ProjectPlan::default() };
    let mut process_bytes = 0;
    for (place, turn) in project.turns()?.iter().enumerate() {
        if turn.spec.data().is_some() {
            // Its data set is written by the run itself.
            found.stages.push(StagePlan::unknown(turn, "its data set is written by the run itself"));
            continue;
        }
        let source = open_source(project, base, place)?;
        let built = build_turn(project, base, turn, &turn.merged, source.as_ref())?;
        if place == 0 {
            make_thread_buffers();
            process_bytes = heap().live_bytes;
        }
        found.params_total = found.params_total.max(built.graph.parameter_count());
        if found.rules.is_empty() {
            found.rules.clone_from(&built.coverage);
            found.adapters = adapters(project, &built);
            found.adapter_params = found.adapters.iter().map(|adapter| adapter.params).sum();
        }
        let mut stage = plan_built(turn, &built, source.as_ref(), calibration);
        stage.stands_beside(process_bytes);
        found.stages.push(stage);
    }
    Ok(found)
}

fn adapters(project: &Project, built: &super::Built) -> Vec<AdapterPlan> {
    let listed = project.adapters.iter().enumerate().zip(&built.coverage);
    listed
        .map(|((index, placement), coverage)| {
            let own = built.graph.params().filter(|(_, _, leaf)| leaf.placement == Some(index));
            AdapterPlan {
                at: placement.at.clone(),
                kind: placement.kind.kind().name().to_owned(),
                sites: coverage.matched.len(),
                params: own.map(|(_, _, leaf)| crate::tensor::elements(&leaf.shape) as u64).sum(),
            }
        })
        .collect()
}

/// Bytes for people: `3.4 GiB`.
#[must_use]
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Bytes from text such as `512MiB`, `2 GB` or `1000000`.
///
/// # Errors
/// When it is no such text, saying what would do.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: f64 = match unit.trim().to_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "kb" => 1e3,
        "m" | "mib" => 1024.0 * 1024.0,
        "mb" => 1e6,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "gb" => 1e9,
        "t" | "tib" => 1024f64.powi(4),
        "tb" => 1e12,
        _ => return Err(format!("`{text}` is no number of bytes; write it as 512MiB, 2GB or 1000000")),
    };
    match number.parse::<f64>() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a size")]
        Ok(number) if number.is_finite() && number * factor >= 1.0 && number * factor < 1e18 => {
            Ok((number * factor) as u64)
        }
        _ => Err(format!("`{text}` is no number of bytes; write it as 512MiB, 2GB or 1000000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_and_written() {
        assert_eq!(parse_bytes("512MiB"), Ok(512 << 20));
        assert_eq!(parse_bytes(" 1.5 GB"), Ok(1_500_000_000));
        assert_eq!(parse_bytes("77"), Ok(77));
        assert_eq!(parse_bytes(&bytes_text(3 << 40)), Ok(3 << 40));
        for wrong in ["", "0", "0.1", "MiB", "-3GB", "3 parsecs", "1e99GB", "NaN"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(bytes_text(17), "17 B");
        assert_eq!(bytes_text(3 << 20), "3.0 MiB");
        assert_eq!(bytes_text(1000 << 20), "1.0 GiB");
    }
}
