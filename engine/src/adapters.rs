//! Adapter kinds: one file each, from a spec to a patch. Nothing outside this room names a kind.

mod bottleneck;
mod bridge;
mod bridge_linear;
mod forms;
mod lora;

use serde::{Deserialize, Serialize};

pub use bottleneck::Bottleneck;
pub use bridge::Bridge;
pub use bridge_linear::BridgeLinear;
pub use forms::{LowRank, Phm, Saliency, Sparse};
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
    /// Low-rank delta on a weight itself.
    LowRank(LowRank),
    /// Sparse delta on a weight itself.
    Sparse(Sparse),
    /// A weight as a sum of Kronecker products.
    Phm(Phm),
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
            Self::LowRank(kind) => kind,
            Self::Sparse(kind) => kind,
            Self::Phm(kind) => kind,
        }
    }

    fn kind_mut(&mut self) -> &mut dyn AdapterKind {
        match self {
            Self::Lora(kind) => kind,
            Self::Bottleneck(kind) => kind,
            Self::Bridge(kind) => kind,
            Self::BridgeLinear(kind) => kind,
            Self::LowRank(kind) => kind,
            Self::Sparse(kind) => kind,
            Self::Phm(kind) => kind,
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
            Self::LowRank(LowRank::default()),
            Self::Sparse(Sparse::default()),
            Self::Phm(Phm::default()),
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

    /// Where it sits, in two or three words.
    fn place(&self) -> &'static str;

    /// Letter on its badge.
    fn letter(&self) -> char;

    /// Whether it can attach at this place.
    fn accepts(&self, site: &Site) -> bool;

    /// The rewrite at the builder's site.
    fn patch(&self, builder: PatchBuilder<'_>) -> Patch;

    /// Parameters at one site, by formula.
    fn parameter_count(&self, site: &Site) -> u64;

    /// Whether the model computes the same bits right after placing.
    fn identity_at_start(&self) -> bool;

    /// Settings with their values and bounds.
    fn settings(&self) -> Vec<Setting>;

    /// Takes a value that is within the bounds of the setting of this name.
    fn assign(&mut self, name: &str, value: f64);

    /// Whether its settings make sense, by themselves.
    ///
    /// # Errors
    /// When one is out of range.
    fn check(&self) -> Result<(), AdapterError> {
        self.settings().iter().try_for_each(|setting| setting.check(self.name(), setting.value))
    }

    /// Changes one setting.
    ///
    /// # Errors
    /// When there is no such setting or the value is out of range.
    fn set(&mut self, name: &str, value: f64) -> Result<(), AdapterError> {
        let settings = self.settings();
        let Some(setting) = settings.iter().find(|setting| setting.name == name) else {
            let names: Vec<&str> = settings.iter().map(|setting| setting.name).collect();
            return Err(AdapterError::Setting {
                kind: self.name(),
                setting: name.to_owned(),
                value,
                wanted: format!("one of its settings: {}", names.join(", ")),
            });
        };
        setting.check(self.name(), value)?;
        self.assign(name, value);
        Ok(())
    }
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

impl Setting {
    /// A width or rank.
    #[expect(clippy::cast_precision_loss, reason = "a width is small")]
    fn width(name: &'static str, label: &'static str, value: usize) -> Self {
        Self { name, label, value: value as f64, range: WIDTHS, whole: true }
    }

    /// A number.
    const fn number(name: &'static str, label: &'static str, value: f64, range: (f64, f64)) -> Self {
        Self { name, label, value, range, whole: false }
    }

    fn check(&self, kind: &'static str, value: f64) -> Result<(), AdapterError> {
        let (least, most) = self.range;
        // The comparison is false for what is no number.
        if value >= least && value <= most && !(self.whole && value.fract() != 0.0) {
            return Ok(());
        }
        let what = if self.whole { "a whole number" } else { "a number" };
        Err(AdapterError::Setting {
            kind,
            setting: self.name.to_owned(),
            value,
            wanted: format!("{what} from {least} to {most}"),
        })
    }
}

/// A setting's checked value as a width or rank.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within the range")]
const fn whole(value: f64) -> usize {
    value as usize
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
        match rule.cover(graph, &what, |site| kind.accepts(site) && (inner || !site.is_of_adapter())) {
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

/// Widths and ranks that editors offer.
const WIDTHS: (f64, f64) = (1.0, 4096.0);
/// Scales that editors offer.
const SCALES: (f64, f64) = (-1000.0, 1000.0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_can_be_read_set_and_refused() {
        for spec in AdapterSpec::all() {
            for setting in spec.kind().settings() {
                let mut changed = spec.clone();
                changed.set(setting.name, setting.range.0).unwrap();
                let now = changed.kind().settings().into_iter().find(|s| s.name == setting.name).unwrap();
                assert_eq!(now.value, setting.range.0, "{} {}", spec.kind().name(), setting.name);
                changed.kind().check().unwrap();
                for wrong in [f64::NAN, setting.range.1 + 1.0, setting.range.0 - 1.0] {
                    assert!(changed.set(setting.name, wrong).is_err(), "{} takes {wrong}", setting.name);
                }
                assert_eq!(changed.set(setting.name, 1.5).is_err(), setting.whole || setting.range.1 < 1.5);
            }
            let message = spec.clone().set("colour", 1.0).unwrap_err().to_string();
            assert!(message.contains("colour"), "{message}");
        }
    }

    #[test]
    fn settings_out_of_range_are_found() {
        let wrong = AdapterSpec::Lora(Lora { rank: 0, ..Lora::default() });
        assert!(wrong.kind().check().unwrap_err().to_string().contains("rank"));
    }
}
