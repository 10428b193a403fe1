//! The inner description of a bottleneck (`adapters/configuration/adapter_config.py`, `BnConfig`).

use serde_json::{Map, Value as Json, json};

use super::super::FormatError;
use super::super::format::Config;
use super::compacter::Products;
use crate::adapters::{Activation, Bottleneck, Reads, Scaling};
use crate::graph::Port;

/// Where a bottleneck acts, relative to the residual add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On the sub-layer's output, before the add.
    Before,
    /// Behind the add, and behind the norm that follows in a post-norm block.
    Behind,
    /// From what the add keeps, to the sub-layer's output.
    Parallel,
    /// From behind the add and the norm of a post-norm block, to the sub-layer's output.
    Across,
}

impl Place {
    pub(super) const ALL: [Self; 4] = [Self::Before, Self::Behind, Self::Parallel, Self::Across];

    /// The port that it adds to, and what it reads.
    pub(super) const fn at(self, attention: bool) -> (Port, Reads) {
        match (self, attention) {
            (Self::Before, true) => (Port::P1, Reads::Own),
            (Self::Before, false) => (Port::P4, Reads::Own),
            (Self::Behind, true) => (Port::P2, Reads::Own),
            (Self::Behind, false) => (Port::P5, Reads::Own),
            (Self::Parallel, true) => (Port::P1, Reads::P0),
            (Self::Parallel, false) => (Port::P4, Reads::P2),
            (Self::Across, true) => (Port::P1, Reads::AddNorm),
            (Self::Across, false) => (Port::P4, Reads::AddNorm),
        }
    }

    /// Whether a bottleneck's setting is `wanted`; its own port may be named as well.
    pub(super) fn reads(self, setting: Reads, attention: bool, wanted: Reads) -> bool {
        let named = match (self, attention) {
            (Self::Before, true) => Some(Reads::P1),
            (Self::Before, false) => Some(Reads::P4),
            (Self::Behind, true) => Some(Reads::P2),
            _ => None,
        };
        setting == wanted || Some(setting) == named
    }

    /// What the description's switches come to.
    fn of(config: Config<'_>, post_norm: bool) -> Result<Self, FormatError> {
        let (before, after) =
            (config.switch("original_ln_before")?, config.switch_or("original_ln_after", true)?);
        let early = match config.get("residual_before_ln") {
            None => true,
            Some(Json::Bool(value)) => *value,
            Some(other) => {
                return Err(config.unsupported(&format!("residual_before_ln: {other}"), ""));
            }
        };
        if config.switch("is_parallel")? {
            let why = "the block's input would be lost";
            return if after {
                Ok(Self::Parallel)
            } else {
                Err(config.unsupported("original_ln_after: false", why))
            };
        }
        match (before, after, early) {
            (false, true, _) => Ok(Self::Before),
            (true, true, true) if !post_norm => Ok(Self::Behind),
            (true, false, false) => Ok(Self::Behind),
            (true, true, true) => Ok(Self::Across),
            _ => {
                let asks = format!(
                    "original_ln_before: {before}, original_ln_after: {after}, residual_before_ln: {early}"
                );
                Err(config.unsupported(&asks, "the residual would be added twice or not at all"))
            }
        }
    }
}

/// Width by layer.
#[derive(Debug)]
enum Reduction {
    All(f64),
    Each { layers: Map<String, Json>, otherwise: Option<f64> },
}

/// A description as it is read.
#[derive(Debug)]
pub(super) struct Settings {
    pub place: Place,
    /// Compacter's products in the place of the projections.
    pub products: Option<Products>,
    /// Layers without an adapter.
    pub left_out: Vec<usize>,
    attention: bool,
    output: bool,
    general: Bottleneck,
    reduction: Reduction,
    path: std::path::PathBuf,
}

