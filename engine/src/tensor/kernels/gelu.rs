//! GELU and its gradient.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]
#![expect(clippy::result_large_err, reason = "a refusal gives the value back, and is not rare")]

use serde::{Deserialize, Serialize};

use rayon::prelude::*;

use super::flex::{CHUNK, Owned, Plain, build_elements, value};
use super::simd::{Kernel, exp, multiply_add, polynomial, run};
use crate::tensor::Value;

/// Which of the two common definitions of GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GeluForm {
    /// `x · Φ(x)` with the normal distribution function.
    Exact,
    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
    Tanh,
}

/// GELU of every element, any shape. Up to |x| = 6 it is off by at most 6e-7, which is the distance
/// of neighbouring f32 at 5; above by at most 1e-7 of `x`.
#[must_use]
pub fn gelu(x: &Value, form: GeluForm) -> Option<Value> {
    let x = Plain::of(x)?;
    let input = x.data();
    let output = build_elements(input.len(), CHUNK, |index, output| {
        let input = part(input, index, output.len());
        run(Forward { input, output, form });
    });
    Some(value(output, &x.shape()))
}

/// Gradient with respect to `x`, from `x` itself and the gradient `dy` of the output, both of the
/// same shape. Takes the place of `dy` unless somebody shares its storage.
///
/// # Errors
/// Gives `dy` back when the values are not untracked f32 on `flex` of one shape.
pub fn gelu_vjp(x: &Value, dy: Value, form: GeluForm) -> Result<Value, Value> {
    let Some(x) = Plain::of(x).filter(|x| x.shape() == dy.shape()) else { return Err(dy) };
    let input = x.data();
    let mut owned = Owned::of(dy)?;
    if let Some(gradient) = owned.unique() {
        gradient.par_chunks_mut(CHUNK).enumerate().for_each(|(index, gradient)| {
            run(Backward { input: part(input, index, gradient.len()), gradient, form });
        });
        return Ok(owned.into_value());
    }
    let shared = owned.into_value();
    let Some(dy) = Plain::of(&shared) else { return Err(shared) };
    let upstream = dy.data();
    let output = build_elements(input.len(), CHUNK, |index, gradient| {
        gradient.copy_from_slice(part(upstream, index, gradient.len()));
        run(Backward { input: part(input, index, gradient.len()), gradient, form });
    });
    Ok(value(output, &x.shape()))
}

/// The elements of chunk `index`, which holds `length` elements.
fn part(data: &[f32], index: usize, length: usize) -> &[f32] {
    &data[index * CHUNK..][..length]
}

struct Forward<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
    form: GeluForm,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let pairs = self.output.iter_mut().zip(self.input);
        match self.form {
            GeluForm::Exact => pairs.for_each(|(y, &x)| *y = x * normal::<FUSED>(x).0),
            GeluForm::Tanh => pairs.for_each(|(y, &x)| *y = x * gate::<FUSED>(x)),
        }
    }
}

struct Backward<'a> {
    input: &'a [f32],
    /// Of the output, and then of the input.
    gradient: &'a mut [f32],
    form: GeluForm,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let pairs = self.gradient.iter_mut().zip(self.input);
        match self.form {
            GeluForm::Exact => pairs.for_each(|(gradient, &x)| {
                const DENSITY_AT_0: f32 = 0.398_942_3;
                let (below, density) = normal::<FUSED>(x);
                *gradient *= multiply_add::<FUSED>(DENSITY_AT_0 * x, density, below);
            }),
            GeluForm::Tanh => pairs.for_each(|(gradient, &x)| {
                let gate = gate::<FUSED>(x);
                // Derivative of the gate's argument 2√(2/π) · (x + 0.044715 x³).
                let slope = multiply_add::<FUSED>(x * x, 3.0 * CUBIC, LINEAR);
                // `gate · (1 − gate)` comes first: it is 0 far out, where x · slope is large.
                let bend = gate * (1.0 - gate) * (x * slope);
                *gradient *= gate + bend;
            }),
        }
    }
}

/// `2√(2/π)`.
const LINEAR: f32 = 1.595_769;
/// `2√(2/π) · 0.044715`.
const CUBIC: f32 = 0.071_354_814;

/// The normal distribution function `Φ(x)` and its density times √(2π), `exp(−x²/2)`.
///
/// The tail `Φ(−|x|)` is `exp(−x²/2)` times a rational function of |x|, fitted for the least
/// greatest error of `x · Φ(x)`. That error is 4e-10, so only rounding counts. All coefficients are
/// positive: nothing cancels, and the negative side keeps its relative accuracy as well.
#[inline(always)]
fn normal<const FUSED: bool>(x: f32) -> (f32, f32) {
    // Where the exponential is 0; the rational function of an infinity would be no number.
    const END: f32 = 14.0;
    let size = x.abs();
    let size = if size > END { END } else { size };
    let numerator = polynomial::<FUSED, 4>(size, [1.042_175_2e-2, 8.894_47e-2, 0.303_177_15, 0.5]);
    let denominator =
        polynomial::<FUSED, 5>(size, [2.619_161_3e-2, 0.221_634_26, 0.798_312, 1.404_238_7, 1.0]);
    let density = exp::<FUSED>(-0.5 * size * size);
    let tail = density * (numerator / denominator);
    (if x > 0.0 { 1.0 - tail } else { tail }, density)
}

