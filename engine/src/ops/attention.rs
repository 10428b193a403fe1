use super::{Context, Effort, Keeps, Kept, Op, ShapeError, count, require};
use crate::tensor::{Shape, Value, kernels};

/// Scaled dot-product attention in heads: `q [batch, q_tokens, width]`, `k` and `v` `[batch, k_tokens, width]`,
/// scale `1/√(width/heads)`. Keeps q, k and v: the probabilities, of which there are as many as pairs of tokens, are
/// made again in backward.
#[derive(Debug)]
pub struct Attention {
    /// Number of heads; divides the width.
    pub heads: usize,
}

impl Attention {
    /// `[batch, tokens, width] → [batch, heads, tokens, width/heads]`.
    fn split(&self, x: Value) -> Value {
        let [batch, tokens, width] = x.shape()[..] else { unreachable!("checked by the shape rule") };
        x.reshape(&[batch, tokens, self.heads, width / self.heads]).swap_axes(1, 2)
    }

    /// The inverse of [`Self::split`].
    fn join(x: Value) -> Value {
        let [batch, heads, tokens, dim] = x.shape()[..] else { unreachable!("made by split") };
        x.swap_axes(1, 2).reshape(&[batch, tokens, heads * dim])
    }

    #[expect(clippy::cast_precision_loss, reason = "a head's width is small")]
    fn scale(&self, width: usize) -> f64 {
        1.0 / ((width / self.heads) as f64).sqrt()
    }

    /// `[batch, heads, q_tokens, k_tokens]` in plain ops.
    fn probabilities(&self, q: Value, k: Value) -> Value {
        let scale = self.scale(q.shape()[2]);
        self.split(q).matmul(self.split(k).swap_axes(2, 3)).mul_scalar(scale).softmax(3)
    }
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 3 && inputs.iter().all(|s| s.len() == 3), self.name(), inputs, || {
            "needs q, k and v of [batch, tokens, width]".to_owned()
        })?;
        let (q, k, v) = (&inputs[0], &inputs[1], &inputs[2]);
        require(q[0] == k[0] && q[2] == k[2] && k == v, self.name(), inputs, || {
            "q, k and v should agree in batch and width, k and v in tokens".to_owned()
        })?;
        require(q[2] % self.heads == 0, self.name(), inputs, || {
            format!("{} heads should divide the width {}", self.heads, q[2])
        })?;
        Ok(q.clone())
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        2 * count(&[inputs[0][0], inputs[0][1], inputs[1][1], inputs[0][2]])
    }

    fn effort(&self, inputs: &[Shape], output: &Shape) -> Effort {
        let heads = inputs[0][0] * self.heads;
        let extents = vec![heads, inputs[0][1], inputs[1][1], inputs[0][2] / self.heads];
        Effort { work: self.multiply_adds(inputs, output), extents }
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let [q, k, v] = inputs else { unreachable!("the shape rule asks for three inputs") };
        kernels::attention(q, k, v, self.heads).unwrap_or_else(|| {
            Self::join(self.probabilities(q.clone(), k.clone()).matmul(self.split(v.clone())))
        })
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        // All read the probabilities, which q and k make; dq and dk also v, through the gradient of the scores.
        Keeps::inputs(&[true, true, wanted[0] || wanted[1]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let (q, k) = (kept.input(0), kept.input(1));
        // The values' own are not read when only their gradient is wanted; the keys have the same shape.
        let v = kept.inputs.get(2).and_then(Option::as_ref).unwrap_or(&k);
        let mask = [wanted[0], wanted[1], wanted[2]];
        if let Some(gradients) = kernels::attention_vjp(&q, &k, v, &dy, self.heads, mask) {
            return gradients.into();
        }
        let probabilities = self.probabilities(q, k);
        let scale = self.scale(dy.shape()[2]);
        let dy = self.split(dy);
        let dv = wanted[2].then(|| Self::join(probabilities.clone().swap_axes(2, 3).matmul(dy.clone())));
        if !wanted[0] && !wanted[1] {
            return vec![None, None, dv];
        }
        let dp = dy.matmul(self.split(kept.input(2)).swap_axes(2, 3));
        let weighted = dp.mul(probabilities.clone());
        let row = weighted.clone().sum_axis(3);
        let ds = weighted.sub(probabilities.clone().mul(row)).mul_scalar(scale);
        let dq = wanted[0].then(|| Self::join(ds.clone().matmul(self.split(kept.input(1)))));
        let dk = wanted[1].then(|| Self::join(ds.swap_axes(2, 3).matmul(self.split(kept.input(0)))));
        vec![dq, dk, dv]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Attention { heads: 2 }, &[&[2, 5, 6], &[2, 5, 6], &[2, 5, 6]]);
        check_op(&Attention { heads: 1 }, &[&[1, 3, 4], &[1, 7, 4], &[1, 7, 4]]);
    }
}