const KNOWN: &[&str] = &[
    "dropout",
    "factorized_phm_W",
    "factorized_phm_rule",
    "hypercomplex_nonlinearity",
    "init_weights",
    "init_weights_seed",
    "inv_adapter_reduction_factor",
    "is_parallel",
    "learn_phm",
    "leave_out",
    "ln_before",
    "mh_adapter",
    "non_linearity",
    "original_ln_after",
    "original_ln_before",
    "output_adapter",
    "phm_bias",
    "phm_c_init",
    "phm_dim",
    "phm_init_range",
    "phm_layer",
    "phm_rank",
    "reduction_factor",
    "residual_before_ln",
    "scaling",
    "shared_W_phm",
    "shared_phm_rule",
];

impl Settings {
    /// Reads a description. Files without a version have other names for the two forms of GELU.
    pub(super) fn read(config: Config<'_>, post_norm: bool, has_version: bool) -> Result<Self, FormatError> {
        if let Some(other) = config.text("architecture")? {
            let why = "of AdapterHub's architectures Graft reads bottlenecks";
            return Err(config.unsupported(&format!("architecture: {other}"), why));
        }
        if config.number("stochastic_depth")?.unwrap_or(0.0) > 0.0 {
            return Err(config.unsupported("stochastic_depth", ""));
        }
        let mut known = KNOWN.to_vec();
        known.push("stochastic_depth");
        config.only(&known)?;
        let products = if config.switch("phm_layer")? { Some(Products::read(config)?) } else { None };
        let (scale, scaling) = match config.get("scaling") {
            None => (1.0, Scaling::Fixed),
            Some(Json::String(word)) if word == "learned" => (1.0, Scaling::Learned),
            Some(Json::String(word)) if word == "channel" => (1.0, Scaling::PerChannel),
            Some(value) => match value.as_f64() {
                Some(scale) => (scale, Scaling::Fixed),
                None => return Err(config.unsupported(&format!("scaling: {value}"), "")),
            },
        };
        let general = Bottleneck {
            norm: config.switch("ln_before")?,
            activation: activation(config, has_version)?,
            // The library drops behind the up-projection, Graft before it: the same in inference.
            dropout: config.number("dropout")?.unwrap_or(0.0),
            scale,
            scaling,
            bias: products.as_ref().is_none_or(|products| products.bias),
            ..Bottleneck::default()
        };
        let whole = |value: &Json| value.as_u64().and_then(|n| usize::try_from(n).ok());
        let left_out = match config.get("leave_out") {
            None => Vec::new(),
            Some(value) => value
                .as_array()
                .and_then(|items| items.iter().map(whole).collect())
                .ok_or_else(|| config.wrong("`leave_out` should be layer numbers".to_owned()))?,
        };
        Ok(Self {
            place: Place::of(config, post_norm)?,
            products,
            left_out,
            attention: config.switch_needed("mh_adapter")?,
            output: config.switch_needed("output_adapter")?,
            general,
            reduction: reduction(config)?,
            path: config.path.to_path_buf(),
        })
    }

    /// Which sub-layers have a bottleneck: whether it is the attention, each.
    pub(super) fn sub_layers(&self) -> impl Iterator<Item = bool> {
        [(true, self.attention), (false, self.output)]
            .into_iter()
            .filter(|(_, has)| *has)
            .map(|(which, _)| which)
    }

    /// The bottleneck of a layer in a model of this width.
    pub(super) fn at(
        &self,
        layer: usize,
        attention: bool,
        features: usize,
    ) -> Result<Bottleneck, FormatError> {
        let config = Config { json: &Json::Null, path: &self.path };
        let factor = match &self.reduction {
            Reduction::All(factor) => Some(*factor),
            Reduction::Each { layers, otherwise } => {
                layers.get(&layer.to_string()).and_then(Json::as_f64).or(*otherwise)
            }
        };
        let factor = factor.filter(|factor| *factor > 0.0).ok_or_else(|| {
            config.wrong(format!("`reduction_factor` gives no positive number for layer {layer}"))
        })?;
        let width = width_of(features, factor).ok_or_else(|| {
            config.wrong(format!("`reduction_factor` {factor} gives no width that can be used"))
        })?;
        Ok(Bottleneck { width, reads: self.place.at(attention).1, ..self.general.clone() })
    }
}

