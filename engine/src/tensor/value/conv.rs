//! Two-dimensional convolution and its gradients, by the backend's own routines.

use burn::backend::Dispatch;
use burn::backend::ops::{ConvOptions, ConvTransposeOptions, ModuleOps as _};

use super::Value;
use crate::tensor::elements;

/// Output positions that the CPU's routine handles at a time.
const TILE: usize = 512;
/// Most bytes of columns that its transposed routine makes for one sample and group.
const MOST_COLUMNS_BYTES: usize = 8 * 1024 * 1024;
/// Input and output channels up to which it needs no columns.
const FEW_CHANNELS: (usize, usize) = (4, 16);

/// How a kernel moves over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvStep {
    /// Rows and columns from one position to the next.
    pub stride: [usize; 2],
    /// Zeros before and after the rows and the columns.
    pub padding: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl ConvStep {
    /// Bytes that the CPU's routine holds beside input, weight and output while it convolves: the input with its
    /// channels last, the weight in that order, and columns and their product for each thread.
    #[must_use]
    pub fn workspace(self, x: &[usize], weight: &[usize], output: &[usize]) -> u64 {
        let pointwise = weight[2..] == [1, 1] && self.stride == [1, 1] && self.padding == [0, 0];
        let depthwise = weight[1] == 1 && self.groups == x[1] && weight[0] == x[1];
        let few = self.groups == 1 && x[1] <= FEW_CHANNELS.0 && weight[0] <= FEW_CHANNELS.1;
        if pointwise || depthwise || few {
            return 0;
        }
        let tile = (output[2] * output[3]).min(TILE);
        let columns = elements(&weight[1..]) * tile;
        let product = weight[0] / self.groups * tile;
        bytes(elements(x) + elements(weight) + threads() * (2 * columns + product))
    }

    /// The same for the input's gradient: the columns of one sample for each thread.
    #[must_use]
    pub fn input_vjp_workspace(self, weight: &[usize], output: &[usize]) -> u64 {
        let columns = elements(&weight[1..]) * output[2] * output[3];
        bytes(threads() * columns.min(MOST_COLUMNS_BYTES / 4))
    }

    /// The same for the weight's gradient, which is a convolution of the input by the output's gradient, with batch and
    /// channels exchanged.
    #[must_use]
    pub fn weight_vjp_workspace(self, x: &[usize], weight: &[usize], output: &[usize]) -> u64 {
        let columns = elements(&weight[2..]) * x[0] * output[2] * output[3];
        let copies = 2 * (elements(x) + elements(output)) / self.groups;
        let columns = if self.groups == 1 { threads() * columns } else { columns };
        bytes(copies + columns)
    }

    fn options(self) -> ConvOptions<2> {
        ConvOptions::new(self.stride, self.padding, [1, 1], self.groups)
    }
}

fn threads() -> usize {
    rayon::current_num_threads()
}

const fn bytes(elements: usize) -> u64 {
    4 * elements as u64
}

impl Value {
    /// Convolution of `self` `[batch, channels, height, width]` with `weight`
    /// `[out, channels/groups, rows, columns]` and perhaps a bias `[out]`.
    #[must_use]
    pub fn conv2d(self, weight: Self, bias: Option<Self>, step: ConvStep) -> Self {
        Self(Dispatch::conv2d(self.0, weight.0, bias.map(|bias| bias.0), step.options()))
    }

    /// Transposed convolution of `self` `[batch, channels, height, width]` with `weight`
    /// `[channels, out/groups, rows, columns]`: what [`Self::conv2d_input_vjp`] computes, as an op of its own.
    #[must_use]
    pub fn conv_transpose2d(self, weight: Self, bias: Option<Self>, step: ConvStep) -> Self {
        let options = ConvTransposeOptions::new(step.stride, step.padding, [0, 0], [1, 1], step.groups);
        Self(Dispatch::conv_transpose2d(self.0, weight.0, bias.map(|bias| bias.0), options))
    }

    /// Gradient of [`Self::conv2d`] with respect to its input, of `shape`, from its output's gradient `self`.
    #[must_use]
    pub fn conv2d_input_vjp(self, shape: &[usize], weight: Self, step: ConvStep) -> Self {
        // The routine reads the input for its extents only: one element, repeated without storage, does.
        let stand_in = Self::full(&[1; 4], 0.0, self.dtype().into(), &self.device()).expand(shape);
        Self(Dispatch::conv2d_x_backward(stand_in.0, weight.0, self.0, step.options()))
    }

    /// Gradient of [`Self::conv2d`] with respect to its weight, of `shape`, from its output's gradient `self`.
    #[must_use]
    pub fn conv2d_weight_vjp(self, input: Self, shape: &[usize], step: ConvStep) -> Self {
        let stand_in = Self::full(&[1; 4], 0.0, self.dtype().into(), &self.device()).expand(shape);
        Self(Dispatch::conv2d_weight_backward(input.0, stand_in.0, self.0, step.options()))
    }
}
