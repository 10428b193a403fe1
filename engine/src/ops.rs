//! Ops: one file each, holding the whole truth about it.
//!
//! An op says its output's shape, its multiply-adds, what its backward keeps given which inputs want a
//! gradient, how it runs and how it is differentiated. Planner and executor read the same declaration.
//! Inputs are edges: weights come in like activations do, so a rewrite can stand on any of them.

use std::fmt::Debug;

use crate::tensor::{Shape, Stream, Value, elements};

mod add;
mod add_last;
mod add_slice;
mod add_sparse;
mod attention;
mod batch_norm;
mod binary_cross_entropy;
mod blend;
mod by_mode;
mod channel_mean;
mod channel_variance;
mod combine;
mod concat;
mod conv2d;
mod conv_transpose2d;
mod cross_entropy;
mod detach;
mod dice;
mod dispatch;
mod distillation;
mod dora_scale;
mod draw;
mod dropout;
mod dropped_attention;
mod embedding;
mod first_present;
mod flatten;
mod fold;
mod gate;
mod gelu;
mod global_mean;
mod identity;
mod insert_tokens;
mod kronecker;
mod l2_normalise;
mod layer_norm;
mod leading_rows;
mod linear;
mod matmul;
mod max_pool2d;
mod mean_squared_error;
mod mean_tokens;
mod multiply;
mod padding_bias;
mod patchify;
mod positions;
mod prepend_token;
mod quantise;
mod quick_gelu;
mod relative_bias;
mod relu;
mod reshape;
mod resize_nearest;
mod rms_norm;
mod route;
mod scale;
mod select_end;
mod select_token;
mod sigmoid;
mod silu;
mod similarities;
mod slice;
mod softmax;
mod subtract;
mod swiglu;
mod symmetric_kl;
mod tanh;
mod tokens_to_grid;
mod transpose;
mod unbias;
mod unsqueeze;
mod weighted_combine;
mod weighted_sum;

pub use add::Add;
pub use add_last::AddLast;
pub use add_slice::AddSlice;
pub use add_sparse::{AddSparse, largest_places, rows_and_columns};
pub use attention::Attention;
pub use batch_norm::BatchNorm;
pub use binary_cross_entropy::BinaryCrossEntropy;
pub use blend::Blend;
pub use by_mode::ByMode;
pub use channel_mean::ChannelMean;
pub use channel_variance::ChannelVariance;
pub use combine::Combine;
pub use concat::Concat;
pub use conv_transpose2d::ConvTranspose2d;
pub use conv2d::Conv2d;
pub use cross_entropy::CrossEntropy;
pub use detach::Detach;
pub use dice::Dice;
pub use dispatch::Dispatch;
pub use distillation::Distillation;
pub use dora_scale::DoraScale;
pub use draw::Draw;
pub use dropout::Dropout;
pub use dropped_attention::DroppedAttention;
pub use embedding::Embedding;
pub use first_present::FirstPresent;
pub use flatten::Flatten;
pub use fold::{Fold, Unfold};
pub use gate::Gate;
pub use gelu::Gelu;
pub use global_mean::GlobalMean;
pub use identity::Identity;
pub use insert_tokens::{InsertTokens, RemoveTokens};
pub use kronecker::Kronecker;
pub use l2_normalise::L2Normalise;
pub use layer_norm::LayerNorm;
pub use leading_rows::LeadingRows;
pub use linear::Linear;
pub use matmul::MatMul;
pub use max_pool2d::MaxPool2d;
pub use mean_squared_error::MeanSquaredError;
pub use mean_tokens::MeanTokens;
pub use multiply::Multiply;
pub use padding_bias::{CausalBias, PaddingBias};
pub use patchify::Patchify;
pub use positions::{ResizePositions, bicubic_weights};
pub use prepend_token::PrependToken;
pub use quantise::{CODE_BOOKS, Codes, Quantise};
pub use quick_gelu::QuickGelu;
pub use relative_bias::RelativeBias;
pub use relu::Relu;
pub use reshape::Reshape;
pub use resize_nearest::ResizeNearest;
pub use rms_norm::RmsNorm;
pub use route::Route;
pub use scale::Scale;
pub use select_end::SelectEnd;
pub use select_token::SelectToken;
pub use sigmoid::Sigmoid;
pub use silu::Silu;
pub use similarities::Similarities;
pub use slice::Slice;
pub use softmax::Softmax;
pub use subtract::Subtract;
pub use swiglu::SwiGlu;
pub use symmetric_kl::SymmetricKl;
pub use tanh::Tanh;
pub use tokens_to_grid::{GridOf, GridToTokens, TokensToGrid};
pub use transpose::Transpose;
pub use unbias::Unbias;
pub use unsqueeze::{Squeeze, Unsqueeze};
pub use weighted_combine::WeightedCombine;
pub use weighted_sum::WeightedSum;

