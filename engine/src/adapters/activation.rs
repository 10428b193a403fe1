//! Activations that an adapter may have.

use serde::{Deserialize, Serialize};

use super::setting::Choice;
use crate::graph::{NodeId, PatchBuilder};
use crate::ops::{Gelu, GeluForm, Relu, Silu, Tanh};

/// An activation function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activation {
    /// `x·Φ(x)`.
    #[default]
    Gelu,
    /// GELU through `tanh`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x·σ(x)`.
    Silu,
    /// `tanh(x)`.
    Tanh,
    /// None: the adapter is linear.
    Linear,
}

impl Choice for Activation {
    const ALL: &'static [Self] =
        &[Self::Gelu, Self::GeluTanh, Self::Relu, Self::Silu, Self::Tanh, Self::Linear];
    const NAMES: &'static [&'static str] = &["GELU", "GELU (tanh)", "ReLU", "SiLU", "tanh", "none"];
}

impl Activation {
    /// The activation of a value.
    pub(super) fn of(self, builder: &mut PatchBuilder<'_>, name: &str, x: NodeId) -> NodeId {
        match self {
            Self::Gelu => builder.op(name, Gelu { form: GeluForm::Exact }, &[x]),
            Self::GeluTanh => builder.op(name, Gelu { form: GeluForm::Tanh }, &[x]),
            Self::Relu => builder.op(name, Relu, &[x]),
            Self::Silu => builder.op(name, Silu, &[x]),
            Self::Tanh => builder.op(name, Tanh, &[x]),
            Self::Linear => x,
        }
    }
}
