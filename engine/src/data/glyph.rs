//! Small grey pictures: scaling them, and laying them on a canvas at positions between pixels.

/// A grey square picture with values in 0…1, ready to be placed.
#[derive(Clone, Debug)]
pub(super) struct Glyph {
    side: usize,
    /// `[side + 2, side + 2]`: a border of zeros, so that placing between pixels needs no bounds checks.
    padded: Vec<f32>,
}

impl Glyph {
    /// Lays the glyph on a square canvas of `size` pixels with its upper left corner at (`x`, `y`), in pixels,
    /// each within `0..=size − side`. Between pixels it is interpolated bilinearly; where something is
    /// already there the brighter value stays.
    pub(super) fn place(&self, canvas: &mut [f32], size: usize, x: f32, y: f32) {
        let (column, right) = split_position(x, size - self.side);
        let (row, down) = split_position(y, size - self.side);
        // A whole position covers `side` pixels and one between covers one more, except at the far edge.
        let width = (self.side + 1).min(size - column);
        let height = (self.side + 1).min(size - row);
        let stride = self.side + 2;
        for v in 0..height {
            let above = &self.padded[v * stride..(v + 1) * stride];
            let below = &self.padded[(v + 1) * stride..(v + 2) * stride];
            let start = (row + v) * size + column;
            let target = &mut canvas[start..start + width];
            let taps = above.iter().zip(&above[1..]).zip(below.iter().zip(&below[1..]));
            for (pixel, ((a, b), (c, d))) in target.iter_mut().zip(taps) {
                let upper = right * a + (1.0 - right) * b;
                let lower = right * c + (1.0 - right) * d;
                *pixel = pixel.max(down * upper + (1.0 - down) * lower);
            }
        }
    }
}

/// A position as whole pixels and the fraction beyond, held within `0..=last`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "positions lie within a canvas of a few thousand pixels at most"
)]
fn split_position(position: f32, last: usize) -> (usize, f32) {
    let held = position.clamp(0.0, last as f32);
    let whole = held.floor();
    (whole as usize, held - whole)
}

/// Scales pictures of one size to squares of another: averages areas on the way down, interpolates bilinearly on the way up.
#[derive(Clone, Debug)]
pub(super) struct Scaler {
    width: usize,
    side: usize,
    across: Vec<Taps>,
    down: Vec<Taps>,
}

/// The inputs that one output pixel reads along an axis, with weights that sum to 1.
#[derive(Clone, Debug)]
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Scaler {
    /// From pictures of `height` × `width` pixels to `side` × `side`.
    pub(super) fn new(height: usize, width: usize, side: usize) -> Self {
        Self { width, side, across: taps(width, side), down: taps(height, side) }
    }

    /// Scales one picture of bytes, row by row.
    pub(super) fn glyph(&self, bytes: &[u8]) -> Glyph {
        let mut rows = Vec::with_capacity(bytes.len() / self.width * self.side);
        for row in bytes.chunks_exact(self.width) {
            rows.extend(self.across.iter().map(|taps| {
                let inputs = &row[taps.first..taps.first + taps.weights.len()];
                inputs.iter().zip(&taps.weights).map(|(&byte, weight)| f32::from(byte) * weight).sum::<f32>()
            }));
        }
        let stride = self.side + 2;
        let mut padded = vec![0.0; stride * stride];
        for (v, taps) in self.down.iter().enumerate() {
            let start = (v + 1) * stride + 1;
            let target = &mut padded[start..start + self.side];
            for (offset, weight) in taps.weights.iter().enumerate() {
                let row = &rows[(taps.first + offset) * self.side..][..self.side];
                for (pixel, value) in target.iter_mut().zip(row) {
                    *pixel += value * weight / 255.0;
                }
            }
        }
        Glyph { side: self.side, padded }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "extents of pictures: small positive numbers"
)]
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|output| {
            if to < from {
                let (begin, end) = (output as f64 * scale, (output + 1) as f64 * scale);
                let (first, last) = (begin as usize, (end.ceil() as usize).min(from));
                let weights = (first..last)
                    .map(|input| {
                        ((end.min(input as f64 + 1.0) - begin.max(input as f64)).max(0.0) / scale) as f32
                    })
                    .collect();
                Taps { first, weights }
            } else {
                let centre = ((output as f64 + 0.5) * scale - 0.5).clamp(0.0, from as f64 - 1.0);
                let first = centre as usize;
                let fraction = (centre - centre.floor()) as f32;
                let weights = if fraction > 0.0 { vec![1.0 - fraction, fraction] } else { vec![1.0] };
                Taps { first, weights }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner(glyph: &Glyph) -> Vec<f32> {
        let stride = glyph.side + 2;
        (1..=glyph.side)
            .flat_map(|v| glyph.padded[v * stride + 1..v * stride + 1 + glyph.side].to_vec())
            .collect()
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {expected:?}");
    }

    #[test]
    fn scaling_averages_down_and_interpolates_up() {
        let picture = [0, 255, 255, 0, 0, 255, 255, 0, 0, 0, 0, 0, 255, 255, 255, 255];
        assert_close(&inner(&Scaler::new(4, 4, 2).glyph(&picture)), &[0.5, 0.5, 0.5, 0.5]);
        assert_close(&inner(&Scaler::new(2, 2, 2).glyph(&[0, 255, 51, 102])), &[0.0, 1.0, 0.2, 0.4]);
        let up = inner(&Scaler::new(1, 2, 4).glyph(&[0, 255]));
        assert_close(&up[..4], &[0.0, 0.25, 0.75, 1.0]);
        // Down by a factor that is not whole keeps the mean.
        let mean: f32 = inner(&Scaler::new(4, 4, 3).glyph(&picture)).iter().sum::<f32>() / 9.0;
        assert!((mean - 0.5).abs() < 1e-6, "{mean}");
    }

    #[test]
    fn placing_moves_smoothly_and_keeps_the_mass() {
        let glyph = Scaler::new(2, 2, 2).glyph(&[255, 255, 255, 255]);
        let placed = |x, y| {
            let mut canvas = vec![0.0; 25];
            glyph.place(&mut canvas, 5, x, y);
            canvas
        };
        let whole = placed(1.0, 2.0);
        assert_eq!((whole[11], whole[12], whole[16], whole[17]), (1.0, 1.0, 1.0, 1.0));
        assert_close(&placed(1.25, 2.0)[10..15], &[0.0, 0.75, 1.0, 0.25, 0.0]);
        for (x, y) in [(0.0, 0.0), (3.0, 3.0), (2.999, 0.3), (1.5, 1.5)] {
            let mass: f32 = placed(x, y).iter().sum();
            assert!((mass - 4.0).abs() < 1e-5, "{x} {y} {mass}");
        }
    }
}
