use super::{Context, Effort, Keeps, Kept, Op, ShapeError, align, broadcast, count, require};
use crate::tensor::{Shape, Value, elements};

/// Matrix product `a·b` over the last two axes: `[…, rows, inner]` and `[…, inner, columns]` give
/// `[…, rows, columns]`; leading axes broadcast. For weights that are a product, and for a matrix a sample.
#[derive(Debug)]
pub struct MatMul;

/// Leading axes of both, and rows, inner and columns.
fn split<'a>(a: &'a [usize], b: &'a [usize]) -> Option<(&'a [usize], &'a [usize], [usize; 3])> {
    let ([lead_a @ .., rows, inner], [lead_b @ .., other, columns]) = (a, b) else { return None };
    (inner == other).then_some((lead_a, lead_b, [*rows, *inner, *columns]))
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matrix product"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 2 && inputs[0].len() >= 2 && inputs[1].len() >= 2,
            self.name(),
            inputs,
            || "needs two matrices".to_owned(),
        )?;
        let shape = split(&inputs[0], &inputs[1]).and_then(|(a, b, [rows, _, columns])| {
            let mut shape = broadcast(a, b)?;
            shape.extend([rows, columns]);
            Some(shape)
        });
        shape.ok_or_else(|| ShapeError {
            op: self.name(),
            inputs: inputs.to_vec(),
            why: "the first's last axis should be the second's last but one, and the axes before broadcast"
                .to_owned(),
        })
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        count(&[elements(output), inputs[0].last().copied().unwrap_or(0)])
    }

    fn effort(&self, inputs: &[Shape], output: &Shape) -> Effort {
        let Some((_, _, [rows, inner, columns])) = split(&inputs[0], &inputs[1]) else {
            unreachable!("checked by the shape rule")
        };
        let several = elements(output) / (rows * columns).max(1);
        Effort { work: self.multiply_adds(inputs, output), extents: vec![several, rows, inner, columns] }
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let rank = inputs[0].shape().len().max(inputs[1].shape().len());
        align(inputs[0].clone(), rank).matmul(align(inputs[1].clone(), rank))
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[1], wanted[0]])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let rank = dy.shape().len();
        let transposed = |i: usize| align(kept.input(i), rank).swap_axes(rank - 2, rank - 1);
        let da = wanted[0].then(|| dy.clone().matmul(transposed(1)).sum_to(&kept.input_shapes[0]));
        let db = wanted[1].then(|| transposed(0).matmul(dy).sum_to(&kept.input_shapes[1]));
        vec![da, db]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&MatMul, &[&[3, 4], &[4, 5]]);
        check_op(&MatMul, &[&[2, 3, 4], &[2, 4, 5]]);
        check_op(&MatMul, &[&[2, 3, 4], &[4, 5]]);
        check_op(&MatMul, &[&[3, 4], &[2, 4, 5]]);
        check_op(&MatMul, &[&[2, 1, 3, 4], &[3, 4, 2]]);
        check_op(&MatMul, &[&[3, 1], &[1, 5]]);
    }

    #[test]
    fn keeps_and_counts() {
        assert_eq!(MatMul.keeps(&[true, false], true), Keeps::inputs(&[false, true]));
        assert_eq!(MatMul.multiply_adds(&[vec![2, 3, 4], vec![4, 5]], &vec![2, 3, 5]), 2 * 3 * 4 * 5);
        let error = MatMul.shape(&[vec![3, 4], vec![5, 4]]).unwrap_err();
        assert!(error.to_string().contains("second's last but one"), "{error}");
    }
}
