use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// Positive halves of the code books for 1 to 4 bits: the medians of the cells of a standard normal that make the mean
/// distance to the nearest code least; boundaries lie midway (Jie et al., 2023; methods, section 4).
pub const CODE_BOOKS: [&[f64]; 4] = [
    &[0.674_489_75],
    &[0.377_751, 1.265_720],
    &[0.202_620, 0.625_422, 1.113_734, 1.792_030],
    &[0.105_553, 0.319_036, 0.540_069, 0.775_192, 1.034_010, 1.333_110, 1.707_740, 2.265_490],
];

/// Added to the deviation, so that a constant weight has one.
const FLOOR: f64 = 1e-5;

/// Keeps a division by the deviation of a constant weight from being one by zero, also in f32.
const LEAST: f64 = 1e-12;

/// A weight as the nearest codes of its own distribution: `σ·q((W − μ)/σ) + μ`, `μ` and `σ` its mean and its
/// deviation (unbiased, plus 1e-5). Rounding counts as the identity in backward; through `μ` and `σ` gradients flow.
#[derive(Debug)]
pub struct Quantise {
    /// Bits a weight, 1 to 4.
    pub bits: usize,
}

impl Quantise {
    /// The positive half of the code book.
    fn codes(&self) -> &'static [f64] {
        CODE_BOOKS[self.bits.clamp(1, CODE_BOOKS.len()) - 1]
    }

    /// `W − μ`, the deviation `s` without the floor, each `[1]`-shaped, and `(W − μ)/σ`.
    fn parts(w: &Value) -> (Value, Value, Value) {
        let shape = w.shape();
        let count = elements(&shape);
        let flat = w.clone().reshape(&[count]);
        let centred = flat.clone().sub(flat.mean_axis(0));
        #[expect(clippy::cast_precision_loss, reason = "counts of elements in memory fit an f64")]
        let degrees = (count.max(2) - 1) as f64;
        let deviation = centred.clone().square().sum_axis(0).mul_scalar(1.0 / degrees).sqrt();
        let normed = centred.clone().div(deviation.clone().add_scalar(FLOOR));
        (centred, deviation, normed)
    }

    /// The nearest code of each normed value.
    fn nearest(&self, normed: &Value) -> Value {
        let codes = self.codes();
        let magnitude = normed.clone().mul(sign(normed));
        // A staircase: the first code, and from each boundary on the step to the next.
        let mut rounded = Value::full(&normed.shape(), codes[0], normed.dtype().into(), &normed.device());
        for pair in codes.windows(2) {
            let above = magnitude.clone().add_scalar(-f64::midpoint(pair[0], pair[1])).positive_mask();
            rounded = rounded.add(above.mul_scalar(pair[1] - pair[0]));
        }
        rounded.mul(sign(normed))
    }
}

/// A weight in codes of few bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Codes {
    /// The codes, packed from the lowest bit of each byte on: the sign in the highest bit of a code (1 is positive), the
    /// place in the code book below it.
    pub packed: Vec<u8>,
    /// Mean of the weight.
    pub mean: f32,
    /// Its deviation with the floor.
    pub deviation: f32,
}

impl Quantise {
    /// The codes that forward would give a weight in f32.
    #[must_use]
    pub fn encode(&self, w: &Value) -> Codes {
        let (_, deviation, normed) = Self::parts(w);
        let mean = w.clone().reshape(&[elements(&w.shape())]).mean_axis(0);
        let rounded = self.nearest(&normed).to_f32();
        let levels = self.levels();
        let count = rounded.len();
        let mut packed = vec![0u8; (count * self.bits).div_ceil(8)];
        for (at, value) in rounded.into_iter().enumerate() {
            let place = levels.iter().position(|level| level.to_bits() == value.abs().to_bits()).unwrap_or(0);
            let sign = usize::from(value > 0.0) << (self.bits - 1);
            for bit in 0..self.bits {
                let place_of_bit = at * self.bits + bit;
                let value = u8::from((place | sign) >> bit & 1 == 1);
                packed[place_of_bit / 8] |= value << (place_of_bit % 8);
            }
        }
        let deviation = deviation.add_scalar(FLOOR).to_f32()[0];
        Codes { packed, mean: mean.to_f32()[0], deviation }
    }

