//! One step of `AdamW` in a single pass over memory.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]
#![expect(clippy::result_large_err, reason = "a refusal gives the value back, and is not rare")]
#![expect(clippy::cast_possible_truncation, reason = "worked out in f64, used in f32")]

use rayon::prelude::*;

use super::flex::{CHUNK, Owned, Plain};
use super::simd::{Kernel, multiply_add, run};
use crate::tensor::Value;

/// The numbers of one `AdamW` step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the running mean of gradients.
    pub beta1: f64,
    /// Decay of the running mean of squared gradients.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// Decoupled weight decay: the parameter shrinks by `learning_rate · weight_decay` of itself.
    pub weight_decay: f64,
    /// `1 − beta1ᵗ` at step `t`, counted from 1.
    pub bias_correction1: f64,
    /// `1 − beta2ᵗ` at step `t`, counted from 1.
    pub bias_correction2: f64,
}

/// One step by `PyTorch`'s formula: returns the parameter, the running mean of gradients `first`
/// and that of squared gradients `second`, all of one shape. Each changes in place unless somebody
/// shares its storage.
///
/// # Errors
/// Gives parameter, `first` and `second` back untouched when any of the four values is not
/// untracked f32 on `flex`, or shapes differ.
pub fn adamw_step(
    parameter: Value,
    gradient: &Value,
    first: Value,
    second: Value,
    step: &AdamWStep,
) -> Result<[Value; 3], [Value; 3]> {
    let Some(gradient) = Plain::of(gradient) else {
        return Err([parameter, first, second]);
    };
    let suits = |value: &Value| value.shape() == gradient.shape() && Plain::of(value).is_some();
    if !(suits(&parameter) && suits(&first) && suits(&second)) {
        return Err([parameter, first, second]);
    }
    let mut parameter = match Owned::of(parameter) {
        Ok(owned) => owned,
        Err(parameter) => return Err([parameter, first, second]),
    };
    let mut first = match Owned::of(first) {
        Ok(owned) => owned,
        Err(first) => return Err([parameter.into_value(), first, second]),
    };
    let mut second = match Owned::of(second) {
        Ok(owned) => owned,
        Err(second) => return Err([parameter.into_value(), first.into_value(), second]),
    };
    update(
        parameter.make_unique(),
        gradient.data(),
        first.make_unique(),
        second.make_unique(),
        &Factors::of(step),
    );
    Ok([parameter.into_value(), first.into_value(), second.into_value()])
}

fn update(parameter: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], factors: &Factors) {
    if parameter.len() <= CHUNK {
        run(Step { parameter, gradient, first, second, factors });
        return;
    }
    parameter
        .par_chunks_mut(CHUNK)
        .zip(gradient.par_chunks(CHUNK))
        .zip(first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK)))
        .for_each(|((parameter, gradient), (first, second))| {
            run(Step { parameter, gradient, first, second, factors });
        });
}

/// The step's numbers as the loop needs them, worked out in f64.
struct Factors {
    shrink: f32,
    first_gain: f32,
    second_decay: f32,
    second_gain: f32,
    root_scale: f32,
    epsilon: f32,
    size: f32,
}

impl Factors {
    fn of(step: &AdamWStep) -> Self {
        Self {
            shrink: (1.0 - step.learning_rate * step.weight_decay) as f32,
            first_gain: (1.0 - step.beta1) as f32,
            second_decay: step.beta2 as f32,
            second_gain: (1.0 - step.beta2) as f32,
            root_scale: (1.0 / step.bias_correction2.sqrt()) as f32,
            epsilon: step.epsilon as f32,
            size: (step.learning_rate / step.bias_correction1) as f32,
        }
    }
}

struct Step<'a> {
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    factors: &'a Factors,
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let f = self.factors;
        let moments = self.first.iter_mut().zip(self.second.iter_mut());
        let values = self.parameter.iter_mut().zip(self.gradient);
        for ((p, &g), (m, v)) in values.zip(moments) {
            *m = multiply_add::<FUSED>(f.first_gain, g - *m, *m);
            *v = multiply_add::<FUSED>(f.second_gain * g, g, f.second_decay * *v);
            let denominator = multiply_add::<FUSED>(v.sqrt(), f.root_scale, f.epsilon);
            *p = multiply_add::<FUSED>(-f.size, *m / denominator, f.shrink * *p);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::FloatDType;

    use super::super::testing::{ODD_SIZES, assert_close, assert_refuses, same_bits, sample};
    use super::{AdamWStep, adamw_step};
    use crate::tensor::Value;

    fn step(t: i32) -> AdamWStep {
        AdamWStep {
            learning_rate: 1e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.05,
            bias_correction1: 1.0 - 0.9f64.powi(t),
            bias_correction2: 1.0 - 0.999f64.powi(t),
        }
    }

    fn inputs(size: usize) -> [Value; 4] {
        let second = sample(size, 4, 0.1).square();
        [sample(size, 1, 1.0), sample(size, 2, 0.5), sample(size, 3, 0.1), second]
    }

    #[test]
    #[expect(clippy::many_single_char_names, reason = "the letters of the formula")]
    fn follows_the_formula() {
        for size in ODD_SIZES {
            let [mut p, g, mut m, mut v] = inputs(size);
            let (mut wide_p, mut wide_m, mut wide_v) = (p.to_f64(), m.to_f64(), v.to_f64());
            let wide_g = g.to_f64();
            for t in 1..=3 {
                let s = step(t);
                [p, m, v] = adamw_step(p, &g, m, v, &s).unwrap();
                for i in 0..size {
                    let g = wide_g[i];
                    wide_p[i] *= 1.0 - s.learning_rate * s.weight_decay;
                    wide_m[i] = s.beta1 * wide_m[i] + (1.0 - s.beta1) * g;
                    wide_v[i] = s.beta2 * wide_v[i] + (1.0 - s.beta2) * g * g;
                    let denominator = wide_v[i].sqrt() / s.bias_correction2.sqrt() + s.epsilon;
                    wide_p[i] -= s.learning_rate / s.bias_correction1 * wide_m[i] / denominator;
                }
            }
            assert_close(&m.to_f64(), &wide_m, 2e-7);
            assert_close(&v.to_f64(), &wide_v, 2e-7);
            assert_close(&p.to_f64(), &wide_p, 1e-6);
        }
    }

    #[test]
    fn shared_storage_stays_as_it_is() {
        let [p, g, m, v] = inputs(100);
        let kept = p.clone();
        let before = p.to_f32();
        let [after, ..] = adamw_step(p, &g, m, v, &step(1)).unwrap();
        assert_eq!(kept.to_f32(), before);
        assert_ne!(after.to_f32(), before);
    }

    #[test]
    fn same_bits_over_many_chunks() {
        let [p, g, m, v] = inputs(50_001);
        same_bits(|| adamw_step(p.clone(), &g, m.clone(), v.clone(), &step(2)).unwrap().into());
    }

    #[test]
    fn gives_back_what_it_refuses() {
        let [p, g, m, v] = inputs(9);
        let refused = adamw_step(p.clone(), &g.clone().cast(FloatDType::F64), m.clone(), v, &step(1));
        let [p_again, m_again, _] = refused.unwrap_err();
        assert_eq!((p_again.to_f32(), m_again.to_f32()), (p.to_f32(), m.to_f32()));
        let shorter = sample(8, 1, 1.0);
        assert!(adamw_step(p, &g, m, shorter, &step(1)).is_err());
        assert_refuses(&[8], |x| {
            let [p, g, m, _] = inputs(8);
            adamw_step(p, &g, m, x.clone(), &step(1)).is_err()
        });
    }
}
