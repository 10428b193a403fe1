use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Exchanges the last two axes: `[…, rows, columns] → […, columns, rows]`. A view.
#[derive(Debug)]
pub struct Transpose;

fn transposed(x: Value) -> Value {
    let rank = x.shape().len();
    x.swap_axes(rank - 2, rank - 1)
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && inputs[0].len() >= 2, self.name(), inputs, || {
            "needs one input of two axes or more".to_owned()
        })?;
        let mut shape = inputs[0].clone();
        let rank = shape.len();
        shape.swap(rank - 2, rank - 1);
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        transposed(inputs[0].clone())
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Same
    }

    fn vjp(&self, _kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![wanted[0].then(|| transposed(dy))]
    }

    fn view(&self, _inputs: &[Shape], _training: bool) -> Option<usize> {
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Transpose, &[&[3, 4]]);
        check_op(&Transpose, &[&[2, 3, 4]]);
        assert!(Transpose.shape(&[vec![3]]).is_err());
    }
}
