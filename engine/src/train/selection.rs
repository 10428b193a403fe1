//! Which parameters a stage trains.

use std::collections::BTreeSet;

use super::TrainSpec;
use crate::graph::{Graph, NodeId, ParamLeaf, Rule, RuleError};
use crate::tensor::elements;

/// The parameters that a stage trains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Their nodes, in graph order.
    pub nodes: Vec<NodeId>,
    /// Their paths.
    pub paths: BTreeSet<String>,
    /// Their weights in all.
    pub count: u64,
}

/// Selects by a stage's rules: what `train` matches and every adapter, less what `freeze` matches.
///
/// # Errors
/// When a rule is malformed or matches nothing; the error names the nearest.
pub fn select(graph: &Graph, spec: &TrainSpec) -> Result<Selection, RuleError> {
    let train = rules(graph, &spec.train)?;
    let freeze = rules(graph, &spec.freeze)?;
    let mut selection = Selection::default();
    let (unfrozen, frozen) = (&graph.demands().unfrozen, &graph.demands().frozen);
    for (id, path, leaf) in graph.params() {
        let named = |rule: &Rule| names(rule, path, leaf);
        let with_adapter = (leaf.placement.is_some() && !frozen.contains(&id)) || unfrozen.contains(&id);
        let trains = with_adapter || train.iter().any(named);
        if trains && !freeze.iter().any(named) {
            selection.nodes.push(id);
            selection.paths.insert(path.to_owned());
            selection.count += elements(&leaf.shape) as u64;
        }
    }
    Ok(selection)
}

/// Whether a rule names a parameter, by its path or by another name of it.
fn names(rule: &Rule, path: &str, leaf: &ParamLeaf) -> bool {
    rule.matches_below(path) || leaf.aliases.iter().any(|alias| rule.matches_below(&alias.path))
}

fn rules(graph: &Graph, texts: &[String]) -> Result<Vec<Rule>, RuleError> {
    texts
        .iter()
        .map(|text| {
            let rule = Rule::parse(text)?;
            if graph.params().any(|(_, path, leaf)| names(&rule, path, leaf)) {
                return Ok(rule);
            }
            let known: Vec<&str> = graph
                .regions()
                .iter()
                .map(|region| region.path.as_str())
                .chain(graph.params().map(|(_, path, _)| path))
                .collect();
            Err(RuleError::NoMatch {
                rule: text.clone(),
                what: "parameter".to_owned(),
                near: rule.nearest(&known, 4),
            })
        })
        .collect()
}
