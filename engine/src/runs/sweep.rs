//! Sweeps: every variant of a project over the same seeds, in one table with paired differences.

mod table;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::event::{Event, EventBody};
use super::folder::{folder_stem, timestamp};
use super::outcome::{Outcome, RunError, RunOptions};
use super::run::train;
use crate::project::{BuildError, Project, ProjectError, build_stage, open_source, set};
use crate::train::Control;
use crate::weights::write_atomically;

use table::Measured;
pub(super) use table::paired;
pub use table::{SweepRow, SweepTable};

/// Which sweep a run belongs to, in a small file of its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepMark {
    /// The sweep: its project's name and when it began.
    pub sweep: String,
    /// The variant.
    pub variant: String,
    /// Its place in the project's list.
    #[serde(default)]
    pub place: usize,
}

impl SweepMark {
    const NAME: &str = "sweep.json";

    /// The mark of a run folder, if it has one.
    #[must_use]
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(folder.join(Self::NAME)).ok()?).ok()
    }

    fn write(&self, folder: &Path) {
        let text = serde_json::to_string(self).unwrap_or_default();
        // Without its mark a run is no worse; it only stands alone in the table of runs.
        drop(write_atomically(&folder.join(Self::NAME), text.as_bytes()));
    }
}

/// How to sweep.
#[derive(Clone, Debug)]
pub struct SweepOptions {
    /// Number of seeds, from the project's own on.
    pub seeds: u64,
    /// Only these variants, if any are named.
    pub only: Vec<String>,
    /// Where run folders go.
    pub run: RunOptions,
    /// Take over runs of the very same project that finished there before, instead of doing them again.
    pub reuse: bool,
}

/// Why a sweep could not be done.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The project lists no variants.
    #[error("the project lists no variants; add `variants: [(name: \"…\", …)]` to compare some")]
    NoVariants,
    /// A variant's project is wrong.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A variant's stages cannot be built.
    #[error("variant `{variant}`: {error}")]
    Build {
        /// The variant.
        variant: String,
        /// Why.
        error: Box<BuildError>,
    },
    /// A run failed.
    #[error("variant `{variant}`, seed {seed}: {error}")]
    Run {
        /// The variant.
        variant: String,
        /// The seed.
        seed: u64,
        /// Why.
        error: Box<RunError>,
    },
    /// Stopped on request.
    #[error("the sweep was stopped")]
    Stopped,
}

/// Runs every variant over the seeds. `sink` gets all events of all runs.
///
/// # Errors
/// When there are no variants, one is wrong, a run fails, or the control says stop.
pub fn sweep(
    project: &Project,
    base: &Path,
    options: &SweepOptions,
    control: &Control,
    sink: &mut dyn FnMut(&Event),
) -> Result<SweepTable, SweepError> {
    if project.variants.is_empty() {
        return Err(SweepError::NoVariants);
    }
    let seeds: Vec<u64> = (0..options.seeds.max(1)).map(|i| project.seed + i).collect();
    let sweep = format!("{}{}", folder_stem(&project.name), timestamp(std::time::SystemTime::now()));
    let mut table = SweepTable { project: project.name.clone(), seeds: seeds.clone(), rows: Vec::new() };
    for name in &options.only {
        project.variant(name)?;
    }
    // What cannot work is told before an hour of runs.
    for variant in &project.variants {
        let candidate = project.variant(&variant.name)?;
        for value in variant.choose.iter().flat_map(|choose| &choose.among) {
            let setting = variant.choose.as_ref().map_or("", |choose| &choose.setting);
            set(&candidate, setting, &value.to_string())?;
        }
        for stage in 0..candidate.turns()?.len() {
            open_source(&candidate, base, stage)
                .and_then(|source| build_stage(&candidate, base, stage, source.as_ref()))
                .map_err(|error| SweepError::Build {
                    variant: variant.name.clone(),
                    error: Box::new(error),
                })?;
        }
    }
    for (place, variant) in project.variants.iter().enumerate() {
        if !options.only.is_empty() && !options.only.contains(&variant.name) {
            continue;
        }
        let mut chosen_project = project.variant(&variant.name)?;
        let mut row =
            SweepRow { variant: variant.name.clone(), control: variant.control, ..SweepRow::default() };
        let mut first: Option<Measured> = None;
        let mut runner = Runner { base, options, control, sink, sweep: &sweep, place };
        if let Some(choose) = &variant.choose {
            let mut best: Option<(f64, f64, Project, Measured)> = None;
            for &value in &choose.among {
                let mut candidate = set(&chosen_project, &choose.setting, &value.to_string())?;
                candidate.seed = seeds[0];
                let measured = runner.run(&variant.name, &candidate)?;
                if best.as_ref().is_none_or(|(top, ..)| measured.validation > *top) {
                    best = Some((measured.validation, value, candidate, measured));
                }
            }
            if let Some((_, value, candidate, measured)) = best {
                row.chosen = format!("{} = {value}", choose.setting);
                chosen_project = candidate;
                // The winner's run with the first seed is one of the variant's runs.
                first = Some(measured);
            }
        }
        let mut runs = Vec::new();
        for &seed in &seeds {
            if let Some(measured) = first.take() {
                runs.push(measured);
                continue;
            }
            chosen_project.seed = seed;
            runs.push(runner.run(&variant.name, &chosen_project)?);
        }
        row.fill(&runs);
        if let Some(baseline) = table.rows.first() {
            row.difference = Some(paired(row.scores(), baseline.scores()));
        }
        table.rows.push(row);
    }
    Ok(table)
}

struct Runner<'a> {
    base: &'a Path,
    options: &'a SweepOptions,
    control: &'a Control,
    sink: &'a mut dyn FnMut(&Event),
    sweep: &'a str,
    /// Of the variant in the project's list.
    place: usize,
}

impl Runner<'_> {
    fn run(&mut self, variant: &str, project: &Project) -> Result<Measured, SweepError> {
        if self.options.reuse
            && let Some(measured) = Measured::found(project, &self.options.run.runs)
        {
            return Ok(measured);
        }
        let mut measured = Measured::default();
        let sink = &mut self.sink;
        let mark = SweepMark { sweep: self.sweep.to_owned(), variant: variant.to_owned(), place: self.place };
        let summary = train(project, self.base, &self.options.run, self.control, &mut |event| {
            if let EventBody::Started { folder, .. } = &event.body {
                mark.write(Path::new(folder));
            }
            measured.take(event);
            sink(event);
        })
        .map_err(|error| SweepError::Run {
            variant: variant.to_owned(),
            seed: project.seed,
            error: Box::new(error),
        })?;
        if summary.outcome == Outcome::Stopped || summary.test.is_none() && self.stopping() {
            return Err(SweepError::Stopped);
        }
        Ok(measured)
    }

    fn stopping(&self) -> bool {
        self.control.wish() == crate::train::Wish::Stop
    }
}
