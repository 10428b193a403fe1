use super::{Attention, Context, Dropout, Effort, Keeps, Kept, Op, ShapeError};
use crate::tensor::{Shape, Value, elements};

/// [`Attention`] whose probabilities are dropped in training mode, as [`Dropout`] drops: which, is drawn again in
/// backward. In inference mode it is that attention.
#[derive(Debug)]
pub struct DroppedAttention {
    /// The attention.
    pub attention: Attention,
    /// Chance of a probability to be dropped, in `[0, 1)`.
    pub probability: f64,
}

impl DroppedAttention {
    const fn dropout(&self) -> Dropout {
        Dropout { probability: self.probability }
    }

    /// Factors of the probabilities, `[batch, heads, q_tokens, k_tokens]`.
    fn mask(&self, q: &Value, k: &Value, context: &Context) -> Value {
        let ([batch, q_tokens], k_tokens) = ([q.shape()[0], q.shape()[1]], k.shape()[1]);
        self.dropout().mask_of(&[batch, self.attention.heads, q_tokens, k_tokens], q, context)
    }

    /// Bytes of so many times the probabilities.
    fn bytes(&self, inputs: &[Shape], times: u64) -> u64 {
        let (q, k) = (&inputs[0], &inputs[1]);
        times * 4 * elements(&[q[0], self.attention.heads, q[1], k[1]]) as u64
    }
}

impl Op for DroppedAttention {
    fn name(&self) -> &'static str {
        "attention with dropout"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        self.attention.shape(inputs)
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        self.attention.multiply_adds(inputs, output)
    }

    fn effort(&self, inputs: &[Shape], output: &Shape) -> Effort {
        self.attention.effort(inputs, output)
    }

    fn forward(&self, inputs: &[Value], context: &Context) -> Value {
        if !self.dropout().acts(context) {
            return self.attention.forward(inputs, context);
        }
        let [q, k, v, biases @ ..] = inputs else {
            unreachable!("the shape rule asks for three inputs or more")
        };
        let mask = self.mask(q, k, context);
        let biases: Vec<&Value> = biases.iter().collect();
        let kept = self.attention.probabilities(q.clone(), k.clone(), &biases).mul(mask);
        Attention::join(kept.matmul(self.attention.split(v.clone())))
    }

    fn keeps(&self, wanted: &[bool], training: bool) -> Keeps {
        self.attention.keeps(wanted, training)
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], context: &Context) -> Vec<Option<Value>> {
        if !self.dropout().acts(context) {
            return self.attention.vjp(kept, dy, wanted, context);
        }
        let mask = self.mask(&kept.input(0), &kept.input(1), context);
        self.attention.plain_vjp(kept, dy, wanted, Some(&mask))
    }

    fn draws(&self) -> bool {
        self.probability > 0.0
    }

    fn workspace(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        if self.probability > 0.0 { self.bytes(inputs, 3) } else { 0 }
    }

    fn vjp_workspace(&self, inputs: &[Shape], _output: &Shape, _wanted: &[bool]) -> u64 {
        if self.probability > 0.0 { self.bytes(inputs, 5) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;
    use crate::tensor::Stream;

    fn op(probability: f64) -> DroppedAttention {
        DroppedAttention { attention: Attention { heads: 2, scale: None }, probability }
    }

    #[test]
    fn gradients() {
        check_op(&op(0.3), &[&[2, 5, 6], &[2, 5, 6], &[2, 5, 6]]);
        check_op(&op(0.3), &[&[2, 4, 6], &[2, 5, 6], &[2, 5, 6], &[2, 1, 1, 5]]);
    }

    /// Without a chance, or in inference mode, it is attention; its mean over many draws comes near it.
    #[test]
    fn drops_in_training_only() {
        let inputs = ["q", "k", "v"].map(|name| random(name, &[1, 3, 4]));
        let plain = op(0.4).attention.forward(&inputs, &Context::inference()).to_f64();
        assert_eq!(op(0.4).forward(&inputs, &Context::inference()).to_f64(), plain);
        let draws = 4000;
        let mut mean = vec![0.0; plain.len()];
        for step in 0..draws {
            let context = Context { stream: Stream::new(1, "dropped"), step, training: true };
            let seen = op(0.4).forward(&inputs, &context).to_f64();
            mean.iter_mut().zip(&seen).for_each(|(mean, seen)| *mean += seen / draws as f64);
        }
        let apart = mean.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 0.06, "{apart}");
    }
}
