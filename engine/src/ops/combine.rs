use super::{Context, Keeps, Kept, Op, Rows, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Branches' rows on their way back: to `base [batch, …]`, each branch's `y [r, …]` is added at its row numbers
/// `rows [r]`. Inputs: base, then `y` and `rows` of each branch. Rows that were sent nowhere keep their bits, and
/// a branch that is absent adds nothing. Backward keeps the row numbers.
#[derive(Debug)]
pub struct Combine {
    /// How many branches there are.
    pub branches: usize,
}

impl Op for Combine {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let complete = inputs.len() == 1 + 2 * self.branches && !inputs[0].is_empty();
        require(complete, self.name(), inputs, || {
            format!("needs a base, then rows and row numbers of {} branches", self.branches)
        })?;
        for pair in inputs[1..].chunks(2) {
            let fits =
                pair[1].len() == 1 && pair[0].first() == pair[1].first() && pair[0][1..] == inputs[0][1..];
            require(fits, self.name(), inputs, || "a branch's rows should be like the base's".to_owned())?;
        }
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], context: &Context) -> Value {
        let inputs: Vec<Option<Value>> = inputs.iter().cloned().map(Some).collect();
        match self.forward_present(&inputs, context) {
            Some(value) => value,
            None => unreachable!("the base is there"),
        }
    }

    fn forward_present(&self, inputs: &[Option<Value>], _context: &Context) -> Option<Value> {
        let base = inputs[0].clone()?;
        Some(inputs[1..].chunks(2).fold(base, |sum, pair| match pair {
            [Some(y), Some(rows)] => sum.add_rows(rows, y.clone()),
            _ => sum,
        }))
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        let rows = |i: usize| i > 0 && i.is_multiple_of(2) && wanted[i - 1];
        Keeps::inputs(&(0..wanted.len()).map(rows).collect::<Vec<_>>())
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let mut gradients = vec![wanted[0].then(|| dy.clone())];
        for branch in 0..self.branches {
            let (y, rows) = (1 + 2 * branch, 2 + 2 * branch);
            let there = wanted[y] && kept.is_present(y) && kept.is_present(rows);
            gradients.push(there.then(|| dy.clone().select_rows(&kept.input(rows))));
            gradients.push(None);
        }
        gradients
    }

    fn rows(&self) -> Rows {
        Rows::Restored
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::vjp_by_tape;
    use burn::tensor::Device;

    fn rows(of: &[i64]) -> Value {
        Value::from_i64(of.to_vec(), &[of.len()], &Device::flex())
    }

    fn value(of: &[f64], shape: &[usize]) -> Value {
        Value::from_f64(of.to_vec(), shape, &Device::flex())
    }

    #[test]
    fn branches_are_added_where_their_rows_were_and_the_rest_keeps_its_bits() {
        let op = Combine { branches: 2 };
        let base = value(&[0.1, 0.2, 0.3, 0.4], &[4, 1]);
        let inputs = [Some(base), Some(value(&[10.0, 20.0], &[2, 1])), Some(rows(&[2, 0])), None, None];
        let found = op.forward_present(&inputs, &Context::inference()).unwrap().to_f64();
        assert_eq!(found, [20.1, 0.2, 10.3, 0.4]);
    }

    #[test]
    fn gradients_go_back_to_their_rows_and_absent_branches_have_none() {
        let op = Combine { branches: 2 };
        let full = [
            value(&[0.1, 0.2, 0.3], &[3, 1]),
            value(&[1.0], &[1, 1]),
            rows(&[1]),
            value(&[2.0, 3.0], &[2, 1]),
            rows(&[0, 2]),
        ];
        let wanted = [true, true, false, true, false];
        let kept = Kept {
            inputs: full.iter().cloned().map(Some).collect(),
            input_shapes: full.iter().map(Value::shape).collect(),
            ..Kept::default()
        };
        let dy = value(&[5.0, 7.0, 11.0], &[3, 1]);
        let lean = op.vjp(&kept, dy.clone(), &wanted, &Context::inference());
        let tape = vjp_by_tape(&op, &kept, dy.clone(), &wanted, &Context::inference());
        for (lean, tape) in lean.iter().zip(&tape) {
            assert_eq!(lean.as_ref().map(Value::to_f64), tape.as_ref().map(Value::to_f64));
        }
        let absent = Kept {
            inputs: vec![None; 5],
            input_shapes: vec![vec![3, 1], vec![], vec![], vec![2, 1], vec![2]],
            ..Kept::default()
        };
        let absent = Kept { inputs: vec![None, None, None, None, Some(rows(&[0, 2]))], ..absent };
        let found = op.vjp(&absent, dy, &wanted, &Context::inference());
        assert!(found[1].is_none());
        assert_eq!(found[3].as_ref().unwrap().to_f64(), [5.0, 11.0]);
    }
}
