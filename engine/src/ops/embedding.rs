use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Looks rows of a table up: `table [rows, width]` and integer `ids [batch, tokens]` (or of other axes) give
/// `[batch, tokens, width]`. The table's gradient sums the rows in the order of the ids.
#[derive(Debug)]
pub struct Embedding;

impl Op for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 2 && inputs[0].len() == 2 && !inputs[1].is_empty(),
            self.name(),
            inputs,
            || "needs a table [rows, width] and ids [batch, tokens]".to_owned(),
        )?;
        let mut shape = inputs[1].clone();
        shape.push(inputs[0][1]);
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (table, ids) = (&inputs[0], &inputs[1]);
        let extents = table.shape();
        ids.require_below(extents[0], "id", "the embedding table");
        let mut shape = ids.shape();
        shape.push(extents[1]);
        table.clone().select(0, &ids.flat_indices()).reshape(&shape)
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[false, wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let dtable = wanted[0].then(|| {
            let (table, ids) = (&kept.input_shapes[0], kept.input(1));
            let zeros = Value::full(table, 0.0, dy.dtype().into(), &dy.device());
            let rows = elements(&ids.shape());
            zeros.select_add(0, &ids.flat_indices(), dy.reshape(&[rows, table[1]]))
        });
        vec![dtable, None]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op_on, random};
    use super::*;
    use burn::tensor::Device;

    fn ids(ids: &[i64], shape: &[usize]) -> Value {
        Value::from_i64(ids.to_vec(), shape, &Device::flex())
    }

    #[test]
    fn gradients() {
        // Row 4 is read three times, row 2 never.
        check_op_on(&Embedding, &[&[5, 3]], &[ids(&[4, 0, 4, 1, 3, 4], &[2, 3])]);
        check_op_on(&Embedding, &[&[5, 3]], &[ids(&[2], &[1])]);
    }

    #[test]
    fn looks_rows_up() {
        let table = Value::from_f64((0..6).map(f64::from).collect(), &[3, 2], &Device::flex());
        let y = Embedding.forward(&[table, ids(&[2, 0], &[1, 2])], &Context::inference());
        assert_eq!(y.shape(), [1, 2, 2]);
        assert_eq!(y.to_f64(), [4.0, 5.0, 0.0, 1.0]);
        assert_eq!(Embedding.keeps(&[true, false], true), Keeps::inputs(&[false, true]));
    }

    #[test]
    #[should_panic(expected = "id 5 is out of range: the embedding table has 5 rows")]
    fn an_id_beyond_the_table_says_so() {
        let _ = Embedding.forward(&[random("t", &[5, 3]), ids(&[0, 5], &[1, 2])], &Context::inference());
    }

    #[test]
    #[should_panic(expected = "id -1 is out of range")]
    fn a_negative_id_says_so() {
        let _ = Embedding.forward(&[random("t", &[5, 3]), ids(&[-1], &[1, 1])], &Context::inference());
    }
}
