use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Cuts pixels into non-overlapping patches or tubelets, each flattened in the order of a convolution kernel
/// (channel, time, row, column), so that the embedding itself is a [`super::Linear`].
///
/// Images `[batch, channels, height, width] → [batch, tokens, channels·rows·columns]`;
/// clips `[batch, frames, channels, height, width] → [batch, frames/time, tokens, channels·time·rows·columns]`.
/// Pixels beyond the last whole patch are left out, as an unpadded convolution leaves them.
#[derive(Debug)]
pub struct Patchify {
    /// Frames, rows and columns of one patch; `time` is 1 for images.
    pub patch: [usize; 3],
    /// Whether the input has a frame axis.
    pub clip: bool,
}

impl Patchify {
    /// `[batch, frames, channels, height, width]` of either kind of input.
    fn extents(&self, shape: &[usize]) -> [usize; 5] {
        if self.clip {
            [shape[0], shape[1], shape[2], shape[3], shape[4]]
        } else {
            [shape[0], 1, shape[1], shape[2], shape[3]]
        }
    }
}

impl Op for Patchify {
    fn name(&self) -> &'static str {
        if self.clip { "tubelets" } else { "patches" }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let rank = if self.clip { 5 } else { 4 };
        require(inputs.len() == 1 && inputs[0].len() == rank, self.name(), inputs, || {
            if self.clip {
                "needs [batch, frames, channels, height, width]".to_owned()
            } else {
                "needs [batch, channels, height, width]".to_owned()
            }
        })?;
        let [batch, frames, channels, height, width] = self.extents(&inputs[0]);
        let [time, rows, columns] = self.patch;
        require(frames >= time && height >= rows && width >= columns, self.name(), inputs, || {
            format!("one patch is {time} × {rows} × {columns}")
        })?;
        let tokens = (height / rows) * (width / columns);
        let features = channels * time * rows * columns;
        Ok(if self.clip {
            vec![batch, frames / time, tokens, features]
        } else {
            vec![batch, tokens, features]
        })
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let x = inputs[0].clone();
        let [batch, frames, channels, height, width] = self.extents(&x.shape());
        let [time, rows, columns] = self.patch;
        let (steps, down, across) = (frames / time, height / rows, width / columns);
        let mut x = x.reshape(&[batch, frames, channels, height, width]);
        for (axis, extent) in [(1, steps * time), (3, down * rows), (4, across * columns)] {
            if x.shape()[axis] != extent {
                x = x.narrow(axis, 0, extent);
            }
        }
        let x = x
            .reshape(&[batch, steps, time, channels, down, rows, across, columns])
            .permute(&[0, 1, 4, 6, 3, 2, 5, 7]);
        let (tokens, features) = (down * across, channels * time * rows * columns);
        if self.clip {
            x.reshape(&[batch, steps, tokens, features])
        } else {
            x.reshape(&[batch, tokens, features])
        }
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        // Only the shape matters, but a gradient with respect to pixels is rare: the default vjp serves it.
        Keeps::inputs(&[wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], context: &Context) -> Vec<Option<Value>> {
        super::vjp_by_tape(self, kept, dy, wanted, context)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&Patchify { patch: [1, 2, 2], clip: false }, &[&[2, 3, 4, 6]]);
        check_op(&Patchify { patch: [2, 2, 3], clip: true }, &[&[1, 5, 2, 4, 7]]);
    }

    #[test]
    fn the_order_is_that_of_a_kernel() {
        // 1 image, 2 channels, 2×4 pixels, patches of 2×2: token 1 holds columns 2 and 3.
        let x = Value::from_f32((0..16).map(|i| i as f32).collect(), &[1, 2, 2, 4], &Device::flex());
        let y = Patchify { patch: [1, 2, 2], clip: false }.forward(&[x], &Context::inference());
        assert_eq!(y.shape(), [1, 2, 8]);
        assert_eq!(y.to_f32()[8..], [2.0, 3.0, 6.0, 7.0, 10.0, 11.0, 14.0, 15.0]);
    }
}
