//! `graft bench`: what the planner says against what is seen.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{Done, line};
use crate::bench;

/// `graft bench …`.
#[derive(Debug, Parser)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Draw placements at random, predict bytes and milliseconds of their steps, measure them, and print the error.
    Predict {
        /// Seed of the draws.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Placements a model; each is measured at three batch sizes.
        #[arg(long, default_value_t = 30)]
        placements: usize,
        /// Steps that are timed for each; 0 measures bytes alone.
        #[arg(long, default_value_t = 8)]
        steps: usize,
        /// Write the table as Markdown to this file.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Print one JSON object a row, and the summary last.
        #[arg(long)]
        json: bool,
    },
}

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let What::Predict { seed, placements, steps, out, json } = self.what;
        let device = crate::device::open(crate::device::CPU)?;
        let calibration =
            crate::bench::calibrate(crate::device::CPU, &device, &mut super::tell_calibration, &|| false)?;
        let mut failed = None;
        let mut tell = |row: &bench::Row| {
            let told = if json {
                serde_json::to_string(row).map_err(std::io::Error::other).and_then(|text| line(&text))
            } else {
                line(&format!(
                    "{:<13} batch {:>3}  peak {:+6.1} %  boundary {:+6.1} %  time {:+6.1} %  {}",
                    row.model,
                    row.batch,
                    100.0 * row.peak.error(),
                    100.0 * row.boundary.error(),
                    100.0 * row.secs.error(),
                    row.title
                ))
            };
            if let Err(error) = told {
                failed.get_or_insert(error);
            }
        };
        let rows = bench::predict(seed, placements, steps, &calibration, &mut tell)?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        let found = bench::summary(&rows);
        if json {
            line(&serde_json::to_string(&found)?)?;
        } else {
            line(&format!(
                "{} stages: peak within {:.1} % (95th percentile), {:.1} % (median), {} miss by more than 5 %; \
                 time within {:.1} % (median), {:.1} % (95th percentile)",
                found.rows,
                100.0 * found.peak_error_95,
                100.0 * found.peak_error_median,
                found.misses,
                100.0 * found.secs_error_median,
                100.0 * found.secs_error_95
            ))?;
        }
        if let Some(out) = out {
            crate::weights::write_atomically(&out, bench::markdown(seed, &rows).as_bytes())?;
        }
        Ok(Done::Well)
    }
}
