//! What tells projects apart: settings by path, and placements by rule.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::adapters::Placement;
use crate::project::{Project, written};

/// A setting that is not the same in all projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingRow {
    /// Its path, as `--set` takes it.
    pub path: String,
    /// Its value in each project, where it has one.
    pub values: Vec<Option<String>>,
}

/// A rule that does not place the same adapters in all projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementRow {
    /// The rule.
    pub at: String,
    /// What it places in each project; nothing where the project does not have it.
    pub placed: Vec<Vec<String>>,
    /// The letters of what it places.
    pub letters: Vec<Vec<char>>,
}

/// All settings of a project by path.
#[must_use]
pub fn settings(project: &Project) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    if let Ok(value) = serde_json::to_value(project) {
        flatten("", &value, &mut found);
    }
    found
}

fn flatten(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
    let join = |part: &str| if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") };
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (name, inner) in map {
                flatten(&join(name), inner, found);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (place, inner) in items.iter().enumerate() {
                flatten(&join(&place.to_string()), inner, found);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            found.insert(path.to_owned(), text.clone());
        }
        other => {
            found.insert(path.to_owned(), other.to_string());
        }
    }
}

/// Settings that differ, and how many there are in all. What says nothing about training (names, descriptions,
/// variants) and what [`placement_difference`] tells is left out.
#[must_use]
pub fn settings_difference(projects: &[&Project]) -> (Vec<SettingRow>, usize) {
    let all: Vec<BTreeMap<String, String>> = projects.iter().map(|project| settings(project)).collect();
    let told = |path: &String| {
        let first = path.split('.').next().unwrap_or_default();
        !matches!(first, "version" | "name" | "description" | "variants" | "adapters")
    };
    let paths: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).filter(|path| told(path)).collect();
    let count = paths.len();
    let row = |path: &String| SettingRow {
        path: path.clone(),
        values: all.iter().map(|settings| settings.get(path).cloned()).collect(),
    };
    let rows = paths.into_iter().map(row);
    (rows.filter(|row| row.values.windows(2).any(|pair| pair[0] != pair[1])).collect(), count)
}

/// Rules that differ, and how many there are in all.
#[must_use]
pub fn placement_difference(projects: &[&Project]) -> (Vec<PlacementRow>, usize) {
    let rules: BTreeSet<&str> = projects
        .iter()
        .flat_map(|project| &project.adapters)
        .map(|placement| placement.at.as_str())
        .collect();
    let count = rules.len();
    let row = |at: &str| {
        let of = |project: &&Project| -> Vec<(String, char)> {
            let here = project.adapters.iter().filter(|placement| placement.at == at);
            here.map(|placement| (words(placement), placement.kind.kind().letter())).collect()
        };
        let placed: Vec<Vec<(String, char)>> = projects.iter().map(of).collect();
        PlacementRow {
            at: at.to_owned(),
            letters: placed.iter().map(|list| list.iter().map(|(_, letter)| *letter).collect()).collect(),
            placed: placed.into_iter().map(|list| list.into_iter().map(|(text, _)| text).collect()).collect(),
        }
    };
    let rows = rules.into_iter().map(row);
    (rows.filter(|row| row.placed.windows(2).any(|pair| pair[0] != pair[1])).collect(), count)
}

/// A placement without its rule: `LoRA(rank: 4)`.
fn words(placement: &Placement) -> String {
    let text = written(placement).unwrap_or_default();
    let rest = text.split_once("kind:").map_or(text.as_str(), |(_, rest)| rest).trim();
    rest.strip_suffix(')').unwrap_or(rest).trim_end_matches(',').trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::project::{parse, set};

    fn project() -> Project {
        let text = "(version: 2, name: \"mine\", model: Vit(width: 8, blocks: 1, heads: 1, patch: 8),
            data: Digits(folder: \"digits\"),
            adapters: [(at: \"model.head\", kind: Lora(rank: 2)), (at: \"model.blocks.*\", kind: Lora(rank: 4))],
            stages: [Train(name: \"one\", epochs: 1, batch: 8)])";
        parse(text, Path::new("mine.ron")).unwrap()
    }

    #[test]
    fn only_what_differs_by_path() {
        let first = project();
        let mut second = set(&first, "stages.0.epochs", "3").unwrap();
        "other".clone_into(&mut second.name);
        let (rows, count) = settings_difference(&[&first, &second, &first]);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert!(rows[0].path.starts_with("stages.0.") && rows[0].path.ends_with("epochs"));
        assert_eq!(rows[0].values, [Some("1".to_owned()), Some("3".to_owned()), Some("1".to_owned())]);
        assert!(count > 5);
        assert!(settings_difference(&[&first, &first]).0.is_empty());
    }

    #[test]
    fn placements_that_are_changed_or_on_one_side_only() {
        let first = project();
        let mut second = set(&first, "adapters.1.kind.Lora.rank", "8").unwrap();
        second.adapters.remove(0);
        let (rows, count) = placement_difference(&[&first, &second]);
        assert_eq!(count, 2);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].at, "model.blocks.*");
        assert!(rows[0].placed[0][0].contains("rank: 4"), "{rows:?}");
        assert!(rows[0].placed[1][0].contains("rank: 8"), "{rows:?}");
        assert_eq!(rows[1].at, "model.head");
        assert!(rows[1].placed[1].is_empty());
        assert!(placement_difference(&[&first, &first]).0.is_empty());
    }
}
