use super::{Context, Keeps, Kept, Op, ShapeError, count, require};
use crate::tensor::{Shape, Value, elements};

/// Matrix product over the last two axes of two values with the same leading ones.
#[derive(Debug)]
pub struct MatMul;

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = || {
            let [a, b] = inputs else { return false };
            let rank = a.len();
            rank >= 2 && rank == b.len() && a[..rank - 2] == b[..rank - 2] && a[rank - 1] == b[rank - 2]
        };
        require(fits(), self.name(), inputs, || {
            "needs [.., rows, inner] and [.., inner, columns]".to_owned()
        })?;
        let mut shape = inputs[0].clone();
        let last = shape.len() - 1;
        shape[last] = inputs[1][last];
        Ok(shape)
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        count(&[elements(output), inputs[0].last().copied().unwrap_or(1)])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().matmul(inputs[1].clone())
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[1], wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let last = kept.input_shapes[0].len() - 1;
        let turned = |i: usize| kept.input(i).swap_axes(last - 1, last);
        vec![wanted[0].then(|| dy.clone().matmul(turned(1))), wanted[1].then(|| turned(0).matmul(dy.clone()))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&MatMul, &[&[3, 4], &[4, 2]]);
        check_op(&MatMul, &[&[2, 3, 1], &[2, 1, 5]]);
    }
}
