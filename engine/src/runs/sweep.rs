//! Sweeps: every variant of a project over the same seeds, in one table with paired differences.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::event::{Event, EventBody, StepPhases};
use super::folder::{RunFolder, folder_stem, timestamp};
use super::outcome::{Outcome, RunError, RunOptions};
use super::report::median;
use super::run::train;
use crate::data::Split;
use crate::project::{BuildError, Project, ProjectError, build_stage, load, open_source, set};
use crate::train::{Control, headline};
use crate::weights::write_atomically;

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

/// Medians over seeds of one variant.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SweepRow {
    /// The variant.
    pub variant: String,
    /// Whether it is a control.
    pub control: bool,
    /// Chosen settings, if the variant chooses.
    pub chosen: String,
    /// Top-1 on the test split by seed.
    pub top1: Vec<f64>,
    /// Top-5 on the test split by seed, where there is one.
    pub top5: Vec<f64>,
    /// Mean Dice coefficient on the test split by seed, where there are masks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dice: Vec<f64>,
    /// Mean intersection over union on the test split by seed, where there are masks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub iou: Vec<f64>,
    /// Mean over seeds of the paired difference in top-1 (of masks, Dice) to the first variant, with the half width of its
    /// 95 % confidence interval (Student's t over the pairs; absent for one seed).
    pub difference: Option<(f64, Option<f64>)>,
    /// Seconds of the whole run, stage 1 and evaluation included.
    pub secs: f64,
    /// Median step of the last stage.
    pub step_secs: f64,
    /// Medians of its phases.
    pub phases: StepPhases,
    /// Peak bytes of the whole run, all stages included.
    pub peak_bytes: u64,
    /// Trainable weights of the last stage.
    pub trainable: u64,
}

/// A finished sweep.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SweepTable {
    /// The project.
    pub project: String,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// One row a variant.
    pub rows: Vec<SweepRow>,
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

/// What a table needs of a run, gathered from its events alone.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// Best score on the validation split in the last stage.
    validation: f64,
    metrics: BTreeMap<String, f64>,
    secs: f64,
    peak_bytes: u64,
    trainable: u64,
    /// Steps of the last stage.
    steps: Vec<StepPhases>,
    finished: bool,
}

impl Measured {
    fn take(&mut self, event: &Event) {
        match &event.body {
            EventBody::Stage { trainable, kind, .. } if kind == "train" => {
                self.trainable = *trainable;
                self.validation = 0.0;
                self.steps.clear();
            }
            body @ EventBody::Step { .. } => self.steps.extend(body.phases()),
            EventBody::Eval { split, metrics, .. } if split == Split::Validation.name() => {
                self.validation = self.validation.max(headline(metrics).map_or(0.0, |(_, value)| value));
            }
            EventBody::Finished { metrics, secs, peak_bytes, .. } => {
                self.metrics.clone_from(metrics);
                (self.secs, self.peak_bytes, self.finished) = (*secs, *peak_bytes, true);
            }
            _ => {}
        }
    }

    /// A finished run of exactly this project below `runs`, if there is one that can be read. The files that
    /// the project names are taken to be what they were.
    fn found(project: &Project, runs: &Path) -> Option<Self> {
        let mut folders: Vec<_> = std::fs::read_dir(runs).ok()?.flatten().map(|entry| entry.path()).collect();
        folders.sort();
        folders.into_iter().find_map(|folder| {
            if load(&folder.join("project.ron")).ok()? != *project {
                return None;
            }
            let mut measured = Self::default();
            RunFolder::events(&folder).ok()?.iter().for_each(|event| measured.take(event));
            measured.finished.then_some(measured)
        })
    }
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

impl SweepRow {
    /// What variants are compared by.
    fn scores(&self) -> &[f64] {
        if self.top1.is_empty() { &self.dice } else { &self.top1 }
    }

