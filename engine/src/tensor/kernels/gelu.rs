//! GELU and its gradient.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]

use serde::{Deserialize, Serialize};

use super::flex::{CHUNK, Plain, build_elements, value};
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

/// GELU of every element, any shape. Absolute error at most 5e-7 for |x| ≤ 6 and relative error
/// at most 2e-7 above.
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
/// same shape.
#[must_use]
pub fn gelu_vjp(x: &Value, dy: &Value, form: GeluForm) -> Option<Value> {
    let (x, dy) = (Plain::of(x)?, Plain::of(dy)?);
    if x.shape() != dy.shape() {
        return None;
    }
    let (input, upstream) = (x.data(), dy.data());
    let output = build_elements(input.len(), CHUNK, |index, output| {
        let length = output.len();
        let (input, upstream) = (part(input, index, length), part(upstream, index, length));
        run(Backward { input, upstream, output, form });
    });
    Some(value(output, &x.shape()))
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
            GeluForm::Exact => pairs.for_each(|(y, &x)| *y = x * (0.5 + normal::<FUSED>(x))),
            GeluForm::Tanh => pairs.for_each(|(y, &x)| *y = x * gate::<FUSED>(x)),
        }
    }
}

struct Backward<'a> {
    input: &'a [f32],
    upstream: &'a [f32],
    output: &'a mut [f32],
    form: GeluForm,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let triples = self.output.iter_mut().zip(self.input.iter().zip(self.upstream));
        match self.form {
            GeluForm::Exact => triples.for_each(|(dx, (&x, &dy))| {
                const DENSITY_AT_0: f32 = 0.398_942_3;
                let density = DENSITY_AT_0 * exp::<FUSED>(-0.5 * x * x);
                *dx = dy * multiply_add::<FUSED>(x, density, 0.5 + normal::<FUSED>(x));
            }),
            GeluForm::Tanh => triples.for_each(|(dx, (&x, &dy))| {
                let gate = gate::<FUSED>(x);
                // Derivative of the gate's argument 2√(2/π) · (x + 0.044715 x³).
                let slope = multiply_add::<FUSED>(x * x, 3.0 * CUBIC, LINEAR);
                // `gate · (1 − gate)` comes first: it is 0 far out, where x · slope is large.
                let bend = gate * (1.0 - gate) * (x * slope);
                *dx = dy * (gate + bend);
            }),
        }
    }
}

/// `2√(2/π)`.
const LINEAR: f32 = 1.595_769_1;
/// `2√(2/π) · 0.044715`.
const CUBIC: f32 = 0.071_354_814;

/// `Φ(x) − 1/2`, absolute error about 6e-8: a rational function of degree 11 over 10, fitted on
/// |x| ≤ 5.6 for the least greatest error of `x · Φ(x)`. Beyond, ±1/2 is as close.
///
/// Unlike the formulas by way of `exp(−x²/2)` it costs one division and ten multiplications.
#[inline(always)]
fn normal<const FUSED: bool>(x: f32) -> f32 {
    const END: f32 = 5.6;
    let square = x * x;
    let numerator = polynomial::<FUSED, 6>(
        square,
        [
            2.170_655_7e-8,
            6.525_410_7e-6,
            1.867_636_4e-4,
            4.785_852e-3,
            3.555_593_5e-2,
            0.398_942_1,
        ],
    );
    let denominator = polynomial::<FUSED, 6>(
        square,
        [1.180_011e-6, 7.967_742e-5, 1.985_233_1e-3, 2.963_195_3e-2, 0.255_789_73, 1.0],
    );
    let inside = x * numerator / denominator;
    let outside = 0.5f32.copysign(x);
    if x.abs() > END { outside } else { inside }
}

/// The factor of `x` in the tanh form: `(1 + tanh(u)) / 2` is the logistic function of `2u`.
#[inline(always)]
fn gate<const FUSED: bool>(x: f32) -> f32 {
    let argument = x * multiply_add::<FUSED>(x * x, CUBIC, LINEAR);
    1.0 / (1.0 + exp::<FUSED>(-argument))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        ODD_SIZES, assert_close, assert_refuses, device, gradient_check, sample, same_bits,
    };
    use super::{GeluForm, gelu, gelu_vjp};
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
            let expected = reference(&wide, form);
            for ((&x, y), expected) in x.iter().zip(y.to_f32()).zip(expected) {
                let error = (f64::from(y) - expected).abs();
                let allowed = if x < 6.0 { 5e-7 } else { 2e-7 * f64::from(x) };
                assert!(error <= allowed, "{form:?} gelu({x}) = {y}, off by {error:e}");
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
            let dx = gelu_vjp(&x, &ones, form).unwrap().to_f32();
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
            let dx = gelu_vjp(&x, &dy, form).unwrap();
            let loss = |x: &[f64]| {
                reference(x, form).iter().zip(&upstream).map(|(y, dy)| y * dy).sum::<f64>()
            };
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
                same_bits(|| vec![gelu(&x, form).unwrap(), gelu_vjp(&x, &dy, form).unwrap()]);
            }
        }
    }

    #[test]
    fn refuses_what_is_not_plain_f32() {
        assert_refuses(&[8], |x| gelu(x, GeluForm::Exact).is_none());
        assert_refuses(&[8], |x| gelu_vjp(x, x, GeluForm::Tanh).is_none());
    }
}