pub use crate::tensor::kernels::GeluForm;

/// Shapes that an op cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op} cannot take inputs of shape {inputs:?}: {why}")]
pub struct ShapeError {
    /// The op's name.
    pub op: &'static str,
    /// What it was given.
    pub inputs: Vec<Shape>,
    /// What it needs.
    pub why: String,
}

/// What backward reads of one node, decided before forward from which inputs want a gradient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeps {
    /// Per input: is its value read.
    pub inputs: Vec<bool>,
    /// Is the node's own output read.
    pub output: bool,
    /// Are the extras of [`Op::forward_keeping`] read.
    pub extras: bool,
}

impl Keeps {
    /// Nothing is read.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { inputs: Vec::new(), output: false, extras: false }
    }

    /// The values of these inputs are read.
    #[must_use]
    pub fn inputs(inputs: &[bool]) -> Self {
        Self { inputs: inputs.to_vec(), output: false, extras: false }
    }

    /// Whether input `index` is read.
    #[must_use]
    pub fn input(&self, index: usize) -> bool {
        self.inputs.get(index).copied().unwrap_or(false)
    }
}

/// What was kept of one node's forward, as its vjp gets it.
#[derive(Debug, Default)]
pub struct Kept {
    /// The inputs that [`Op::keeps`] named, in their places.
    pub inputs: Vec<Option<Value>>,
    /// The output, if named.
    pub output: Option<Value>,
    /// The extras, if named.
    pub extras: Vec<Value>,
    /// Shapes of all inputs; empty for an absent one.
    pub input_shapes: Vec<Shape>,
}

impl Kept {
    /// A kept input.
    ///
    /// # Panics
    /// When the op reads what its [`Op::keeps`] did not name: an error in the op.
    #[must_use]
    pub fn input(&self, index: usize) -> Value {
        match self.inputs.get(index) {
            Some(Some(value)) => value.clone(),
            _ => panic!("a vjp read input {index}, which its op did not declare as kept"),
        }
    }

    /// Whether an input was there in forward. Every value has one axis or more.
    #[must_use]
    pub fn is_present(&self, index: usize) -> bool {
        self.input_shapes.get(index).is_some_and(|shape| !shape.is_empty())
    }

    /// The kept output.
    ///
    /// # Panics
    /// As [`Self::input`].
    #[must_use]
    pub fn output(&self) -> Value {
        match &self.output {
            Some(value) => value.clone(),
            None => panic!("a vjp read its output, which its op did not declare as kept"),
        }
    }
}

/// How an op uses one of its inputs in one mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Its values.
    Value,
    /// Its extents only: no gradient flows into it.
    Shape,
    /// Not at all in this mode: what lies behind it need not run.
    Nothing,
}

/// What the elements of a value are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Element {
    /// Floating point, in the walk's dtype.
    #[default]
    Float,
    /// 64-bit integers.
    Integer,
}

