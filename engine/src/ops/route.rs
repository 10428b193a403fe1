use std::cmp::Ordering;

use super::{Context, Element, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Numbers of the rows that a router sends to one branch: of its scores `[batch, branches]`, the rows where
/// `branch` has the largest one (of equals the earlier branch), as integers for a dispatch. At most the capacity,
/// `⌈share·batch⌉`, the first ones counting; none are absent. No gradient passes: it goes through the weights that
/// the router's scores give a branch's rows.
#[derive(Debug)]
pub struct Route {
    /// The branch.
    pub branch: usize,
    /// Share of the batch that the branch takes at most: what is priced.
    pub share: f64,
}

impl Route {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a batch is small, and a share is not negative"
    )]
    fn capacity(&self, batch: usize) -> usize {
        ((batch as f64 * self.share).ceil() as usize).clamp(1, batch.max(1))
    }
}

impl Op for Route {
    fn name(&self) -> &'static str {
        "route"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits =
            inputs.len() == 1 && inputs[0].len() == 2 && self.branch < inputs[0][1] && self.share > 0.0;
        require(fits, self.name(), inputs, || {
            format!(
                "needs scores [batch, branches] of more than {} branches, and a share above 0",
                self.branch
            )
        })?;
        Ok(vec![self.capacity(inputs[0][0])])
    }

    /// Only where the branch gets rows.
    fn forward(&self, inputs: &[Value], context: &Context) -> Value {
        match self.forward_present(&[Some(inputs[0].clone())], context) {
            Some(rows) => rows,
            None => panic!("branch {} gets no rows", self.branch),
        }
    }

    fn forward_present(&self, inputs: &[Option<Value>], _context: &Context) -> Option<Value> {
        let scores = inputs[0].as_ref()?;
        let shape = scores.shape();
        let (batch, branches) = (shape[0], shape[1]);
        let values = scores.to_f64();
        let rows = values.chunks(branches).enumerate().filter(|(_, scores)| {
            let own = scores[self.branch];
            // Of equals the earlier one counts as larger.
            let beaten = |(other, score): (usize, &f64)| match score.total_cmp(&own) {
                Ordering::Greater => true,
                Ordering::Equal => other < self.branch,
                Ordering::Less => false,
            };
            !scores.iter().enumerate().any(beaten)
        });
        let rows: Vec<i64> =
            rows.take(self.capacity(batch)).filter_map(|(row, _)| i64::try_from(row).ok()).collect();
        let count = rows.len();
        (count > 0).then(|| Value::from_i64(rows, &[count], &scores.device()))
    }

    fn takes_absent(&self) -> bool {
        true
    }

    fn element(&self) -> Element {
        Element::Integer
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, _kept: &Kept, _dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![None; wanted.len()]
    }

    fn mixes_samples(&self) -> bool {
        true
    }

    fn passes_gradient(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn rows_go_to_their_largest_score_up_to_the_capacity() {
        let scores = vec![3.0, 1.0, 0.0, 0.0, 2.0, 0.0, 5.0, 5.0, 0.0, 1.0, 0.0, 0.0];
        let scores = Some(Value::from_f32(scores, &[4, 3], &Device::flex()));
        let sent = |branch, share| {
            let op = Route { branch, share };
            op.forward_present(std::slice::from_ref(&scores), &Context::inference()).map(|rows| rows.to_i64())
        };
        assert_eq!(sent(0, 1.0), Some(vec![0, 2, 3]));
        assert_eq!(sent(1, 1.0), Some(vec![1]));
        assert_eq!(sent(2, 1.0), None);
        assert_eq!(sent(0, 0.5), Some(vec![0, 2]));
        assert_eq!(Route { branch: 0, share: 0.3 }.shape(&[vec![4, 3]]).unwrap(), [2]);
        assert!(Route { branch: 3, share: 0.3 }.shape(&[vec![4, 3]]).is_err());
    }
}
