//! `graft export`: what a run has trained, in the files of a library or merged.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Done, line};
use crate::export::{ExportOptions, Format, Spelling, TOLERANCE, export};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Graft,
    Peft,
    #[value(name = "adapterhub")]
    AdapterHub,
    Merged,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Names {
    Checkpoint,
    #[value(name = "transformers5")]
    Transformers5,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Run folder.
    run: PathBuf,
    /// `graft`: the adapters by themselves, of every kind; `peft`: LoRA or SHiRA; `adapterhub`: bottlenecks and
    /// Compacter; `merged`: a model folder with the adapters in its weights.
    #[arg(long, value_enum)]
    format: FormatName,
    /// Where to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// With `peft`, by which names: the checkpoint's (as in transformers 4), or those that modules have in transformers 5.
    #[arg(long, value_enum, default_value = "checkpoint")]
    names: Names,
    /// Largest difference of a logit between the run's model and what was written and read back, as a share of the
    /// largest logit.
    #[arg(long, default_value_t = TOLERANCE)]
    tolerance: f64,
    /// Keep what was written also when it differs more.
    #[arg(long)]
    force: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let spelling = match self.names {
            Names::Checkpoint => Spelling::Checkpoint,
            Names::Transformers5 => Spelling::Transformers5,
        };
        let format = match self.format {
            FormatName::Graft => Format::Graft,
            FormatName::Peft => Format::Peft(spelling),
            FormatName::AdapterHub => Format::AdapterHub,
            FormatName::Merged => Format::Merged,
        };
        let options = ExportOptions { format, tolerance: self.tolerance, force: self.force };
        let report = export(&self.run, &options, &self.out)?;
        if self.json {
            line(&serde_json::to_string(&report)?)?;
        } else {
            line(&format!(
                "{} tensors, {} bytes; read back, its logits on {} samples of `{}` differ by at most {:e} (mean {:e}, \
                 largest logit {:.4}; {:e} of it allowed): {}",
                report.tensors,
                report.bytes,
                report.samples,
                report.split,
                report.max_difference,
                report.mean_difference,
                report.max_logit,
                report.tolerance,
                self.out.display()
            ))?;
        }
        Ok(Done::Well)
    }
}
