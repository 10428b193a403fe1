//! A sweep's table: what its runs came to, and the same as Markdown.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::data::Split;
use crate::project::{Project, load};
use crate::runs::event::{Event, EventBody, StepPhases};
use crate::runs::folder::RunFolder;
use crate::runs::report::median;
use crate::runs::tested::Tests;
use crate::train::headline;

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
    /// The stage that the columns above are of; none for the test at the run's end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tested: Option<String>,
    /// The other stages that tested it behind the last one that trains, and what each is compared by, by seed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tested_too: Vec<(String, Vec<f64>)>,
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

/// What a table needs of a run, gathered from its events alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    /// Best score on the validation split in the last stage.
    pub(super) validation: f64,
    tests: Tests,
    secs: f64,
    peak_bytes: u64,
    trainable: u64,
    /// Steps of the last stage.
    steps: Vec<StepPhases>,
    pub(super) finished: bool,
}

impl Measured {
    pub(super) fn take(&mut self, event: &Event) {
        self.tests.take(&event.body);
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
            EventBody::Finished { secs, peak_bytes, .. } => {
                (self.secs, self.peak_bytes, self.finished) = (*secs, *peak_bytes, true);
            }
            _ => {}
        }
    }

    /// A finished run of exactly this project below `runs`, if there is one that can be read. The files that
    /// the project names are taken to be what they were.
    pub(super) fn found(project: &Project, runs: &Path) -> Option<Self> {
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

impl SweepRow {
    /// What variants are compared by.
    pub(super) fn scores(&self) -> &[f64] {
        if self.top1.is_empty() { &self.dice } else { &self.top1 }
    }

    pub(super) fn fill(&mut self, runs: &[Measured]) {
        let metric = |name: &str| -> Vec<f64> {
            runs.iter().filter_map(|run| run.tests.main()?.metrics.get(name).copied()).collect()
        };
        self.top1 = metric("top1");
        self.top5 = metric("top5");
        self.dice = metric("dice");
        self.iou = metric("iou");
        let tests = runs.first().map(|run| run.tests.all()).unwrap_or_default();
        self.tested = runs.first().and_then(|run| run.tests.main()?.stage.clone());
        let others = tests
            .iter()
            .filter_map(|test| test.stage.as_ref())
            .filter(|stage| Some(*stage) != self.tested.as_ref());
        self.tested_too = others
            .map(|stage| {
                let of = |run: &Measured| {
                    let test = run.tests.all().iter().find(|test| test.stage.as_ref() == Some(stage))?;
                    Some(headline(&test.metrics)?.1)
                };
                (stage.clone(), runs.iter().filter_map(of).collect())
            })
            .collect();
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
pub(in crate::runs) fn paired(row: &[f64], baseline: &[f64]) -> (f64, Option<f64>) {
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
        // Where stages test, the columns say which; those beside the main one come last.
        let mut others: Vec<&str> = Vec::new();
        for (stage, _) in self.rows.iter().flat_map(|row| &row.tested_too) {
            if !others.contains(&stage.as_str()) {
                others.push(stage);
            }
        }
        let mut mains = self.rows.iter().map(|row| row.tested.as_deref());
        let main = mains.next().flatten().filter(|first| mains.all(|other| other == Some(first)));
        let at = main.map_or_else(String::new, |stage| format!(" {stage}"));
        let per_cent = |values: &[f64]| match values {
            [] => "–".to_owned(),
            values => format!("{:.2}", median(values.iter().copied()) * 100.0),
        };
        let mut text = format!(
            "| variant | {first} %{at} | {second} %{at} | {first} − first | s | step ms | data | forward | backward | optimizer | peak MiB | trained |",
        );
        for stage in &others {
            let _infallible = write!(text, " {first} % {stage} |");
        }
        let _infallible = writeln!(text, "\n|{}", "---|".repeat(12 + others.len()));
        for row in &self.rows {
            let difference = match row.difference {
                None => "–".to_owned(),
                Some((mean, None)) => format!("{:+.2}", mean * 100.0),
                Some((mean, Some(half))) => format!("{:+.2} ± {:.2}", mean * 100.0, half * 100.0),
            };
            let second = if of_masks { &row.iou } else { &row.top5 };
            let second = per_cent(second);
            let name = if row.control { format!("*{}* (control)", row.variant) } else { row.variant.clone() };
            // Writing to a String cannot fail.
            let _infallible = write!(
                text,
                "| {name} | {} | {second} | {difference} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {} |",
                per_cent(row.scores()),
                row.secs,
                row.step_secs * 1e3,
                row.phases.data_secs * 1e3,
                row.phases.forward_secs * 1e3,
                row.phases.backward_secs * 1e3,
                row.phases.optimizer_secs * 1e3,
                row.peak_bytes as f64 / f64::from(1 << 20),
                row.trainable
            );
            for stage in &others {
                let scores = row.tested_too.iter().find(|(name, _)| name == stage);
                let _infallible = write!(text, " {} |", per_cent(scores.map_or(&[], |(_, scores)| scores)));
            }
            text.push('\n');
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

    #[test]
    fn columns_say_which_stage_tested() {
        let row = |variant: &str, here: f64, there: f64| SweepRow {
            variant: variant.to_owned(),
            top1: vec![here],
            tested: Some("here".to_owned()),
            tested_too: vec![("there".to_owned(), vec![there])],
            ..SweepRow::default()
        };
        let mut rows = vec![row("one", 0.5, 0.25), row("two", 0.75, 0.125)];
        rows[0].tested_too.clear();
        let text = SweepTable { rows, ..SweepTable::default() }.markdown();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].starts_with("| variant | top-1 % here | ") && lines[0].ends_with("| top-1 % there |")
        );
        assert_eq!(lines[0].matches('|').count(), lines[1].matches('|').count());
        assert_eq!(lines[0].matches('|').count(), lines[3].matches('|').count());
        assert!(lines[2].ends_with("| – |"), "a variant without that stage");
        assert!(lines[3].starts_with("| two | 75.00 | ") && lines[3].ends_with("| 12.50 |"));
    }
}
