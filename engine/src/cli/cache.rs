//! `graft cache`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Done, line};
use crate::cache::{stock, take_out};
use crate::project::bytes_text;

#[derive(Debug, Args)]
pub(super) struct Cache {
    /// Folder of cached values: that beside the run folders, or the one that a stage's `cache` names.
    #[arg(default_value = "runs/cache")]
    folder: PathBuf,
    /// Take out what no run has used for this many days; 0 takes everything out.
    #[arg(long, value_name = "DAYS")]
    unused_for: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

const DAY_SECS: u64 = 24 * 60 * 60;

impl Cache {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let mut kept = stock(&self.folder)?;
        let mut removed = Vec::new();
        if let Some(days) = self.unused_for {
            let least = days.saturating_mul(DAY_SECS);
            (removed, kept) = kept.into_iter().partition(|one| one.unused_secs >= least);
            removed.iter().try_for_each(take_out)?;
        }
        let sum = |all: &[crate::cache::Stock]| all.iter().map(|one| one.bytes).sum::<u64>();
        if self.json {
            let object =
                json!({ "folder": self.folder, "bytes": sum(&kept), "kept": kept, "removed": removed });
            line(&object.to_string())?;
            return Ok(Done::Well);
        }
        for one in &kept {
            let days = one.unused_secs / DAY_SECS;
            let used = if days == 0 { "used today".to_owned() } else { format!("used {days} days ago") };
            let key = one.path.file_name().unwrap_or_default().to_string_lossy();
            line(&format!("{}  {:>10}  {used:<18}  {}", &key[..12], bytes_text(one.bytes), one.of))?;
        }
        line(&format!("{} in {} sets of values", bytes_text(sum(&kept)), kept.len()))?;
        if self.unused_for.is_some() {
            line(&format!("{} taken out, {} sets", bytes_text(sum(&removed)), removed.len()))?;
        }
        Ok(Done::Well)
    }
}