/// What an op's time depends on: two calls of one op whose extents are near take about equally long for a unit of
/// work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Units of work: multiply-adds, or elements that are moved.
    pub work: u64,
    /// The extents that the speed depends on, always the same ones for an op.
    pub extents: Vec<usize>,
}

/// Where an input's gradient lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lies {
    /// In memory of its own.
    #[default]
    New,
    /// In that of the output's gradient, which it is a view of.
    Same,
    /// There as well, changed in place, unless somebody else reads that.
    InPlace,
    /// Nowhere: a few elements, repeated without storage.
    Repeated,
}

/// How the rows (leading axis) of an op's output stand to those of its first input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Row by row, whatever the op does within a row.
    #[default]
    Same,
    /// Some of them: a sample of the batch may have no row.
    Selected,
    /// One each again, whatever the other inputs hold.
    Restored,
}

/// What a node may depend on beside its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The node's own stream of random numbers.
    pub stream: Stream,
    /// Position in that stream: the step.
    pub step: u64,
    /// Training mode (dropout acts) or inference mode.
    pub training: bool,
}

impl Context {
    /// Inference mode: nothing is drawn.
    #[must_use]
    pub fn inference() -> Self {
        Self { stream: Stream::new(0, ""), step: 0, training: false }
    }
}

/// One operation of the graph. Its `Debug` shows every setting that its values depend on: caches tell ops apart by it.
pub trait Op: Debug + Send + Sync {
    /// Short name of the kind, as drawn and reported.
    fn name(&self) -> &'static str;

    /// Shape of the output for concrete input shapes.
    ///
    /// # Errors
    /// When the op cannot take them.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError>;

    /// Multiplications with addition of one forward.
    fn multiply_adds(&self, _inputs: &[Shape], _output: &Shape) -> u64 {
        0
    }

    /// Runs the op.
    fn forward(&self, inputs: &[Value], context: &Context) -> Value;

    /// Runs the op and also returns the extras that its vjp reads. Same output bits as [`Self::forward`].
    fn forward_keeping(&self, inputs: &[Value], context: &Context) -> (Value, Vec<Value>) {
        (self.forward(inputs, context), Vec::new())
    }

    /// Runs the op when some inputs are absent: not read in this mode, or on a branch that is not run. Default:
    /// the output is absent too. An op that overrides this says so by [`Self::takes_absent`].
    fn forward_present(&self, inputs: &[Option<Value>], context: &Context) -> Option<Value> {
        let inputs: Option<Vec<Value>> = inputs.iter().cloned().collect();
        Some(self.forward(&inputs?, context))
    }

    /// Whether the op can do without some of its inputs, by [`Self::forward_present`]. Its vjp then gets no
    /// shape for an absent input (see [`Kept::is_present`]) and gives it no gradient.
    fn takes_absent(&self) -> bool {
        false
    }

    /// Shapes of the extras that [`Self::forward_keeping`] returns.
    fn extras(&self, _inputs: &[Shape], _output: &Shape) -> Vec<Shape> {
        Vec::new()
    }

    /// What the output's elements are.
    fn element(&self) -> Element {
        Element::Float
    }

    /// How input `input` is used in training or inference mode.
    fn reads(&self, _input: usize, _training: bool) -> Reads {
        Reads::Value
    }

