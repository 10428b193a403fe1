//! What earlier runs of a project measured node by node, read back from their logs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use super::event::{Event, EventBody, NodeProfile};
use super::folder::{RunFolder, folder_stem};

/// One step of a training stage, node by node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageProfile {
    /// The run that measured it.
    pub run: String,
    /// The stage's number, those within repetitions counted.
    pub stage: usize,
    /// Each op of the step's graph.
    pub nodes: Vec<NodeProfile>,
}

impl StageProfile {
    /// The profile that an event tells of, if it is one.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let EventBody::Profile { stage, nodes, .. } = &event.body else { return None };
        Some(Self { run: event.run.clone(), stage: *stage, nodes: nodes.clone() })
    }
}

/// Runs that are looked into, the newest first.
const RUNS: usize = 8;

/// For each stage the newest profile that a run of this project left below `runs`. The project is known by its name
/// and by `base`, the folder that its relative paths start from. What cannot be read is passed over.
#[must_use]
pub fn newest_profiles(runs: &Path, name: &str, base: &Path) -> BTreeMap<usize, StageProfile> {
    let mut found = BTreeMap::new();
    for folder in newest_runs(runs, name, base) {
        for profile in profiles(&folder) {
            found.entry(profile.stage).or_insert(profile);
        }
    }
    found
}

fn newest_runs(runs: &Path, name: &str, base: &Path) -> Vec<PathBuf> {
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
    let of_project = |path: &PathBuf| {
        RunFolder::origin(path).ok() == base
            && crate::project::load(&path.join("project.ron")).is_ok_and(|project| project.name == name)
    };
    folders.into_iter().map(|(_, path)| path).filter(of_project).take(RUNS).collect()
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
        let paths: Vec<(usize, &str)> =
            found.iter().map(|(stage, profile)| (*stage, profile.nodes[0].path.as_str())).collect();
        assert_eq!(paths, [(0, "newer"), (1, "older")]);
        assert!(newest_profiles(&base, "mine", &base).is_empty(), "no folder, no runs");
    }
}
