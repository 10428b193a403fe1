//! Scaled dot-product attention over interleaved heads and its gradients.
//!
//! Heads are read and written where they lie, as matrices with a row stride of `heads · dim`:
//! nothing is permuted or copied. A task is a block of queries of one (batch, head) pair.
#![expect(clippy::cast_possible_truncation, reason = "constants worked out in f64 are used in f32")]

mod bias;

use rayon::prelude::*;

use super::flex::{CHUNK, Plain, Rows, value};
use super::matrix::{HeadLayout, Matrix, MatrixMut};
use super::simd::run;
use super::softmax::{SoftmaxRows, SoftmaxRowsBackward};
use crate::tensor::{Value, elements};
use bias::{Bias, bias_gradient};

/// Scores that one task holds at a time, at most: 256 KiB, a fraction of the second-level cache.
const SCORES_PER_TASK: usize = 64 * 1024;

/// Scores below which it does not pay to cut a block of queries further.
const SCORES_WORTH_A_TASK: usize = 8 * 1024;

/// Tasks below which a (batch, head) pair is cut further to keep several processors busy.
const ENOUGH_TASKS: usize = 16;

/// How scores are made of queries and keys.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    /// Number of heads.
    pub heads: usize,
    /// Factor of the products.
    pub scale: f64,
    /// What is added to them: each `[batch or 1, heads or 1, q_tokens or 1, k_tokens]`.
    pub biases: &'a [&'a Value],
}

/// `softmax(scale · q · kᵀ + biases) · v` for every head: `q` `[batch, q_tokens, heads · dim]`, `k` and `v`
/// `[batch, k_tokens, heads · dim]`, output `[batch, q_tokens, heads · dim]`.
///
/// The softmax never exists as a whole: each thread holds a block of it.
#[must_use]
pub fn attention(q: &Value, k: &Value, v: &Value, how: Scores<'_>) -> Option<Value> {
    let (q, k, v) = (Rows::of(q)?, Rows::of(k)?, Rows::of(v)?);
    let shape = AttentionShape::of(&q, &k, &v, how)?;
    let biases = Bias::all(how.biases, &shape)?;
    let (output_layout, scale) = (shape.q_layout(), shape.scale);
    let q_layout = HeadLayout { row_stride: q.stride, ..output_layout };
    let k_layout = HeadLayout { row_stride: k.stride, ..shape.k_layout() };
    let v_layout = HeadLayout { row_stride: v.stride, ..shape.k_layout() };
    let (q_data, k_data, v_data) = (q.data(), k.data(), v.data());

    let mut output = vec![0.0f32; elements(&q.shape())];
    let tasks: Vec<_> = MatrixMut::heads(&mut output, &output_layout, shape.block)
        .into_iter()
        .enumerate()
        .map(|(index, output)| (shape.position(index), output))
        .collect();
    for_each_task(tasks, |scratch, (at, mut output)| {
        let scores = scratch_of(scratch, at.count * shape.k_tokens);
        let queries = q_layout.head(q_data, at.element, at.head, at.first, at.count);
        let keys = k_layout.head(k_data, at.element, at.head, 0, shape.k_tokens);
        let values = v_layout.head(v_data, at.element, at.head, 0, shape.k_tokens);
        let mut product = MatrixMut::new(scores, at.count, shape.k_tokens);
        product.set_product(queries, keys.transposed(), scale, false);
        for bias in &biases {
            bias.add_to(scores, at, shape.k_tokens);
        }
        run(SoftmaxRows { rows: scores, width: shape.k_tokens });
        let weights = Matrix::new(scores, at.count, shape.k_tokens, shape.k_tokens);
        output.set_product(weights, values, 1.0, false);
    });
    Some(value(output, &q.shape()))
}

