//! The command line as a user meets it: exit codes, JSON lines, wrong input, interruption, a kill.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const PROJECT: &str = r#"(
    version: 1,
    name: "tiny",
    seed: 3,
    model: Vivit(
        spatial: Vit(width: 16, blocks: 1, heads: 2, mlp: 24, patch: 8),
        temporal: (blocks: 1, heads: 2, mlp: 24),
    ),
    data: MovingDigits(
        folder: "DIGITS", frames: 8, size: 24, digit: 12, train: 64, validation: 16, test: 24,
    ),
    adapters: [(at: "model.bridge", kind: Bridge(width: 4))],
    stages: [
        Train(name: "one", frames: 4, adapters: None, epochs: 1, batch: 16),
        Train(name: "two", freeze: ["model.spatial"], epochs: 2, batch: 4),
    ],
    variants: [
        (name: "all", adapters: [], set: [("stages.1.freeze", "[]")]),
        (name: "frozen", choose: (setting: "stages.1.optimiser.learning_rate", among: [1e-3, 1e-4])),
    ],
)"#;

/// Optimiser steps of the project above.
const STEPS: usize = 4 + 32;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A fresh folder with the project in it, changed by `edit`.
fn desk(edit: impl Fn(String) -> String) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let digits = repository().join("assets/digits");
    let text = PROJECT.replace("DIGITS", &digits.to_string_lossy().replace('\\', "/"));
    let path = folder.path().join("tiny.ron");
    std::fs::write(&path, edit(text)).unwrap();
    (folder, path)
}

fn graft(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_graft"));
    command
        .current_dir(folder)
        .env_remove("RUST_BACKTRACE")
        .env("GRAFT_CALIBRATE", "off")
        .stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    graft(folder).args(arguments).output().unwrap()
}

