use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements, kernels};

/// Softmax over the last axis, of any shape. Keeps its output only.
#[derive(Debug)]
pub struct Softmax;

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && !inputs[0].is_empty(), self.name(), inputs, || {
            "needs one input of one axis or more".to_owned()
        })?;
        Ok(inputs[0].clone())
    }

    fn multiply_adds(&self, _inputs: &[Shape], output: &Shape) -> u64 {
        elements(output) as u64
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let x = &inputs[0];
        kernels::softmax_last(x).unwrap_or_else(|| x.clone().softmax(x.shape().len() - 1))
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps { inputs: Vec::new(), output: true, extras: false }
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let dx = wanted[0].then(|| {
            let y = kept.output();
            kernels::softmax_last_vjp(&y, &dy).unwrap_or_else(|| {
                let mean = y.clone().mul(dy.clone()).sum_axis(y.shape().len() - 1);
                y.mul(dy.sub(mean))
            })
        });
        vec![dx]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Softmax, &[&[3, 7]]);
        check_op(&Softmax, &[&[2, 3, 5]]);
        check_op(&Softmax, &[&[4]]);
    }
}
