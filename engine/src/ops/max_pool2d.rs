use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{PoolStep, Shape, Value, elements};

/// Largest value in each position of a moving window: `x [batch, channels, height, width]` gives
/// `[batch, channels, height', width']` with `height' = (height + 2·padding − kernel)/stride + 1`, rounded down, and
/// `width'` likewise. What lies beyond the edge never is the largest. Keeps its input; backward finds the places again.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d {
    /// Rows and columns of the window.
    pub kernel: usize,
    /// Rows and columns from one position to the next.
    pub stride: usize,
    /// Rows and columns beyond each edge; at most half the window.
    pub padding: usize,
}

impl MaxPool2d {
    const fn step(self) -> PoolStep {
        PoolStep { kernel: [self.kernel; 2], stride: [self.stride; 2], padding: [self.padding; 2] }
    }

    /// Rows (or columns) of the output, if the window fits.
    #[must_use]
    pub const fn extent(self, from: usize) -> Option<usize> {
        if self.kernel > 0 && self.stride > 0 && self.kernel <= from + 2 * self.padding {
            Some((from + 2 * self.padding - self.kernel) / self.stride + 1)
        } else {
            None
        }
    }
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        "max pool"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && inputs[0].len() == 4, self.name(), inputs, || {
            "needs [batch, channels, height, width]".to_owned()
        })?;
        require(2 * self.padding <= self.kernel, self.name(), inputs, || {
            format!("a padding of {} is more than half the window of {}", self.padding, self.kernel)
        })?;
        let x = &inputs[0];
        let (Some(rows), Some(columns)) = (self.extent(x[2]), self.extent(x[3])) else {
            let why = format!("a window of {} does not fit {} × {} pixels", self.kernel, x[2], x[3]);
            return Err(ShapeError { op: self.name(), inputs: inputs.to_vec(), why });
        };
        Ok(vec![x[0], x[1], rows, columns])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().max_pool2d(self.step())
    }

    fn vjp_workspace(&self, _inputs: &[Shape], output: &Shape, _wanted: &[bool]) -> u64 {
        // The output again, and the places in 64 bits.
        12 * elements(output) as u64
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![wanted[0].then(|| dy.max_pool2d_vjp(kept.input(0), self.step()))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;

    const HALVING: MaxPool2d = MaxPool2d { kernel: 3, stride: 2, padding: 1 };

    #[test]
    fn gradients() {
        for (height, width) in [(7, 5), (6, 8), (1, 2)] {
            check_op(&HALVING, &[&[2, 3, height, width]]);
        }
        check_op(&MaxPool2d { kernel: 2, stride: 2, padding: 0 }, &[&[1, 2, 5, 6]]);
        check_op(&MaxPool2d { kernel: 3, stride: 1, padding: 1 }, &[&[1, 2, 4, 3]]);
    }

    #[test]
    fn is_the_largest_of_each_window() {
        let x = random("x", &[2, 3, 7, 6]);
        // All negative: what lies beyond the edge counts as less than any value, not as zero.
        let x = x.square().neg();
        let y = HALVING.forward(std::slice::from_ref(&x), &Context::inference());
        assert_eq!(y.shape(), [2, 3, 4, 3]);
        let (x, y) = (x.to_f64(), y.to_f64());
        for plane in 0..6 {
            for (row, column) in (0..4).flat_map(|r| (0..3).map(move |c| (r, c))) {
                let window = (0..3).flat_map(|i| (0..3).map(move |j| (2 * row + i, 2 * column + j)));
                let inside = window.filter(|(r, c)| (1..=7).contains(r) && (1..=6).contains(c));
                let largest =
                    inside.map(|(r, c)| x[(plane * 7 + r - 1) * 6 + c - 1]).fold(f64::NEG_INFINITY, f64::max);
                assert_eq!(y[(plane * 4 + row) * 3 + column].to_bits(), largest.to_bits());
            }
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let error = MaxPool2d { kernel: 5, stride: 1, padding: 0 }.shape(&[vec![1, 1, 4, 9]]).unwrap_err();
        assert!(error.to_string().contains("a window of 5 does not fit 4 × 9 pixels"), "{error}");
        let error = MaxPool2d { kernel: 3, stride: 1, padding: 2 }.shape(&[vec![1, 1, 4, 9]]).unwrap_err();
        assert!(error.to_string().contains("more than half"), "{error}");
    }
}
