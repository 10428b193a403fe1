//! `report.md`: what a run was and came to, from its own log.

mod costs;

use std::fmt::Write as _;
use std::path::Path;

use super::event::{EventBody, StepPhases};
use super::folder::RunFolder;
use crate::project::Project;
use crate::weights::write_atomically;

/// Median of some numbers; zero of none.
#[must_use]
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let count = values.len();
    match count {
        0 => 0.0,
        _ if count % 2 == 1 => values[count / 2],
        _ => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// Mebibytes for people.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Writes the report of a run from its log.
///
/// # Errors
/// When log or report cannot be read or written.
pub(super) fn write(folder: &Path, project: &Project) -> std::io::Result<()> {
    let events = RunFolder::events(folder)?;
    let mut text = format!("# {}\n\n", project.name);
    if !project.description.is_empty() {
        text += &project.description;
        text += "\n\n";
    }
    let mut line = |part: String| {
        text.push_str(&part);
        text.push('\n');
    };
    let mut compared = Vec::new();
    for event in &events {
        match &event.body {
            EventBody::Started { device, seed, params_total, .. } => {
                line(format!("Device `{device}`, seed {seed}, {params_total} parameters.\n"));
            }
            EventBody::Finished { secs, steps, metrics, peak_bytes, samples_per_sec } => {
                let metrics: Vec<String> =
                    metrics.iter().map(|(name, value)| format!("{name} {:.2} %", value * 100.0)).collect();
                line(format!(
                    "Finished after {secs:.1} s and {steps} steps: {}; peak {:.1} MiB; {samples_per_sec:.1} samples/s.\n",
                    if metrics.is_empty() { "no test split".to_owned() } else { metrics.join(", ") },
                    mib(*peak_bytes)
                ));
            }
            EventBody::Stopped { steps } => line(format!("Stopped on request after {steps} steps.\n")),
            EventBody::Failed { error } => line(format!("Failed: {error}\n")),
            EventBody::Asked { stage, step, ask, .. } => {
                line(format!("Asked for in stage {stage} after step {step}: {}.\n", ask.words()));
            }
            _ => {}
        }
    }
    line(
        "| stage | trained | steps | median step ms | data | forward | of it frozen | backward | optimizer |"
            .into(),
    );
    line("|---|---|---|---|---|---|---|---|---|".into());
    for event in &events {
        let EventBody::Stage { stage, repetition, name, kind, trainable, .. } = &event.body else { continue };
        if kind != "train" {
            continue;
        }
        let steps: Vec<StepPhases> = events
            .iter()
            .filter(|event| {
                let same = |s: &usize, r: &usize| (s, r) == (stage, repetition);
                matches!(&event.body, EventBody::Step { stage: s, repetition: r, .. } if same(s, r))
            })
            .filter_map(|event| event.body.phases())
            .collect();
        let middle = |pick: fn(&StepPhases) -> f64| median(steps.iter().map(pick)) * 1e3;
        line(format!(
            "| {name} | {trainable} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
            steps.len(),
            middle(StepPhases::step_secs),
            middle(|phases| phases.data_secs),
            middle(|phases| phases.forward_secs),
            middle(|phases| phases.frozen_forward_secs),
            middle(|phases| phases.backward_secs),
            middle(|phases| phases.optimizer_secs),
        ));
    }
    for event in &events {
        if let EventBody::Stage { stage, repetition, name, predicted: Some(predicted), .. } = &event.body {
            let mut seen: Vec<(u64, f64)> = Vec::new();
            for event in &events {
                if let EventBody::Step { stage: s, repetition: r, stage_peak_bytes, .. } = &event.body
                    && (s, r) == (stage, repetition)
                    && let Some(phases) = event.body.phases()
                {
                    seen.push((*stage_peak_bytes, phases.step_secs() - phases.data_secs));
                }
            }
            let peak = seen.iter().map(|(peak, _)| *peak).max().unwrap_or(0);
            let secs = median(seen.iter().map(|(_, secs)| *secs));
            compared.push((name, predicted, peak, secs));
        }
    }
    if !compared.is_empty() {
        line(
            "\n| stage | peak MiB, predicted | measured | step ms without data, predicted | measured |"
                .into(),
        );
        line("|---|---|---|---|---|".into());
    }
    for (name, predicted, peak, secs) in compared {
        let ms = if predicted.step_secs > 0.0 {
            format!("{:.1}", 1e3 * predicted.step_secs)
        } else {
            "not calibrated".to_owned()
        };
        line(format!(
            "| {name} | {:.1} | {:.1} | {ms} | {:.1} |",
            mib(predicted.peak_bytes),
            mib(peak),
            1e3 * secs
        ));
    }
    for event in &events {
        let EventBody::Profile { stage, repetition, step, nodes } = &event.body else { continue };
        let name = events.iter().find_map(|event| match &event.body {
            EventBody::Stage { stage: s, repetition: r, name, .. } if (s, r) == (stage, repetition) => {
                Some(name.as_str())
            }
            _ => None,
        });
        line(format!(
            "\nWhere step {step} of \"{}\" went, forward and backward; each part without those listed in it:\n",
            name.unwrap_or_default()
        ));
        costs::table(nodes).into_iter().for_each(&mut line);
    }
    // What each session says last of a stage is all that it did.
    let mut caches: Vec<(String, [u64; 3], f64)> = Vec::new();
    let mut troubles: Vec<&String> = Vec::new();
    for event in &events {
        if let EventBody::Cache { stage, repetition, built, hits, bytes, secs, trouble } = &event.body {
            troubles.extend(trouble.as_ref().filter(|trouble| !troubles.contains(trouble)));
            let name = if *repetition > 0 { format!("{stage} ({repetition})") } else { stage.to_string() };
            caches.retain(|(other, ..)| *other != name);
            caches.push((name, [*built, *hits, *bytes], *secs));
        }
    }
    if !caches.is_empty() {
        line(
            "\n| stage | cache: samples computed | seconds | times found | MiB |\n|---|---|---|---|---|"
                .into(),
        );
        for (stage, [built, hits, bytes], secs) in caches {
            line(format!("| {stage} | {built} | {secs:.1} | {hits} | {:.1} |", mib(bytes)));
        }
    }
    for trouble in troubles {
        line(format!("\nWhat memory had no room for was computed again: {trouble}"));
    }
    line("\n| stage | epoch | split | loss | metrics | samples |\n|---|---|---|---|---|---|".into());
    for event in &events {
        if let EventBody::Eval { stage, epoch, split, loss, metrics, samples, .. } = &event.body {
            let mut shown = String::new();
            for (name, value) in metrics {
                write!(shown, "{name} {:.2} % ", value * 100.0).map_err(std::io::Error::other)?;
            }
            line(format!("| {stage} | {epoch} | {split} | {loss:.4} | {shown}| {samples} |"));
        }
    }
    write_atomically(&folder.join("report.md"), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([]), 0.0);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0]), 2.5);
    }
}