/// Gradients with respect to `q`, `k`, `v` and then each bias, those that are `wanted`, from the inputs of
/// [`attention`] and the gradient `dy` `[batch, q_tokens, heads · dim]` of its output. The softmax is made again, block
/// by block, and once more for a bias.
#[must_use]
#[expect(clippy::similar_names, reason = "dq, dk and dv are what everybody calls them")]
pub fn attention_vjp(
    q: &Value,
    k: &Value,
    v: &Value,
    dy: &Value,
    how: Scores<'_>,
    wanted: &[bool],
) -> Option<Vec<Option<Value>>> {
    let (q, k, v) = (Rows::of(q)?, Rows::of(k)?, Rows::of(v)?);
    let dy = Plain::of(dy)?;
    let shape = AttentionShape::of(&q, &k, &v, how)?;
    let biases = Bias::all(how.biases, &shape)?;
    let (&[q_wanted, k_wanted, v_wanted], biases_wanted) = wanted.split_first_chunk()?;
    if dy.shape() != q.shape() || biases_wanted.len() != biases.len() {
        return None;
    }
    let inputs = BackwardInputs {
        shape,
        q: (q.data(), q.stride),
        k: (k.data(), k.stride),
        v: (v.data(), v.stride),
        upstream: dy.data(),
        biases: &biases,
    };
    let bias_gradients = biases.iter().zip(biases_wanted);
    let bias_gradients: Vec<Option<Value>> =
        bias_gradients.map(|(bias, &wanted)| wanted.then(|| bias_gradient(&inputs, bias))).collect();
    if !(q_wanted || k_wanted || v_wanted) {
        return Some([None, None, None].into_iter().chain(bias_gradients).collect());
    }
    // All blocks of queries of a pair add to the same gradients of keys and values, so one task
    // goes through them in order. Where there are few pairs several tasks share one, each with
    // sums of its own, which are added afterwards.
    let (blocks, pairs) = (shape.blocks(), shape.batch * shape.heads);
    let blocks_per_group = blocks.div_ceil(ENOUGH_TASKS.div_ceil(pairs));
    let groups = blocks.div_ceil(blocks_per_group);
    let key_elements = elements(&k.shape());

    let room = |wanted: bool, length: usize| vec![0.0f32; if wanted { length } else { 0 }];
    let mut dq = room(q_wanted, elements(&q.shape()));
    let mut dk = room(k_wanted, groups * key_elements);
    let mut dv = room(v_wanted, groups * key_elements);
    let sums_layout = HeadLayout { batch: groups * shape.batch, ..shape.k_layout() };
    let mut dq_blocks = matrices(&mut dq, &shape.q_layout(), shape.block);
    let mut dk_sums = matrices(&mut dk, &sums_layout, shape.k_tokens).into_iter().flatten();
    let mut dv_sums = matrices(&mut dv, &sums_layout, shape.k_tokens).into_iter().flatten();
    let mut tasks = Vec::with_capacity(groups * pairs);
    for group in 0..groups {
        for pair in 0..pairs {
            let first = group * blocks_per_group;
            let last = (first + blocks_per_group).min(blocks);
            let blocks = (first..last)
                .map(|block| {
                    let index = pair * blocks + block;
                    (shape.position(index), dq_blocks.get_mut(index).and_then(Option::take))
                })
                .collect();
            tasks.push(BackwardTask { blocks, dk: dk_sums.next(), dv: dv_sums.next() });
        }
    }
    for_each_task(tasks, |scratch, task| inputs.run(task, scratch));
    let gradients = [
        q_wanted.then(|| value(dq, &q.shape())),
        k_wanted.then(|| value(add_groups(dk, key_elements), &k.shape())),
        v_wanted.then(|| value(add_groups(dv, key_elements), &v.shape())),
    ];
    Some(gradients.into_iter().chain(bias_gradients).collect())
}

/// The extents of one call and how it is cut into tasks.
#[derive(Clone, Copy)]
struct AttentionShape {
    batch: usize,
    q_tokens: usize,
    k_tokens: usize,
    heads: usize,
    dim: usize,
    scale: f32,
    /// Queries of a task; the last block of a pair may have fewer.
    block: usize,
}

impl AttentionShape {
    fn of(q: &Rows, k: &Rows, v: &Rows, how: Scores<'_>) -> Option<Self> {
        let (heads, scale) = (how.heads, how.scale as f32);
        let &[batch, q_tokens, width] = q.shape().as_slice() else {
            return None;
        };
        let &[k_batch, k_tokens, k_width] = k.shape().as_slice() else {
            return None;
        };
        let fits = (batch, width) == (k_batch, k_width) && k.shape() == v.shape();
        if !fits || heads == 0 || width % heads != 0 {
            return None;
        }
        let scores = q_tokens * k_tokens;
        let for_cache = scores.div_ceil(SCORES_PER_TASK);
        let for_threads = ENOUGH_TASKS.div_ceil(batch * heads).min(scores.div_ceil(SCORES_WORTH_A_TASK));
        let block = q_tokens.div_ceil(for_cache.max(for_threads));
        Some(Self { batch, q_tokens, k_tokens, heads, dim: width / heads, scale, block })
    }

    fn q_layout(&self) -> HeadLayout {
        let row_stride = self.heads * self.dim;
        HeadLayout {
            batch: self.batch,
            tokens: self.q_tokens,
            heads: self.heads,
            width: self.dim,
            row_stride,
        }
    }

    fn k_layout(&self) -> HeadLayout {
        HeadLayout { tokens: self.k_tokens, ..self.q_layout() }
    }

    /// Blocks of queries of a pair.
    fn blocks(&self) -> usize {
        self.q_tokens.div_ceil(self.block)
    }

    /// Where block `index` lies, in the order of [`MatrixMut::heads`].
    fn position(&self, index: usize) -> Position {
        let (pair, block) = (index / self.blocks(), index % self.blocks());
        let first = block * self.block;
        Position {
            element: pair / self.heads,
            head: pair % self.heads,
            first,
            count: self.block.min(self.q_tokens - first),
        }
    }
}

/// A block of queries of one head.
#[derive(Clone, Copy)]
struct Position {
    /// Of the batch.
    element: usize,
    head: usize,
    /// First query.
    first: usize,
    /// Number of queries.
    count: usize,
}

