//! Convolutions over two axes.

use burn::backend::Dispatch;
use burn::backend::ops::ModuleOps as _;
use burn::tensor::ops::ConvOptions;

use super::Value;

/// How a kernel moves over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Steps down and across.
    pub stride: [usize; 2],
    /// Zero rows and columns added on each side.
    pub padding: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl Convolution {
    fn options(self) -> ConvOptions<2> {
        ConvOptions::new(self.stride, self.padding, [1, 1], self.groups)
    }
}

impl Value {
    /// `x [batch, channels, height, width]` with a kernel `[out, channels/groups, rows, columns]`.
    #[must_use]
    pub fn conv2d(self, kernel: Self, bias: Option<Self>, how: Convolution) -> Self {
        Self(Dispatch::conv2d(self.0, kernel.0, bias.map(|bias| bias.0), how.options()))
    }

    /// The gradient of the input, from the output's; `like` gives the input's extents and is not read.
    #[must_use]
    pub fn conv2d_input_gradient(like: Self, kernel: Self, dy: Self, how: Convolution) -> Self {
        Self(Dispatch::conv2d_x_backward(like.0, kernel.0, dy.0, how.options()))
    }

    /// The gradient of the kernel, from the output's; `like` gives the kernel's extents and is not read.
    #[must_use]
    pub fn conv2d_kernel_gradient(input: Self, like: Self, dy: Self, how: Convolution) -> Self {
        Self(Dispatch::conv2d_weight_backward(input.0, like.0, dy.0, how.options()))
    }
}
