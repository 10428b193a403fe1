use super::{Context, Keeps, Kept, Op, ShapeError, count, require};
use crate::tensor::{Shape, Value};

/// `Σᵢ Aᵢ ⊗ Bᵢ` of `A [n, p, q]` and `B [n, rows, columns]`, which is `[p·rows, q·columns]`.
#[derive(Debug)]
pub struct Kronecker;

/// Extents of both sides.
struct Sides {
    n: usize,
    p: usize,
    q: usize,
    rows: usize,
    columns: usize,
}

impl Sides {
    fn of(a: &[usize], b: &[usize]) -> Self {
        Self { n: a[0], p: a[1], q: a[2], rows: b[1], columns: b[2] }
    }

    /// `[p·rows, q·columns] → [p·q, rows·columns]`: what a plain product of both gives.
    fn apart(&self, whole: Value) -> Value {
        let Self { p, q, rows, columns, .. } = *self;
        whole.reshape(&[p, rows, q, columns]).permute(&[0, 2, 1, 3]).reshape(&[p * q, rows * columns])
    }

    /// The inverse.
    fn together(&self, apart: Value) -> Value {
        let Self { p, q, rows, columns, .. } = *self;
        apart.reshape(&[p, q, rows, columns]).permute(&[0, 2, 1, 3]).reshape(&[p * rows, q * columns])
    }

    fn left(&self, a: Value) -> Value {
        a.reshape(&[self.n, self.p * self.q])
    }

    fn right(&self, b: Value) -> Value {
        b.reshape(&[self.n, self.rows * self.columns])
    }
}

impl Op for Kronecker {
    fn name(&self) -> &'static str {
        "kronecker"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits =
            inputs.len() == 2 && inputs.iter().all(|shape| shape.len() == 3) && inputs[0][0] == inputs[1][0];
        require(fits, self.name(), inputs, || "needs A [n, p, q] and B [n, rows, columns]".to_owned())?;
        Ok(vec![inputs[0][1] * inputs[1][1], inputs[0][2] * inputs[1][2]])
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        count(&[inputs[0][0], output[0], output[1]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let sides = Sides::of(&inputs[0].shape(), &inputs[1].shape());
        let (left, right) = (sides.left(inputs[0].clone()), sides.right(inputs[1].clone()));
        sides.together(left.swap_axes(0, 1).matmul(right))
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[1], wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shapes = &kept.input_shapes;
        let sides = Sides::of(&shapes[0], &shapes[1]);
        let dy = sides.apart(dy);
        vec![
            wanted[0]
                .then(|| sides.right(kept.input(1)).matmul(dy.clone().swap_axes(0, 1)).reshape(&shapes[0])),
            wanted[1].then(|| sides.left(kept.input(0)).matmul(dy.clone()).reshape(&shapes[1])),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&Kronecker, &[&[2, 2, 3], &[2, 4, 1]]);
    }

    #[test]
    fn is_the_sum_of_explicit_products() {
        let (n, p, q, rows, columns) = (2, 2, 2, 3, 1);
        let left: Vec<f64> = (0..n * p * q).map(|i| i as f64 + 1.0).collect();
        let right: Vec<f64> = (0..n * rows * columns).map(|i| 0.5 - i as f64).collect();
        let mut expected = vec![0.0; p * rows * q * columns];
        for i in 0..n {
            for row in 0..p * rows {
                for column in 0..q * columns {
                    expected[row * q * columns + column] += left[(i * p + row / rows) * q + column / columns]
                        * right[(i * rows + row % rows) * columns + column % columns];
                }
            }
        }
        let device = Device::flex();
        let inputs = [
            Value::from_f64(left, &[n, p, q], &device),
            Value::from_f64(right, &[n, rows, columns], &device),
        ];
        assert_eq!(Kronecker.forward(&inputs, &Context::inference()).to_f64(), expected);
    }
}