    /// What codes stand for, as many values: the bits that forward gives.
    #[must_use]
    pub fn decode(&self, codes: &Codes, count: usize) -> Vec<f32> {
        let levels = self.levels();
        let bit = |place: usize| codes.packed.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1);
        (0..count)
            .map(|at| {
                let code = (0..self.bits).fold(0, |code, i| code | usize::from(bit(at * self.bits + i)) << i);
                let half = 1 << (self.bits - 1);
                let level = levels[code % half];
                let rounded = if code >= half { level } else { -level };
                rounded * codes.deviation + codes.mean
            })
            .collect()
    }

    /// The positive codes as the staircase of [`Self::nearest`] reaches them in f32.
    #[expect(clippy::cast_possible_truncation, reason = "codes are used in f32")]
    fn levels(&self) -> Vec<f32> {
        let codes = self.codes();
        let steps = codes.windows(2).map(|pair| (pair[1] - pair[0]) as f32);
        let first = codes[0] as f32;
        std::iter::once(first)
            .chain(steps.scan(first, |level, step| {
                *level += step;
                Some(*level)
            }))
            .collect()
    }
}

/// 1 where positive, −1 elsewhere.
fn sign(x: &Value) -> Value {
    x.clone().positive_mask().mul_scalar(2.0).add_scalar(-1.0)
}

