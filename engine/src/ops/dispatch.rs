use super::{Context, Keeps, Kept, Op, Rows, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Takes rows of the leading axis by index: `x [batch, …]` and integers `rows [r]` give `[r, …]`, row `i` being
/// `x[rows[i]]`. What runs on the rows comes back by [`super::Combine`] or [`super::WeightedCombine`].
#[derive(Debug)]
pub struct Dispatch;

impl Op for Dispatch {
    fn name(&self) -> &'static str {
        "dispatch"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 2 && !inputs[0].is_empty() && inputs[1].len() == 1,
            self.name(),
            inputs,
            || "needs x [batch, …] and the rows to take [r]".to_owned(),
        )?;
        let mut shape = inputs[0].clone();
        shape[0] = inputs[1][0];
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[1].require_below(inputs[0].shape()[0], "row", "the batch");
        inputs[0].clone().select(0, &inputs[1])
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[false, wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let dx = wanted[0].then(|| {
            Value::full(&kept.input_shapes[0], 0.0, dy.dtype().into(), &dy.device()).select_add(
                0,
                &kept.input(1),
                dy,
            )
        });
        vec![dx, None]
    }

    fn rows(&self) -> Rows {
        Rows::Selected
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op_on, random};
    use super::*;
    use burn::tensor::Device;

    fn rows(rows: &[i64]) -> Value {
        Value::from_i64(rows.to_vec(), &[rows.len()], &Device::flex())
    }

    #[test]
    fn gradients() {
        check_op_on(&Dispatch, &[&[4, 3]], &[rows(&[2, 0])]);
        // A row taken twice gets both gradients.
        check_op_on(&Dispatch, &[&[4, 3, 2]], &[rows(&[3, 1, 3])]);
        check_op_on(&Dispatch, &[&[4]], &[rows(&[1])]);
    }

    #[test]
    fn takes_rows_in_the_order_of_the_index() {
        let x = Value::from_f64((0..6).map(f64::from).collect(), &[3, 2], &Device::flex());
        let y = Dispatch.forward(&[x, rows(&[2, 0])], &Context::inference());
        assert_eq!(y.to_f64(), [4.0, 5.0, 0.0, 1.0]);
    }

    #[test]
    #[should_panic(expected = "row 4 is out of range: the batch has 4 rows")]
    fn a_row_beyond_the_batch_says_so() {
        let _ = Dispatch.forward(&[random("x", &[4, 2]), rows(&[0, 4])], &Context::inference());
    }

    #[test]
    fn keeps_the_index_only() {
        assert_eq!(Dispatch.keeps(&[true, false], true), Keeps::inputs(&[false, true]));
        assert!(Dispatch.shape(&[vec![4, 3], vec![2, 1]]).is_err());
    }
}
