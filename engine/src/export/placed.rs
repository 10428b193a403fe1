//! Between an adapter, which is a list of rules, and the files of other libraries, which are lists of layers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Adapter, AdapterFileError};
use crate::adapters::{AdapterSpec, Placement, place};
use crate::graph::Graph;
use crate::weights::Tensor;

/// A kind at one site.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    /// The placement's number.
    pub number: usize,
    /// The site.
    pub site: String,
    /// The kind in the size that it has there.
    pub spec: AdapterSpec,
}

impl Placed {
    /// Where its parameters are.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}.adapter_{}.{name}", self.site, self.number)
    }
}

/// What stands where once the placements are applied to a model, in their order.
pub(super) fn placed(adapter: &Adapter, base: &Graph) -> Result<Vec<Placed>, AdapterFileError> {
    let (mut graph, mut all) = (base.clone(), Vec::new());
    for (&number, placement) in &adapter.placements {
        let (next, coverage) = place(&graph, number, placement)?;
        let spec = placement.sized(&graph, &coverage.matched).map_err(crate::adapters::PlaceError::from)?;
        let at = |site: String| Placed { number, site, spec: spec.clone() };
        all.extend(coverage.matched.into_iter().map(at));
        graph = next;
    }
    Ok(all)
}

/// A kind that is to stand at one site, with its values by their names below the adapter: `A.weight`.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub site: String,
    pub spec: AdapterSpec,
    pub tensors: Vec<(&'static str, Tensor)>,
}

/// Collects kinds at sites into placements.
#[derive(Debug, Default)]
pub(super) struct Collector {
    adapter: Adapter,
}

impl Collector {
    /// Places items, those of equal settings by as few rules as there can be. Gives each site's number.
    pub(super) fn add(&mut self, items: Vec<Item>) -> BTreeMap<String, usize> {
        let mut groups: Vec<(AdapterSpec, BTreeSet<String>)> = Vec::new();
        for item in &items {
            match groups.iter_mut().find(|(spec, _)| *spec == item.spec) {
                Some((_, sites)) => {
                    sites.insert(item.site.clone());
                }
                None => groups.push((item.spec.clone(), BTreeSet::from([item.site.clone()]))),
            }
        }
        let mut numbers = BTreeMap::new();
        for (spec, sites) in groups {
            for (rule, covered) in rules(&sites.into_iter().collect::<Vec<_>>()) {
                let number = self.place(&rule, spec.clone());
                numbers.extend(covered.into_iter().map(|site| (site, number)));
            }
        }
        for Item { site, tensors, .. } in items {
            let Some(number) = numbers.get(&site) else { continue };
            for (name, tensor) in tensors {
                self.set(format!("{site}.adapter_{number}.{name}"), tensor);
            }
        }
        numbers
    }

    /// Adds a placement and gives its number.
    pub(super) fn place(&mut self, rule: &str, spec: AdapterSpec) -> usize {
        let number = self.adapter.placements.keys().max().map_or(0, |last| last + 1);
        self.adapter.placements.insert(number, Placement::new(rule, spec));
        number
    }

    /// A value by its logical path.
    pub(super) fn set(&mut self, path: String, tensor: Tensor) {
        self.adapter.tensors.insert(path, tensor);
    }

    /// What has been collected.
    pub(super) fn finish(self) -> Adapter {
        self.adapter
    }
}

/// Rules that together match exactly these paths, each path by one of them: alternatives in segments where all of
/// their combinations are there, else several rules.
fn rules(paths: &[String]) -> Vec<(String, Vec<String>)> {
    let split: Vec<Vec<&str>> = paths.iter().map(|path| path.split('.').collect()).collect();
    let Some(first) = split.first() else { return Vec::new() };
    let same_depth = split.iter().all(|path| path.len() == first.len());
    let depth = if same_depth { first.len() } else { 0 };
    // In the order in which they come first.
    let alternatives: Vec<Vec<&str>> = (0..depth)
        .map(|at| {
            let mut seen = Vec::new();
            for path in &split {
                if !seen.contains(&path[at]) {
                    seen.push(path[at]);
                }
            }
            seen
        })
        .collect();
    let combinations: usize = alternatives.iter().map(Vec::len).product();
    if same_depth && combinations == paths.len() {
        let segment = |choices: &Vec<&str>| match choices[..] {
            [one] => one.to_owned(),
            _ => format!("{{{}}}", choices.join(",")),
        };
        let rule = alternatives.iter().map(segment).collect::<Vec<_>>().join(".");
        return vec![(rule, paths.to_vec())];
    }
    // What differs last is the layer's own name: split by that, or by the number of segments.
    let key = |path: &Vec<&str>| -> String {
        match (0..depth).rev().find(|&at| alternatives[at].len() > 1) {
            Some(at) if same_depth => path[at].to_owned(),
            _ => path.len().to_string(),
        }
    };
    let mut parts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, segments) in paths.iter().zip(&split) {
        parts.entry(key(segments)).or_default().push(path.clone());
    }
    parts.into_values().flat_map(|part| rules(&part)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Rule;

    #[test]
    fn rules_match_the_paths_and_nothing_else() {
        let all: Vec<String> = (0..12)
            .flat_map(|block| {
                ["query", "key", "value"].map(|name| format!("model.blocks.{block}.attention.{name}"))
            })
            .chain(["model.head", "model.embeddings.projection"].map(str::to_owned))
            .collect();
        let chosen = |keep: &dyn Fn(usize, &str) -> bool| -> Vec<String> {
            all.iter()
                .enumerate()
                .filter(|(at, path)| keep(*at, path))
                .map(|(_, path)| path.clone())
                .collect()
        };
        let cases: [(&str, Vec<String>, usize); 5] = [
            ("all queries", chosen(&|_, path| path.ends_with("query")), 1),
            ("queries and values", chosen(&|_, path| path.contains("query") || path.contains("value")), 1),
            ("one block else", chosen(&|at, path| path.ends_with("query") || at == 4), 2),
            ("other depths", chosen(&|_, path| path.ends_with("head") || path.ends_with("key")), 2),
            ("one", chosen(&|at, _| at == 0), 1),
        ];
        for (what, paths, count) in cases {
            let found = rules(&paths);
            assert_eq!(found.len(), count, "{what}: {found:?}");
            for path in &all {
                let by = found.iter().filter(|(rule, _)| Rule::parse(rule).unwrap().matches(path)).count();
                assert_eq!(by, usize::from(paths.contains(path)), "{what}: {path}");
            }
        }
    }
}