fn reduction(config: Config<'_>) -> Result<Reduction, FormatError> {
    match config.get("reduction_factor") {
        Some(Json::Object(layers)) => {
            let otherwise = layers.get("default").and_then(Json::as_f64);
            Ok(Reduction::Each { layers: layers.clone(), otherwise })
        }
        _ => Ok(Reduction::All(config.number_needed("reduction_factor")?)),
    }
}

/// The width that Python's `int(features // factor)` gives, at least 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked"
)]
fn width_of(features: usize, factor: f64) -> Option<usize> {
    let features = features as f64;
    // Exactly the multiple below, so that the quotient is whole but for rounding.
    let width = ((features - features % factor) / factor).round();
    (width.is_finite() && width < 1e9).then_some((width as usize).max(1))
}

/// The reduction factor by which the library finds a width.
#[expect(clippy::cast_precision_loss, reason = "widths are small")]
pub(super) fn reduction_for(features: usize, width: usize) -> Json {
    if features.is_multiple_of(width) {
        return json!(features / width);
    }
    let (all, own) = (features as f64, width as f64);
    let near = all / own;
    // Where rounding has gone the wrong way, half a width more is safely within.
    json!(if width_of(features, near) == Some(width) { near } else { all / (own + 0.5) })
}

fn activation(config: Config<'_>, has_version: bool) -> Result<Activation, FormatError> {
    let word = config.text_needed("non_linearity")?.to_lowercase();
    let word = match (word.as_str(), has_version) {
        ("gelu", false) => "gelu_new",
        ("gelu_orig", false) => "gelu",
        (word, _) => word,
    };
    match word {
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        "silu" | "swish" => Ok(Activation::Silu),
        "tanh" => Ok(Activation::Tanh),
        "linear" => Ok(Activation::Linear),
        other => Err(config.unsupported(&format!("non_linearity: {other}"), "")),
    }
}

/// The description of a bottleneck, without its sizes.
pub(super) fn describe(spec: &Bottleneck, place: Place, post_norm: bool) -> Map<String, Json> {
    let (before, after, early) = match place {
        Place::Before | Place::Parallel => (false, true, true),
        Place::Behind => (true, !post_norm, !post_norm),
        Place::Across => (true, true, true),
    };
    let activation = match spec.activation {
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_new",
        Activation::Relu => "relu",
        Activation::Silu => "silu",
        Activation::Tanh => "tanh",
        Activation::Linear => "linear",
    };
    let scaling = match spec.scaling {
        Scaling::Fixed => json!(spec.scale),
        Scaling::Learned => json!("learned"),
        Scaling::PerChannel => json!("channel"),
    };
    let json = json!({
        "adapter_residual_before_ln": false,
        "cross_adapter": false,
        "dropout": spec.dropout,
        "init_weights": "bert",
        "init_weights_seed": null,
        "inv_adapter": null,
        "inv_adapter_reduction_factor": null,
        "is_parallel": place == Place::Parallel,
        "ln_after": false,
        "ln_before": spec.norm,
        "non_linearity": activation,
        "original_ln_after": after,
        "original_ln_before": before,
        "residual_before_ln": early,
        "scaling": scaling,
        "stochastic_depth": 0.0,
        "use_gating": false,
    });
    json.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python: `[int(24 // f) for f in (16, 4, 4.8, 7.5, 0.5, 48, 23.9)]` is [1, 6, 5, 3, 48, 0, 1]; at least 1.
    #[test]
    fn widths_are_those_of_python() {
        for (factor, width) in [(16.0, 1), (4.0, 6), (4.8, 5), (7.5, 3), (0.5, 48), (48.0, 1), (23.9, 1)] {
            assert_eq!(width_of(24, factor), Some(width), "{factor}");
        }
        assert_eq!(width_of(24, 1e-300), None);
        for features in [24, 768, 1000, 1023] {
            for width in 1..=features {
                let factor = reduction_for(features, width).as_f64().unwrap();
                assert_eq!(width_of(features, factor), Some(width), "{features} to {width} by {factor}");
            }
        }
    }
}
