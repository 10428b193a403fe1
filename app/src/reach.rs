//! Which sites a gesture means, and how few rules say so.

use std::collections::{BTreeMap, BTreeSet};

use graft_engine::adapters::{AdapterSpec, Illegal, Placement};
use graft_engine::graph::{Coverage, Graph, Rule, Site, SiteKind, is_below};

use crate::model::Model;

/// The sites of a folded region that a kind goes to unless others are asked for, by their last names: the first of
/// these lists that has any. They are where the kinds' papers put them.
const USUAL: [&[&str]; 2] = [&["query", "value"], &["P1", "P4"]];

/// The sites of the base model that take a kind.
fn accepted<'a>(graph: &'a Graph, spec: &'a AdapterSpec) -> impl Iterator<Item = &'a Site> {
    let takes = |site: &&Site| !site.is_of_adapter() && spec.kind().legal(graph, site).is_ok();
    graph.sites().iter().filter(takes)
}

/// The sites that placing a kind at a path means: the path's own, those of the op there, or of a region the usual ones
/// in it. None where the kind fits nowhere.
#[must_use]
pub fn sites(model: &Model, spec: &AdapterSpec, path: &str) -> Vec<String> {
    let graph = &model.graph;
    if let Some(site) = graph.site(path)
        && spec.kind().legal(graph, site).is_ok()
    {
        return vec![site.path.clone()];
    }
    let op = graph.find(path).filter(|_| model.part(path).is_none());
    let all: Vec<&Site> = accepted(graph, spec)
        .filter(|site| match (op, &site.kind) {
            (Some(own), SiteKind::Weight { op, .. }) => own == *op,
            (Some(own), _) => own == site.node,
            (None, _) => is_below(&site.path, path),
        })
        .collect();
    if op.is_some() {
        let shortest = all.iter().min_by_key(|site| site.path.len());
        return shortest.map(|site| site.path.clone()).into_iter().collect();
    }
    let last = |site: &Site| site.path.rsplit('.').next().unwrap_or_default().to_owned();
    let usual = USUAL.iter().find(|names| all.iter().any(|site| names.contains(&last(site).as_str())));
    let meant = all.iter().filter(|site| usual.is_none_or(|names| names.contains(&last(site).as_str())));
    meant.map(|site| site.path.clone()).collect()
}

/// A site's path around the number of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place<'a> {
    head: &'a str,
    block: usize,
    tail: &'a str,
}

impl<'a> Place<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let mut begin = 0;
        for segment in path.split('.') {
            let end = begin + segment.len();
            if let (Ok(block), Some(head)) = (segment.parse(), path.get(..begin)) {
                return Some(Self { head, block, tail: path.get(end..)? });
            }
            begin = end + 1;
        }
        None
    }
}

/// The fewest rules that match these sites and no others that take the kind.
#[must_use]
pub fn rules(model: &Model, spec: &AdapterSpec, sites: &[String]) -> Vec<String> {
    let known: Vec<&Site> = accepted(&model.graph, spec).collect();
    let mut alone = Vec::new();
    // By the place around the number: which blocks.
    let mut blocks: BTreeMap<(&str, &str), BTreeSet<usize>> = BTreeMap::new();
    for site in sites {
        match Place::of(site) {
            Some(place) => {
                blocks.entry((place.head, place.tail)).or_default().insert(place.block);
            }
            None => alone.push(site.clone()),
        }
    }
    // By the place up to the last name, with the blocks: which last names.
    let mut names: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for ((head, tail), numbers) in &blocks {
        let all: BTreeSet<usize> = known
            .iter()
            .filter_map(|site| Place::of(&site.path))
            .filter(|place| place.head == *head && place.tail == *tail)
            .map(|place| place.block)
            .collect();
        let numbers = if *numbers == all && all.len() > 1 { "*".to_owned() } else { listed(numbers) };
        let (above, name) = tail.rsplit_once('.').unwrap_or(("", ""));
        names.entry((format!("{head}{numbers}"), above.to_owned())).or_default().push(name);
    }
    let mut found = alone;
    for ((begin, above), last) in names {
        let last = if let [one] = last[..] { one.to_owned() } else { format!("{{{}}}", last.join(",")) };
        found.push(if last.is_empty() { begin } else { format!("{begin}{above}.{last}") });
    }
    // A rule is exact or it is not taken.
    let wanted: BTreeSet<&str> = sites.iter().map(String::as_str).collect();
    let parsed: Option<Vec<Rule>> = found.iter().map(|rule| Rule::parse(rule).ok()).collect();
    let exact = parsed.is_some_and(|parsed| {
        let matched = |site: &Site| parsed.iter().any(|rule| rule.matches(&site.path));
        known.iter().all(|site| matched(site) == wanted.contains(site.path.as_str()))
    });
    if exact { found } else { sites.to_vec() }
}

/// Numbers as a segment of a rule.
fn listed(numbers: &BTreeSet<usize>) -> String {
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return String::new() };
    if first == last {
        first.to_string()
    } else if last - first + 1 == numbers.len() {
        format!("[{first}-{last}]")
    } else {
        let texts: Vec<String> = numbers.iter().map(usize::to_string).collect();
        format!("[{}]", texts.join(","))
    }
}

/// A rule for one block, for all of them.
#[must_use]
pub fn every_block(rule: &str) -> Option<String> {
    let mut segments: Vec<&str> = rule.split('.').collect();
    let place = segments.iter().position(|segment| *segment == "blocks")?;
    *segments.get_mut(place + 1)? = "*";
    Some(segments.join("."))
}

/// What a rule that is being typed would match.
///
/// # Errors
/// When it is no rule or matches nothing, in words.
pub fn draft(model: &Model, spec: &AdapterSpec, rule: &str) -> Result<Coverage, String> {
    Placement::new(rule.trim(), spec.clone()).coverage(&model.graph).map_err(|error| error.to_string())
}

/// Why a kind does not go to a site; nothing where it does.
#[must_use]
pub fn refusal(model: &Model, spec: &AdapterSpec, site: &str) -> Option<Illegal> {
    spec.kind().legal(&model.graph, model.graph.site(site)?).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_apart_at_its_block() {
        let place = Place::of("model.temporal.blocks.12.attention.query").unwrap();
        let expected = Place { head: "model.temporal.blocks.", block: 12, tail: ".attention.query" };
        assert_eq!(place, expected);
        assert_eq!(Place::of("model.bridge"), None);
    }

    #[test]
    fn numbers_are_listed_shortly() {
        let text = |numbers: &[usize]| listed(&numbers.iter().copied().collect());
        assert_eq!([text(&[3]), text(&[2, 3, 4]), text(&[0, 2])], ["3", "[2-4]", "[0,2]"]);
    }

    #[test]
    fn a_rule_widens_over_blocks_only() {
        let wide = every_block("model.temporal.blocks.1.attention.query");
        assert_eq!(wide.as_deref(), Some("model.temporal.blocks.*.attention.query"));
        assert_eq!(every_block("model.bridge"), None);
    }
}
