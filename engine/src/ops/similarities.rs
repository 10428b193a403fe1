use super::{Context, Effort, Keeps, Kept, Op, ShapeError, count, require};
use crate::tensor::{Shape, Value, elements};

/// Every vector of one batch against every vector of another: `a [rows, width]`, `b [columns, width]` and the logarithm
/// of a scale `[1]` give `[rows, columns]`, `exp(scale)·a·bᵀ`, the logits of contrastive pairs.
#[derive(Debug)]
pub struct Similarities;

impl Op for Similarities {
    fn name(&self) -> &'static str {
        "similarities"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 3
            && inputs[0].len() == 2
            && inputs[1].len() == 2
            && inputs[0][1] == inputs[1][1]
            && inputs[2][..] == [1];
        require(fits, self.name(), inputs, || {
            "needs a [rows, width], b [columns, width] and the logarithm of a scale [1]".to_owned()
        })?;
        Ok(vec![inputs[0][0], inputs[1][0]])
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        count(&[elements(output), inputs[0][1]])
    }

    fn effort(&self, inputs: &[Shape], output: &Shape) -> Effort {
        Effort { work: self.multiply_adds(inputs, output), extents: vec![output[0], inputs[0][1], output[1]] }
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let scale = inputs[2].clone().exp().reshape(&[1, 1]);
        inputs[0].clone().matmul(inputs[1].clone().swap_axes(0, 1)).mul(scale)
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps { inputs: vec![wanted[1], wanted[0], wanted[0] || wanted[1]], output: wanted[2], extras: false }
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let scaled = (wanted[0] || wanted[1]).then(|| dy.clone().mul(kept.input(2).exp().reshape(&[1, 1])));
        let da = scaled.clone().filter(|_| wanted[0]).map(|dy| dy.matmul(kept.input(1)));
        let db = scaled.filter(|_| wanted[1]).map(|dy| dy.swap_axes(0, 1).matmul(kept.input(0)));
        let dscale = wanted[2].then(|| dy.mul(kept.output()).sum_all().reshape(&[1]));
        vec![da, db, dscale]
    }

    fn mixes_samples(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Similarities, &[&[3, 5], &[4, 5], &[1]]);
        check_op(&Similarities, &[&[1, 2], &[2, 2], &[1]]);
    }
}
