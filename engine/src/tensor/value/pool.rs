//! Maximum over the places of a moving window and its gradient, by the backend's own routines.

use burn::backend::Dispatch;
use burn::backend::IntDType;
use burn::backend::ops::ModuleOps as _;

use super::Value;

/// How a window moves over rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStep {
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Rows and columns from one position to the next.
    pub stride: [usize; 2],
    /// Places before and after the rows and the columns that never are the largest.
    pub padding: [usize; 2],
}

impl Value {
    /// Largest value of `self` `[batch, channels, height, width]` in each position of the window.
    #[must_use]
    pub fn max_pool2d(self, step: PoolStep) -> Self {
        let PoolStep { kernel, stride, padding } = step;
        Self(Dispatch::max_pool2d(self.0, kernel, stride, padding, [1, 1], false))
    }

    /// Gradient of [`Self::max_pool2d`] with respect to its input `x`, from its output's gradient `self`: it goes to the
    /// first of the largest places.
    #[must_use]
    pub fn max_pool2d_vjp(self, x: Self, step: PoolStep) -> Self {
        let PoolStep { kernel, stride, padding } = step;
        let found = Dispatch::max_pool2d_with_indices(
            x.0.clone(),
            kernel,
            stride,
            padding,
            [1, 1],
            false,
            IntDType::I64,
        );
        let gradient = Dispatch::max_pool2d_with_indices_backward(
            x.0,
            kernel,
            stride,
            padding,
            [1, 1],
            false,
            self.0,
            found.indices,
        );
        Self(gradient.x_grad)
    }
}
