//! Run folders with made-up numbers, always the same: for pictures that are compared, never for pictures that are shown.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test may end at whatever is wrong")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use graft_engine::project::Project;
use graft_engine::runs::{Event, EventBody, Loaded, RunFolder};

/// Steps of the made-up run.
const STEPS: u32 = 120;

/// A finished run of one stage in `runs`, under this name; `ease` makes it learn faster, `weights` train in it.
pub fn run(runs: &Path, name: &str, project: &Project, base: &Path, ease: f64, weights: u64) -> PathBuf {
    let mut folder = RunFolder::create(runs, project, base).unwrap();
    let tell = |folder: &mut RunFolder, time: f64, body: EventBody| {
        folder.append(&Event { run: name.to_owned(), time, body }).unwrap();
    };
    tell(
        &mut folder,
        0.0,
        EventBody::Started {
            project: project.name.clone(),
            device: "flex".to_owned(),
            seed: 1,
            params_total: 700_000,
            params_trainable: weights,
            stages: 1,
            folder: name.to_owned(),
            predicted: None,
            classes: Vec::new(),
            resumed_at: None,
        },
    );
    tell(
        &mut folder,
        0.1,
        EventBody::Stage {
            stage: 0,
            repetition: 0,
            name: "only".to_owned(),
            turn: 0,
            kind: "train".to_owned(),
            trainable: weights,
            loaded: Loaded::default(),
            epochs: 3,
            steps: u64::from(STEPS),
            predicted: None,
        },
    );
    for step in 1..=STEPS {
        let x = f64::from(step);
        let epoch = (step - 1) / 40;
        let wave = (0.7 * x).sin();
        let loss = 2.0 * (-ease * x / 60.0).exp() + 0.05 * wave + 0.1;
        tell(
            &mut folder,
            0.05 * x,
            EventBody::Step {
                stage: 0,
                repetition: 0,
                epoch: epoch as usize,
                step: u64::from(step),
                loss,
                losses: BTreeMap::new(),
                lr: 1e-3 * (1.0 - x / 240.0),
                grad_norm: 1.5 * (-x / 90.0).exp() + 0.1 * wave.abs(),
                samples_per_sec: 600.0 + 20.0 * wave,
                data_secs: 0.002,
                forward_secs: 0.018 + 0.001 * wave,
                frozen_forward_secs: 0.008,
                backward_secs: 0.024,
                optimizer_secs: 0.004,
                live_bytes: 60 << 20,
                peak_bytes: 90 << 20,
                stage_peak_bytes: 90 << 20,
            },
        );
        if step % 40 == 0 {
            let top1 = 1.0 - 0.8 * (-ease * x / 70.0).exp();
            let last = step == STEPS;
            tell(
                &mut folder,
                0.05 * x,
                EventBody::Eval {
                    stage: 0,
                    repetition: 0,
                    epoch: epoch as usize,
                    step: u64::from(step),
                    split: if last { "test" } else { "validation" }.to_owned(),
                    closing: last,
                    loss: loss + 0.05,
                    metrics: BTreeMap::from([("top1".to_owned(), top1)]),
                    samples: 500,
                    confusion: Vec::new(),
                    predictions: Vec::new(),
                },
            );
        }
    }
    let top1 = 1.0 - 0.8 * (-ease * f64::from(STEPS) / 70.0).exp();
    tell(
        &mut folder,
        6.5,
        EventBody::Finished {
            secs: 6.5,
            steps: u64::from(STEPS),
            metrics: BTreeMap::from([("top1".to_owned(), top1)]),
            peak_bytes: 90 << 20,
            samples_per_sec: 600.0,
        },
    );
    let made = folder.path().to_path_buf();
    drop(folder);
    let path = runs.join(name);
    std::fs::rename(made, &path).unwrap();
    path
}
