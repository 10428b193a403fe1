//! The runs of a sweep as its table has them: one row a variant, from rows of runs alone, while the sweep goes on too.

use super::entry::{RunEntry, RunState};
use super::report::median;
use super::sweep::paired;

/// One variant of a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VariantRow {
    /// Its name.
    pub variant: String,
    /// Whether it is the project's first, which the others are compared with.
    pub is_first: bool,
    /// Runs that count: one a seed.
    pub seeds: usize,
    /// Runs that are not done, or failed.
    pub missing: usize,
    /// Median of the score on the test split, as a share.
    pub score: Option<f64>,
    /// Mean over seeds of the paired difference to the first variant, with the half width of its 95 % confidence
    /// interval (absent for one pair).
    pub difference: Option<(f64, Option<f64>)>,
    /// Median seconds of a run.
    pub secs: Option<f64>,
    /// Largest live bytes.
    pub peak_bytes: Option<u64>,
    /// Weights that the last training stage trains.
    pub trainable: Option<u64>,
}

/// The table of some runs of one sweep, variants in the project's order.
///
/// Where a variant tried several values of a setting with one seed, the run that did best on the validation split is the
/// one that counts, as it is for the sweep itself.
#[must_use]
pub fn variants(runs: &[&RunEntry]) -> Vec<VariantRow> {
    let mut sorted: Vec<&RunEntry> = runs.iter().copied().filter(|run| run.sweep.is_some()).collect();
    let place = |run: &RunEntry| run.sweep.as_ref().map_or(0, |mark| mark.place);
    sorted.sort_by(|a, b| (place(a), &a.began, &a.id).cmp(&(place(b), &b.began, &b.id)));
    let mut named: Vec<(&str, Vec<&RunEntry>)> = Vec::new();
    for run in sorted {
        let Some(mark) = &run.sweep else { continue };
        match named.iter_mut().find(|(variant, _)| *variant == mark.variant) {
            Some((_, own)) => own.push(run),
            None => named.push((&mark.variant, vec![run])),
        }
    }
    let counted: Vec<Vec<&RunEntry>> = named.iter().map(|(_, own)| one_a_seed(own)).collect();
    // Without the project's first variant there is nothing to be against.
    let has_first = named.first().is_some_and(|(_, own)| own.iter().any(|run| place(run) == 0));
    let first = counted.first().filter(|_| has_first).cloned().unwrap_or_default();
    let rows = named.iter().zip(&counted).enumerate().map(|(number, ((variant, all), own))| {
        let scores = own.iter().filter_map(|run| run.score);
        VariantRow {
            variant: (*variant).to_owned(),
            seeds: own.len(),
            missing: all.iter().filter(|run| run.state != RunState::Finished).count(),
            score: (scores.clone().next().is_some()).then(|| median(scores)),
            is_first: has_first && number == 0,
            difference: if number == 0 { None } else { against(own, &first) },
            secs: (!own.is_empty()).then(|| median(own.iter().map(|run| run.secs))),
            peak_bytes: own.iter().filter_map(|run| run.peak_bytes).max(),
            trainable: own.first().and_then(|run| run.trainable),
        }
    });
    rows.collect()
}

/// Finished runs, the best of each seed, by seed.
fn one_a_seed<'a>(runs: &[&'a RunEntry]) -> Vec<&'a RunEntry> {
    let mut kept: Vec<&RunEntry> = Vec::new();
    for run in runs.iter().filter(|run| run.state == RunState::Finished) {
        match kept.iter_mut().find(|other| other.seed == run.seed) {
            Some(other) => {
                if run.validation > other.validation {
                    *other = run;
                }
            }
            None => kept.push(run),
        }
    }
    kept.sort_by_key(|run| run.seed);
    kept
}

/// Over the seeds that both have.
fn against(own: &[&RunEntry], first: &[&RunEntry]) -> Option<(f64, Option<f64>)> {
    let pairs = own.iter().filter_map(|run| {
        let other = first.iter().find(|other| other.seed == run.seed)?;
        Some((run.score?, other.score?))
    });
    let (own, first): (Vec<f64>, Vec<f64>) = pairs.unzip();
    (!own.is_empty()).then(|| paired(&own, &first))
}

#[cfg(test)]
mod tests {
    use super::super::sweep::SweepMark;
    use super::*;

    fn run(variant: &str, seed: u64, validation: f64, score: Option<f64>) -> RunEntry {
        RunEntry {
            id: format!("{variant}-{seed}-{validation}"),
            seed,
            validation: Some(validation),
            score,
            state: if score.is_some() { RunState::Finished } else { RunState::Running },
            began: format!("2026-01-0{}", if variant == "base" { 1 } else { 2 }),
            secs: 10.0 * f64::from(u32::try_from(seed).unwrap()),
            peak_bytes: Some(100 * seed),
            sweep: Some(SweepMark {
                sweep: "s".to_owned(),
                variant: variant.to_owned(),
                place: usize::from(variant != "base"),
            }),
            ..RunEntry::default()
        }
    }

    #[test]
    fn pairs_by_seed_and_takes_the_chosen_run() {
        let runs = [
            run("other", 2, 0.5, Some(0.9)),
            run("base", 1, 0.5, Some(0.5)),
            // Two learning rates were tried with the first seed; the second did better on the validation split.
            run("other", 1, 0.4, Some(0.1)),
            run("other", 1, 0.6, Some(0.7)),
            run("base", 2, 0.5, Some(0.6)),
            run("other", 3, 0.5, None),
        ];
        let rows = variants(&runs.iter().collect::<Vec<_>>());
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].variant.as_str(), rows[0].seeds, rows[0].missing), ("base", 2, 0));
        assert!((rows[0].score.unwrap() - 0.55).abs() < 1e-12);
        assert_eq!(rows[0].difference, None);
        assert_eq!((rows[1].variant.as_str(), rows[1].seeds, rows[1].missing), ("other", 2, 1));
        let (mean, half) = rows[1].difference.unwrap();
        assert!((mean - 0.25).abs() < 1e-12, "{mean}");
        assert!(half.unwrap() > 0.0);
        assert_eq!((rows[1].secs, rows[1].peak_bytes), (Some(15.0), Some(200)));
    }

    #[test]
    fn without_the_first_variant_there_are_no_differences() {
        let runs = [run("other", 1, 0.5, Some(0.9)), run("third", 1, 0.5, Some(0.5))];
        let rows = variants(&runs.iter().collect::<Vec<_>>());
        assert!(rows.iter().all(|row| !row.is_first && row.difference.is_none()));
    }

    #[test]
    fn runs_of_no_sweep_have_no_table() {
        assert!(variants(&[&RunEntry::default()]).is_empty());
    }
}
