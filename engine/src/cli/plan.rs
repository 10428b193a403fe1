//! `graft plan`: what a project will cost, before anything is run.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::{Done, line, open_project, tell_calibration};
use crate::bench::calibrate;
use crate::device;
use crate::graph::KeptBits;
use crate::plan::{Calibration, calibration_is_off, kept_calibration};
use crate::project::{
    CutPlan, Fit, Predicted, Project, ProjectPlan, StagePlan, build_turn, bytes_text, fit, open_source,
    parse_bytes, plan,
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
    #[arg(long, allow_hyphen_values = true)]
    budget: Option<String>,
}

impl Plan {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let budget = self.budget.as_deref().map(parse_bytes).transpose().map_err(anyhow::Error::msg)?;
        let (project, base) =
            open_project(&self.project, self.variant.as_deref(), &self.settings, self.device.as_deref())?;
        project.check()?;
        let times = times(&project)?;
        let times = times.as_ref();
        let begin = Instant::now();
        let found = plan(&project, &base, times)?;
        let secs = begin.elapsed().as_secs_f64();
        let mut fits = Vec::new();
        if let Some(budget) = budget {
            for (place, turn) in
                project.turns()?.iter().enumerate().filter(|(_, turn)| turn.spec.data().is_none())
            {
                let source = open_source(&project, &base, place)?;
                let built = build_turn(&project, &base, turn, &turn.merged, source.as_ref())?;
                let predicted = found.stages.get(place).and_then(|stage| stage.predicted.as_ref());
                let process = predicted.map_or(0, |predicted| predicted.process_bytes);
                if let Some(found) = fit(turn, &built, source.as_ref(), times, budget, process)? {
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
        print(&found, times)?;
        if let Some(budget) = budget {
            for (place, stage) in found.stages.iter().enumerate() {
                match fits.iter().find(|(own, _)| *own == place) {
                    Some((_, fit)) => print_fit(place, stage, fit)?,
                    None => print_walk_in(place, stage, budget)?,
                }
            }
        }
        Ok(Done::Well)
    }
}

/// What ops take on the project's device; none with `GRAFT_CALIBRATE=off`, or where they cannot be kept.
fn times(project: &Project) -> anyhow::Result<Option<Calibration>> {
    let on = device::open_checked(&project.device)?;
    if calibration_is_off() {
        return Ok(kept_calibration(&project.device));
    }
    match calibrate(&project.device, &on, &mut tell_calibration, &|| false) {
        Ok(times) => Ok(Some(times)),
        Err(error) => {
            eprintln!("graft: {error}");
            Ok(None)
        }
    }
}

fn print(found: &ProjectPlan, times: Option<&Calibration>) -> std::io::Result<()> {
    let told = times.map_or_else(
        || "no times".to_owned(),
        |times| format!("times as measured on `{}` in {:.1} s", found.device, times.secs),
    );
    line(&format!(
        "{} parameters, {} of them adapters; {told}. Everything below is predicted.",
        found.params_total, found.adapter_params
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
        let trains = stage.params_trainable.filter(|count| *count > 0 || stage.kind == "train");
        let trains = trains.map_or_else(String::new, |count| format!(": trains {count}"));
        line(&format!("\nstage {} ({}, {}){trains}", place + 1, stage.name, stage.kind))?;
        if let Some(why) = &stage.why_not {
            line(&format!("  not predicted: {why}"))?;
        }
        if let Some(predicted) = &stage.predicted {
            print_stage(stage, predicted)?;
        }
        if let Some(cut) = &stage.cut {
            print_cut(stage, cut)?;
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
    if predicted.step_secs <= 0.0 {
        return Ok(());
    }
    let first = stage.cut.as_ref().filter(|_| predicted.cache_bytes > 0);
    let first = first.map_or_else(String::new, |cut| {
        format!("; while the cache is filled, {:.1} ms", 1e3 * cut.first_step_secs)
    });
    let what = if stage.kind == "train" { "step" } else { "batch" };
    line(&format!(
        "  {what} {:.1} ms: forward {:.1} (frozen {:.1}), backward {:.1}, optimizer {:.1}; {:.1} samples/s{first}",
        1e3 * predicted.step_secs,
        1e3 * predicted.forward_secs,
        1e3 * predicted.frozen_forward_secs,
        1e3 * predicted.backward_secs,
        1e3 * predicted.optimizer_secs,
        predicted.samples_per_sec
    ))
}

fn print_cut(stage: &StagePlan, cut: &CutPlan) -> std::io::Result<()> {
    let timed = if cut.step_secs > 0.0 {
        let pays = match cut.break_even_epoch {
            Some(epoch) if epoch <= stage.epochs as u64 => format!("pays off in epoch {epoch}"),
            Some(epoch) => format!("would pay off in epoch {epoch}, and the stage has {}", stage.epochs),
            None => "does not pay off".to_owned(),
        };
        format!(", built in {:.1} s, then {:.1} ms a step; {pays}", cut.build_secs, 1e3 * cut.step_secs)
    } else {
        String::new()
    };
    line(&format!(
        "  cache after {}: {} a sample, {} in all{timed}",
        cut.after.join(", "),
        bytes_text(cut.bytes_per_sample),
        bytes_text(cut.bytes_total)
    ))
}

/// How a stage that does not train stands to the budget.
fn print_walk_in(place: usize, stage: &StagePlan, budget: u64) -> std::io::Result<()> {
    let says = match &stage.predicted {
        Some(predicted) if predicted.peak_bytes <= budget => "fits as it is".to_owned(),
        Some(predicted) => {
            let over = bytes_text(predicted.peak_bytes - budget);
            format!(
                "does not fit, over by {over}; lower its `batch`, or `samples` where it writes a data set"
            )
        }
        // An edit works on the weights alone.
        None if stage.kind == "edit" => return Ok(()),
        None => "not predicted".to_owned(),
    };
    line(&format!("\nstage {} ({}) in {}:\n  {says}", place + 1, stage.name, bytes_text(budget)))
}

fn print_fit(place: usize, stage: &StagePlan, fit: &Fit) -> std::io::Result<()> {
    line(&format!("\nstage {} ({}) in {}:", place + 1, stage.name, bytes_text(fit.budget_bytes)))?;
    match &fit.choice {
        Some(choice) if choice.settings.is_empty() => line("  fits as it is")?,
        Some(choice) => {
            let settings: Vec<String> =
                choice.settings.iter().map(|setting| format!("--set '{}.{setting}'", stage.path)).collect();
            line(&format!(
                "  {} ({}, {:.2} times as long)",
                settings.join(" "),
                bytes_text(choice.peak_bytes),
                choice.slowdown
            ))?;
        }
        None => line(&format!(
            "  does not fit: the least is {}{}; {}",
            bytes_text(fit.floor.bytes),
            if fit.floor.settings.is_empty() {
                ", as it is set".to_owned()
            } else {
                format!(", by {}", fit.floor.settings.join(" "))
            },
            fit.floor.why
        ))?,
    }
    for option in &fit.options {
        line(&format!(
            "    {} batch {}, {:>2} micro-batches, {:>2} regions computed again{}{}: {}, {:.2} times as long",
            if option.fits { "+" } else { "-" },
            option.batch,
            option.accumulate,
            option.recompute.len(),
            match option.settings.iter().find_map(|setting| setting.strip_prefix("cache=")) {
                Some(setting) if option.cached => format!(", frozen part cached {setting}"),
                _ if option.cached => ", frozen part cached".to_owned(),
                _ => String::new(),
            },
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
