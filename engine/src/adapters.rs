//! Adapter kinds: one file each, from a spec to a patch. Nothing outside this room names a kind.

mod activation;
mod attention;
mod bottleneck;
mod bridge;
mod bridge_linear;
mod conformer;
mod convolution;
mod forms;
mod legal;
mod lora;
mod placement;
mod presets;
mod prompt;
mod setting;
mod unfreeze;

use serde::{Deserialize, Serialize};

pub use activation::Activation;
pub use attention::AttentionAdapter;
pub use bottleneck::{Bottleneck, Reads, Scaling, Start};
pub use bridge::{Bridge, BridgeForm};
pub use bridge_linear::BridgeLinear;
pub use conformer::Conformer;
pub use convolution::Convolution;
pub use forms::{LowRank, Mask, Merge, Phm, Quantised, Sparse, Split};
pub use legal::Illegal;
pub use lora::Lora;
pub use placement::{PlaceError, Placement, place};
pub use presets::{PRESETS, Preset};
pub use prompt::Prompt;
pub use setting::Setting;
pub use unfreeze::{Unfreeze, What};

use crate::graph::{Graph, Patch, PatchBuilder, Site};

/// Writes the list of kinds once: the enum of project files, and what there is of every kind.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($settings:ty),)*) => {
        /// A kind with its settings, as project files have it. The registry: one line a kind.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum AdapterSpec {
            $($(#[$doc])* $kind($settings),)*
        }

        impl AdapterSpec {
            /// The kind behind the spec.
            #[must_use]
            pub fn kind(&self) -> &dyn AdapterKind {
                match self {
                    $(Self::$kind(kind) => kind,)*
                }
            }

            fn kind_mut(&mut self) -> &mut dyn AdapterKind {
                match self {
                    $(Self::$kind(kind) => kind,)*
                }
            }

            /// Every kind with its default settings, in the order of the palette.
            #[must_use]
            pub fn all() -> Vec<Self> {
                vec![$(Self::$kind(<$settings>::default()),)*]
            }

            /// The kind's word in project files.
            #[must_use]
            pub const fn word(&self) -> &'static str {
                match self {
                    $(Self::$kind(_) => stringify!($kind),)*
                }
            }
        }
    };
}

kinds! {
    /// Low-rank side path beside a linear layer or convolution.
    Lora(Lora),
    /// Residual bottleneck on the edge between two transformers.
    Bridge(Bridge),
    /// Linear layer and layer norm on that edge.
    BridgeLinear(BridgeLinear),
    /// Residual bottleneck at a port.
    Bottleneck(Bottleneck),
    /// Convolutions over the grid of tokens.
    Convolution(Convolution),
    /// The conformer's convolution module.
    Conformer(Conformer),
    /// A small transformer layer in reduced width.
    Attention(AttentionAdapter),
    /// Learned tokens.
    Prompt(Prompt),
    /// Low-rank delta on a weight itself.
    LowRank(LowRank),
    /// Sparse delta on a weight itself.
    Sparse(Sparse),
    /// A weight as a sum of Kronecker products.
    Phm(Phm),
    /// A weight in parts of which each step trains one.
    Split(Split),
    /// A weight in few bits.
    Quantised(Quantised),
    /// Base parameters that train as they are.
    Unfreeze(Unfreeze),
}

impl AdapterSpec {
    /// The kinds that a site takes, with default settings.
    #[must_use]
    pub fn fitting(graph: &Graph, site: &Site) -> Vec<Self> {
        Self::all().into_iter().filter(|spec| spec.kind().legal(graph, site).is_ok()).collect()
    }

    /// The kind as a file describes it that holds its weights as codes.
    #[must_use]
    pub fn stored_as_codes(&self) -> Self {
        let mut stored = self.clone();
        stored.kind_mut().was_stored_as_codes();
        stored
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

    /// What it computes, `y` being the value at its place.
    fn formula(&self) -> String;

    /// Where it sits, in two or three words.
    fn place(&self) -> &'static str;

    /// Letter on its badge.
    fn letter(&self) -> char;

    /// Whether it can attach at this place of the graph.
    ///
    /// # Errors
    /// Why it cannot.
    fn legal(&self, graph: &Graph, site: &Site) -> Result<(), Illegal>;

    /// The rewrite at the builder's site, which is a legal one.
    fn patch(&self, builder: PatchBuilder<'_>) -> Patch;

    /// Parameters that train at one site, by formula.
    fn parameter_count(&self, graph: &Graph, site: &Site) -> u64;

    /// Parameters that all sites of a placement share, by formula.
    fn shared_count(&self) -> u64 {
        0
    }

    /// Bytes that one site adds to an adapter file, by formula: its parameters in f32, unless the kind says otherwise.
    /// A form that stores another adapter's weight in fewer bytes takes some off.
    fn stored_bytes(&self, graph: &Graph, site: &Site) -> i64 {
        4 * i64::try_from(self.parameter_count(graph, site)).unwrap_or(i64::MAX / 8)
    }

    /// The weights that it rounds were written as codes: what comes back from the file is rounded already.
    fn was_stored_as_codes(&mut self) {}

    /// Whether the model computes the same bits right after placing.
    fn identity_at_start(&self) -> bool;

    /// Settings with their values and bounds.
    fn settings(&self) -> Vec<Setting>;

    /// The setting that says how large it is: the more, the more parameters.
    fn size(&self) -> Option<&'static str> {
        None
    }

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
    #[error("{kind} does not fit at `{site}`, which is a {word}: {why}")]
    Misplaced {
        /// The kind.
        kind: &'static str,
        /// The place.
        site: String,
        /// What the place is.
        word: &'static str,
        /// Why not.
        why: Illegal,
    },
    /// No size of the kind comes near a number of parameters.
    #[error(
        "{kind} has {least} parameters at its smallest and {most} at its largest on these {sites} sites; {wanted} cannot be met"
    )]
    Budget {
        /// The kind.
        kind: &'static str,
        /// What was asked for.
        wanted: u64,
        /// Fewest that there can be.
        least: u64,
        /// Most that there can be.
        most: u64,
        /// On how many sites.
        sites: usize,
    },
}

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
                assert!(setting.choices.is_empty() || setting.chosen().is_some());
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
