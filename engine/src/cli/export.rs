//! `graft export`: what a run has trained, in a format of its own or merged.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Done, line};
use crate::export::{Format, export};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Graft,
    Merged,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Run folder.
    run: PathBuf,
    /// `graft`: the adapters by themselves; `merged`: a model folder with the adapters in its weights.
    #[arg(long, value_enum)]
    format: FormatName,
    /// Where to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let format = match self.format {
            FormatName::Graft => Format::Graft,
            FormatName::Merged => Format::Merged,
        };
        let report = export(&self.run, format, &self.out)?;
        if self.json {
            line(&serde_json::to_string(&report)?)?;
        } else {
            line(&format!(
                "{} tensors, {} bytes; read back, its logits on {} samples differ by at most {:e} (mean {:e}, \
                 largest logit {:.4}): {}",
                report.tensors,
                report.bytes,
                report.samples,
                report.max_difference,
                report.mean_difference,
                report.max_logit,
                report.folder.display()
            ))?;
        }
        Ok(Done::Well)
    }
}