/// The factor of `x` in the tanh form: `(1 + tanh(u)) / 2` is the logistic function of `2u`.
#[inline(always)]
fn gate<const FUSED: bool>(x: f32) -> f32 {
    let argument = x * multiply_add::<FUSED>(x * x, CUBIC, LINEAR);
    1.0 / (1.0 + exp::<FUSED>(-argument))
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small counts")]
mod tests {
    use super::super::simd::Kernel as _;
    use super::super::testing::{
        ODD_SIZES, assert_close, assert_refuses, device, gradient_check, same_bits, sample,
    };
    use super::{Forward, GeluForm, gelu, gelu_vjp};
    use crate::tensor::Value;

    const FORMS: [GeluForm; 2] = [GeluForm::Exact, GeluForm::Tanh];

    fn reference(x: &[f64], form: GeluForm) -> Vec<f64> {
        match form {
            GeluForm::Exact => {
                let scaled: Vec<f64> = x.iter().map(|v| v * std::f64::consts::FRAC_1_SQRT_2).collect();
                let erf = Value::from_f64(scaled, &[x.len()], &device()).erf().to_f64();
                x.iter().zip(erf).map(|(v, e)| 0.5 * v * (1.0 + e)).collect()
            }
            GeluForm::Tanh => x
                .iter()
                .map(|v| {
                    let u = (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044_715 * v * v * v);
                    0.5 * v * (1.0 + u.tanh())
                })
                .collect(),
        }
    }

    #[test]
    fn forward_is_accurate_everywhere() {
        let x: Vec<f32> = (-120_000..120_000).map(|i| i as f32 * 1e-4).collect();
        let wide: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        for form in FORMS {
            let y = gelu(&Value::from_f32(x.clone(), &[x.len()], &device()), form).unwrap();
            // As a processor without vector instructions computes it.
            let mut plain = vec![0.0; x.len()];
            Forward { input: &x, output: &mut plain, form }.run::<false>();
            let expected = reference(&wide, form);
            for y in [y.to_f32(), plain] {
                let mut worst = (0.0, 0.0);
                for ((&x, y), expected) in x.iter().zip(y).zip(&expected) {
                    let error = (f64::from(y) - expected).abs() / f64::from(x / 6.0).max(1.0);
                    worst = if error > worst.0 { (error, x) } else { worst };
                }
                let (error, x) = worst;
                assert!(error <= 6e-7, "{form:?} gelu({x}) off by {error:e}");
            }
        }
    }

    #[test]
    fn far_out_and_not_a_number() {
        let x = Value::from_f32(vec![-1e30, -50.0, 50.0, 1e30, f32::NAN], &[5], &device());
        let ones = Value::from_f32(vec![1.0; 5], &[5], &device());
        for form in FORMS {
            let y = gelu(&x, form).unwrap().to_f32();
            assert_eq!(y[..4], [0.0, 0.0, 50.0, 1e30], "{form:?}");
            assert!(y[4].is_nan());
            let dx = gelu_vjp(&x, ones.clone(), form).unwrap().to_f32();
            assert_eq!(dx[1..3], [0.0, 1.0], "{form:?}");
            assert!(dx[4].is_nan());
        }
    }

    #[test]
    fn gradient_against_finite_differences() {
        for form in FORMS {
            let x = sample(301, 1, 8.0);
            let dy = sample(301, 2, 1.0);
            let upstream = dy.to_f64();
            let dx = gelu_vjp(&x, dy, form).unwrap();
            let loss =
                |x: &[f64]| reference(x, form).iter().zip(&upstream).map(|(y, dy)| y * dy).sum::<f64>();
            gradient_check(loss, &x, &dx, 2e-6);
        }
    }

    #[test]
    fn odd_sizes_and_repeated_runs() {
        for size in ODD_SIZES {
            let (x, dy) = (sample(size, 3, 6.0), sample(size, 4, 1.0));
            for form in FORMS {
                let y = gelu(&x, form).unwrap();
                assert_close(&y.to_f64(), &reference(&x.to_f64(), form), 5e-7);
                same_bits(|| {
                    let own = Value::from_f32(dy.to_f32(), &[size], &device());
                    let shared = gelu_vjp(&x, dy.clone(), form).unwrap();
                    let in_place = gelu_vjp(&x, own, form).unwrap();
                    assert_eq!(shared.to_f32(), in_place.to_f32());
                    vec![gelu(&x, form).unwrap(), shared]
                });
            }
        }
    }

    #[test]
    fn refuses_what_is_not_plain_f32() {
        assert_refuses(&[8], |x| gelu(x, GeluForm::Exact).is_none());
        assert_refuses(&[8], |x| gelu_vjp(x, x.clone(), GeluForm::Tanh).is_err());
    }
}
