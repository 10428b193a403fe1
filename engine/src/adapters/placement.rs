//! Placements: a rule and a kind, and how they change a graph.

use serde::{Deserialize, Serialize};

use super::{AdapterError, AdapterKind, AdapterSpec};
use crate::graph::{Coverage, Graph, GraphError, PatchBuilder, Rule, RuleError};

/// An adapter of a project: a rule and a kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Rule over site paths.
    pub at: String,
    /// What to place.
    pub kind: AdapterSpec,
    /// About how many parameters it is to have on all its sites: sets the kind's size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
}

/// Why placements could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The rule is wrong or matches nothing.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The kind's settings are wrong or it does not fit there.
    #[error(transparent)]
    Adapter(#[from] AdapterError),
    /// The rewrite is not sound.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl Placement {
    /// A kind wherever a rule matches.
    #[must_use]
    pub fn new(at: &str, kind: AdapterSpec) -> Self {
        Self { at: at.to_owned(), kind, parameters: None }
    }

    /// Which sites the rule matches among those that take the kind. Layers that other adapters brought are
    /// matched only by a rule that names an `adapter_`.
    ///
    /// # Errors
    /// When it matches none; the error names the nearest, or says that the place is of another kind.
    pub fn coverage(&self, graph: &Graph) -> Result<Coverage, PlaceError> {
        let rule = Rule::parse(&self.at)?;
        let kind = self.kind.kind();
        let what = format!("site that takes {}", kind.name());
        let inner = self.at.contains("adapter_");
        match rule
            .cover(graph, &what, |site| (inner || !site.is_of_adapter()) && kind.legal(graph, site).is_ok())
        {
            Ok(coverage) => Ok(coverage),
            Err(error) => {
                let Some(site) = graph.sites().iter().find(|site| rule.matches(&site.path)) else {
                    return Err(error.into());
                };
                let Err(why) = kind.legal(graph, site) else { return Err(error.into()) };
                Err(AdapterError::Misplaced {
                    kind: kind.name(),
                    site: site.path.clone(),
                    word: site.kind.word(),
                    why,
                }
                .into())
            }
        }
    }

    /// Parameters that train on these sites, by formula.
    #[must_use]
    pub fn parameter_count(&self, graph: &Graph, sites: &[String]) -> u64 {
        count(self.kind.kind(), graph, sites)
    }

    /// Bytes of tensors in an adapter file of it on these sites, by formula.
    #[must_use]
    pub fn stored_bytes(&self, graph: &Graph, sites: &[String]) -> i64 {
        let kind = self.kind.kind();
        let at = |path: &String| graph.site(path).map_or(0, |site| kind.stored_bytes(graph, site));
        let shared = 4 * i64::try_from(kind.shared_count()).unwrap_or(0);
        sites.iter().map(at).sum::<i64>() + shared
    }

    /// The kind in the size that comes nearest to the parameters asked for, if any are.
    ///
    /// # Errors
    /// When the kind has no size, or none comes near.
    pub fn sized(&self, graph: &Graph, sites: &[String]) -> Result<AdapterSpec, AdapterError> {
        let Some(wanted) = self.parameters else { return Ok(self.kind.clone()) };
        sized(&self.kind, graph, sites, wanted)
    }
}

fn count(kind: &dyn AdapterKind, graph: &Graph, sites: &[String]) -> u64 {
    let at = |path: &String| graph.site(path).map_or(0, |site| kind.parameter_count(graph, site));
    sites.iter().map(at).sum::<u64>() + kind.shared_count()
}

/// Finds the size of a kind whose parameter count on the sites is nearest to `wanted`: the count grows with the
/// setting that is its size, so halving the range finds it.
fn sized(
    spec: &AdapterSpec,
    graph: &Graph,
    sites: &[String],
    wanted: u64,
) -> Result<AdapterSpec, AdapterError> {
    let kind = spec.kind().name();
    let setting = spec
        .kind()
        .size()
        .and_then(|name| spec.kind().settings().into_iter().find(|setting| setting.name == name));
    let own = count(spec.kind(), graph, sites);
    let unmet = |least, most| AdapterError::Budget { kind, wanted, least, most, sites: sites.len() };
    let Some(setting) = setting else { return Err(unmet(own, own)) };
    let at = |value: f64| -> Result<(AdapterSpec, u64), AdapterError> {
        let value = if setting.whole { value.round() } else { value };
        let mut changed = spec.clone();
        changed.set(setting.name, value)?;
        let counted = count(changed.kind(), graph, sites);
        Ok((changed, counted))
    };
    let (mut low, mut high) = setting.range;
    let (least, most) = (at(low)?, at(high)?);
    // Beyond the smallest and the largest there is nothing; within a tenth of them is near enough.
    if wanted.saturating_mul(10) < least.1.saturating_mul(9) || wanted > most.1.saturating_mul(11) / 10 {
        return Err(unmet(least.1, most.1));
    }
    let (mut below, mut above) = (least, most);
    for _ in 0..64 {
        let middle = at(f64::midpoint(low, high))?;
        if setting.whole && (high - low) <= 1.0 {
            break;
        }
        let value = if setting.whole { f64::midpoint(low, high).round() } else { f64::midpoint(low, high) };
        if middle.1 <= wanted {
            (low, below) = (value, middle);
        } else {
            (high, above) = (value, middle);
        }
    }
    let nearer_below = wanted.abs_diff(below.1) <= wanted.abs_diff(above.1);
    Ok(if nearer_below { below.0 } else { above.0 })
}

/// Applies one placement, number `index` of the project's list, at every site that it matches. Those on one
/// site stack in listed order.
///
/// # Errors
/// When the rule matches nothing, the kind does not fit, or its settings are wrong.
pub fn place(graph: &Graph, index: usize, placement: &Placement) -> Result<(Graph, Coverage), PlaceError> {
    placement.kind.kind().check()?;
    let coverage = placement.coverage(graph)?;
    let spec = placement.sized(graph, &coverage.matched)?;
    let kind = spec.kind();
    let mut graph = graph.clone();
    for path in &coverage.matched {
        let Some(site) = graph.site(path) else { continue };
        let patch = kind.patch(PatchBuilder::new(&graph, site, index, kind.name()));
        graph = graph.apply(&patch)?;
    }
    Ok((graph, coverage))
}
