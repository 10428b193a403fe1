//! `graft train` and `graft sweep`.

use std::path::PathBuf;
use std::sync::Arc;

use crate::runs::{self, Event, Outcome, RunOptions, SweepError, SweepOptions};
use crate::train::Control;
use clap::Args;

use super::interrupt::Interrupt;
use super::prepare_times;
use super::progress::Progress;
use super::{Done, line, open_project};

#[derive(Debug, Args)]
pub(super) struct Train {
    /// Project file.
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    project: Option<PathBuf>,
    /// Go on with this run, exactly where it stopped or was killed.
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["settings", "seed", "device", "variant"])]
    resume: Option<PathBuf>,
    /// Print events as JSON lines.
    #[arg(long)]
    json: bool,
    /// Compute device.
    #[arg(long)]
    device: Option<String>,
    /// Where run folders go.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    runs: PathBuf,
    /// Seed in place of the project's.
    #[arg(long)]
    seed: Option<u64>,
    /// Run this variant of the project.
    #[arg(long)]
    variant: Option<String>,
    /// Change a setting, as in stages.0.epochs=2.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    settings: Vec<String>,
}

impl Train {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let control = Arc::new(Control::new());
        let _interrupt = Interrupt::listen(&control)?;
        let mut output = Output::new(self.json);
        let mut sink = |event: &Event| output.take(event);
        let summary = if let Some(folder) = &self.resume {
            runs::resume(folder, &control, &mut sink)
        } else {
            let path = self.project.unwrap_or_default();
            let (mut project, base) =
                open_project(&path, self.variant.as_deref(), &self.settings, self.device.as_deref())?;
            project.seed = self.seed.unwrap_or(project.seed);
            prepare_times(&project);
            runs::train(&project, &base, &RunOptions { runs: self.runs }, &control, &mut sink)
        };
        output.finish()?;
        Ok(match summary?.outcome {
            Outcome::Finished => Done::Well,
            Outcome::Stopped => Done::Interrupted,
        })
    }
}

/// Events to stdout as JSON, or progress to stderr.
struct Output {
    json: bool,
    progress: Progress,
    error: Option<std::io::Error>,
}

impl Output {
    fn new(json: bool) -> Self {
        Self { json, progress: Progress::new(), error: None }
    }

    fn take(&mut self, event: &Event) {
        if !self.json {
            self.progress.show(event);
        } else if self.error.is_none()
            && let Err(error) = serde_json::to_string(event).map_err(Into::into).and_then(|text| line(&text))
        {
            // Nobody reads any more; the run goes on and its log has the events.
            self.error = Some(error);
        }
    }

    fn finish(self) -> std::io::Result<()> {
        self.error.map_or(Ok(()), Err)
    }
}

#[derive(Debug, Args)]
pub(super) struct Sweep {
    /// Project file with variants.
    project: PathBuf,
    /// Seeds to run, from the project's own on.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Only these variants; the first one listed in the project that runs is what others are compared with.
    #[arg(long)]
    only: Vec<String>,
    /// Print events as JSON lines, and the table last.
    #[arg(long)]
    json: bool,
    /// Compute device.
    #[arg(long)]
    device: Option<String>,
    /// Where run folders go.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    runs: PathBuf,
    /// Take over runs of the very same project that finished in DIR before, instead of doing them again.
    #[arg(long)]
    reuse: bool,
    /// Change a setting in every variant that keeps it, as in data.train=100.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    settings: Vec<String>,
}

impl Sweep {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let (project, base) = open_project(&self.project, None, &self.settings, self.device.as_deref())?;
        let control = Arc::new(Control::new());
        let interrupt = Interrupt::listen(&control)?;
        let mut output = Output::new(self.json);
        let options = SweepOptions {
            seeds: self.seeds,
            only: self.only,
            run: RunOptions { runs: self.runs },
            reuse: self.reuse,
        };
        let table = runs::sweep(&project, &base, &options, &control, &mut |event| output.take(event));
        output.finish()?;
        let table = match table {
            Err(SweepError::Stopped) if interrupt.caught() => return Ok(Done::Interrupted),
            other => other?,
        };
        if self.json {
            line(&serde_json::json!({ "event": "table", "table": table }).to_string())?;
        } else {
            line(&table.markdown())?;
        }
        Ok(Done::Well)
    }
}