    /// What [`Self::vjp`] reads when the inputs in `wanted` want a gradient. Default: every input.
    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&vec![true; wanted.len()])
    }

    /// Gradients of the wanted inputs from the output's gradient; `None` where not wanted or absent.
    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], context: &Context) -> Vec<Option<Value>> {
        vjp_by_tape(self, kept, dy, wanted, context)
    }

    /// Whether forward draws random numbers in training mode.
    fn draws(&self) -> bool {
        false
    }

    /// Whether forward takes so little that a value which only backward still needs is made again from inputs that are
    /// kept anyway, rather than kept as well. The same bits; never with [`Self::draws`].
    fn is_cheap(&self) -> bool {
        false
    }

    /// Whether a row of the output depends on other samples of the batch.
    fn mixes_samples(&self) -> bool {
        false
    }

    /// How the output's rows stand to the first input's.
    fn rows(&self) -> Rows {
        Rows::Same
    }

    /// Which input's storage the output shares, if any.
    fn view(&self, _inputs: &[Shape], _training: bool) -> Option<usize> {
        None
    }

    /// Bytes that forward holds at its most beside inputs, output and extras, on the plain CPU device.
    fn workspace(&self, _inputs: &[Shape], _output: &Shape) -> u64 {
        0
    }

    /// Bytes that the vjp holds at its most beside what is kept, the output's gradient and those that it returns.
    fn vjp_workspace(&self, _inputs: &[Shape], _output: &Shape, _wanted: &[bool]) -> u64 {
        0
    }

    /// What the time of forward and vjp depends on. Default: the elements read and written.
    fn effort(&self, inputs: &[Shape], output: &Shape) -> Effort {
        let moved = elements(output) + inputs.iter().map(|shape| elements(shape)).sum::<usize>();
        Effort { work: moved as u64, extents: vec![moved] }
    }

    /// Where the gradient of input `input` lies.
    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::New
    }

    /// The convolution that it is, if it is one: adapters beside it do as it does.
    fn as_conv2d(&self) -> Option<Conv2d> {
        None
    }

    /// Whether it is its first input but for a few places that it adds to.
    fn adds_at_places(&self) -> bool {
        false
    }

    /// Whether gradients pass from the output to the inputs.
    fn passes_gradient(&self) -> bool {
        true
    }
}

/// The default vjp: the node's forward again, under burn's autodiff, on leaves for the wanted inputs.
/// Needs every input kept.
pub fn vjp_by_tape<O: Op + ?Sized>(
    op: &O,
    kept: &Kept,
    dy: Value,
    wanted: &[bool],
    context: &Context,
) -> Vec<Option<Value>> {
    let leaves: Vec<Value> = wanted
        .iter()
        .enumerate()
        .map(|(i, &want)| if want { kept.input(i).tracked() } else { kept.input(i) })
        .collect();
    let output = op.forward(&leaves, context);
    let gradients = output.mul(dy).sum_all().backward();
    leaves
        .iter()
        .zip(wanted)
        .map(|(leaf, &want)| if want { leaf.gradient(&gradients) } else { None })
        .collect()
}

/// `Ok(())` or the op's complaint about its input shapes.
fn require(
    condition: bool,
    op: &'static str,
    inputs: &[Shape],
    why: impl FnOnce() -> String,
) -> Result<(), ShapeError> {
    if condition { Ok(()) } else { Err(ShapeError { op, inputs: inputs.to_vec(), why: why() }) }
}

/// Multiply-adds as the count that reports use.
fn count(factors: &[usize]) -> u64 {
    factors.iter().map(|&f| f as u64).product()
}

/// Broadcast shape of two shapes, if they broadcast.
fn broadcast(a: &[usize], b: &[usize]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let extent = |s: &[usize], i: usize| {
        let lead = rank - s.len();
        if i < lead { 1 } else { s[i - lead] }
    };
    (0..rank)
        .map(|i| match (extent(a, i), extent(b, i)) {
            (x, y) if x == y || y == 1 => Some(x),
            (1, y) => Some(y),
            _ => None,
        })
        .collect()
}

/// Aligns ranks by leading ones, which burn's broadcasting wants.
fn align(value: Value, rank: usize) -> Value {
    let shape = value.shape();
    if shape.len() == rank {
        return value;
    }
    let mut padded = vec![1; rank - shape.len()];
    padded.extend(&shape);
    value.reshape(&padded)
}

#[cfg(test)]
pub(crate) mod check;
