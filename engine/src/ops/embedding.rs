use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Rows of a table: `table [rows, width]` and integers `ids [batch, tokens]` give `[batch, tokens, width]`.
/// Backward keeps the ids.
#[derive(Debug)]
pub struct Embedding;

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 2 && inputs[0].len() == 2 && !inputs[1].is_empty();
        require(fits, self.name(), inputs, || "needs a table [rows, width] and ids".to_owned())?;
        let mut shape = inputs[1].clone();
        shape.push(inputs[0][1]);
        Ok(shape)
    }

    /// # Panics
    /// When an id is not below the number of rows: the data and the model do not belong together.
    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (table, ids) = (inputs[0].shape(), inputs[1].shape());
        for id in inputs[1].to_i64() {
            assert!(
                usize::try_from(id).is_ok_and(|id| id < table[0]),
                "the id {id} is not in a table of {} rows; the data are for another model",
                table[0]
            );
        }
        let flat = inputs[1].clone().reshape_integers(&[elements(&ids)]);
        let rows = inputs[0].clone().select_rows(&flat);
        let mut shape = ids;
        shape.push(table[1]);
        rows.reshape(&shape)
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[false, wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let table = &kept.input_shapes[0];
        let gradient = wanted[0].then(|| {
            let count = elements(&kept.input_shapes[1]);
            let rows = dy.reshape(&[count, table[1]]);
            let ids = kept.input(1).reshape_integers(&[count]);
            Value::full(table, 0.0, rows.dtype().into(), &rows.device()).add_rows(&ids, rows)
        });
        vec![gradient, None]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op_on;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients_add_up_over_repeated_ids() {
        let ids = Value::from_i64(vec![0, 2, 2, 4, 2, 0], &[2, 3], &Device::flex());
        check_op_on(&Embedding, &[&[5, 4]], &[ids]);
    }

    #[test]
    #[should_panic(expected = "the id 5 is not in a table of 5 rows")]
    fn an_id_out_of_range_says_so() {
        let ids = Value::from_i64(vec![5], &[1, 1], &Device::flex());
        let table = Value::from_f32(vec![0.0; 10], &[5, 2], &Device::flex());
        let _ = Embedding.forward(&[table, ids], &Context::inference());
    }
}
