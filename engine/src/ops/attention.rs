use super::{Context, Effort, Keeps, Kept, Op, ShapeError, count, require};
use crate::tensor::kernels::{self, Scores};
use crate::tensor::{Shape, Value};

/// Scaled dot-product attention in heads, `softmax(scale · q · kᵀ + biases) · v`: `q [batch, q_tokens, width]`, `k` and
/// `v` `[batch, k_tokens, width]`, then any number of additive biases
/// `[batch or 1, heads or 1, q_tokens or 1, k_tokens]`: masks of padding and of what is to come, relative positions.
///
/// Keeps q, k, v and the biases: the probabilities, of which there are as many as pairs of tokens, are made again in
/// backward, and once more for the gradient of a bias.
#[derive(Debug)]
pub struct Attention {
    /// Number of heads; divides the width.
    pub heads: usize,
    /// Factor of the products of queries and keys; `1/√(width/heads)` if absent.
    pub scale: Option<f64>,
}

impl Attention {
    /// `[batch, tokens, width] → [batch, heads, tokens, width/heads]`.
    pub(super) fn split(&self, x: Value) -> Value {
        let [batch, tokens, width] = x.shape()[..] else { unreachable!("checked by the shape rule") };
        x.reshape(&[batch, tokens, self.heads, width / self.heads]).swap_axes(1, 2)
    }

    /// The inverse of [`Self::split`].
    pub(super) fn join(x: Value) -> Value {
        let [batch, heads, tokens, dim] = x.shape()[..] else { unreachable!("made by split") };
        x.swap_axes(1, 2).reshape(&[batch, tokens, heads * dim])
    }

    #[expect(clippy::cast_precision_loss, reason = "a head's width is small")]
    fn scale(&self, width: usize) -> f64 {
        self.scale.unwrap_or_else(|| 1.0 / ((width / self.heads) as f64).sqrt())
    }

    /// `[batch, heads, q_tokens, k_tokens]` in plain ops.
    pub(super) fn probabilities(&self, q: Value, k: Value, biases: &[&Value]) -> Value {
        let scale = self.scale(q.shape()[2]);
        let scores = self.split(q).matmul(self.split(k).swap_axes(2, 3)).mul_scalar(scale);
        let dtype = scores.dtype().into();
        biases.iter().fold(scores, |scores, bias| scores.add((*bias).clone().cast(dtype))).softmax(3)
    }

