//! Adapter kinds: one file each, from a spec to a patch. Nothing outside this room names a kind.

mod bottleneck;
mod bridge;
mod bridge_linear;
mod lora;

use serde::{Deserialize, Serialize};

pub use bottleneck::Bottleneck;
pub use bridge::Bridge;
pub use bridge_linear::BridgeLinear;
pub use lora::Lora;

use crate::graph::{Coverage, Graph, GraphError, Patch, PatchBuilder, Rule, RuleError, Site};

/// A kind with its settings, as project files have it. The registry: one line a kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum AdapterSpec {
    /// Low-rank delta on a weight.
    Lora(Lora),
    /// Residual bottleneck at a port.
    Bottleneck(Bottleneck),
    /// Residual bottleneck on the edge between two transformers.
    Bridge(Bridge),
    /// Linear layer and layer norm on that edge.
    BridgeLinear(BridgeLinear),
}

impl AdapterSpec {
    /// The kind behind the spec.
    #[must_use]
    pub fn kind(&self) -> &dyn AdapterKind {
        match self {
            Self::Lora(kind) => kind,
            Self::Bottleneck(kind) => kind,
            Self::Bridge(kind) => kind,
            Self::BridgeLinear(kind) => kind,
        }
    }

    fn kind_mut(&mut self) -> &mut dyn AdapterKind {
        match self {
            Self::Lora(kind) => kind,
            Self::Bottleneck(kind) => kind,
            Self::Bridge(kind) => kind,
            Self::BridgeLinear(kind) => kind,
        }
    }

    /// Every kind with its default settings, in the order of the palette.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![
            Self::Lora(Lora::default()),
            Self::Bottleneck(Bottleneck::default()),
            Self::Bridge(Bridge::default()),
            Self::BridgeLinear(BridgeLinear::default()),
        ]
    }

    /// The kinds that a site takes, with default settings.
    #[must_use]
    pub fn fitting(site: &Site) -> Vec<Self> {
        Self::all().into_iter().filter(|spec| spec.kind().accepts(site)).collect()
    }

    /// Changes one setting; the inspector's way in.
    ///
    /// # Errors
    /// When the value is out of range or there is no such setting.
    pub fn set(&mut self, name: &str, value: f64) -> Result<(), AdapterError> {
        self.kind_mut().set(name, value)
    }
}

/// What a kind answers.
pub trait AdapterKind {
    /// Name for people.
    fn name(&self) -> &'static str;

    /// One line that says what it is.
    fn description(&self) -> &'static str;

    /// Letter on its badge.
    fn letter(&self) -> char;

    /// Whether it can attach at this place.
    fn accepts(&self, site: &Site) -> bool;

    /// Whether its settings make sense, by themselves.
    ///
    /// # Errors
    /// When they don't.
    fn check(&self) -> Result<(), AdapterError>;

    /// The rewrite at the builder's site.
    fn patch(&self, builder: PatchBuilder<'_>) -> Patch;

    /// Parameters at one site, by formula.
    fn parameter_count(&self, site: &Site) -> u64;

    /// Whether the model computes the same bits right after placing.
    fn identity_at_start(&self) -> bool;

    /// Settings with their values and bounds.
    fn settings(&self) -> Vec<Setting>;

    /// Changes one setting.
    ///
    /// # Errors
    /// When there is no such setting or the value is out of range.
    fn set(&mut self, name: &str, value: f64) -> Result<(), AdapterError>;
}

/// A setting of a kind, for editors.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Field name in project files.
    pub name: &'static str,
    /// What to call it.
    pub label: &'static str,
    /// Its value.
    pub value: f64,
    /// Smallest and largest value.
    pub range: (f64, f64),
    /// Whole numbers only, moved in powers of two.
    pub whole: bool,
}

