//! Two-dimensional convolution and its gradients, by the backend's own routines.

use burn::backend::Dispatch;
use burn::backend::ops::{ConvOptions, ModuleOps as _};

use super::Value;

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
    fn options(self) -> ConvOptions<2> {
        ConvOptions::new(self.stride, self.padding, [1, 1], self.groups)
    }
}

impl Value {
    /// Convolution of `self` `[batch, channels, height, width]` with `weight`
    /// `[out, channels/groups, rows, columns]` and perhaps a bias `[out]`.
    #[must_use]
    pub fn conv2d(self, weight: Self, bias: Option<Self>, step: ConvStep) -> Self {
        Self(Dispatch::conv2d(self.0, weight.0, bias.map(|bias| bias.0), step.options()))
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