    /// The gradients in plain ops; each probability was multiplied with its value of `mask`, if there is one.
    pub(super) fn plain_vjp(
        &self,
        kept: &Kept,
        dy: Value,
        wanted: &[bool],
        mask: Option<&Value>,
    ) -> Vec<Option<Value>> {
        let (q, k) = (kept.input(0), kept.input(1));
        let scale = self.scale(dy.shape()[2]);
        let biases: Vec<&Value> = kept.inputs.iter().skip(3).flatten().collect();
        let masked = |value: Value| match mask {
            Some(mask) => value.mul(mask.clone()),
            None => value,
        };
        let probabilities = self.probabilities(q, k, &biases);
        let dy = self.split(dy);
        let mixing = masked(probabilities.clone()).swap_axes(2, 3);
        let dv = wanted[2].then(|| Self::join(mixing.matmul(dy.clone())));
        if wanted.iter().enumerate().all(|(input, wanted)| input == 2 || !wanted) {
            return (0..wanted.len()).map(|input| dv.clone().filter(|_| input == 2)).collect();
        }
        let dp = masked(dy.matmul(self.split(kept.input(2)).swap_axes(2, 3)));
        let weighted = dp.mul(probabilities.clone());
        let row = weighted.clone().sum_axis(3);
        let d_scores = weighted.sub(probabilities.mul(row));
        let bias_gradients =
            (3..wanted.len()).map(|i| wanted[i].then(|| d_scores.clone().sum_to(&kept.input_shapes[i])));
        let bias_gradients: Vec<Option<Value>> = bias_gradients.collect();
        let ds = d_scores.mul_scalar(scale);
        let dq = wanted[0].then(|| Self::join(ds.clone().matmul(self.split(kept.input(1)))));
        let dk = wanted[1].then(|| Self::join(ds.swap_axes(2, 3).matmul(self.split(kept.input(0)))));
        [dq, dk, dv].into_iter().chain(bias_gradients).collect()
    }
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() >= 3 && inputs[..3].iter().all(|s| s.len() == 3), self.name(), inputs, || {
            "needs q, k and v of [batch, tokens, width]".to_owned()
        })?;
        let (q, k, v) = (&inputs[0], &inputs[1], &inputs[2]);
        require(q[0] == k[0] && q[2] == k[2] && k == v, self.name(), inputs, || {
            "q, k and v should agree in batch and width, k and v in tokens".to_owned()
        })?;
        require(q[2] % self.heads == 0, self.name(), inputs, || {
            format!("{} heads should divide the width {}", self.heads, q[2])
        })?;
        let scores = [q[0], self.heads, q[1], k[1]];
        for bias in &inputs[3..] {
            let repeats = bias.iter().zip(scores).all(|(&own, of)| own == of || own == 1);
            require(bias.len() == 4 && repeats && bias[3] == k[1], self.name(), inputs, || {
                format!("a bias should be {scores:?}, or 1 in place of any extent but the last")
            })?;
        }
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
        let [q, k, v, biases @ ..] = inputs else {
            unreachable!("the shape rule asks for three inputs or more")
        };
        let biases: Vec<&Value> = biases.iter().collect();
        let how = Scores { heads: self.heads, scale: self.scale(q.shape()[2]), biases: &biases };
        kernels::attention(q, k, v, how).unwrap_or_else(|| {
            Self::join(self.probabilities(q.clone(), k.clone(), &biases).matmul(self.split(v.clone())))
        })
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        // All read the probabilities, which q, k and the biases make; all but dv also v, through the gradient of the
        // scores.
        let mut kept = vec![true; wanted.len()];
        kept[2] = wanted.iter().enumerate().any(|(input, wanted)| *wanted && input != 2);
        Keeps::inputs(&kept)
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let (q, k) = (kept.input(0), kept.input(1));
        // The values' own are not read when only their gradient is wanted; the keys have the same shape.
        let v = kept.inputs.get(2).and_then(Option::as_ref).unwrap_or(&k);
        let biases: Vec<&Value> = kept.inputs.iter().skip(3).flatten().collect();
        let scale = self.scale(dy.shape()[2]);
        let how = Scores { heads: self.heads, scale, biases: &biases };
        if let Some(gradients) = kernels::attention_vjp(&q, &k, v, &dy, how, wanted) {
            return gradients;
        }
        self.plain_vjp(kept, dy, wanted, None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Attention { heads: 2, scale: None }, &[&[2, 5, 6], &[2, 5, 6], &[2, 5, 6]]);
        check_op(&Attention { heads: 1, scale: Some(1.0) }, &[&[1, 3, 4], &[1, 7, 4], &[1, 7, 4]]);
    }

    #[test]
    fn gradients_with_biases() {
        let op = Attention { heads: 3, scale: Some(0.8) };
        let (q, kv): (&[usize], &[usize]) = (&[2, 4, 6], &[2, 5, 6]);
        for bias in [[2, 1, 1, 5], [1, 3, 4, 5], [1, 1, 4, 5], [2, 3, 4, 5], [1, 1, 1, 5]] {
            check_op(&op, &[q, kv, kv, &bias]);
        }
        check_op(&op, &[q, kv, kv, &[1, 3, 4, 5], &[2, 1, 1, 5]]);
    }

    #[test]
    fn a_bias_that_does_not_fit_is_told() {
        let op = Attention { heads: 3, scale: None };
        let x = vec![2, 4, 6];
        for bias in [vec![2, 1, 1, 1], vec![2, 2, 4, 4], vec![4, 4], vec![3, 1, 1, 4]] {
            let error = op.shape(&[x.clone(), x.clone(), x.clone(), bias]).unwrap_err();
            assert!(error.to_string().contains("[2, 3, 4, 4]"), "{error}");
        }
    }
}