impl Op for Quantise {
    fn name(&self) -> &'static str {
        "quantise"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 1 && elements(&inputs[0]) > 1 && (1..=CODE_BOOKS.len()).contains(&self.bits),
            self.name(),
            inputs,
            || format!("needs a weight of two elements or more and 1 to 4 bits, not {}", self.bits),
        )?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let w = &inputs[0];
        let shape = w.shape();
        let (_, deviation, normed) = Self::parts(w);
        let mean = w.clone().reshape(&[elements(&shape)]).mean_axis(0);
        self.nearest(&normed).mul(deviation.add_scalar(FLOOR)).add(mean).reshape(&shape)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[true])
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::New
    }

    fn workspace(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        4 * 4 * elements(&inputs[0]) as u64
    }

    fn vjp_workspace(&self, inputs: &[Shape], output: &Shape, _wanted: &[bool]) -> u64 {
        self.workspace(inputs, output)
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let w = kept.input(0);
        let shape = w.shape();
        let (centred, deviation, normed) = Self::parts(&w);
        // dŴ = dW + (q − w)·dσ, and dσ = Σ (W − μ)·dW/((n − 1)·s).
        let error = self.nearest(&normed).sub(normed);
        #[expect(clippy::cast_precision_loss, reason = "counts of elements in memory fit an f64")]
        let degrees = (elements(&shape).max(2) - 1) as f64;
        let of_deviation = dy.clone().reshape(&[elements(&shape)]).mul(error).sum_axis(0);
        // A constant weight has no deviation, and no slope of it.
        let slope = centred.div(deviation.add_scalar(LEAST).mul_scalar(degrees));
        vec![Some(dy.add(slope.mul(of_deviation).reshape(&shape)))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{close, kept, random};
    use super::*;

    /// The mean distance of a standard normal to its nearest code, by the trapezoid rule.
    fn distance(codes: &[f64]) -> f64 {
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let nearest = |x: f64| codes.iter().map(|c| (x - c).abs()).fold(f64::INFINITY, f64::min);
        let step = 1e-4;
        2.0 * (0..100_000)
            .map(|i| (f64::from(i) + 0.5) * step)
            .map(|x| nearest(x) * density(x) * step)
            .sum::<f64>()
    }

    #[test]
    fn code_books_are_the_published_ones() {
        for (book, wanted) in CODE_BOOKS.iter().zip([0.473_22, 0.265_77, 0.142_90, 0.074_55]) {
            assert!((distance(book) - wanted).abs() < 2e-5, "{book:?}: {}", distance(book));
        }
        let boundary = f64::midpoint(CODE_BOOKS[1][0], CODE_BOOKS[1][1]);
        assert!((boundary - 0.821_74).abs() < 1e-5, "{boundary}");
    }

    #[test]
    fn one_bit_is_the_sign_times_the_code() {
        let w = random("w", &[5, 7]);
        let y = Quantise { bits: 1 }.forward(std::slice::from_ref(&w), &Context::inference()).to_f64();
        let w = w.to_f64();
        let mean = w.iter().sum::<f64>() / 35.0;
        let sigma = (w.iter().map(|w| (w - mean).powi(2)).sum::<f64>() / 34.0).sqrt() + 1e-5;
        let wanted: Vec<f64> =
            w.iter().map(|w| mean + sigma * 0.674_489_75 * if *w > mean { 1.0 } else { -1.0 }).collect();
        close(&y, &wanted, 1e-9, "one bit");
    }

    /// Straight through the rounding, along the real slopes of mean and deviation: with the codes held fixed at
    /// `q − w`, the function is smooth.
    #[test]
    fn gradient_is_that_of_the_function_with_its_rounding_held() {
        for bits in 1..=4 {
            let op = Quantise { bits };
            let (w, dy) = (random("w", &[3, 4]), random("dy", &[3, 4]));
            let context = Context::inference();
            let (_, _, normed) = Quantise::parts(&w);
            let held = op.nearest(&normed).sub(normed);
            let smooth = |w: &Value| {
                let (centred, deviation, normed) = Quantise::parts(w);
                let mean = w.clone().reshape(&[12]).sub(centred);
                normed.add(held.clone()).mul(deviation.add_scalar(FLOOR)).add(mean).to_f64()
            };
            let kept = kept(&op, &[Some(w.clone())], &[true], &context);
            let gradient = op.vjp(&kept, dy.clone(), &[true], &context).remove(0).unwrap().to_f64();
            let (values, dy) = (w.to_f64(), dy.to_f64());
            let step = 1e-6;
            for i in 0..12 {
                let at = |by: f64| {
                    let mut moved = values.clone();
                    moved[i] += by;
                    let moved = Value::from_f64(moved, &[3, 4], &w.device());
                    smooth(&moved).iter().zip(&dy).map(|(y, dy)| y * dy).sum::<f64>()
                };
                let slope = (at(step) - at(-step)) / (2.0 * step);
                assert!((slope - gradient[i]).abs() < 1e-5, "{bits} bits, {i}: {slope} {}", gradient[i]);
            }
        }
    }

    #[test]
    fn a_constant_weight_passes_its_gradient_on() {
        let op = Quantise { bits: 1 };
        let zeros = Value::from_f32(vec![0.0; 6], &[2, 3], &burn::tensor::Device::flex());
        let dy = random("dy", &[2, 3]).cast(burn::backend::FloatDType::F32);
        let context = Context::inference();
        let kept = kept(&op, &[Some(zeros)], &[true], &context);
        let gradient = op.vjp(&kept, dy.clone(), &[true], &context).remove(0).unwrap();
        assert_eq!(gradient.to_f32(), dy.to_f32());
    }

    #[test]
    fn codes_come_back_as_what_forward_gives() {
        for bits in 1..=4 {
            for count in [2, 13, 64] {
                let op = Quantise { bits };
                let w = random("w", &[count]).cast(burn::backend::FloatDType::F32);
                let codes = op.encode(&w);
                assert_eq!(codes.packed.len(), (count * bits).div_ceil(8));
                let y = op.forward(std::slice::from_ref(&w), &Context::inference()).to_f32();
                let bits_of = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
                assert_eq!(bits_of(op.decode(&codes, count)), bits_of(y), "{bits} bits, {count} values");
            }
        }
    }

    #[test]
    fn every_value_goes_to_its_nearest_code() {
        for bits in 1..=4 {
            let op = Quantise { bits };
            let codes: Vec<f64> = op.codes().iter().flat_map(|&c| [c, -c]).collect();
            let normed = random("x", &[400]);
            let rounded = op.nearest(&normed).to_f64();
            for (x, rounded) in normed.to_f64().into_iter().zip(rounded) {
                let best = codes.iter().map(|c| (c - x).abs()).fold(f64::INFINITY, f64::min);
                assert!(((rounded - x).abs() - best).abs() < 1e-9, "{bits} bits: {x} to {rounded}");
            }
        }
        assert!(Quantise { bits: 5 }.shape(&[vec![2, 2]]).is_err());
    }
}
