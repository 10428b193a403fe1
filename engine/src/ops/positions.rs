use super::{Context, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// A position table fitted to another grid of patches by bicubic interpolation, as Hugging Face's image
/// transformers do: prefix rows stay, the grid part is resampled (cubic coefficient −0.75, pixel centres
/// aligned, no antialiasing). Inputs: `table [1, prefix + rows·columns, width]` and the pixels
/// `[batch, channels, height, width]` (or with a frame axis), read for their last two extents only.
#[derive(Debug)]
pub struct ResizePositions {
    /// Rows before the grid (class token).
    pub prefix: usize,
    /// Rows and columns that the table was trained for.
    pub grid: [usize; 2],
    /// Pixels of one patch.
    pub patch: [usize; 2],
}

impl ResizePositions {
    fn target(&self, pixels: &[usize]) -> [usize; 2] {
        let rank = pixels.len();
        [pixels[rank - 2] / self.patch[0], pixels[rank - 1] / self.patch[1]]
    }

    /// The linear map `[new grid, old grid]` as a tensor like `table`.
    fn matrix(&self, target: [usize; 2], like: &Value) -> Value {
        let (down, across) =
            (bicubic_weights(self.grid[0], target[0]), bicubic_weights(self.grid[1], target[1]));
        let (from, to) = (self.grid[0] * self.grid[1], target[0] * target[1]);
        let mut data = vec![0.0f64; from * to];
        for row in 0..target[0] {
            for column in 0..target[1] {
                for i in 0..self.grid[0] {
                    for j in 0..self.grid[1] {
                        data[(row * target[1] + column) * from + i * self.grid[1] + j] =
                            down[row * self.grid[0] + i] * across[column * self.grid[1] + j];
                    }
                }
            }
        }
        Value::from_f64(data, &[to, from], &Device::flex())
            .cast(like.dtype().into())
            .to_device(&like.device())
    }
}

use burn::tensor::Device;

/// Weights of a bicubic resize of `from` samples to `to`, row-major `[to, from]`; rows sum to one.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "grid extents are small, and indices are clamped to the grid before use"
)]
pub fn bicubic_weights(from: usize, to: usize) -> Vec<f64> {
    const A: f64 = -0.75;
    let kernel = |x: f64| {
        let x = x.abs();
        if x <= 1.0 {
            ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
        } else if x < 2.0 {
            ((x - 5.0) * x + 8.0) * x * A - 4.0 * A
        } else {
            0.0
        }
    };
    let scale = from as f64 / to as f64;
    let mut weights = vec![0.0; to * from];
    for target in 0..to {
        let centre = (target as f64 + 0.5) * scale - 0.5;
        let base = centre.floor();
        for offset in -1..=2 {
            let position = base + f64::from(offset);
            let index = position.clamp(0.0, (from - 1) as f64) as usize;
            weights[target * from + index] += kernel(centre - position);
        }
    }
    weights
}

impl Op for ResizePositions {
    fn name(&self) -> &'static str {
        "positions"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 2 && inputs[0].len() == 3 && inputs[1].len() >= 4,
            self.name(),
            inputs,
            || "needs a table [1, tokens, width] and pixels".to_owned(),
        )?;
        let rows = self.prefix + self.grid[0] * self.grid[1];
        require(inputs[0][1] == rows, self.name(), inputs, || format!("the table should have {rows} rows"))?;
        let [down, across] = self.target(&inputs[1]);
        Ok(vec![1, self.prefix + down * across, inputs[0][2]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let table = inputs[0].clone();
        let target = self.target(&inputs[1].shape());
        if target == self.grid {
            return table;
        }
        let shape = table.shape();
        let (old, width) = (shape[1] - self.prefix, shape[2]);
        let grid = table.clone().narrow(1, self.prefix, old).reshape(&[old, width]);
        let resized = self.matrix(target, &grid).matmul(grid).reshape(&[1, target[0] * target[1], width]);
        if self.prefix == 0 {
            return resized;
        }
        Value::concat(vec![table.narrow(1, 0, self.prefix), resized], 1)
    }

    fn reads(&self, input: usize, _training: bool) -> Reads {
        if input == 0 { Reads::Value } else { Reads::Shape }
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let target = self.target(&kept.input_shapes[1]);
        if !wanted[0] || target == self.grid {
            return vec![wanted[0].then_some(dy), None];
        }
        let shape = kept.input_shapes[0].clone();
        let (new, width) = (target[0] * target[1], shape[2]);
        let grid = dy.clone().narrow(1, self.prefix, new).reshape(&[new, width]);
        let back = self.matrix(target, &grid).swap_axes(0, 1).matmul(grid).reshape(&[
            1,
            shape[1] - self.prefix,
            width,
        ]);
        let gradient =
            if self.prefix == 0 { back } else { Value::concat(vec![dy.narrow(1, 0, self.prefix), back], 1) };
        vec![Some(gradient), None]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op_on;
    use super::*;

    #[test]
    fn gradients() {
        let pixels = Value::from_f32(vec![0.0; 3 * 6 * 10], &[1, 3, 6, 10], &Device::flex());
        let op = ResizePositions { prefix: 1, grid: [2, 2], patch: [2, 2] };
        check_op_on(&op, &[&[1, 5, 3]], std::slice::from_ref(&pixels));
        let same = ResizePositions { prefix: 1, grid: [3, 5], patch: [2, 2] };
        check_op_on(&same, &[&[1, 16, 3]], &[pixels]);
    }

    #[test]
    fn weights_sum_to_one_and_keep_equal_grids() {
        for (from, to) in [(37, 7), (4, 9), (5, 5), (1, 3)] {
            for row in bicubic_weights(from, to).chunks(from) {
                assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            }
        }
        let same = bicubic_weights(3, 3);
        assert_eq!(same, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
