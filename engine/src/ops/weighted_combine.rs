use super::combine::{add_rows, combined_shape, took_part};
use super::{Context, Keeps, Kept, Op, Rows, ShapeError};
use crate::tensor::{Shape, Value, elements};

/// [`super::Combine`] with a weight a row: of `base [batch, …]` and, per branch, `y [r, …]`, integers `rows [r]`
/// and `weight [r]`, it makes `base` with `weight[i] · y[i]` added to row `rows[i]`. Rows that no branch names
/// keep their bits. A branch of which an input is absent, or that has no row, is left out and gets no gradient.
#[derive(Debug)]
pub struct WeightedCombine {
    /// How many branches.
    pub branches: usize,
}

/// `weight [r]` times the rows of `y [r, …]`.
fn weigh(y: Value, weight: Value) -> Value {
    let mut shape = vec![1; y.shape().len()];
    shape[0] = weight.shape()[0];
    y.mul(weight.reshape(&shape))
}

impl WeightedCombine {
    fn combine(inputs: &[Option<Value>]) -> Option<Value> {
        let (base, branches) = inputs.split_first()?;
        let mut sum = base.clone()?;
        for branch in branches.chunks_exact(3) {
            if let [Some(y), Some(rows), Some(weight)] = branch
                && rows.shape()[0] > 0
            {
                sum = add_rows(sum, weigh(y.clone(), weight.clone()), rows);
            }
        }
        Some(sum)
    }
}

impl Op for WeightedCombine {
    fn name(&self) -> &'static str {
        "weighted combine"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        combined_shape(self.name(), inputs, self.branches, 3)
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        inputs[1..].chunks_exact(3).map(|branch| elements(&branch[0]) as u64).sum()
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let present: Vec<_> = inputs.iter().cloned().map(Some).collect();
        Self::combine(&present).unwrap_or_else(|| inputs[0].clone())
    }

    fn forward_present(&self, inputs: &[Option<Value>], _context: &Context) -> Option<Value> {
        Self::combine(inputs)
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        let mut keeps = vec![false; wanted.len()];
        for first in (1..wanted.len()).step_by(3) {
            let (y, weight) = (wanted[first], wanted[first + 2]);
            keeps[first..first + 3].copy_from_slice(&[weight, y || weight, y]);
        }
        Keeps::inputs(&keeps)
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let mut gradients = vec![None; wanted.len()];
        for first in (1..wanted.len()).step_by(3) {
            let (y, weight) = (wanted[first], wanted[first + 2]);
            if !(y || weight) || !took_part(kept, first, 3) {
                continue;
            }
            let taken = dy.clone().select(0, &kept.input(first + 1));
            if weight {
                let shape = taken.shape();
                let flat = [shape[0], elements(&shape[1..])];
                let dot = taken.clone().mul(kept.input(first)).reshape(&flat).sum_axis(1);
                gradients[first + 2] = Some(dot.reshape(&flat[..1]));
            }
            gradients[first] = y.then(|| weigh(taken, kept.input(first + 2)));
        }
        gradients[0] = wanted[0].then_some(dy);
        gradients
    }

    fn rows(&self) -> Rows {
        Rows::Restored
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{Given, check_op_given, context, kept, random};
    use super::*;
    use burn::tensor::Device;

    fn rows(rows: &[i64]) -> Value {
        Value::from_i64(rows.to_vec(), &[rows.len()], &Device::flex())
    }

    #[test]
    fn gradients() {
        check_op_given(
            &WeightedCombine { branches: 2 },
            &[
                Given::Float(random("base", &[5, 3])),
                Given::Float(random("y0", &[2, 3])),
                Given::Fixed(rows(&[4, 1])),
                Given::Float(random("w0", &[2])),
                Given::Float(random("y1", &[3, 3])),
                Given::Fixed(rows(&[1, 0, 1])),
                Given::Fixed(random("w1", &[3])),
            ],
        );
        check_op_given(
            &WeightedCombine { branches: 1 },
            &[
                Given::Float(random("base", &[4, 2, 3])),
                Given::Float(random("y", &[2, 2, 3])),
                Given::Fixed(rows(&[3, 0])),
                Given::Float(random("w", &[2])),
            ],
        );
    }

    #[test]
    fn an_absent_branch_adds_nothing_and_has_no_gradient() {
        let op = WeightedCombine { branches: 2 };
        let (base, y) = (random("base", &[3, 2]), random("y", &[1, 2]));
        let weight = Value::from_f64(vec![0.5], &[1], &Device::flex());
        let inputs = [Some(base.clone()), Some(y.clone()), Some(rows(&[1])), Some(weight), None, None, None];
        let out = op.forward_present(&inputs, &context()).unwrap().to_f64();
        let (base, y) = (base.to_f64(), y.to_f64());
        assert_eq!(out[..2], base[..2]);
        assert_eq!(out[2..4], [base[2] + 0.5 * y[0], base[3] + 0.5 * y[1]]);
        assert_eq!(out[4..], base[4..]);
        let wanted = [false, true, false, true, true, false, true];
        let gradients =
            op.vjp(&kept(&op, &inputs, &wanted, &context()), random("dy", &[3, 2]), &wanted, &context());
        let there: Vec<bool> = gradients.iter().map(Option::is_some).collect();
        assert_eq!(there, [false, true, false, true, false, false, false]);
    }

    #[test]
    fn keeps_the_values_only_for_the_weights() {
        let op = WeightedCombine { branches: 1 };
        assert_eq!(op.keeps(&[true, true, false, false], true), Keeps::inputs(&[false, false, true, true]));
        assert_eq!(op.keeps(&[true, false, false, true], true), Keeps::inputs(&[false, true, true, false]));
        assert_eq!(op.keeps(&[true, false, false, false], true), Keeps::inputs(&[false; 4]));
    }
}
