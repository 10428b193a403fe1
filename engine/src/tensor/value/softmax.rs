//! The logarithm of softmax.

use super::Value;

impl Value {
    /// Logarithm of `softmax` over one axis, finite wherever `self` is.
    #[must_use]
    pub fn log_softmax(self, axis: usize) -> Self {
        let largest = self.clone().max_axis(axis);
        let shifted = self.sub(largest);
        let log_sum = shifted.clone().exp().sum_axis(axis).log();
        shifted.sub(log_sum)
    }
}