fn events(text: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(text).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

fn losses(events: &[Value]) -> Vec<(u64, u64, f64)> {
    of(events, "step")
        .iter()
        .map(|e| (e["stage"].as_u64().unwrap(), e["step"].as_u64().unwrap(), e["loss"].as_f64().unwrap()))
        .collect()
}

fn log(run_folder: &Path) -> Vec<Value> {
    events(&std::fs::read(run_folder.join("events.jsonl")).unwrap())
}

/// Runs a command that must fail as one the user can act on, and gives its one paragraph.
fn complaint(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
    assert!(message.starts_with("graft: ") && !message.contains("panicked"), "{message}");
    assert!(output.stdout.is_empty(), "nothing but results goes to stdout");
    message
}

#[test]
fn json_lines_from_started_to_finished_and_nothing_else() {
    let (folder, _) = desk(|text| text);
    let output = run(folder.path(), &["train", "tiny.ron", "--json", "--runs", "out"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let events = events(&output.stdout);
    assert_eq!(events[0]["event"], "started");
    assert_eq!(events.last().unwrap()["event"], "finished");
    assert_eq!(losses(&events).len(), STEPS);
    assert_eq!(of(&events, "stage").len(), 2);
    let run_id = events[0]["run"].as_str().unwrap();
    assert!(events.iter().all(|event| event["run"] == run_id && event["time"].is_number()));
    let run_folder = folder.path().join("out").join(run_id);
    assert_eq!(log(&run_folder), events, "the log holds what stdout had");

    // The best checkpoint can be evaluated, and runs are listed.
    let output = run(folder.path(), &["eval", &run_folder.to_string_lossy(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["samples"], 24);
    assert!(found["metrics"]["top1"].is_number());
    let listed = run(folder.path(), &["runs", "out", "--json"]);
    let rows: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&rows[0]["run"], &rows[0]["state"]), (&Value::from(run_id), &Value::from("finished")));

    // A finished run is not gone on with.
    let message = complaint(folder.path(), &["train", "--resume", &run_folder.to_string_lossy()]);
    assert!(message.contains("finished"), "{message}");
}

#[test]
fn a_killed_run_goes_on_to_the_same_losses() {
    let (folder, _) = desk(|text| text);
    let whole = events(&run(folder.path(), &["train", "tiny.ron", "--json", "--runs", "whole"]).stdout);
    // Killed, not asked, early in the second stage's second epoch.
    let mut child = graft(folder.path())
        .args(["train", "tiny.ron", "--json", "--runs", "cut"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut id = String::new();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        event["run"].as_str().unwrap().clone_into(&mut id);
        seen += usize::from(event["event"] == "step");
        if seen == 4 + 16 + 2 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run_folder = folder.path().join("cut").join(&id);
    assert!(log(&run_folder).iter().all(|event| event["event"] != "finished"));
    let output = run(folder.path(), &["train", "--resume", &run_folder.to_string_lossy(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let resumed = log(&run_folder);
    assert_eq!(losses(&resumed), losses(&whole));
    let metrics = |events: &[Value]| of(events, "finished")[0]["metrics"].clone();
    assert_eq!(metrics(&resumed), metrics(&whole));
    assert!(losses(&events(&output.stdout)).len() < STEPS, "only what was missing was done again");
}

#[test]
fn a_kill_leaves_a_sound_cache() {
    let (folder, _) = desk(|text| {
        text.replace(r#"freeze: ["model.spatial"]"#, r#"freeze: ["model.spatial"], cache: (memory_bytes: 0)"#)
    });
    let plain = ["train", "tiny.ron", "--json", "--runs", "plain", "--set", "stages.1.cache=None"];
    let plain = events(&run(folder.path(), &plain).stdout);
    let cache = |events: &[Value], field: &str| of(events, "cache").last().unwrap()[field].as_u64().unwrap();
    let close = |found: &[Value]| {
        let (found, wanted) = (losses(found), losses(&plain));
        assert_eq!(found.len(), wanted.len());
        for ((.., found), (.., wanted)) in found.into_iter().zip(wanted) {
            assert!((found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "{found} {wanted}");
        }
    };
    // While the cache is built, and when it has been.
    for (runs, steps) in [("early", 4 + 7), ("late", 4 + 16 + 2)] {
        let mut child = graft(folder.path())
            .args(["train", "tiny.ron", "--json", "--runs", runs])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut id = String::new();
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            event["run"].as_str().unwrap().clone_into(&mut id);
            seen += usize::from(event["event"] == "step");
            if seen == steps {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let run_folder = folder.path().join(runs).join(&id);
        let output = run(folder.path(), &["train", "--resume", &run_folder.to_string_lossy(), "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        close(&log(&run_folder));
        if runs == "late" {
            // Training and validation clips were there; the test clips were not.
            assert_eq!(cache(&events(&output.stdout), "built"), 24);
        }
        let again = events(&run(folder.path(), &["train", "tiny.ron", "--json", "--runs", runs]).stdout);
        close(&again);
        assert_eq!(cache(&again, "built"), 0);
        assert_eq!(cache(&again, "hits"), 2 * (64 + 16) + 24);
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_saves_and_exits_with_130() {
    let (folder, _) = desk(|text| text.replace("epochs: 2", "epochs: 500"));
    let mut child = graft(folder.path())
        .args(["train", "tiny.ron", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut all = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        all.push(event);
        if all.len() == 12 {
            let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
            assert!(sent.success());
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(all.last().unwrap()["event"], "stopped");
    let folder = folder.path().join("runs").join(all[0]["run"].as_str().unwrap());
    assert!(folder.join("checkpoints/last.json").is_file());
}

#[test]
fn what_is_wrong_is_told_once_with_what_to_do() {
    let (folder, _) = desk(|text| text);
    let here = folder.path();
    let expect = |arguments: &[&str], parts: &[&str]| {
        let message = complaint(here, arguments);
        for part in parts {
            assert!(message.contains(part), "{arguments:?}: {message:?} lacks {part:?}");
        }
        assert!(message.lines().count() <= 3, "one paragraph: {message}");
    };
    expect(&["train", "nowhere.ron"], &["nowhere.ron"]);
    expect(&["train", "tiny.ron", "--set", "stages.1.epoch=2"], &["epoch", "epochs"]);
    expect(&["train", "tiny.ron", "--set", "stages.1.epochs=many"], &["many"]);
    expect(&["train", "tiny.ron", "--set", "stages.1.epochs"], &["PATH=VALUE"]);
    expect(&["train", "tiny.ron", "--device", "flexx"], &["flexx"]);
    expect(&["train", "tiny.ron", "--variant", "frozzen"], &["frozzen", "frozen"]);
    expect(&["train", "tiny.ron", "--set", "data.folder=\"nowhere\""], &["nowhere"]);
    expect(&["eval", "nowhere"], &["nowhere"]);
    expect(&["inspect", "nowhere"], &["nowhere"]);
    expect(&["sweep", "tiny.ron", "--set", "variants=[]"], &["variants"]);

    let wrong = |edit: fn(String) -> String, parts: &[&str]| {
        let (folder, path) = desk(edit);
        let message = complaint(folder.path(), &["train", &path.to_string_lossy()]);
        for part in parts {
            assert!(message.contains(part), "{message:?} lacks {part:?}");
        }
        assert!(!folder.path().join("runs").exists(), "nothing begins that cannot work");
    };
    wrong(|text| text.replace("seed: 3", "sede: 3"), &["line 4", "sede", "seed"]);
    wrong(|text| text.replace("version: 1", "version: 99"), &["99"]);
    wrong(|text| text.replace("model.bridge", "model.brigde"), &["model.brigde", "model.bridge"]);
    wrong(|text| text.replace("model.spatial", "model.spacial"), &["model.spacial", "model.spatial"]);
    wrong(|text| text.replace("frames: 8", "frames: 9"), &["frames"]);
    wrong(|text| text.replace("heads: 2, mlp: 24, patch", "heads: 3, mlp: 24, patch"), &["3", "16"]);
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["tain"][..], &["train"], &["train", "a.ron", "--seed", "x"], &["forward"]] {
        assert_eq!(run(folder.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(run(folder.path(), &["--help"]).status.code(), Some(0));
}

#[test]
fn a_sweep_prints_one_table_and_can_take_over_finished_runs() {
    let (folder, _) = desk(|text| text.replace("epochs: 2", "epochs: 1"));
    let arguments = ["sweep", "tiny.ron", "--seeds", "2", "--json", "--runs", "out"];
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let first = events(&output.stdout);
    let table = first.last().unwrap()["table"].clone();
    assert_eq!(table["seeds"], serde_json::json!([3, 4]));
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["top1"].as_array().unwrap().len(), 2);
    assert!(rows[1]["chosen"].as_str().unwrap().contains("learning_rate"));
    assert!(rows[1]["trainable"].as_u64().unwrap() < rows[0]["trainable"].as_u64().unwrap());
    // Two runs of the first variant; two candidates, of which one counts, and a second seed of the other.
    assert_eq!(of(&first, "finished").len(), 2 + 3);

    let again = events(&run(folder.path(), &[&arguments[..], &["--reuse"]].concat()).stdout);
    assert_eq!(of(&again, "finished").len(), 0, "nothing was done again");
    assert_eq!(again.last().unwrap()["table"], table);
}

#[test]
fn inspect_forward_and_devices() {
    let (folder, _) = desk(|text| text);
    let here = folder.path();
    let graph: Value = serde_json::from_slice(&run(here, &["inspect", "tiny.ron", "--json"]).stdout).unwrap();
    assert!(graph["params_total"].as_u64() > graph["params_trainable"].as_u64());
    let sites: Vec<&str> =
        graph["sites"].as_array().unwrap().iter().filter_map(|site| site["path"].as_str()).collect();
    for site in ["model.bridge", "model.temporal.blocks.0.attention.query", "model.temporal.blocks.0.P4"] {
        assert!(sites.contains(&site), "{site} is not among {sites:?}");
    }
    let text = String::from_utf8(run(here, &["inspect", "tiny.ron"]).stdout).unwrap();
    assert!(text.contains("temporal") && text.contains("parameters"), "{text}");

    let rows: Value = serde_json::from_slice(&run(here, &["devices", "--json"]).stdout).unwrap();
    let flex = rows.as_array().unwrap().iter().find(|row| row["name"] == "flex").unwrap();
    assert_eq!(flex["usable"], true);

    let model = repository().join("tests/fixtures/vit_tiny");
    let input = model.join("io.safetensors");
    let arguments = [
        "forward",
        "--model",
        &*model.to_string_lossy(),
        "--input",
        &*input.to_string_lossy(),
        "--output",
        "out.safetensors",
    ];
    let output = run(here, &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let grey = here.join("grey.safetensors");
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1, 1, 30, 30], &[0; 3600]);
    safetensors::serialize_to_file([("pixel_values", view.unwrap())], None, &grey).unwrap();
    let mut wrong = arguments;
    let grey = grey.to_string_lossy();
    wrong[4] = &*grey;
    let message = complaint(here, &wrong);
    assert!(message.contains("[1, 1, 30, 30]") && message.contains("[batch, 3, "), "{message}");

    let bytes = std::fs::read(here.join("out.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.names().contains(&"last_hidden_state"), "{:?}", file.names());
}

#[test]
fn a_run_that_profiles_no_step_has_the_same_losses() {
    let (folder, _) = desk(|text| text);
    let arguments = ["train", "tiny.ron", "--json", "--runs", "out"];
    let with = events(&run(folder.path(), &arguments).stdout);
    let without =
        events(&graft(folder.path()).args(arguments).env("GRAFT_PROFILE", "off").output().unwrap().stdout);
    assert_eq!((of(&with, "profile").len(), of(&without, "profile").len()), (2, 0));
    assert_eq!(losses(&with), losses(&without));
    let node = &of(&with, "profile")[0]["nodes"][0];
    for field in ["path", "forward_secs", "backward_secs", "bytes", "predicted_bytes"] {
        assert!(!node[field].is_null(), "a node's profile lacks {field}");
    }
}
