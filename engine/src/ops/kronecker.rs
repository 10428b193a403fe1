use super::{Context, Keeps, Kept, Op, ShapeError, count, require};
use crate::tensor::{Shape, Value, elements};

/// Sum of Kronecker products `Σᵢ Aᵢ ⊗ Bᵢ`, a weight of parametrised hypercomplex multiplication (Zhang et al., 2021;
/// Compacter): `a [n, n, n]` and `b [n, rows, columns]` give `[n·rows, n·columns]`, whose element
/// `(p·rows + r, q·columns + c)` is `Σᵢ aᵢ[p, q]·bᵢ[r, c]`. The last two axes of `a` may have other extents too.
#[derive(Debug)]
pub struct Kronecker;

/// `[n, p, q]` as `[n, p·q]`.
fn flat(value: Value) -> Value {
    let shape = value.shape();
    value.reshape(&[shape[0], elements(&shape[1..])])
}

impl Op for Kronecker {
    fn name(&self) -> &'static str {
        "kronecker"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 2 && inputs[0].len() == 3 && inputs[1].len() == 3 && inputs[0][0] == inputs[1][0],
            self.name(),
            inputs,
            || "needs a [n, n, n] and b [n, rows, columns]".to_owned(),
        )?;
        let (a, b) = (&inputs[0], &inputs[1]);
        Ok(vec![a[1] * b[1], a[2] * b[2]])
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        count(&[inputs[0][0], elements(output)])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (a, b) = (inputs[0].shape(), inputs[1].shape());
        flat(inputs[0].clone())
            .swap_axes(0, 1)
            .matmul(flat(inputs[1].clone()))
            .reshape(&[a[1], a[2], b[1], b[2]])
            .permute(&[0, 2, 1, 3])
            .reshape(&[a[1] * b[1], a[2] * b[2]])
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[1], wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let (a, b) = (&kept.input_shapes[0], &kept.input_shapes[1]);
        // [p·q, rows·columns]
        let dy =
            dy.reshape(&[a[1], b[1], a[2], b[2]]).permute(&[0, 2, 1, 3]).reshape(&[a[1] * a[2], b[1] * b[2]]);
        let da = wanted[0].then(|| flat(kept.input(1)).matmul(dy.clone().swap_axes(0, 1)).reshape(a));
        let db = wanted[1].then(|| flat(kept.input(0)).matmul(dy).reshape(b));
        vec![da, db]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, close, random};
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Kronecker, &[&[3, 3, 3], &[3, 2, 4]]);
        check_op(&Kronecker, &[&[2, 1, 3], &[2, 4, 1]]);
        assert!(Kronecker.shape(&[vec![3, 3, 3], vec![2, 2, 4]]).is_err());
    }

    #[test]
    fn is_the_sum_of_dense_products() {
        let (n, rows, columns) = (3, 2, 4);
        let (a, b) = (random("a", &[n, n, n]), random("b", &[n, rows, columns]));
        let w = Kronecker.forward(&[a.clone(), b.clone()], &Context::inference());
        assert_eq!(w.shape(), [n * rows, n * columns]);
        let (a, b) = (a.to_f64(), b.to_f64());
        let mut dense = vec![0.0; n * rows * n * columns];
        for i in 0..n {
            for row in 0..n * rows {
                for column in 0..n * columns {
                    dense[row * n * columns + column] += a[(i * n + row / rows) * n + column / columns]
                        * b[(i * rows + row % rows) * columns + column % columns];
                }
            }
        }
        close(&w.to_f64(), &dense, 1e-14, "dense");
    }
}
