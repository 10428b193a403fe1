//! Attention against plain loops, finite differences and burn's ops in f64.

use super::super::testing::{assert_close, assert_refuses, device, gradient_check, same_bits, sample_of};
use super::{Scores, attention, attention_vjp};
use crate::tensor::Value;

/// batch, query tokens, key tokens, heads, width of a head.
type Extents = [usize; 5];

fn inputs([batch, q_tokens, k_tokens, heads, dim]: Extents) -> [Value; 4] {
    let of = |tokens, seed| sample_of(&[batch, tokens, heads * dim], seed, 1.5);
    [of(q_tokens, 1), of(k_tokens, 2), of(k_tokens, 3), of(q_tokens, 4)]
}

/// The usual scale, and no bias.
fn plain(heads: usize, dim: usize) -> Scores<'static> {
    Scores { heads, scale: 1.0 / (dim as f64).sqrt(), biases: &[] }
}

/// The output by plain loops.
fn reference(q: &[f64], k: &[f64], v: &[f64], extents: Extents) -> Vec<f64> {
    let scale = 1.0 / (extents[4] as f64).sqrt();
    reference_biased(q, k, v, extents, scale, |_| 0.0)
}

/// The same with a bias at `[element, head, query, key]`.
fn reference_biased(
    q: &[f64],
    k: &[f64],
    v: &[f64],
    extents: Extents,
    scale: f64,
    bias: impl Fn([usize; 4]) -> f64,
) -> Vec<f64> {
    let [batch, q_tokens, k_tokens, heads, dim] = extents;
    let at = |tokens: usize, b: usize, t: usize, h: usize| ((b * tokens + t) * heads + h) * dim;
    let mut output = vec![0.0; q.len()];
    for b in 0..batch {
        for h in 0..heads {
            for i in 0..q_tokens {
                let query = &q[at(q_tokens, b, i, h)..][..dim];
                let weights: Vec<f64> = (0..k_tokens)
                    .map(|j| {
                        let key = &k[at(k_tokens, b, j, h)..][..dim];
                        let dot = query.iter().zip(key).map(|(a, b)| a * b).sum::<f64>();
                        (dot * scale + bias([b, h, i, j])).exp()
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                for (j, weight) in weights.iter().enumerate() {
                    for d in 0..dim {
                        output[at(q_tokens, b, i, h) + d] += weight / sum * v[at(k_tokens, b, j, h) + d];
                    }
                }
            }
        }
    }
    output
}

#[test]
fn forward_against_plain_loops() {
    let shapes: [Extents; 7] = [
        [1, 1, 1, 1, 1],
        [2, 1, 7, 3, 5],
        [2, 7, 1, 1, 33],
        [3, 17, 17, 4, 24],
        [1, 130, 97, 2, 16],
        [1, 400, 333, 1, 8],
        [5, 33, 9, 7, 3],
    ];
    for extents in shapes {
        let [q, k, v, _] = inputs(extents);
        let output = attention(&q, &k, &v, plain(extents[3], extents[4])).unwrap();
        let expected = reference(&q.to_f64(), &k.to_f64(), &v.to_f64(), extents);
        assert_close(&output.to_f64(), &expected, 2e-6);
    }
}

#[test]
fn gradients_against_finite_differences() {
    for extents in [[1, 1, 1, 1, 2], [2, 3, 5, 2, 3], [1, 7, 4, 1, 5]] {
        let [q, k, v, dy] = inputs(extents);
        let gradients = attention_vjp(&q, &k, &v, &dy, plain(extents[3], extents[4]), &[true; 3]).unwrap();
        let [dq, dk, dv] = &gradients[..] else { unreachable!() };
        let [dq, dk, dv] = [dq, dk, dv].map(|gradient| gradient.clone().unwrap());
        let upstream = dy.to_f64();
        let loss = |q: &[f64], k: &[f64], v: &[f64]| {
            let y = reference(q, k, v, extents);
            y.iter().zip(&upstream).map(|(y, dy)| y * dy).sum::<f64>()
        };
        let (wide_q, wide_k, wide_v) = (q.to_f64(), k.to_f64(), v.to_f64());
        gradient_check(|q| loss(q, &wide_k, &wide_v), &q, &dq, 5e-6);
        gradient_check(|k| loss(&wide_q, k, &wide_v), &k, &dk, 5e-6);
        gradient_check(|v| loss(&wide_q, &wide_k, v), &v, &dv, 5e-6);
    }
}

/// Gradients in f64 by burn's ops, for shapes too large for finite differences.
fn reference_gradients(inputs: &[Value; 4], extents: Extents) -> [Vec<f64>; 3] {
    use burn::backend::FloatDType;
    let [batch, q_tokens, k_tokens, heads, dim] = extents;
    let split = |value: &Value, tokens: usize| {
        let wide = value.clone().cast(FloatDType::F64);
        wide.reshape(&[batch, tokens, heads, dim]).permute(&[0, 2, 1, 3])
    };
    let join = |value: Value| value.permute(&[0, 2, 1, 3]).to_f64();
    let [q, k, v, dy] = inputs;
    let (q, dy) = (split(q, q_tokens), split(dy, q_tokens));
    let (k, v) = (split(k, k_tokens), split(v, k_tokens));
    let scale = 1.0 / (dim as f64).sqrt();
    let p = q.clone().matmul(k.clone().swap_axes(2, 3)).mul_scalar(scale).softmax(3);
    let dv = p.clone().swap_axes(2, 3).matmul(dy.clone());
    let dp = dy.matmul(v.swap_axes(2, 3));
    let mean = dp.clone().mul(p.clone()).sum_axis(3);
    let ds = p.mul(dp.sub(mean)).mul_scalar(scale);
    let dk = ds.clone().swap_axes(2, 3).matmul(q);
    [join(ds.matmul(k)), join(dk), join(dv)]
}

#[test]
fn gradients_over_several_blocks_and_groups() {
    for extents in [[1, 400, 333, 1, 8], [2, 150, 90, 2, 5], [6, 33, 17, 3, 12]] {
        let all = inputs(extents);
        let [q, k, v, dy] = &all;
        let expected = reference_gradients(&all, extents);
        let how = plain(extents[3], extents[4]);
        let full = attention_vjp(q, k, v, dy, how, &[true; 3]).unwrap();
        let full: Vec<Value> = full.into_iter().map(Option::unwrap).collect();
        for (actual, expected) in full.iter().zip(&expected) {
            assert_close(&actual.to_f64(), expected, 5e-6);
        }
        for bits in 0..8u8 {
            let wanted = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
            let some = attention_vjp(q, k, v, dy, how, &wanted).unwrap();
            for i in 0..3 {
                assert_eq!(some[i].is_some(), wanted[i]);
                if let Some(value) = &some[i] {
                    assert_eq!(value.to_f32(), full[i].to_f32(), "wanted {wanted:?}");
                }
            }
        }
    }
}

#[test]
fn same_bits_over_many_tasks() {
    for extents in [[1, 300, 300, 2, 16], [9, 17, 17, 4, 24]] {
        let [q, k, v, dy] = inputs(extents);
        same_bits(|| {
            let gradients =
                attention_vjp(&q, &k, &v, &dy, plain(extents[3], extents[4]), &[true; 3]).unwrap();
            let mut all = vec![attention(&q, &k, &v, plain(extents[3], extents[4])).unwrap()];
            all.extend(gradients.into_iter().flatten());
            all
        });
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let x = sample_of(&[2, 3, 8], 1, 1.0);
    assert_refuses(&[2, 3, 8], |q| attention(q, &x, &x, plain(2, 4)).is_none());
    assert_refuses(&[2, 3, 8], |v| attention(&x, &x, v, plain(2, 4)).is_none());
    assert_refuses(&[2, 3, 8], |dy| attention_vjp(&x, &x, &x, dy, plain(2, 4), &[true; 3]).is_none());
    assert!(attention(&x, &x, &x, plain(3, 4)).is_none(), "8 is not a multiple of 3");
    assert!(attention(&x, &x, &x, plain(0, 4)).is_none());
    for shape in [[2, 2, 3, 4], [2, 2, 2, 3], [3, 1, 1, 3]] {
        let bias = sample_of(&shape, 2, 1.0);
        let how = Scores { biases: &[&bias], ..plain(2, 4) };
        assert!(attention(&x, &x, &x, how).is_none(), "{shape:?}");
        assert!(attention_vjp(&x, &x, &x, &x, how, &[true; 4]).is_none(), "{shape:?}");
    }
}

#[test]
fn slices_of_a_fused_projection_are_read_where_they_lie() {
    let (batch, tokens, heads, dim) = (3, 17, 4, 6);
    let width = heads * dim;
    let fused = sample_of(&[batch, tokens, 3 * width], 1, 1.0);
    let dy = sample_of(&[batch, tokens, width], 2, 1.0);
    let slices = [0, 1, 2].map(|part| fused.clone().narrow(2, part * width, width));
    // Copies without gaps.
    let whole =
        slices.clone().map(|slice| Value::from_f32(slice.to_f32(), &[batch, tokens, width], &device()));
    let run = |[q, k, v]: &[Value; 3]| {
        let gradients = attention_vjp(q, k, v, &dy, plain(heads, dim), &[true; 3]).unwrap();
        let mut all = vec![attention(q, k, v, plain(heads, dim)).unwrap().to_f32()];
        all.extend(gradients.into_iter().flatten().map(|value| value.to_f32()));
        all
    };
    assert_eq!(run(&slices), run(&whole));
}

/// Several blocks of queries and groups, with biases that are repeated along every set of axes.
#[test]
fn biases_and_their_gradients() {
    use burn::backend::FloatDType;
    for (extents, scale) in [
        ([2, 3, 5, 2, 3], 0.7),
        ([1, 400, 333, 1, 8], 0.2),
        ([3, 150, 90, 2, 5], 1.0),
        ([2, 1, 7, 3, 5], 0.5),
    ] {
        let [batch, q_tokens, k_tokens, heads, dim] = extents;
        let [q, k, v, dy] = inputs(extents);
        let shapes =
            [[batch, 1, 1], [1, heads, q_tokens], [1, 1, q_tokens], [batch, heads, q_tokens], [1, 1, 1]];
        for (number, [b, h, t]) in shapes.into_iter().enumerate() {
            let bias = sample_of(&[b, h, t, k_tokens], 7, 2.0);
            let padding = sample_of(&[batch, 1, 1, k_tokens], 8, 2.0);
            let biases = [&bias, &padding];
            let how = Scores { heads, scale, biases: &biases };
            let (wide, wide_padding) = (bias.to_f64(), padding.to_f64());
            let at = |[e, head, i, j]: [usize; 4]| {
                let part = |index: usize, extent: usize| if extent == 1 { 0 } else { index };
                let row = (part(e, b) * h + part(head, h)) * t + part(i, t);
                wide[row * k_tokens + j] + wide_padding[e * k_tokens + j]
            };
            let output = attention(&q, &k, &v, how).unwrap();
            let expected = reference_biased(&q.to_f64(), &k.to_f64(), &v.to_f64(), extents, scale, at);
            assert_close(&output.to_f64(), &expected, 5e-6);

            // Gradients in f64 by burn's ops.
            let split = |value: &Value, tokens: usize| {
                let wide = value.clone().cast(FloatDType::F64);
                wide.reshape(&[batch, tokens, heads, dim]).permute(&[0, 2, 1, 3])
            };
            let wide = |value: &Value| value.clone().cast(FloatDType::F64);
            let (q4, dy4) = (split(&q, q_tokens), split(&dy, q_tokens));
            let (k4, v4) = (split(&k, k_tokens), split(&v, k_tokens));
            let scores = q4.matmul(k4.clone().swap_axes(2, 3)).mul_scalar(scale);
            let p = scores.add(wide(&bias)).add(wide(&padding)).softmax(3);
            let dp = dy4.matmul(v4.swap_axes(2, 3));
            let mean = dp.clone().mul(p.clone()).sum_axis(3);
            let ds = p.mul(dp.sub(mean));
            let full = attention_vjp(&q, &k, &v, &dy, how, &[true; 5]).unwrap();
            let dq = ds.clone().mul_scalar(scale).matmul(k4).permute(&[0, 2, 1, 3]).to_f64();
            assert_close(&full[0].as_ref().unwrap().to_f64(), &dq, 1e-5);
            for (gradient, of) in full[3..].iter().zip([&bias, &padding]) {
                let expected = ds.clone().sum_to(&of.shape()).to_f64();
                assert_eq!(gradient.as_ref().unwrap().shape(), of.shape());
                assert_close(&gradient.as_ref().unwrap().to_f64(), &expected, 1e-5);
            }
            // One alone gives the same bits.
            let alone = attention_vjp(&q, &k, &v, &dy, how, &[false, false, false, true, false]).unwrap();
            assert_eq!(
                alone.iter().map(Option::is_some).collect::<Vec<_>>(),
                [false, false, false, true, false]
            );
            let numbers = |gradient: &Option<Value>| gradient.as_ref().unwrap().to_f32();
            assert_eq!(numbers(&alone[3]), numbers(&full[3]), "bias {number}");
            same_bits(|| {
                attention_vjp(&q, &k, &v, &dy, how, &[true; 5]).unwrap().into_iter().flatten().collect()
            });
        }
    }
}
