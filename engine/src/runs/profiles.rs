//! What earlier runs of a project measured node by node, read back from their logs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::difference::{SettingRow, settings_difference};
use super::event::{Event, EventBody, NodeProfile};
use super::folder::{RunFolder, folder_stem};
use crate::project::Project;
use crate::train::{StageSpec, TrainSpec};

/// One step of a training stage, node by node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageProfile {
    /// The run that measured it.
    pub run: String,
    /// The stage's number, those within repetitions counted.
    pub stage: usize,
    /// Each op of the step's graph.
    pub nodes: Vec<NodeProfile>,
    /// The project as the run froze it, where that is known.
    pub project: Option<Arc<Project>>,
}

impl StageProfile {
    /// The profile that an event tells of, if it is one.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let EventBody::Profile { stage, nodes, .. } = &event.body else { return None };
        Some(Self { run: event.run.clone(), stage: *stage, nodes: nodes.clone(), project: None })
    }
}

/// Runs that are looked into, the newest first.
const RUNS: usize = 8;

/// For each stage the profiles that runs of this project left below `runs`, the newest first. The project is known by
/// its name and by `base`, the folder that its relative paths start from; its settings may have been others, as
/// [`cost_difference`] tells. What cannot be read is passed over.
#[must_use]
pub fn newest_profiles(runs: &Path, name: &str, base: &Path) -> BTreeMap<usize, Vec<StageProfile>> {
    let mut found: BTreeMap<usize, Vec<StageProfile>> = BTreeMap::new();
    for (folder, project) in newest_runs(runs, name, base) {
        for profile in profiles(&folder) {
            let of_stage = found.entry(profile.stage).or_default();
            of_stage.push(StageProfile { project: Some(Arc::clone(&project)), ..profile });
        }
    }
    found
}

/// Settings, other than those of adapters, for which a step of a stage keeps and takes something else in one project
/// than in another. Nothing is told where one of them has no such stage.
#[must_use]
pub fn cost_difference(first: &Project, second: &Project, stage: usize) -> Option<Vec<SettingRow>> {
    let (first, second) = (costs_of(first, stage)?, costs_of(second, stage)?);
    Some(settings_difference(&[&first, &second]).0)
}

/// A project of one stage, with everything at its default that a step's nodes do not cost anything for.
fn costs_of(project: &Project, stage: usize) -> Option<Project> {
    let turn = project.turns().ok()?.into_iter().find(|turn| turn.stage == stage)?;
    let StageSpec::Train(spec) = turn.spec else { return None };
    let spec = TrainSpec {
        frames: spec.frames,
        data: spec.data,
        train: spec.train,
        freeze: spec.freeze,
        adapters: spec.adapters,
        modes: spec.modes,
        instances: spec.instances,
        losses: spec.losses,
        recompute: spec.recompute,
        kept_bits: spec.kept_bits,
        cache: spec.cache,
        batch: spec.batch,
        accumulate: spec.accumulate,
        ..TrainSpec::default()
    };
    let (adapters, variants) = (Vec::new(), Vec::new());
    Some(Project { seed: 0, adapters, variants, stages: vec![StageSpec::Train(spec)], ..project.clone() })
}

fn newest_runs(runs: &Path, name: &str, base: &Path) -> Vec<(PathBuf, Arc<Project>)> {
    let Ok(entries) = std::fs::read_dir(runs) else { return Vec::new() };
    let stem = folder_stem(name);
    let mut folders: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let own = path.file_name()?.to_string_lossy().starts_with(&stem);
            let written = std::fs::metadata(path.join("events.jsonl")).ok()?.modified().ok()?;
            own.then_some((written, path))
        })
        .collect();
    folders.sort_by(|a, b| b.cmp(a));
    let base = std::path::absolute(base).ok();
    let of_project = |(_, path): (_, PathBuf)| {
        let project = crate::project::load(&path.join("project.ron")).ok()?;
        let same = RunFolder::origin(&path).ok() == base && project.name == name;
        same.then(|| (path, Arc::new(project)))
    };
    folders.into_iter().filter_map(of_project).take(RUNS).collect()
}

/// All profiles of a log. Of its lines, which may be many, no others are parsed.
fn profiles(folder: &Path) -> Vec<StageProfile> {
    let Ok(file) = File::open(folder.join("events.jsonl")) else { return Vec::new() };
    BufReader::new(file)
        .lines()
        .map_while(Result::ok)
        .filter(|line| line.contains("\"event\":\"profile\""))
        .filter_map(|line| StageProfile::of(&serde_json::from_str(&line).ok()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::parse;

    #[test]
    fn the_newest_run_of_the_same_project_counts() {
        let runs = tempfile::tempdir().unwrap();
        let base = runs.path().join("projects");
        let write = |name: &str, base: &Path, stages: &[usize], path: &str| {
            let text = format!(
                "(version: 2, name: {name:?}, model: Vit(width: 8, blocks: 1, heads: 1, patch: 8),
                data: Digits(folder: \"digits\"), stages: [Train(name: \"one\", epochs: 1, batch: 8)])"
            );
            let project = parse(&text, Path::new("mine.ron")).unwrap();
            let mut folder = RunFolder::create(runs.path(), &project, base).unwrap();
            for &stage in stages {
                let nodes = vec![NodeProfile { path: path.to_owned(), ..NodeProfile::default() }];
                let body = EventBody::Profile { stage, repetition: 0, step: 3, nodes };
                folder.append(&Event { run: folder.id(), time: 0.0, body }).unwrap();
            }
            // Times of files are what tells older from newer.
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        write("mine", &base, &[0, 1], "older");
        write("mine", &base, &[0], "newer");
        write("mine", runs.path(), &[0], "elsewhere");
        write("mine-too", &base, &[0, 2], "another");
        let found = newest_profiles(runs.path(), "mine", &base);
        let paths: Vec<(usize, Vec<&str>)> = found
            .iter()
            .map(|(stage, all)| (*stage, all.iter().map(|one| one.nodes[0].path.as_str()).collect()))
            .collect();
        assert_eq!(paths, [(0, vec!["newer", "older"]), (1, vec!["older"])]);
        let project = found[&0][0].project.as_ref().unwrap();
        assert_eq!(project.name, "mine", "with the project that it measured");
        assert!(newest_profiles(&base, "mine", &base).is_empty(), "no folder, no runs");
    }

    #[test]
    fn only_settings_that_a_step_costs_something_for_tell_measurements_apart() {
        let project = |settings: &str| {
            let text = format!(
                "(version: 2, name: \"mine\", model: Vit(width: 8, blocks: 1, heads: 1, patch: 8),
                data: Digits(folder: \"digits\"), stages: [Train(name: \"one\", {settings})])"
            );
            parse(&text, Path::new("mine.ron")).unwrap()
        };
        let apart = |settings: &str| -> Vec<String> {
            let first = project("epochs: 1, batch: 8");
            let rows = cost_difference(&first, &project(settings), 0).unwrap();
            rows.into_iter().map(|row| row.path).collect()
        };
        assert!(apart("epochs: 9, batch: 8, evaluate_every: 0, clip_norm: Some(1.0)").is_empty());
        assert_eq!(apart("epochs: 1, batch: 16"), ["stages.0.Train.batch"]);
        assert_eq!(apart("epochs: 1, batch: 8, accumulate: 2"), ["stages.0.Train.accumulate"]);
        assert_eq!(apart("epochs: 1, batch: 8, recompute: [\"model.blocks.*\"]").len(), 1);
        assert_eq!(cost_difference(&project("batch: 8"), &project("batch: 8"), 1), None, "no such stage");
    }
}
