use super::{Context, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Rows and columns in which tokens stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GridOf {
    /// One row of all tokens behind the first `prefix`.
    Row {
        /// Tokens left out.
        prefix: usize,
    },
    /// So many rows and columns: the last tokens of the sequence.
    Fixed([usize; 2]),
    /// As many as the second input, an image `[…, rows, columns]` of pixels, holds patches: the last tokens.
    Patches([usize; 2]),
}

impl GridOf {
    /// Rows and columns, if the tokens suffice.
    fn extents(self, tokens: usize, pixels: Option<&Shape>) -> Option<[usize; 2]> {
        let [rows, columns] = match self {
            Self::Row { prefix } => [1, tokens.checked_sub(prefix)?],
            Self::Fixed(grid) => grid,
            Self::Patches([rows, columns]) => {
                let [.., height, width] = pixels?[..] else { return None };
                [height / rows.max(1), width / columns.max(1)]
            }
        };
        (rows * columns > 0 && rows * columns <= tokens).then_some([rows, columns])
    }
}

/// The tokens of a grid as a picture of `width` channels, for convolutions: `[batch, tokens, width]` to
/// `[batch, width, rows, columns]`. Tokens before the grid are left out. A second input, read for its extents, gives
/// the image where [`GridOf::Patches`] asks for one.
#[derive(Debug)]
pub struct TokensToGrid {
    /// How the tokens are arranged.
    pub grid: GridOf,
}

impl Op for TokensToGrid {
    fn name(&self) -> &'static str {
        "tokens to grid"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let images = usize::from(matches!(self.grid, GridOf::Patches(_)));
        require(inputs.len() == 1 + images && inputs[0].len() == 3, self.name(), inputs, || {
            "needs [batch, tokens, width], and the image where its patches give the grid".to_owned()
        })?;
        let x = &inputs[0];
        let extents = self.grid.extents(x[1], inputs.get(1)).ok_or_else(|| ShapeError {
            op: self.name(),
            inputs: inputs.to_vec(),
            why: format!("{} tokens do not hold the grid {:?}", x[1], self.grid),
        })?;
        Ok(vec![x[0], x[2], extents[0], extents[1]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        let image = inputs.get(1).map(Value::shape);
        let [rows, columns] = self.grid.extents(shape[1], image.as_ref()).unwrap_or([0, 0]);
        let count = rows * columns;
        inputs[0]
            .clone()
            .narrow(1, shape[1] - count, count)
            .swap_axes(1, 2)
            .reshape(&[shape[0], shape[2], rows, columns])
    }

    fn reads(&self, input: usize, _training: bool) -> Reads {
        if input == 0 { Reads::Value } else { Reads::Shape }
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let x = &kept.input_shapes[0];
        let [batch, width, rows, columns] = dy.shape()[..] else { unreachable!("made by forward") };
        let count = rows * columns;
        let dx = wanted[0].then(|| {
            let (dtype, device) = (dy.dtype().into(), dy.device());
            let grid = dy.reshape(&[batch, width, count]).swap_axes(1, 2);
            if x[1] == count {
                return grid;
            }
            let before = Value::full(&[batch, x[1] - count, width], 0.0, dtype, &device);
            Value::concat(vec![before, grid], 1)
        });
        let mut gradients = vec![dx];
        gradients.resize(wanted.len(), None);
        gradients
    }
}

/// A picture as the tokens of its grid: `[batch, width, rows, columns]` to `[batch, rows·columns, width]`.
#[derive(Debug)]
pub struct GridToTokens;

impl Op for GridToTokens {
    fn name(&self) -> &'static str {
        "grid to tokens"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && inputs[0].len() == 4, self.name(), inputs, || {
            "needs [batch, width, rows, columns]".to_owned()
        })?;
        let x = &inputs[0];
        Ok(vec![x[0], x[2] * x[3], x[1]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        inputs[0].clone().reshape(&[shape[0], shape[1], shape[2] * shape[3]]).swap_axes(1, 2)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![Some(dy.swap_axes(1, 2).reshape(&kept.input_shapes[0]))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, check_op_on, random};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&TokensToGrid { grid: GridOf::Row { prefix: 1 } }, &[&[2, 5, 3]]);
        check_op(&TokensToGrid { grid: GridOf::Row { prefix: 0 } }, &[&[2, 4, 3]]);
        check_op(&TokensToGrid { grid: GridOf::Fixed([2, 3]) }, &[&[2, 8, 3]]);
        let pixels = Value::from_f32(vec![0.0; 48], &[1, 1, 6, 8], &Device::flex());
        check_op_on(&TokensToGrid { grid: GridOf::Patches([2, 4]) }, &[&[2, 7, 3]], &[pixels]);
        check_op(&GridToTokens, &[&[2, 3, 4, 5]]);
    }

    #[test]
    fn there_and_back_leaves_the_grid_as_it_is() {
        let x = random("x", &[2, 7, 3]);
        let context = Context::inference();
        let grid = TokensToGrid { grid: GridOf::Fixed([2, 3]) }.forward(std::slice::from_ref(&x), &context);
        assert_eq!(grid.shape(), [2, 3, 2, 3]);
        let back = GridToTokens.forward(&[grid], &context);
        assert_eq!(back.to_f64(), x.narrow(1, 1, 6).to_f64());
        let error = TokensToGrid { grid: GridOf::Fixed([4, 4]) }.shape(&[vec![2, 7, 3]]).unwrap_err();
        assert!(error.to_string().contains("7 tokens do not hold"), "{error}");
    }
}
