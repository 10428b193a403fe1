//! The proving graph by the ordinary code paths: inspect, train, kill and resume, recompute, gradients, export.
//!
//! What it holds and why stands at the top of `tests/src/proving.rs`. Its cells for `plan` and the cache come with
//! those.

#![expect(clippy::unwrap_used, clippy::float_cmp, reason = "a test may end at whatever is wrong")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use graft_engine::runs::{Event, EventBody, RunFolder};
use graft_engine::train::Checkpoint;
use graft_engine::weights::read_tensors;
use graft_tests::equal::same_bits;
use graft_tests::integers_of;
use graft_tests::proving::{PROJECT, write_data};
use serde_json::Value as Json;

/// A folder with the project and its data.
fn desk(samples: usize) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("proving.ron");
    std::fs::write(&project, PROJECT).unwrap();
    write_data(&folder.path().join("proving.safetensors"), samples).unwrap();
    (folder, project)
}

fn graft(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_graft-proving"));
    command.current_dir(folder).env("GRAFT_CALIBRATE", "off");
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let output = graft(folder).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn events(output: &[u8]) -> Vec<Event> {
    String::from_utf8_lossy(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every step's place, loss, terms and gradient norm.
fn losses(events: &[Event]) -> Vec<String> {
    let steps = events.iter().filter_map(|event| match &event.body {
        EventBody::Step { stage, repetition, step, loss, losses, grad_norm, .. } => {
            Some(format!("{stage}.{repetition}.{step}: {loss:?} {losses:?} {grad_norm:?}"))
        }
        _ => None,
    });
    steps.collect()
}

fn folder_of(desk: &Path, runs: &str, events: &[Event]) -> PathBuf {
    desk.join(runs).join(&events[0].run)
}

#[test]
fn inspect_shows_what_the_graph_is() {
    let (folder, _) = desk(24);
    let output = run(folder.path(), &["inspect", "proving.ron", "--json"]);
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    let paths = |list: &str| -> BTreeSet<String> {
        json[list].as_array().unwrap().iter().map(|x| x["path"].as_str().unwrap().to_owned()).collect()
    };
    let sites = paths("sites");
    for site in
        ["model.text.qkv", "model.text.qkv.query", "model.vision.fine", "model.P4", "model.experts.2.fc"]
    {
        assert!(sites.contains(site), "{site} in {sites:?}");
    }
    let kinds: BTreeSet<&str> =
        json["nodes"].as_array().unwrap().iter().map(|node| node["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["input", "op", "param", "state"]));
    assert_eq!(json["entries"]["decide"]["inputs"][0], "joint");
    // After the merge only what cannot be merged is left.
    let adapters: Vec<String> =
        paths("nodes").into_iter().filter(|path| path.contains(".adapter_")).collect();
    assert!(!adapters.is_empty());
    let stays = |path: &String| path.contains("P4.adapter_2") || path.starts_with("model.shared.adapter_3");
    assert!(adapters.iter().all(stays), "{adapters:?}");
    let text = run(folder.path(), &["inspect", "proving.ron"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("Proving graph"));
}

#[test]
fn every_kind_of_stage_runs_and_a_killed_run_goes_on_to_the_same_bits() {
    let (folder, _) = desk(40);
    // Long enough for a kill to come in time: what nobody reads fills the pipe, and the run waits.
    let longer = ["--set", "stages.0.epochs=12", "--set", "stages.2.stages.0.epochs=20"];
    let train = |runs: &str| {
        let mut command = graft(folder.path());
        command.args(["train", "proving.ron", "--json", "--runs", runs]).args(longer);
        command
    };
    let whole = events(&train("whole").output().unwrap().stdout);
    let names: Vec<String> = whole
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Stage { name, .. } => Some(name.clone()),
            _ => None,
        })
        .collect();
    let expected = [
        "whole",
        "where it matters",
        "adapters (rate = 0.02)",
        "adapters (rate = 0.005)",
        "features",
        "merge",
        "as it stands",
    ];
    assert_eq!(names, expected);
    assert!(matches!(whole.last().unwrap().body, EventBody::Finished { .. }));
    let first = losses(&whole).len();

    // Killed in the first stage, in its second epoch; in the second repetition; and behind the last step.
    let mut resumed_runs = 0;
    for stop in [first / 6, first / 3, first * 3 / 4, first - 1] {
        let runs = format!("cut-{stop}");
        let mut child = train(&runs).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut seen = 0;
        let mut id = String::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let event: Event = serde_json::from_str(&line.unwrap()).unwrap();
            id.clone_from(&event.run);
            seen += usize::from(matches!(event.body, EventBody::Step { .. }));
            if seen > stop {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let run_folder = folder.path().join(&runs).join(&id);
        let finished = RunFolder::events(&run_folder).unwrap().iter().any(|event| event.body.is_last());
        if finished {
            // It was quicker than the kill: nothing is left to resume.
            continue;
        }
        resumed_runs += 1;
        run(folder.path(), &["train", "--resume", &run_folder.to_string_lossy(), "--json"]);
        let resumed = RunFolder::events(&run_folder).unwrap();
        assert_eq!(losses(&resumed), losses(&whole), "killed after {seen} steps");
        let last = |folder: &Path| Checkpoint::read(&folder.join("checkpoints"), "last").unwrap().unwrap();
        let (cut, uncut) = (last(&run_folder), last(&folder_of(folder.path(), "whole", &whole)));
        assert_eq!(cut.position, uncut.position);
        assert_eq!(cut.params, uncut.params);
        assert_eq!(cut.optimizer, uncut.optimizer);
    }
    assert!(resumed_runs >= 2, "most kills come in time");
}

#[test]
fn recomputed_regions_train_to_the_same_bits() {
    let (folder, _) = desk(40);
    let plain = events(&run(folder.path(), &["train", "proving.ron", "--json"]).stdout);
    let regions = |stage: &str| {
        format!(r#"{stage}.recompute=["model.**.[0-9]", "model.{{vision,text}}", "model.joint"]"#)
    };
    let (first, third) = (regions("stages.0"), regions("stages.2.stages.0"));
    let arguments = ["train", "proving.ron", "--json", "--set", &first, "--set", &third];
    let recomputed = events(&run(folder.path(), &arguments).stdout);
    assert_eq!(losses(&recomputed), losses(&plain));
    let evals = |events: &[Event]| -> Vec<String> {
        let evals = events.iter().filter_map(|event| match &event.body {
            EventBody::Eval { loss, metrics, .. } => Some(format!("{loss:?} {metrics:?}")),
            _ => None,
        });
        evals.collect()
    };
    assert_eq!(evals(&recomputed), evals(&plain));
}

#[test]
fn what_stages_measure_and_write_is_there() {
    let (folder, _) = desk(40);
    let events = events(&run(folder.path(), &["train", "proving.ron", "--json"]).stdout);
    let done: Vec<(usize, usize)> = events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Done { stage, changed, .. } => Some((*stage, changed.len())),
            _ => None,
        })
        .collect();
    // Two masks; one data set; four merged weights.
    assert_eq!(done, [(1, 2), (3, 1), (4, 4)]);
    let run_folder = folder_of(folder.path(), "runs", &events);
    let checkpoint = Checkpoint::read(&run_folder.join("checkpoints"), "last").unwrap().unwrap();
    // After the merge nothing of the merged adapters is left.
    assert_eq!(checkpoint.position.stage, 4);
    assert!(checkpoint.params.keys().all(|path| !path.contains("adapter_1")));
    // A quarter of the entries have a value, each at a place of its own, when the adapters were last trained.
    let checkpoint = Checkpoint::read(&run_folder.join("checkpoints"), "best").unwrap().unwrap();
    let places = &checkpoint.params["model.joint.seen.adapter_1.places"];
    assert_eq!(places.shape, [2, 8]);
    let (rows, columns) = places.data.split_at(8);
    let flat: Vec<f32> = rows.iter().zip(columns).map(|(row, column)| row * 4.0 + column).collect();
    assert!(flat.is_sorted() && flat.windows(2).all(|pair| pair[0] != pair[1]), "{flat:?}");
    let values = &checkpoint.params["model.joint.seen.adapter_1.values"].data;
    assert_eq!(values.len(), 8);
    assert!(values.iter().any(|value| *value != 0.0));
    let file = run_folder.join("data/features.safetensors");
    let written = read_tensors(&file).unwrap();
    let samples = written["inputs"].shape[0];
    assert_eq!(written["inputs"].shape, [samples, 8]);
    assert_eq!(written["logits"].shape, [samples, 3]);
    assert_eq!(integers_of(&file, "labels").len(), samples);
    // A stage that trains before its masks are measured says so.
    let early = ["train", "proving.ron", "--set", "stages.0.adapters=\"All\""];
    let output = graft(folder.path()).args(early).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("must be measured first") && message.contains("Measure"), "{message}");
    let idle = ["train", "proving.ron", "--set", "stages.1.adapters=\"None\""];
    let output = graft(folder.path()).args(idle).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing to measure"));
    // Told before a folder is made.
    assert_eq!(std::fs::read_dir(folder.path().join("runs")).unwrap().count(), 1);
}

#[test]
fn adapters_go_out_and_come_in_with_the_same_bits() {
    let (folder, _) = desk(40);
    let events = events(&run(folder.path(), &["train", "proving.ron", "--json"]).stdout);
    let run_folder = folder_of(folder.path(), "runs", &events).to_string_lossy().into_owned();
    let output = run(folder.path(), &["export", &run_folder, "--format", "graft", "--out", "out", "--json"]);
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["max_difference"], 0.0);
    assert!(report["max_logit"].as_f64().unwrap() > 0.0);
    assert_eq!(report["samples"], 16.min(report["samples"].as_u64().unwrap()));
    let out = folder.path().join("out");
    let tensors = read_tensors(&out.join("adapter.safetensors")).unwrap();
    let checkpoint = Checkpoint::read_for_use(&Path::new(&run_folder).join("checkpoints")).unwrap().unwrap();
    assert_eq!(checkpoint.position.stage, 4, "the merge");
    for state in
        ["model.vision.norm.running_mean", "model.joint.centre", "model.P4.adapter_2.down.adapter_3.s"]
    {
        same_bits(&tensors[state].data, &checkpoint.params[state].data, state);
    }
    assert!(std::fs::read_to_string(out.join("adapter.ron")).unwrap().contains("Phm"));
    // One that stays beside the model cannot be merged, and says so.
    let merged = graft(folder.path())
        .args(["export", &run_folder, "--format", "merged", "--out", "merged"])
        .output()
        .unwrap();
    assert_eq!(merged.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&merged.stderr).contains("adapter 3 cannot be merged"));
    // A tensor of another model is told by name.
    // What is evaluated afterwards is what the run's own last stage evaluated: the model as the merge left it.
    let evaluated = run(folder.path(), &["eval", &run_folder, "--split", "validation", "--json"]);
    let again: Json = serde_json::from_slice(&evaluated.stdout).unwrap();
    let at_the_end = events.iter().find_map(|event| match &event.body {
        EventBody::Eval { stage: 5, loss, .. } => Some(*loss),
        _ => None,
    });
    let (again, at_the_end) = (again["loss"].as_f64().unwrap(), at_the_end.unwrap());
    assert!((again - at_the_end).abs() < 1e-6, "{again} {at_the_end}");
}
