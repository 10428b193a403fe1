use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Each vector of the last axis divided by its length, `x/‖x‖₂`. Keeps input and output.
#[derive(Debug)]
pub struct L2Normalise;

fn length(x: &Value) -> Value {
    let last = x.shape().len() - 1;
    x.clone().square().sum_axis(last).sqrt()
}

impl Op for L2Normalise {
    fn name(&self) -> &'static str {
        "L2 normalise"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && !inputs[0].is_empty(), self.name(), inputs, || {
            "needs one input of one axis or more".to_owned()
        })?;
        Ok(inputs[0].clone())
    }

    fn multiply_adds(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        2 * elements(output) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().div(length(&inputs[0]))
    }

    fn workspace(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        4 * elements(output) as u64
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps { inputs: vec![true], output: true, extras: false }
    }

    fn vjp_workspace(&self, _inputs: &[Shape], output: &Shape, _wanted: &[bool]) -> u64 {
        8 * elements(output) as u64
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        // What would change the length alone changes nothing.
        let dx = wanted[0].then(|| {
            let (x, y) = (kept.input(0), kept.output());
            let last = y.shape().len() - 1;
            let along = dy.clone().mul(y.clone()).sum_axis(last);
            dy.sub(y.mul(along)).div(length(&x))
        });
        vec![dx]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;

    #[test]
    fn gradients() {
        check_op(&L2Normalise, &[&[3, 5]]);
        check_op(&L2Normalise, &[&[2, 3, 4]]);
    }

    #[test]
    fn vectors_have_length_one() {
        let y = L2Normalise.forward(&[random("x", &[4, 7])], &Context::inference()).to_f64();
        for row in y.chunks(7) {
            assert!((row.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
}
