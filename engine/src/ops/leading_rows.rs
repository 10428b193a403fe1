use super::{Context, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// The first rows of a table `[rows, width]`, one for each token of `[batch, tokens, ..]`, of which the extents are read
/// only: learned positions `[1, tokens, width]`. A view.
#[derive(Debug)]
pub struct LeadingRows;

impl Op for LeadingRows {
    fn name(&self) -> &'static str {
        "leading rows"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 2 && inputs[0].len() == 2 && inputs[1].len() >= 2;
        require(fits, self.name(), inputs, || {
            "needs a table [rows, width] and [batch, tokens, ..]".to_owned()
        })?;
        let (rows, tokens) = (inputs[0][0], inputs[1][1]);
        require(tokens <= rows, self.name(), inputs, || {
            format!("the table has {rows} positions, the sequence {tokens} tokens")
        })?;
        Ok(vec![1, tokens, inputs[0][1]])
    }

    fn reads(&self, input: usize, _training: bool) -> Reads {
        if input == 0 { Reads::Value } else { Reads::Shape }
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (tokens, width) = (inputs[1].shape()[1], inputs[0].shape()[1]);
        inputs[0].clone().narrow(0, 0, tokens).reshape(&[1, tokens, width])
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let dtable = wanted[0].then(|| {
            let table = &kept.input_shapes[0];
            let zeros = Value::full(table, 0.0, dy.dtype().into(), &dy.device());
            let tokens = dy.shape()[1];
            zeros.assign(0, 0, dy.reshape(&[tokens, table[1]]))
        });
        vec![dtable, None]
    }

    fn view(&self, _inputs: &[Shape], _training: bool) -> Option<usize> {
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op_on, random};
    use super::*;

    #[test]
    fn gradients() {
        check_op_on(&LeadingRows, &[&[6, 3]], &[random("x", &[2, 4, 5])]);
        check_op_on(&LeadingRows, &[&[4, 3]], &[random("x", &[2, 4])]);
        let error = LeadingRows.shape(&[vec![4, 3], vec![2, 5]]).unwrap_err();
        assert!(error.to_string().contains("the table has 4 positions, the sequence 5 tokens"), "{error}");
    }
}
