//! `graft eval` and `graft runs`.

use std::path::PathBuf;

use crate::data::Split;
use crate::runs::{EventBody, RunFolder, evaluate_run_under_noise};
use crate::train::headline;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Done, line};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SplitName {
    Train,
    Validation,
    Test,
}

#[derive(Debug, Args)]
pub(super) struct Eval {
    /// Run folder.
    run: PathBuf,
    /// Which part of the data.
    #[arg(long, value_enum, default_value = "test")]
    split: SplitName,
    /// Evaluate with noise on the adapters' parameters, once for each strength (0 is none): its deviation as a share
    /// of each parameter's own.
    #[arg(long, value_delimiter = ',', value_name = "SHARE")]
    noise: Vec<f64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let split = match self.split {
            SplitName::Train => Split::Train,
            SplitName::Validation => Split::Validation,
            SplitName::Test => Split::Test,
        };
        if let Some(wrong) = self.noise.iter().find(|share| !(share.is_finite() && **share >= 0.0)) {
            anyhow::bail!("--noise is {wrong}; it should be 0 or more");
        }
        let strengths = if self.noise.is_empty() { vec![0.0] } else { self.noise.clone() };
        let all = evaluate_run_under_noise(&self.run, split, &strengths)?;
        for (strength, found) in strengths.iter().zip(all) {
            if self.json {
                let mut event = json!({
                    "event": "eval", "split": split.name(), "loss": found.loss,
                    "metrics": found.metrics, "samples": found.samples,
                });
                if !self.noise.is_empty() {
                    event["noise"] = json!(strength);
                }
                line(&event.to_string())?;
                continue;
            }
            if !self.noise.is_empty() {
                line(&format!("noise {strength} of each parameter's deviation"))?;
            }
            for (name, value) in &found.metrics {
                line(&format!("{name} {:.2} %", value * 100.0))?;
            }
            line(&format!("loss {:.4} on {} samples of {}", found.loss, found.samples, split.name()))?;
        }
        Ok(Done::Well)
    }
}

#[derive(Debug, Args)]
pub(super) struct Runs {
    /// Folder of run folders.
    #[arg(default_value = "runs")]
    folder: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Runs {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let mut folders: Vec<PathBuf> = std::fs::read_dir(&self.folder)
            .map_err(|error| {
                anyhow::anyhow!("{error}; a folder of run folders was expected: {}", self.folder.display())
            })?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("events.jsonl").is_file())
            .collect();
        folders.sort();
        let mut rows = Vec::new();
        for folder in folders {
            let events = RunFolder::events(&folder)?;
            let steps = events.iter().filter(|e| matches!(e.body, EventBody::Step { .. })).count();
            let (state, metrics, secs) = match events.iter().rev().find(|e| e.body.is_last()).map(|e| &e.body)
            {
                Some(EventBody::Finished { metrics, secs, .. }) => ("finished", metrics.clone(), *secs),
                Some(EventBody::Failed { .. }) => ("failed", std::collections::BTreeMap::new(), 0.0),
                Some(EventBody::Stopped { .. }) => ("stopped", std::collections::BTreeMap::new(), 0.0),
                _ => ("open", std::collections::BTreeMap::new(), 0.0),
            };
            rows.push(json!({
                "run": folder.file_name().map(|n| n.to_string_lossy().into_owned()),
                "state": state, "steps": steps, "metrics": metrics, "secs": secs,
            }));
        }
        if self.json {
            line(&serde_json::to_string(&rows)?)?;
            return Ok(Done::Well);
        }
        for row in rows {
            let metrics = serde_json::from_value(row["metrics"].clone()).unwrap_or_default();
            let score = headline(&metrics).map_or_else(
                || "top-1 –".to_owned(),
                |(name, value)| format!("{name} {:.2} %", value * 100.0),
            );
            line(&format!(
                "{:<48} {:<9} {:>7} steps  {score}",
                row["run"].as_str().unwrap_or_default(),
                row["state"].as_str().unwrap_or_default(),
                row["steps"]
            ))?;
        }
        Ok(Done::Well)
    }
}
