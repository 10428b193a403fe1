//! `graft switch`: adapters put into a model's weights and taken out again, timed, and how they get on together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::{Done, line};
use crate::device;
use crate::export::{Adapter, Delta, interference};
use crate::models;
use crate::weights::{Tensor, load};

#[derive(Debug, Args)]
pub(super) struct Switch {
    /// Model folder.
    #[arg(long)]
    model: PathBuf,
    /// Adapter folders, as `graft export --format graft` writes them.
    #[arg(long, value_name = "DIR", required = true)]
    adapter: Vec<PathBuf>,
    /// How often each is put in and taken out; medians are told.
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Switch {
    pub(super) fn run(self) -> anyhow::Result<Done> {
        let device = device::open_checked("flex")?;
        let resolved = models::open(&self.model)?;
        let graph = resolved.architecture.build("model")?;
        let (params, _) = load(&graph, resolved.weights.as_ref(), 0, &device)?;
        let mut weights: BTreeMap<String, Tensor> = params
            .iter()
            .map(|(path, value)| (path.to_owned(), Tensor { shape: value.shape(), data: value.to_f32() }))
            .collect();
        let all: usize = weights.values().map(|tensor| tensor.data.len()).sum();
        let mut deltas = Vec::new();
        for folder in &self.adapter {
            let named = || folder.display().to_string();
            let adapter = Adapter::read(folder)?;
            let begin = Instant::now();
            let delta = Delta::of(&adapter, &graph, &params, &device).with_context(named)?;
            let fuse_secs = begin.elapsed().as_secs_f64();
            let (mut put, mut take) = (Vec::new(), Vec::new());
            let before = weights.clone();
            for _ in 0..self.rounds.max(1) {
                let begin = Instant::now();
                let displaced = delta.apply(&mut weights);
                put.push(begin.elapsed().as_secs_f64());
                let begin = Instant::now();
                displaced.restore(&mut weights);
                take.push(begin.elapsed().as_secs_f64());
            }
            anyhow::ensure!(weights == before, "the weights did not come back as they were: {}", named());
            let [apply_secs, remove_secs] = [put, take].map(median);
            #[expect(clippy::cast_precision_loss, reason = "counts of weights fit an f64")]
            let share = delta.entries() as f64 / all.max(1) as f64;
            if self.json {
                let row = json!({
                    "adapter": named(), "fuse_secs": fuse_secs, "apply_secs": apply_secs,
                    "remove_secs": remove_secs, "changed": delta.entries(), "share": share,
                });
                line(&row.to_string())?;
            } else {
                line(&format!(
                    "{}: {} weights ({:.2} %); computed in {:.2} ms, put in {:.3} ms, taken out {:.3} ms",
                    named(),
                    delta.entries(),
                    share * 100.0,
                    fuse_secs * 1e3,
                    apply_secs * 1e3,
                    remove_secs * 1e3
                ))?;
            }
            deltas.push((named(), delta));
        }
        for (at, (first, a)) in deltas.iter().enumerate() {
            for (second, b) in &deltas[at + 1..] {
                let found = interference(a, b, &weights);
                if self.json {
                    let row = json!({
                        "pair": [first, second], "overlap": found.overlap,
                        "mean_product": found.mean_product, "zero_share": found.zero_share,
                    });
                    line(&row.to_string())?;
                } else {
                    line(&format!(
                        "{first} and {second}: {:.2} % of their weights in common, |A₁ᵀA₂| {:.3e} in the mean, \
                         {:.2} % of it zero",
                        found.overlap * 100.0,
                        found.mean_product,
                        found.zero_share * 100.0
                    ))?;
                }
            }
        }
        Ok(Done::Well)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
