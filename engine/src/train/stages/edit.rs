//! A stage that rewrites the model or does arithmetic on its weights.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::merge::{MergeError, merge};
use crate::graph::{Graph, Rule, RuleError};
use crate::tensor::Value;
use crate::weights::Params;

/// What to change, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditSpec {
    /// Its name, for people.
    pub name: String,
    /// Frames of a clip, if other than the data's own.
    pub frames: Option<usize>,
    /// The changes.
    pub edits: Vec<Edit>,
}

impl Default for EditSpec {
    fn default() -> Self {
        Self { name: "edit".to_owned(), frames: None, edits: Vec::new() }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Edit {
    /// Folds adapters (their places in the project's list, from 0; all if there are none) into the weights that
    /// they act on. Later stages have them no more.
    Merge(#[serde(default)] Vec<usize>),
    /// Multiplies the parameters below a rule.
    Scale {
        /// Rule over regions and parameters.
        at: String,
        /// The factor.
        factor: f64,
    },
    /// Gives the parameters and states below a rule their initial values again.
    Reset {
        /// Rule over regions, parameters and states.
        at: String,
    },
}

/// Why an edit could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// A rule is wrong.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// Adapters cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
}

impl EditSpec {
    /// What is wrong with it by itself, if anything: field and complaint.
    #[must_use]
    pub fn complaint(&self) -> Option<(&'static str, String)> {
        if self.edits.is_empty() {
            return Some(("edits", "should hold at least one edit".to_owned()));
        }
        let endless = |edit: &Edit| matches!(edit, Edit::Scale { factor, .. } if !factor.is_finite());
        self.edits.iter().any(endless).then(|| ("edits", "should scale by a finite factor".to_owned()))
    }

    /// The adapters that are named for merging.
    pub fn listed(&self) -> impl Iterator<Item = usize> {
        let listed = |edit: &Edit| if let Edit::Merge(listed) = edit { listed.clone() } else { Vec::new() };
        self.edits.iter().flat_map(listed)
    }

    /// The adapters that are merged, of those that are `present`.
    #[must_use]
    pub fn merged(&self, present: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut merged = BTreeSet::new();
        for edit in &self.edits {
            match edit {
                Edit::Merge(listed) if listed.is_empty() => merged.extend(present),
                Edit::Merge(listed) => merged.extend(listed.iter().filter(|index| present.contains(index))),
                _ => {}
            }
        }
        merged
    }

    /// Makes the changes in order on a graph that has all adapters. Returns the paths whose values changed.
    ///
    /// # Errors
    /// When a rule matches nothing or adapters cannot be merged.
    pub fn apply(
        &self,
        graph: &Graph,
        params: &mut Params,
        present: &BTreeSet<usize>,
        seed: u64,
    ) -> Result<BTreeSet<String>, EditError> {
        let mut changed = BTreeSet::new();
        for edit in &self.edits {
            let values = match edit {
                Edit::Merge(_) => merge(graph, params, &self.merged(present))?,
                Edit::Scale { at, factor } => below(graph, at)?
                    .into_iter()
                    .filter_map(|(path, _)| {
                        let value = params.get(&path)?.clone().mul_scalar(*factor);
                        Some((path, value))
                    })
                    .collect(),
                Edit::Reset { at } => below(graph, at)?
                    .into_iter()
                    .filter_map(|(path, init)| {
                        let old = params.get(&path)?;
                        let data = init?.values(&path, &old.shape(), seed);
                        let value = Value::from_f32(data, &old.shape(), &old.device());
                        Some((path, value))
                    })
                    .collect(),
            };
            for (path, value) in values {
                params.set(&path, value);
                changed.insert(path);
            }
        }
        Ok(changed)
    }
}

/// Parameters and states below a rule, with how they begin.
fn below(graph: &Graph, text: &str) -> Result<Vec<(String, Option<crate::graph::Init>)>, RuleError> {
    use crate::graph::Beginning;
    let rule = Rule::parse(text)?;
    let params = graph.params().map(|(_, path, leaf)| (path.to_owned(), Some(leaf.init)));
    let states = graph.states().map(|(_, path, leaf)| {
        let init = if let Beginning::Values(init) = leaf.begins { Some(init) } else { None };
        (path.to_owned(), init)
    });
    let all: Vec<(String, Option<crate::graph::Init>)> = params.chain(states).collect();
    let (matched, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|(path, _)| rule.matches_below(path));
    if matched.is_empty() {
        let names: Vec<&str> = rest.iter().map(|(path, _)| path.as_str()).collect();
        let near = rule.nearest(&names, 4);
        return Err(RuleError::NoMatch {
            rule: text.to_owned(),
            what: "parameter or state".to_owned(),
            near,
        });
    }
    Ok(matched)
}
