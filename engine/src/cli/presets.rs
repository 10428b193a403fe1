//! `graft presets`: well-known combinations of adapters, as lines for a project file.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::Done;
use crate::adapters::{PRESETS, Preset};
use crate::project::written;

#[derive(Debug, Args)]
pub(super) struct Presets {
    /// The preset to write out; without it, all are listed.
    name: Option<String>,
    /// The number of adapters that the project has already: forms stand on the layers of a placement by its number.
    #[arg(long, default_value_t = 0, value_name = "N")]
    after: usize,
    /// The model instance.
    #[arg(long, default_value = "model")]
    instance: String,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

impl Presets {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let Some(name) = &self.name else {
            for preset in PRESETS {
                if self.json {
                    println!("{}", json!({ "name": preset.name, "description": preset.description }));
                } else {
                    println!("{:<34} {}", preset.name, preset.description);
                }
            }
            return Ok(Done::Well);
        };
        let preset = Preset::named(name).with_context(|| {
            let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
            let near = crate::graph::nearest(name, &names, 3).join(", ");
            format!("there is no preset `{name}`; the nearest are {near}")
        })?;
        for placement in preset.placements(&self.instance, self.after) {
            if self.json {
                println!("{}", serde_json::to_string(&placement)?);
            } else {
                println!("    {},", written(&placement)?);
            }
        }
        Ok(Done::Well)
    }
}
