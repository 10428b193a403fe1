use super::{Context, Keeps, Kept, Op, Rows, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Adds branches back to the rows that they were given (see [`super::Dispatch`]): of `base [batch, …]` and, per
/// branch, `y [r, …]` and integers `rows [r]`, it makes `base` with `y[i]` added to row `rows[i]`. Rows that no
/// branch names keep their bits. A branch of which an input is absent, or that has no row, is left out and gets
/// no gradient.
#[derive(Debug)]
pub struct Combine {
    /// How many branches.
    pub branches: usize,
}

/// The shape rule of a combination whose branches have `per_branch` inputs: `y`, `rows` and perhaps a weight a row.
pub(super) fn combined_shape(
    op: &'static str,
    inputs: &[Shape],
    branches: usize,
    per_branch: usize,
) -> Result<Shape, ShapeError> {
    let wanted = 1 + branches * per_branch;
    require(inputs.len() == wanted && !inputs[0].is_empty(), op, inputs, || {
        format!("needs a base and {per_branch} inputs for each of {branches} branches")
    })?;
    for (k, branch) in inputs[1..].chunks_exact(per_branch).enumerate() {
        let (y, rows) = (&branch[0], &branch[1..]);
        require(y.len() == inputs[0].len() && y[1..] == inputs[0][1..], op, inputs, || {
            format!("a row of branch {k} should be {:?}, as the base's", &inputs[0][1..])
        })?;
        require(rows.iter().all(|r| r[..] == y[..1]), op, inputs, || {
            format!("branch {k} has {} rows, and needs as many indices and weights", y[0])
        })?;
    }
    Ok(inputs[0].clone())
}

/// Adds one branch to the rows it names.
pub(super) fn add_rows(base: Value, y: Value, rows: &Value) -> Value {
    rows.require_below(base.shape()[0], "row", "the batch");
    base.select_add(0, rows, y)
}

/// Whether the branch whose inputs begin at `first` took part in forward.
pub(super) fn took_part(kept: &Kept, first: usize, per_branch: usize) -> bool {
    (first..first + per_branch).all(|i| kept.is_present(i) && kept.input_shapes[i][0] > 0)
}

impl Combine {
    fn combine(inputs: &[Option<Value>]) -> Option<Value> {
        let (base, branches) = inputs.split_first()?;
        let mut sum = base.clone()?;
        for branch in branches.chunks_exact(2) {
            if let [Some(y), Some(rows)] = branch
                && rows.shape()[0] > 0
            {
                sum = add_rows(sum, y.clone(), rows);
            }
        }
        Some(sum)
    }
}

impl Op for Combine {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        combined_shape(self.name(), inputs, self.branches, 2)
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
        for first in (1..wanted.len()).step_by(2) {
            keeps[first + 1] = wanted[first];
        }
        Keeps::inputs(&keeps)
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let mut gradients = vec![None; wanted.len()];
        for first in (1..wanted.len()).step_by(2) {
            if wanted[first] && took_part(kept, first, 2) {
                gradients[first] = Some(dy.clone().select(0, &kept.input(first + 1)));
            }
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

    fn given() -> Vec<Given> {
        vec![
            Given::Float(random("base", &[5, 3, 2])),
            Given::Float(random("y0", &[2, 3, 2])),
            Given::Fixed(rows(&[4, 1])),
            Given::Float(random("y1", &[3, 3, 2])),
            Given::Fixed(rows(&[1, 0, 1])),
        ]
    }

    #[test]
    fn gradients() {
        check_op_given(&Combine { branches: 2 }, &given());
        check_op_given(&Combine { branches: 0 }, &given()[..1]);
    }

    #[test]
    fn rows_that_are_not_sent_keep_their_bits_and_absent_branches_add_nothing() {
        let device = Device::flex();
        let base = Value::from_f32(vec![-0.0, f32::MIN_POSITIVE / 2.0, 1.5, f32::NAN], &[4, 1], &device);
        let bits = |v: &Value| v.to_f32().into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let before = bits(&base);
        let y = Value::from_f32(vec![2.0], &[1, 1], &device);
        let op = Combine { branches: 2 };
        let run = |second: [Option<Value>; 2]| {
            let [a, b] = second;
            let inputs = [Some(base.clone()), Some(y.clone()), Some(rows(&[2])), a, b];
            op.forward_present(&inputs, &context()).unwrap()
        };
        let after = bits(&run([None, None]));
        assert_eq!(bits(&base), before, "the base itself stays as it was");
        for row in [0, 1, 3] {
            assert_eq!(after[row], before[row]);
        }
        assert_eq!(f32::from_bits(after[2]), 3.5);
        assert_eq!(bits(&run([None, Some(rows(&[0]))])), after);
        assert_eq!(bits(&run([Some(y.clone()), None])), after);
        let nobody = Value::from_f32(Vec::new(), &[0, 1], &device);
        assert_eq!(bits(&run([Some(nobody), Some(rows(&[]))])), after);
        assert!(op.forward_present(&[None, None, None, None, None], &context()).is_none());
    }

    #[test]
    fn an_absent_branch_has_no_gradient() {
        let op = Combine { branches: 2 };
        let inputs = [
            Some(random("base", &[3, 2])),
            Some(random("y", &[1, 2])),
            Some(rows(&[2])),
            None,
            Some(rows(&[0])),
        ];
        let wanted = [true, true, false, true, false];
        let kept = kept(&op, &inputs, &wanted, &context());
        let dy = random("dy", &[3, 2]);
        let gradients = op.vjp(&kept, dy.clone(), &wanted, &context());
        let there: Vec<bool> = gradients.iter().map(Option::is_some).collect();
        assert_eq!(there, [true, true, false, false, false]);
        assert_eq!(gradients[1].as_ref().unwrap().to_f64(), dy.to_f64()[4..]);
    }

    #[test]
    fn says_which_branch_does_not_fit() {
        let op = Combine { branches: 1 };
        let error = op.shape(&[vec![4, 3], vec![2, 5], vec![2]]).unwrap_err();
        assert!(error.to_string().contains("a row of branch 0 should be [3]"), "{error}");
        let error = op.shape(&[vec![4, 3], vec![2, 3], vec![1]]).unwrap_err();
        assert!(error.to_string().contains("branch 0 has 2 rows"), "{error}");
    }
}
