//! What text models share: their columns, their activations, and what data say about them.

use super::spec::DataShape;
use super::{Architecture, ModelError};
use crate::graph::{Builder, Extent, InputLeaf, NodeId};
use crate::ops::{Gelu, GeluForm, QuickGelu, Relu};

/// The column of token ids.
pub(super) const IDS: &str = "input_ids";
/// 1 for tokens, 0 for padding; a model whose data have no such column has no padding.
pub(super) const MASK: &str = "attention_mask";

/// A column of whole numbers, `[batch, tokens]`; `tokens` is the extent's name.
pub(super) fn column(b: &mut Builder, name: &str, tokens: &str) -> NodeId {
    b.column(InputLeaf::integers(name, vec![Extent::named("batch"), Extent::named(tokens)]))
}

/// Activation of a feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// GELU.
    Gelu(GeluForm),
    /// CLIP's approximation of it.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
}

impl FeedForward {
    /// Of Hugging Face's name.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        match name {
            "gelu" => Ok(Self::Gelu(GeluForm::Exact)),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Ok(Self::Gelu(GeluForm::Tanh)),
            "quick_gelu" => Ok(Self::QuickGelu),
            "relu" => Ok(Self::Relu),
            other => Err(format!(
                "the activation `{other}` is not known; known are relu, quick_gelu, gelu and its tanh forms"
            )),
        }
    }

    /// Hugging Face's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gelu(GeluForm::Exact) => "gelu",
            Self::Gelu(GeluForm::Tanh) => "gelu_new",
            Self::QuickGelu => "quick_gelu",
            Self::Relu => "relu",
        }
    }

    pub(super) fn op(self, b: &mut Builder, name: &str, x: NodeId) -> NodeId {
        match self {
            Self::Gelu(form) => b.op(name, Gelu { form }, &[x]),
            Self::QuickGelu => b.op(name, QuickGelu, &[x]),
            Self::Relu => b.op(name, Relu, &[x]),
        }
    }
}

impl DataShape {
    /// Whether the data have a column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|own| own.name == column)
    }

    /// Tokens of the longest sample.
    pub(super) fn tokens(&self) -> Result<usize, ModelError> {
        match self.sample[..] {
            [tokens] if self.has(IDS) => Ok(tokens),
            _ => Err(ModelError::Sizes(format!(
                "samples should be token ids, a column `{IDS}` [tokens], but the data have {}",
                self.columns.iter().map(|own| format!("`{}` {own}", own.name)).collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

/// Whether a chance is one.
pub(super) fn check_dropout(name: &str, chance: f64) -> Result<(), ModelError> {
    if (0.0..1.0).contains(&chance) {
        return Ok(());
    }
    Err(ModelError::Sizes(format!("`{name}` is {chance}; it should be from 0 to below 1")))
}

/// Whether heads divide a width.
pub(super) fn check_heads(heads: usize, width: usize) -> Result<(), ModelError> {
    if heads > 0 && width.is_multiple_of(heads) {
        return Ok(());
    }
    Err(ModelError::Sizes(format!("{heads} heads do not divide the width {width}")))
}

/// An architecture as the registry hands it out.
pub(super) fn boxed(model: impl Architecture + 'static) -> Box<dyn Architecture> {
    Box::new(model)
}
