//! The four kinds of leaves: columns of the batch, weights, states and constants.

use std::sync::Arc;

use super::{Extent, NodeId};
use crate::ops::Element;
use crate::tensor::{Shape, Stream, elements};

/// A named, typed column of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputLeaf {
    /// Name as data sources and Hugging Face call it: `pixel_values`, `labels`.
    pub column: String,
    /// What its elements are.
    pub element: Element,
    /// Its extents.
    pub extents: Vec<Extent>,
    /// Not the column itself but the numbers of the batch's rows whose value in it is this one: what a
    /// dispatch by a data column reads. Known to the host before the step, absent when there are none.
    pub rows_where: Option<i64>,
}

impl InputLeaf {
    /// A column of floats.
    #[must_use]
    pub fn floats(column: &str, extents: Vec<Extent>) -> Self {
        Self { column: column.to_owned(), element: Element::Float, extents, rows_where: None }
    }

    /// A column of integers.
    #[must_use]
    pub fn integers(column: &str, extents: Vec<Extent>) -> Self {
        Self { element: Element::Integer, ..Self::floats(column, extents) }
    }

    /// Numbers of the rows where a scalar integer column has this value. Its extent is named as its key; where
    /// that is not bound, the whole batch is the most that it can be.
    #[must_use]
    pub fn rows(column: &str, value: i64) -> Self {
        let leaf = Self { rows_where: Some(value), ..Self::integers(column, Vec::new()) };
        Self { extents: vec![Extent::Named(leaf.key())], ..leaf }
    }

    /// What the leaf is called among a walk's inputs: the column, or `column=value` for its rows.
    #[must_use]
    pub fn key(&self) -> String {
        match self.rows_where {
            Some(value) => format!("{}={value}", self.column),
            None => self.column.clone(),
        }
    }
}

/// A tensor of weights: where it lives in files and how it begins when no file has it. Two readers of one
/// leaf are tied; its other names are aliases that rules and files may use as well.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamLeaf {
    /// Shape as files store it.
    pub shape: Shape,
    /// Initial values.
    pub init: Init,
    /// Name in the checkpoint file; adapters have their own names.
    pub stored: String,
    /// Placed by an adapter (its index in the project's list), or part of the base model.
    pub placement: Option<usize>,
    /// What may be done to a stored tensor of another shape.
    pub fit: Fit,
    /// Other names of the same tensor.
    pub aliases: Vec<Alias>,
}

/// Another name of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Logical path.
    pub path: String,
    /// Name in files that store the tensor under it.
    pub stored: String,
}

/// A value that never gets a gradient and changes by declared updates only: running statistics, averages of
/// weights, masks. Saved with checkpoint and adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct StateLeaf {
    /// Its shape.
    pub shape: Shape,
    /// How it begins.
    pub begins: Beginning,
    /// Name in the checkpoint file.
    pub stored: String,
    /// Placed by an adapter, or part of the base model.
    pub placement: Option<usize>,
}

/// How a state begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Beginning {
    /// With these values.
    Values(Init),
    /// As a copy of this parameter.
    CopyOf(NodeId),
    /// The places of this parameter's largest magnitudes, as rows and columns `[2, k]`, ascending.
    LargestOf(NodeId),
}

/// Values that never change.
#[derive(Clone, Debug, PartialEq)]
pub struct ConstLeaf {
    /// Their shape.
    pub shape: Shape,
    /// In row-major order.
    pub values: Arc<[f32]>,
}

/// How a stored tensor of another shape is made to fit a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Not at all.
    #[default]
    Exact,
    /// A patch kernel `[out, channels, rows, columns]` is spread over a tubelet's frames, a tubelet kernel of
    /// another length is not taken.
    Inflate {
        /// At every frame, divided by their number, rather than at the central frame alone.
        average: bool,
    },
    /// One number, which files store without axes.
    Scalar,
    /// A table `[1, prefix + rows, width]` is resampled along its rows, linearly with aligned ends.
    ResampleRows {
        /// Rows that stay as they are.
        prefix: usize,
    },
}

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Normal with mean 0, drawn again where it lies more than two standard deviations off.
    TruncatedNormal {
        /// Standard deviation before cutting.
        std: f64,
    },
    /// Uniform in ±bound.
    Uniform {
        /// The bound.
        bound: f64,
    },
    /// Uniform in ±√(6 / (in + out)) (Glorot and Bengio, 2010).
    XavierUniform,
    /// Uniform in ±√(1 / in), PyTorch's default for linear layers and LoRA's for `A`.
    KaimingUniform,
    /// The same value everywhere.
    Constant(f64),
    /// One on the diagonal, zero elsewhere.
    Identity,
    /// A table of positions `[…, rows, width]`: sine in even columns, cosine in odd ones, of
    /// `row / 10000^(2·⌊column/2⌋/width)` (Vaswani et al., 2017).
    Sinusoidal,
}

impl Init {
    /// Initial values of a parameter, drawn from the stream of its own path.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "weights are f32")]
    pub fn values(self, path: &str, shape: &[usize], seed: u64) -> Vec<f32> {
        let count = elements(shape);
        let fan_out = shape.first().copied().unwrap_or(1).max(1);
        let fan_in = (count / fan_out).max(1);
        let mut draws = Stream::new(seed, path).at(0);
        let mut uniform = |bound: f64| -> Vec<f32> {
            (0..count).map(|_| ((f64::from(draws.uniform()) * 2.0 - 1.0) * bound) as f32).collect()
        };
        match self {
            Self::Zeros => vec![0.0; count],
            Self::Ones => vec![1.0; count],
            Self::Constant(value) => vec![value as f32; count],
            Self::Identity => (0..count).map(|i| if i / fan_in == i % fan_in { 1.0 } else { 0.0 }).collect(),
            Self::Sinusoidal => {
                let width = shape.last().copied().unwrap_or(1).max(1);
                let angle = |row: usize, column: usize| {
                    row as f64 / 10_000f64.powf(2.0 * (column / 2) as f64 / width as f64)
                };
                (0..count)
                    .map(|i| {
                        let (angle, odd) = (angle(i / width, i % width), i % width % 2 == 1);
                        (if odd { angle.cos() } else { angle.sin() }) as f32
                    })
                    .collect()
            }
            Self::Uniform { bound } => uniform(bound),
            Self::XavierUniform => uniform((6.0 / (fan_in + fan_out) as f64).sqrt()),
            Self::KaimingUniform => uniform((1.0 / fan_in as f64).sqrt()),
            Self::TruncatedNormal { std } => (0..count)
                .map(|_| {
                    let mut normal = draws.normal();
                    while normal.abs() > 2.0 {
                        normal = draws.normal();
                    }
                    (f64::from(normal) * std) as f32
                })
                .collect(),
            Self::Normal { std } => (0..count).map(|_| (f64::from(draws.normal()) * std) as f32).collect(),
        }
    }
}
