use super::{Context, Keeps, Kept, Op, ShapeError, align, require};
use crate::tensor::{Shape, Value, elements};

/// Root-mean-square normalisation over the last axis (Zhang and Sennrich, 2019): `x / √(mean(x²) + ε) · γ`. Inputs:
/// `x [.., width]`, `γ [width]`. Backward keeps both and recomputes the root.
#[derive(Debug)]
pub struct RmsNorm {
    /// Added to the mean of squares.
    pub epsilon: f64,
}

impl RmsNorm {
    /// `x̂` and the root `[.., 1]`.
    fn normalise(&self, x: Value) -> (Value, Value) {
        let last = x.shape().len() - 1;
        let root = x.clone().square().mean_axis(last).add_scalar(self.epsilon).sqrt();
        (x.div(root.clone()), root)
    }
}

impl Op for RmsNorm {
    fn name(&self) -> &'static str {
        "rms norm"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2, self.name(), inputs, || "needs x and gamma".to_owned())?;
        let width = inputs[0].last().copied().unwrap_or(0);
        require(inputs[1][..] == [width], self.name(), inputs, || format!("gamma should be [{width}]"))?;
        Ok(inputs[0].clone())
    }

    fn multiply_adds(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        3 * elements(output) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let rank = inputs[0].shape().len();
        self.normalise(inputs[0].clone()).0.mul(align(inputs[1].clone(), rank))
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true, wanted[0]])
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn workspace(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        // The squares, or the normalised values before the gain.
        4 * elements(output) as u64
    }

    fn vjp_workspace(&self, _inputs: &[Shape], output: &Shape, _wanted: &[bool]) -> u64 {
        // Normalised values, the gradient times the gain, and a product of the two.
        12 * elements(output) as u64
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let x = kept.input(0);
        let rank = x.shape().len();
        let (normal, root) = self.normalise(x);
        let dgain = wanted[1].then(|| dy.clone().mul(normal.clone()).sum_to(&kept.input_shapes[1]));
        let dx = wanted[0].then(|| {
            let scaled = dy.mul(align(kept.input(1), rank));
            let slope = scaled.clone().mul(normal.clone()).mean_axis(rank - 1);
            scaled.sub(normal.mul(slope)).div(root)
        });
        vec![dx, dgain]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&RmsNorm { epsilon: 1e-6 }, &[&[2, 3, 8], &[8]]);
        check_op(&RmsNorm { epsilon: 1e-1 }, &[&[5, 7], &[7]]);
    }
}