    fn fill(&mut self, runs: &[Measured]) {
        let metric = |name: &str| -> Vec<f64> {
            runs.iter().filter_map(|run| run.metrics.get(name).copied()).collect()
        };
        self.top1 = metric("top1");
        self.top5 = metric("top5");
        self.dice = metric("dice");
        self.iou = metric("iou");
        self.secs = median(runs.iter().map(|run| run.secs));
        self.trainable = runs.first().map_or(0, |run| run.trainable);
        self.peak_bytes = runs.iter().map(|run| run.peak_bytes).max().unwrap_or(0);
        let steps: Vec<StepPhases> = runs.iter().flat_map(|run| run.steps.iter().copied()).collect();
        let middle = |pick: fn(&StepPhases) -> f64| median(steps.iter().map(pick));
        self.step_secs = middle(StepPhases::step_secs);
        self.phases = StepPhases {
            data_secs: middle(|phases| phases.data_secs),
            forward_secs: middle(|phases| phases.forward_secs),
            frozen_forward_secs: middle(|phases| phases.frozen_forward_secs),
            backward_secs: middle(|phases| phases.backward_secs),
            optimizer_secs: middle(|phases| phases.optimizer_secs),
        };
    }
}

/// Mean paired difference and the half width of its 95 % interval.
#[expect(clippy::cast_precision_loss, reason = "a few seeds")]
pub(super) fn paired(row: &[f64], baseline: &[f64]) -> (f64, Option<f64>) {
    let differences: Vec<f64> = row.iter().zip(baseline).map(|(a, b)| a - b).collect();
    let count = differences.len();
    let mean = differences.iter().sum::<f64>() / count.max(1) as f64;
    if count < 2 {
        return (mean, None);
    }
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
    (mean, Some(student_t(count - 1) * (variance / count as f64).sqrt()))
}

/// The 97.5 % point of Student's t.
fn student_t(degrees: usize) -> f64 {
    const TABLE: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    TABLE.get(degrees.saturating_sub(1)).copied().unwrap_or(1.96)
}

impl SweepTable {
    /// The table as Markdown.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    pub fn markdown(&self) -> String {
        let of_masks = self.rows.iter().any(|row| !row.dice.is_empty());
        let [first, second] = if of_masks { ["Dice", "IoU"] } else { ["top-1", "top-5"] };
        let mut text = format!(
            "| variant | {first} % | {second} % | {first} − first | s | step ms | data | forward | backward | optimizer | peak MiB | trained |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let difference = match row.difference {
                None => "–".to_owned(),
                Some((mean, None)) => format!("{:+.2}", mean * 100.0),
                Some((mean, Some(half))) => format!("{:+.2} ± {:.2}", mean * 100.0, half * 100.0),
            };
            let second = if of_masks { &row.iou } else { &row.top5 };
            let second = if second.is_empty() {
                "–".to_owned()
            } else {
                format!("{:.2}", median(second.iter().copied()) * 100.0)
            };
            let name = if row.control { format!("*{}* (control)", row.variant) } else { row.variant.clone() };
            // Writing to a String cannot fail.
            let _infallible = writeln!(
                text,
                "| {name} | {:.2} | {second} | {difference} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {} |",
                median(row.scores().iter().copied()) * 100.0,
                row.secs,
                row.step_secs * 1e3,
                row.phases.data_secs * 1e3,
                row.phases.forward_secs * 1e3,
                row.phases.backward_secs * 1e3,
                row.phases.optimizer_secs * 1e3,
                row.peak_bytes as f64 / f64::from(1 << 20),
                row.trainable
            );
        }
        for row in self.rows.iter().filter(|row| !row.chosen.is_empty()) {
            let _infallible = write!(
                text,
                "\n{}: {} was the best on the validation split with seed {}; its time is that of one run.\n",
                row.variant,
                row.chosen,
                self.seeds.first().copied().unwrap_or_default()
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paired_differences() {
        let (mean, half) = paired(&[0.5, 0.6, 0.7], &[0.4, 0.5, 0.6]);
        assert!((mean - 0.1).abs() < 1e-12);
        assert!(half.unwrap() < 1e-9);
        let (mean, half) = paired(&[1.0, 3.0], &[0.0, 0.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (half.unwrap() - 12.706).abs() < 1e-9);
        assert_eq!(paired(&[1.0], &[0.5]).1, None);
    }
}
