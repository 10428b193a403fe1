//! What is added to attention's scores, and its gradient.

use super::super::flex::{Plain, value};
use super::super::simd::{Kernel, run};
use super::{AttentionShape, BackwardInputs, Position, for_each_task, scratch_of};
use crate::tensor::{Value, elements};

/// An additive bias, `[batch or 1, heads or 1, q_tokens or 1, k_tokens]`.
pub(super) struct Bias {
    plain: Plain,
    /// Its extents before the keys.
    extents: [usize; 3],
}

impl Bias {
    /// All of a call's biases; `None` when one is no such value.
    pub(super) fn all(biases: &[&Value], shape: &AttentionShape) -> Option<Vec<Self>> {
        biases.iter().map(|bias| Self::of(bias, shape)).collect()
    }

    fn of(bias: &Value, shape: &AttentionShape) -> Option<Self> {
        let plain = Plain::of(bias)?;
        let &[batch, heads, q_tokens, k_tokens] = plain.shape().as_slice() else { return None };
        let extents = [batch, heads, q_tokens];
        let of = [shape.batch, shape.heads, shape.q_tokens];
        let fits = extents.iter().zip(of).all(|(&own, of)| own == 1 || own == of);
        (fits && k_tokens == shape.k_tokens).then_some(Self { plain, extents })
    }

    /// Adds its part to a block's scores `[at.count, width]`.
    pub(super) fn add_to(&self, scores: &mut [f32], at: Position, width: usize) {
        let [batch, heads, q_tokens] = self.extents;
        let place = |index: usize, extent: usize| if extent == 1 { 0 } else { index };
        let pair = place(at.element, batch) * heads + place(at.head, heads);
        let first = (pair * q_tokens + place(at.first, q_tokens)) * width;
        let rows = &self.plain.data()[first..];
        run(AddRows { scores, rows, width, repeated: q_tokens == 1 });
    }
}

/// Adds rows to scores, one to each, or the first to all.
struct AddRows<'a> {
    scores: &'a mut [f32],
    rows: &'a [f32],
    width: usize,
    repeated: bool,
}

impl Kernel for AddRows<'_> {
    type Output = ();

    #[expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (number, scores) in self.scores.chunks_exact_mut(self.width).enumerate() {
            let first = if self.repeated { 0 } else { number * self.width };
            for (score, bias) in scores.iter_mut().zip(&self.rows[first..]) {
                *score += bias;
            }
        }
    }
}

/// The gradient of a bias: that of the scores, summed over the axes along which the bias is repeated.
///
/// Each task owns a part of the sum and goes through everything that adds to it in order, so that nothing has to be
/// held for each sample; the price is that the scores' gradient is worked out once more.
pub(super) fn bias_gradient(inputs: &BackwardInputs<'_>, bias: &Bias) -> Value {
    let shape = inputs.shape;
    let [batch, heads, q_tokens] = bias.extents;
    let width = shape.k_tokens;
    let mut sums = vec![0.0f32; elements(&bias.plain.shape())];
    // A block of queries where each has sums of its own, otherwise one row for all of them.
    let rows = if q_tokens == 1 { 1 } else { shape.block };
    let tasks: Vec<_> = sums
        .chunks_mut(q_tokens * width)
        .enumerate()
        .flat_map(|(pair, sums)| sums.chunks_mut(rows * width).enumerate().map(move |part| (pair, part)))
        .collect();
    let all = |own: usize, extent: usize, of: usize| if extent == 1 { 0..of } else { own..own + 1 };
    for_each_task(tasks, |scratch, (pair, (part, sums))| {
        for element in all(pair / heads, batch, shape.batch) {
            for head in all(pair % heads, heads, shape.heads) {
                for block in all(part, q_tokens, shape.blocks()) {
                    let at = shape.position((element * shape.heads + head) * shape.blocks() + block);
                    let scores = at.count * width;
                    let (probabilities, gradient) = scratch_of(scratch, 2 * scores).split_at_mut(scores);
                    inputs.probabilities(at, probabilities);
                    inputs.score_gradient(at, probabilities, gradient, 1.0);
                    for (number, row) in gradient.chunks_exact(width).enumerate() {
                        let first = if q_tokens == 1 { 0 } else { number * width };
                        for (sum, row) in sums[first..].iter_mut().zip(row) {
                            *sum += row;
                        }
                    }
                }
            }
        }
    });
    value(sums, &bias.plain.shape())
}
