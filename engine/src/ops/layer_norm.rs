use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements, kernels};

/// Layer normalisation over the last axis: `(x − mean) / √(variance + ε) · γ + β`, biased variance.
/// Inputs: `x [.., width]`, `γ [width]`, `β [width]`. Backward keeps `x` and recomputes the statistics.
#[derive(Debug)]
pub struct LayerNorm {
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    /// `(x̂, 1/σ)` in plain ops.
    fn normalise(&self, x: Value) -> (Value, Value) {
        let last = x.shape().len() - 1;
        let centred = x.clone().sub(x.mean_axis(last));
        let deviation = centred.clone().square().mean_axis(last).add_scalar(self.epsilon).sqrt();
        (centred.div(deviation.clone()), deviation)
    }
}

/// A `[width]` vector shaped to broadcast over `rank` axes.
fn lift(vector: Value, rank: usize) -> Value {
    super::align(vector, rank)
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 3, self.name(), inputs, || "needs x, gamma and beta".to_owned())?;
        let width = inputs[0].last().copied().unwrap_or(0);
        require(inputs[1][..] == [width] && inputs[2][..] == [width], self.name(), inputs, || {
            format!("gamma and beta should be [{width}]")
        })?;
        Ok(inputs[0].clone())
    }

    fn multiply_adds(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        4 * elements(output) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let [x, gamma, beta] = inputs else { unreachable!("the shape rule asks for three inputs") };
        kernels::layer_norm(x, gamma, beta, self.epsilon).unwrap_or_else(|| {
            let rank = x.shape().len();
            let (normal, _) = self.normalise(x.clone());
            normal.mul(lift(gamma.clone(), rank)).add(lift(beta.clone(), rank))
        })
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[0] || wanted[1], wanted[0] || wanted[1], false])
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let width = kept.input_shapes[1].clone();
        if !wanted[0] && !wanted[1] {
            return vec![None, None, wanted[2].then(|| dy.sum_to(&width))];
        }
        let (x, gamma) = (kept.input(0), kept.input(1));
        let wanted = [wanted[0], wanted[1], wanted[2]];
        if let Some(gradients) = kernels::layer_norm_vjp(&x, &gamma, &dy, self.epsilon, wanted) {
            return gradients.into();
        }
        let rank = x.shape().len();
        let (normal, deviation) = self.normalise(x);
        let dx = wanted[0].then(|| {
            let scaled = dy.clone().mul(lift(gamma, rank));
            let mean = scaled.clone().mean_axis(rank - 1);
            let slope = scaled.clone().mul(normal.clone()).mean_axis(rank - 1);
            scaled.sub(mean).sub(normal.clone().mul(slope)).div(deviation)
        });
        let d_gamma = wanted[1].then(|| dy.clone().mul(normal).sum_to(&width));
        let d_beta = wanted[2].then(|| dy.sum_to(&width));
        vec![dx, d_gamma, d_beta]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&LayerNorm { epsilon: 1e-6 }, &[&[2, 3, 8], &[8], &[8]]);
        check_op(&LayerNorm { epsilon: 1e-2 }, &[&[5, 7], &[7], &[7]]);
    }
}
