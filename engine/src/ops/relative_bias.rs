use super::{Context, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// T5's relative positions (Raffel et al., 2020): what [`super::Attention`] adds to its scores, learned for each head
/// and bucket of distances.
///
/// Inputs: the table `[buckets, heads]`, then queries `[batch, q_tokens, ..]` and keys `[batch, k_tokens, ..]`, of which
/// the extents are read only. Output `[1, heads, q_tokens, k_tokens]`. A token at place `i` among queries and one at `i`
/// among keys have distance 0.
#[derive(Debug)]
pub struct RelativeBias {
    /// Distances from which on all share the last bucket.
    pub farthest: usize,
    /// Whether keys after the query have buckets of their own (half of them). Otherwise they share that of distance 0.
    pub both_ways: bool,
}

impl RelativeBias {
    /// The bucket of a key, seen from a query. Half of the buckets are for a distance each, the rest grow
    /// logarithmically. In f32, as the models were trained.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "distances are small whole numbers"
    )]
    fn bucket(&self, query: usize, key: usize, buckets: usize) -> usize {
        let (mut first, mut buckets) = (0, buckets);
        let distance = if self.both_ways {
            buckets /= 2;
            if key > query {
                first = buckets;
            }
            key.abs_diff(query)
        } else {
            query.saturating_sub(key)
        };
        let exact = buckets / 2;
        if distance < exact {
            return first + distance;
        }
        let share = (distance as f32 / exact as f32).ln() / (self.farthest as f32 / exact as f32).ln();
        let beyond = (share * (buckets - exact) as f32) as usize;
        first + (exact + beyond).min(buckets - 1)
    }

    /// The bucket of every pair, row by row, as an index `[q_tokens · k_tokens]`.
    fn buckets(&self, q_tokens: usize, k_tokens: usize, count: usize, like: &Value) -> Value {
        let pairs = (0..q_tokens).flat_map(|query| (0..k_tokens).map(move |key| (query, key)));
        let ids = pairs.map(|(query, key)| i64::try_from(self.bucket(query, key, count)).unwrap_or(0));
        Value::from_i64(ids.collect(), &[q_tokens * k_tokens], &like.device())
    }
}

impl Op for RelativeBias {
    fn name(&self) -> &'static str {
        "relative bias"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 3 && inputs[0].len() == 2 && inputs[1..].iter().all(|s| s.len() >= 2);
        require(fits, self.name(), inputs, || {
            "needs a table [buckets, heads], queries and keys [batch, tokens, ..]".to_owned()
        })?;
        let exact = inputs[0][0] / if self.both_ways { 4 } else { 2 };
        require(exact > 0 && self.farthest > exact, self.name(), inputs, || {
            format!("{} buckets are too few, or too many for distances to {}", inputs[0][0], self.farthest)
        })?;
        Ok(vec![1, inputs[0][1], inputs[1][1], inputs[2][1]])
    }

    fn reads(&self, input: usize, _training: bool) -> Reads {
        if input == 0 { Reads::Value } else { Reads::Shape }
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let table = &inputs[0];
        let (shape, q_tokens, k_tokens) = (table.shape(), inputs[1].shape()[1], inputs[2].shape()[1]);
        let ids = self.buckets(q_tokens, k_tokens, shape[0], table);
        table.clone().select(0, &ids).swap_axes(0, 1).reshape(&[1, shape[1], q_tokens, k_tokens])
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let dtable = wanted[0].then(|| {
            let table = &kept.input_shapes[0];
            let (q_tokens, k_tokens) = (kept.input_shapes[1][1], kept.input_shapes[2][1]);
            let ids = self.buckets(q_tokens, k_tokens, table[0], &dy);
            let rows = dy.clone().reshape(&[table[1], q_tokens * k_tokens]).swap_axes(0, 1);
            Value::full(table, 0.0, dy.dtype().into(), &dy.device()).select_add(0, &ids, rows)
        });
        vec![dtable, None, None]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op_on, random};
    use super::*;

    #[test]
    fn gradients() {
        for (both_ways, buckets) in [(true, 8), (false, 6)] {
            let op = RelativeBias { farthest: 6, both_ways };
            check_op_on(&op, &[&[buckets, 3]], &[random("q", &[2, 5]), random("k", &[2, 7, 4])]);
        }
        let few = RelativeBias { farthest: 6, both_ways: true };
        assert!(few.shape(&[vec![2, 3], vec![1, 5], vec![1, 5]]).is_err());
    }

    /// The published model's 32 buckets up to 128: as `transformers` computes them.
    #[test]
    fn buckets_of_the_published_model() {
        let both = RelativeBias { farthest: 128, both_ways: true };
        let of = |distance: usize| both.bucket(0, distance, 32);
        assert_eq!([0, 1, 7, 8, 11, 12, 127, 128, 500].map(of), [0, 17, 23, 24, 24, 25, 31, 31, 31]);
        assert_eq!(both.bucket(9, 0, 32), 8);
        let back = RelativeBias { farthest: 128, both_ways: false };
        let of = |distance: usize| back.bucket(distance, 0, 32);
        assert_eq!([0, 1, 15, 16, 19, 127, 128, 500].map(of), [0, 1, 15, 16, 17, 31, 31, 31]);
        assert_eq!(back.bucket(0, 5, 32), 0);
    }
}
