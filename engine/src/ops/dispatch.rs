use super::{Context, Keeps, Kept, Op, Rows, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Rows of the batch on their way to a branch: `x [batch, …]` and integers `rows [r]` give `[r, …]`. When no row
/// goes there `rows` is absent, and with it the branch. Backward keeps the row numbers.
#[derive(Debug)]
pub struct Dispatch;

impl Op for Dispatch {
    fn name(&self) -> &'static str {
        "dispatch"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 2 && !inputs[0].is_empty() && inputs[1].len() == 1;
        require(fits, self.name(), inputs, || "needs x and row numbers [rows]".to_owned())?;
        let mut shape = inputs[0].clone();
        shape[0] = inputs[1][0];
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().select_rows(&inputs[1])
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[false, wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let zeros = Value::full(&kept.input_shapes[0], 0.0, dy.dtype().into(), &dy.device());
        vec![Some(zeros.add_rows(&kept.input(1), dy)), None]
    }

    fn rows(&self) -> Rows {
        Rows::Selected
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op_on;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        let rows = Value::from_i64(vec![3, 0], &[2], &Device::flex());
        check_op_on(&Dispatch, &[&[4, 3, 2]], &[rows]);
    }
}
