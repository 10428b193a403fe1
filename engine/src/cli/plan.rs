//! `graft plan`: what a project will cost, before anything is run.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::{Done, line, open_project, tell_calibration};
use crate::bench::calibrate;
use crate::device;
use crate::graph::KeptBits;
use crate::plan::Calibration;
use crate::project::{
    CutPlan, Fit, Predicted, ProjectPlan, StagePlan, build_turn, bytes_text, fit, open_source, parse_bytes,
    plan,
};

#[derive(Debug, Args)]
pub(super) struct Plan {
    /// Project file.
    project: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// One of the project's variants.
    #[arg(long)]
    variant: Option<String>,
    /// Compute device.
    #[arg(long)]
    device: Option<String>,
    /// A setting by path, as in stages.0.epochs=2.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// Memory that every stage should fit into, as in 2GiB: says what to change, and what that costs in time.
    #[arg(long)]
    budget: Option<String>,
}

impl Plan {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let budget = self.budget.as_deref().map(parse_bytes).transpose().map_err(anyhow::Error::msg)?;
        let (project, base) =
            open_project(&self.project, self.variant.as_deref(), &self.settings, self.device.as_deref())?;
        project.check()?;
        let on = device::open_checked(&project.device)?;
        let times = calibrate(&project.device, &on, &mut tell_calibration, &|| false)?;
        let begin = Instant::now();
        let found = plan(&project, &base, Some(&times))?;
        let secs = begin.elapsed().as_secs_f64();
        let mut fits = Vec::new();
        if let Some(budget) = budget {
            for (place, turn) in
                project.turns()?.iter().enumerate().filter(|(_, turn)| turn.spec.data().is_none())
            {
                let source = open_source(&project, &base, place)?;
                let built = build_turn(&project, &base, turn, &turn.merged, source.as_ref())?;
                // What the process holds beside the stage is gone from the budget.
                let predicted = found.stages.get(place).and_then(|stage| stage.predicted.as_ref());
                let budget = budget.saturating_sub(predicted.map_or(0, |predicted| predicted.process_bytes));
                if let Some(found) = fit(turn, &built, source.as_ref(), Some(&times), budget)? {
                    fits.push((place, found));
                }
            }
        }
        if self.json {
            let mut object = serde_json::to_value(&found)?;
            object["plan_secs"] = json!(secs);
            for (place, fit) in &fits {
                object["stages"][*place]["fit"] = serde_json::to_value(fit)?;
            }
            line(&object.to_string())?;
            return Ok(Done::Well);
        }
        print(&found, &times)?;
        for (place, fit) in &fits {
            print_fit(*place, &found.stages[*place], fit)?;
        }
        Ok(Done::Well)
    }
}

fn print(found: &ProjectPlan, times: &Calibration) -> std::io::Result<()> {
    line(&format!(
        "{} parameters, {} of them adapters; times as measured on `{}` in {:.1} s. Everything below is predicted.",
        found.params_total, found.adapter_params, found.device, times.secs
    ))?;
    for (adapter, rule) in found.adapters.iter().zip(&found.rules) {
        let near =
            if rule.near.is_empty() { String::new() } else { format!("; not: {}", rule.near.join(", ")) };
        line(&format!(
            "  {} at {}: {} sites, {} parameters{near}",
            adapter.kind, adapter.at, adapter.sites, adapter.params
        ))?;
    }
    for (place, stage) in found.stages.iter().enumerate() {
        line(&format!(
            "\nstage {} ({}, {}): trains {}",
            place + 1,
            stage.name,
            stage.kind,
            stage.params_trainable
        ))?;
        if let Some(why) = &stage.why_not {
            line(&format!("  not predicted: {why}"))?;
        }
        if let Some(predicted) = &stage.predicted {
            print_stage(stage, predicted)?;
        }
        if let Some(cut) = &stage.cut {
            print_cut(cut)?;
        }
    }
    Ok(())
}

fn print_stage(stage: &StagePlan, predicted: &Predicted) -> std::io::Result<()> {
    let rows = [
        ("weights", predicted.weights_bytes),
        ("gradients", predicted.gradients_bytes),
        ("optimizer", predicted.optimizer_bytes),
        ("activations", predicted.activations_bytes),
        ("workspace", predicted.workspace_bytes),
        ("data", predicted.data_bytes),
        ("cache", predicted.cache_bytes),
        ("process", predicted.process_bytes),
    ];
    let parts: Vec<String> =
        rows.iter().map(|(name, bytes)| format!("{name} {}", bytes_text(*bytes))).collect();
    line(&format!("  bytes: {}", parts.join(", ")))?;
    if let Some(peak) = &stage.peak {
        let at = peak.node.as_ref().map_or_else(String::new, |node| format!(", at {node}"));
        line(&format!("  peak {} in {}{at}", bytes_text(predicted.peak_bytes), peak.phase))?;
    }
    line(&format!(
        "  step {:.1} ms: forward {:.1} (frozen {:.1}), backward {:.1}, optimizer {:.1}; {:.1} samples/s",
        1e3 * predicted.step_secs,
        1e3 * predicted.forward_secs,
        1e3 * predicted.frozen_forward_secs,
        1e3 * predicted.backward_secs,
        1e3 * predicted.optimizer_secs,
        predicted.samples_per_sec
    ))
}

fn print_cut(cut: &CutPlan) -> std::io::Result<()> {
    let pays = cut
        .break_even_epoch
        .map_or_else(|| "does not pay off".to_owned(), |epoch| format!("pays off in epoch {epoch}"));
    line(&format!(
        "  cache after {}: {} a sample, {} in all, built in {:.1} s, then {:.1} ms a step; {pays}",
        cut.after.join(", "),
        bytes_text(cut.bytes_per_sample),
        bytes_text(cut.bytes_total),
        cut.build_secs,
        1e3 * cut.step_secs
    ))
}

fn print_fit(place: usize, stage: &StagePlan, fit: &Fit) -> std::io::Result<()> {
    line(&format!("\nstage {} ({}) in {}:", place + 1, stage.name, bytes_text(fit.budget_bytes)))?;
    match &fit.choice {
        Some(choice) if choice.settings.is_empty() => line("  fits as it is")?,
        Some(choice) => {
            let settings: Vec<String> =
                choice.settings.iter().map(|setting| format!("--set 'stages.{place}.{setting}'")).collect();
            line(&format!(
                "  {} ({}, {:.2} times as long)",
                settings.join(" "),
                bytes_text(choice.peak_bytes),
                choice.slowdown
            ))?;
        }
        None => line(&format!(
            "  does not fit: the least is {}, by micro-batches of one sample and all blocks computed again; {}",
            bytes_text(fit.floor.bytes),
            fit.floor.why
        ))?,
    }
    for option in &fit.options {
        line(&format!(
            "    {} {:>2} micro-batches, {:>2} regions computed again{}{}: {}, {:.2} times as long",
            if option.fits { "+" } else { "-" },
            option.accumulate,
            option.recompute.len(),
            if option.cached { ", frozen part cached" } else { "" },
            match option.kept_bits {
                KeptBits::Full => "",
                KeptBits::Bits16 => ", activations in 16 bits",
                KeptBits::Bits8 => ", activations in 8 bits",
            },
            bytes_text(option.peak_bytes),
            option.slowdown
        ))?;
    }
    match fit.largest_batch {
        Some(batch) => line(&format!("  largest batch that fits at once: {batch}")),
        None => line("  not even one sample fits at once"),
    }
}
