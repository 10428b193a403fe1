use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// The token that ends each text: of `states [batch, tokens, width]` and integer `ids [batch, tokens]` the state
/// `[batch, width]` at the first place of the end's id, or, as CLIP's first checkpoints have it, of the largest id.
#[derive(Debug)]
pub struct SelectEnd {
    /// Id of the token that ends a text; the largest one of each text if absent.
    pub id: Option<i64>,
}

impl SelectEnd {
    /// The rows of `[batch·tokens, width]` that are taken. A text without the id gives its first token.
    fn rows(&self, ids: &Value) -> Value {
        let tokens = ids.shape()[1];
        let place = |text: &[i64]| {
            let end = self.id.or_else(|| text.iter().max().copied());
            text.iter().position(|id| Some(*id) == end).unwrap_or(0)
        };
        let ends = ids.to_i64();
        let rows: Vec<i64> = ends
            .chunks(tokens)
            .enumerate()
            .map(|(row, text)| i64::try_from(row * tokens + place(text)).unwrap_or(i64::MAX))
            .collect();
        let count = rows.len();
        Value::from_i64(rows, &[count], &ids.device())
    }
}

impl Op for SelectEnd {
    fn name(&self) -> &'static str {
        "select end"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits =
            inputs.len() == 2 && inputs[0].len() == 3 && inputs[0][..2] == inputs[1][..] && inputs[0][1] > 0;
        require(fits, self.name(), inputs, || {
            "needs states [batch, tokens, width] and ids [batch, tokens]".to_owned()
        })?;
        Ok(vec![inputs[0][0], inputs[0][2]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let [batch, tokens, width] = inputs[0].shape()[..] else { unreachable!("checked by the shape rule") };
        inputs[0].clone().reshape(&[batch * tokens, width]).select(0, &self.rows(&inputs[1]))
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[false, wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let dx = wanted[0].then(|| {
            let shape = &kept.input_shapes[0];
            let flat = [shape[0] * shape[1], shape[2]];
            let zeros = Value::full(&flat, 0.0, dy.dtype().into(), &dy.device());
            zeros.select_add(0, &self.rows(&kept.input(1)), dy).reshape(shape)
        });
        vec![dx, None]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op_on, random};
    use super::*;
    use burn::tensor::Device;

    fn ids() -> Value {
        Value::from_i64(vec![7, 3, 9, 9, 1, 7, 2, 0], &[2, 4], &Device::flex())
    }

    #[test]
    fn gradients() {
        check_op_on(&SelectEnd { id: None }, &[&[2, 4, 3]], &[ids()]);
        check_op_on(&SelectEnd { id: Some(7) }, &[&[2, 4, 3]], &[ids()]);
    }

    #[test]
    fn takes_the_first_end_or_the_largest_id() {
        let x = random("x", &[2, 4, 3]);
        for (id, places) in [(None, [2, 1]), (Some(7), [0, 1]), (Some(9), [2, 0])] {
            let y = SelectEnd { id }.forward(&[x.clone(), ids()], &Context::inference()).to_f64();
            let x = x.to_f64();
            for (row, place) in places.into_iter().enumerate() {
                assert_eq!(y[row * 3..][..3], x[(row * 4 + place) * 3..][..3], "{id:?}");
            }
        }
    }
}
