//! Project files: all committed ones open and build, wrong ones say where and why, old ones keep opening.

#![expect(clippy::unwrap_used, reason = "a test may end at whatever is wrong")]

use std::path::Path;

use graft_engine::project::{build_stage, load, open_source, parse, set, to_text};
use graft_tests::{fixture, repository, tiny_project};

fn project_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "ron"))
        .collect();
    files.sort();
    files
}

#[test]
fn committed_projects_build_with_every_variant() {
    let folder = repository("projects");
    let files = project_files(&folder);
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let project = load(&file).unwrap();
        // What a project reads from outside the repository can only be checked where it is.
        if project.model.folders().iter().any(|path| !folder.join(path).is_dir()) {
            assert!(file.to_string_lossy().contains("dinov2"), "{} names a missing model", file.display());
            continue;
        }
        let mut all = vec![project.clone()];
        all.extend(project.variants.iter().map(|v| project.variant(&v.name).unwrap()));
        for project in all {
            for stage in 0..project.stages.len() {
                let source = open_source(&project, &folder, stage).unwrap();
                let built = build_stage(&project, &folder, stage, source.as_ref())
                    .unwrap_or_else(|error| panic!("{}: {error}", project.name));
                assert!(built.selection.count > 0 || project.stages[stage].as_train().is_none());
            }
            assert_eq!(parse(&to_text(&project).unwrap(), &file).unwrap(), project, "round trip");
        }
    }
}

#[test]
fn old_project_files_keep_opening() {
    for file in project_files(&fixture("projects")) {
        let project = load(&file).unwrap_or_else(|error| panic!("{error}"));
        assert!(!project.stages.is_empty());
    }
}

#[test]
fn errors_point_at_line_and_field() {
    let text = to_text(&tiny_project()).unwrap();
    let check = |text: &str, parts: &[&str]| {
        let error = parse(text, Path::new("p.ron")).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    };
    let line = text.lines().position(|l| l.contains("epochs:")).unwrap() + 1;
    check(
        &text.replacen("epochs:", "epoch:", 1),
        &[&format!("line {line}"), "epoch", "did you mean `epochs`?", "p.ron"],
    );
    check(&text.replacen("Lora(", "Lorra(", 1), &["Lorra", "Lora"]);
    check(&text.replacen("version: 2", "version: 99", 1), &["version 99", "newer graft"]);
    check("(", &["line 1"]);
}

#[test]
fn rules_that_match_nothing_name_the_nearest() {
    let base = repository("projects");
    let broken = set(&tiny_project(), "adapters.1.at", "model.temporal.blocks.*.attention.qeury").unwrap();
    let source = open_source(&broken, &base, 1).unwrap();
    let error = build_stage(&broken, &base, 1, source.as_ref()).unwrap_err().to_string();
    assert!(error.contains("adapter 2") && error.contains("attention.query"), "{error}");
    let misplaced = set(&tiny_project(), "adapters.0.at", "model.head").unwrap();
    let error = build_stage(&misplaced, &base, 1, source.as_ref()).unwrap_err().to_string();
    assert!(error.contains("does not fit at `model.head`") && error.contains("bridge"), "{error}");
    let frozen = set(&tiny_project(), "stages.1.freeze", "[\"model.spatail\"]").unwrap();
    let error = build_stage(&frozen, &base, 1, source.as_ref()).unwrap_err().to_string();
    assert!(error.contains("stage 2") && error.contains("model.spatial"), "{error}");
}

#[test]
fn settings_by_path() {
    let project = tiny_project();
    let changed = set(&project, "stages.0.epochs", "5").unwrap();
    let spec = changed.stages[0].as_train().unwrap();
    assert_eq!(spec.epochs, 5);
    let changed = set(&project, "stages.0.optimiser.learning_rate", "0.5").unwrap();
    let spec = changed.stages[0].as_train().unwrap();
    assert!((spec.optimiser.learning_rate() - 0.5).abs() < 1e-12);
    let error = set(&project, "stages.0.epoch", "5").unwrap_err().to_string();
    assert!(error.contains("no setting `stages.0.epoch`") && error.contains("epochs"), "{error}");
    let error = set(&project, "stages.7.epochs", "5").unwrap_err().to_string();
    assert!(error.contains("0 to 1"), "{error}");
    let error = set(&project, "stages.0.epochs", "many").unwrap_err().to_string();
    assert!(error.contains("cannot be `many`"), "{error}");
    let error = set(&project, "stages.0.batch", "0").unwrap_err().to_string();
    assert!(error.contains("1 or more"), "{error}");
}

/// What cannot work is told before anything runs, with what to do about it.
#[test]
fn stages_that_cannot_work_are_told() {
    let project = parse(
        &std::fs::read_to_string(fixture("projects/version_2.ron")).unwrap(),
        Path::new("version_2.ron"),
    )
    .unwrap();
    let check = |path: &str, value: &str, parts: &[&str]| {
        let error = set(&project, path, value).map(|_| ()).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{path} = {value}: `{part}` is not in: {error}");
        }
    };
    check("stages.5.edits", r#"[{"Merge": [9]}]"#, &["adapter 9", "lists 5"]);
    check("stages.5.edits", "[]", &["at least one edit"]);
    check("stages.0.instances", r#"[{"name": "model"}]"#, &["`model`", "free"]);
    check("stages.0.instances", r#"[{"name": "a.b"}]"#, &["`a.b`"]);
    check("stages.0.instances", r#"[{"name": "x", "of": "y"}]"#, &["`y`", "only `model`"]);
    check("stages.4.data", "\"nothing\"", &["`nothing`", "Generate"]);
    check("stages.2.into", r#"["0.epoch"]"#, &["0.epoch", "epochs"]);
    check("stages.2.over", "[]", &["at least one value"]);
    check("stages.2.over", r#"["many"]"#, &["many"]);
    check("stages.3.outputs", r#"[["inputs", "a"], ["inputs", "b"]]"#, &["`inputs` twice"]);
    check("stages.3.name", "\"a/b\"", &["names a file"]);
    check(
        "stages.0.losses",
        r#"[{"Distillation": {"teacher": "x", "temperature": 0}}]"#,
        &["temperature above 0"],
    );
    let turns: Vec<String> = project.turns().unwrap().iter().map(graft_engine::project::Turn::name).collect();
    assert_eq!(
        turns[2..6],
        ["one task (task = 0)", "evaluate (task = 0)", "one task (task = 1)", "evaluate (task = 1)"]
    );
    let turns = project.turns().unwrap();
    assert_eq!(turns[4].spec.as_train().unwrap().only, [("task".to_owned(), 1)]);
    assert_eq!((turns[6].stage, turns[4].stage, turns[4].repetition), (4, 2, 1));
    assert_eq!(turns[9].merged.iter().copied().collect::<Vec<_>>(), [0, 1]);
}