/// What can be wrong with an adapter.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AdapterError {
    /// A setting is out of range.
    #[error("{kind}: `{setting}` is {value}, which should be {wanted}")]
    Setting {
        /// The kind.
        kind: &'static str,
        /// The setting.
        setting: String,
        /// Its value.
        value: f64,
        /// What would do.
        wanted: String,
    },
    /// The place does not take the kind.
    #[error("{kind} does not fit at `{site}`, which is a {word}; {wanted}")]
    Misplaced {
        /// The kind.
        kind: &'static str,
        /// The place.
        site: String,
        /// What the place is.
        word: &'static str,
        /// Where the kind fits.
        wanted: String,
    },
}

/// An adapter of a project: a rule and a kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Rule over site paths.
    pub at: String,
    /// What to place.
    pub kind: AdapterSpec,
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
    /// Which sites the rule matches among those that take the kind.
    ///
    /// # Errors
    /// When it matches none; the error names the nearest, or says that the place is of another kind.
    pub fn coverage(&self, graph: &Graph) -> Result<Coverage, PlaceError> {
        let rule = Rule::parse(&self.at)?;
        let kind = self.kind.kind();
        let what = format!("site that takes {}", kind.name());
        match rule.cover(graph, &what, |site| kind.accepts(site)) {
            Ok(coverage) => Ok(coverage),
            Err(error) => {
                let Some(site) = graph.sites().iter().find(|site| rule.matches(&site.path)) else {
                    return Err(error.into());
                };
                let words: std::collections::BTreeSet<&str> = graph
                    .sites()
                    .iter()
                    .filter(|site| kind.accepts(site))
                    .map(|site| site.kind.word())
                    .collect();
                let wanted = if words.is_empty() {
                    "no place of this model takes it".to_owned()
                } else {
                    let words: Vec<&str> = words.into_iter().collect();
                    format!("it goes on a {}", words.join(" or "))
                };
                Err(AdapterError::Misplaced {
                    kind: kind.name(),
                    site: site.path.clone(),
                    word: site.kind.word(),
                    wanted,
                }
                .into())
            }
        }
    }
}

/// Applies one placement, number `index` of the project's list, at every site that it matches. Those on one
/// site stack in listed order.
///
/// # Errors
/// When the rule matches nothing, the kind does not fit, or its settings are wrong.
pub fn place(graph: &Graph, index: usize, placement: &Placement) -> Result<(Graph, Coverage), PlaceError> {
    let kind = placement.kind.kind();
    kind.check()?;
    let coverage = placement.coverage(graph)?;
    let mut graph = graph.clone();
    for path in &coverage.matched {
        let Some(site) = graph.site(path) else { continue };
        let patch = kind.patch(PatchBuilder::new(&graph, site, index, kind.name()));
        graph = graph.apply(&patch)?;
    }
    Ok((graph, coverage))
}

/// A whole number within bounds, from an editor's value.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within the range")]
fn whole(kind: &'static str, setting: &str, value: f64, range: (f64, f64)) -> Result<usize, AdapterError> {
    if value.fract() == 0.0 && value >= range.0 && value <= range.1 {
        Ok(value as usize)
    } else {
        Err(AdapterError::Setting {
            kind,
            setting: setting.to_owned(),
            value,
            wanted: format!("a whole number from {} to {}", range.0, range.1),
        })
    }
}

/// A number within bounds, from an editor's value.
fn number(kind: &'static str, setting: &str, value: f64, range: (f64, f64)) -> Result<f64, AdapterError> {
    if value.is_finite() && value >= range.0 && value <= range.1 {
        Ok(value)
    } else {
        Err(AdapterError::Setting {
            kind,
            setting: setting.to_owned(),
            value,
            wanted: format!("a number from {} to {}", range.0, range.1),
        })
    }
}

/// The complaint about a setting that the kind does not have.
fn no_such(kind: &'static str, setting: &str, value: f64, known: &[Setting]) -> AdapterError {
    let names: Vec<&str> = known.iter().map(|s| s.name).collect();
    AdapterError::Setting {
        kind,
        setting: setting.to_owned(),
        value,
        wanted: format!("one of its settings: {}", names.join(", ")),
    }
}

/// Widths and ranks that editors offer.
const WIDTHS: (f64, f64) = (1.0, 4096.0);
/// Scales that editors offer.
const SCALES: (f64, f64) = (-1000.0, 1000.0);