struct BackwardTask<'a> {
    blocks: Vec<(Position, Option<MatrixMut<'a>>)>,
    dk: Option<MatrixMut<'a>>,
    dv: Option<MatrixMut<'a>>,
}

struct BackwardInputs<'a> {
    shape: AttentionShape,
    /// Each with the elements from one token to the next.
    q: (&'a [f32], usize),
    k: (&'a [f32], usize),
    v: (&'a [f32], usize),
    upstream: &'a [f32],
    biases: &'a [Bias],
}

impl BackwardInputs<'_> {
    fn queries(&self, at: Position) -> Matrix<'_> {
        let layout = HeadLayout { row_stride: self.q.1, ..self.shape.q_layout() };
        layout.head(self.q.0, at.element, at.head, at.first, at.count)
    }

    fn keys(&self, at: Position) -> Matrix<'_> {
        let layout = HeadLayout { row_stride: self.k.1, ..self.shape.k_layout() };
        layout.head(self.k.0, at.element, at.head, 0, self.shape.k_tokens)
    }

    fn upstream(&self, at: Position) -> Matrix<'_> {
        self.shape.q_layout().head(self.upstream, at.element, at.head, at.first, at.count)
    }

    /// The softmax of a block, `[at.count, k_tokens]`.
    fn probabilities(&self, at: Position, rows: &mut [f32]) {
        let width = self.shape.k_tokens;
        let mut product = MatrixMut::new(rows, at.count, width);
        product.set_product(self.queries(at), self.keys(at).transposed(), self.shape.scale, false);
        for bias in self.biases {
            bias.add_to(rows, at, width);
        }
        run(SoftmaxRows { rows, width });
    }

    /// `scale` times the gradient of a block's scores, `[at.count, k_tokens]`.
    fn score_gradient(&self, at: Position, probabilities: &[f32], gradient: &mut [f32], scale: f32) {
        let width = self.shape.k_tokens;
        let layout = HeadLayout { row_stride: self.v.1, ..self.shape.k_layout() };
        let values = layout.head(self.v.0, at.element, at.head, 0, width);
        let mut product = MatrixMut::new(gradient, at.count, width);
        product.set_product(self.upstream(at), values.transposed(), 1.0, false);
        run(SoftmaxRowsBackward { probabilities, gradient, width, scale });
    }

    fn run(&self, mut task: BackwardTask<'_>, scratch: &mut Vec<f32>) {
        let width = self.shape.k_tokens;
        for (index, (at, dq)) in task.blocks.into_iter().enumerate() {
            let add = index > 0;
            let scores = at.count * width;
            let (probabilities, gradient) = scratch_of(scratch, 2 * scores).split_at_mut(scores);
            self.probabilities(at, probabilities);
            if let Some(dv) = &mut task.dv {
                let weights = Matrix::new(probabilities, at.count, width, width);
                dv.set_product(weights.transposed(), self.upstream(at), 1.0, add);
            }
            if dq.is_none() && task.dk.is_none() {
                continue;
            }
            self.score_gradient(at, probabilities, gradient, self.shape.scale);
            let gradient = Matrix::new(gradient, at.count, width, width);
            if let Some(mut dq) = dq {
                dq.set_product(gradient, self.keys(at), 1.0, false);
            }
            if let Some(dk) = &mut task.dk {
                dk.set_product(gradient.transposed(), self.queries(at), 1.0, add);
            }
        }
    }
}

/// [`MatrixMut::heads`] to be taken one by one; none where the gradient is not wanted.
fn matrices<'a>(data: &'a mut [f32], layout: &HeadLayout, block: usize) -> Vec<Option<MatrixMut<'a>>> {
    if data.is_empty() {
        return Vec::new();
    }
    MatrixMut::heads(data, layout, block).into_iter().map(Some).collect()
}

/// Runs tasks in parallel, each with a buffer that an earlier one may have left behind.
fn for_each_task<T: Send>(tasks: Vec<T>, work: impl Fn(&mut Vec<f32>, T) + Send + Sync) {
    tasks.into_par_iter().for_each_init(Vec::new, work);
}

/// The first `length` elements of a reused buffer, with whatever they hold.
fn scratch_of(scratch: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if scratch.len() < length {
        scratch.resize(length, 0.0);
    }
    &mut scratch[..length]
}

/// Adds up `[groups, length]` over the groups, in their order.
fn add_groups(mut data: Vec<f32>, length: usize) -> Vec<f32> {
    if data.len() > length {
        let (sum, rest) = data.split_at_mut(length);
        let rest = &*rest;
        sum.par_chunks_mut(CHUNK).enumerate().for_each(|(index, sum)| {
            for group in rest.chunks_exact(length) {
                for (sum, &part) in sum.iter_mut().zip(&group[index * CHUNK..]) {
                    *sum += part;
                }
            }
        });
        data.truncate(length);
        data.shrink_to_fit();
    }
    data
}

#[cfg(test)]
mod tests;
