//! Values in 16 or 8 bits: whole numbers with a scale for each row of the last axis.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]
#![expect(clippy::cast_possible_truncation, reason = "a scaled element is within the range by construction")]

use rayon::prelude::*;

use super::flex::{Plain, build_elements, rows_per_task, value};
use super::simd::{Kernel, run};
use crate::tensor::{Shape, Value};

/// A value in fewer bits. Each element is off by at most half a step: its row's largest size over 65,534 in 16 bits, over
/// 254 in 8.
#[derive(Debug)]
pub struct Packed {
    codes: Codes,
    scales: Vec<f32>,
    shape: Shape,
    width: usize,
}

#[derive(Debug)]
enum Codes {
    Bits16(Vec<i16>),
    Bits8(Vec<i8>),
}

/// A whole number that an element is held as.
trait Code: Copy + Send + Sync + Default {
    /// The largest one.
    const MOST: f32;
    fn of(scaled: f32) -> Self;
    fn wide(self) -> f32;
}

impl Code for i16 {
    const MOST: f32 = 32_767.0;
    #[inline(always)]
    fn of(scaled: f32) -> Self {
        scaled as Self
    }
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from(self)
    }
}

impl Code for i8 {
    const MOST: f32 = 127.0;
    #[inline(always)]
    fn of(scaled: f32) -> Self {
        scaled as Self
    }
    #[inline(always)]
    fn wide(self) -> f32 {
        f32::from(self)
    }
}

impl Packed {
    /// Packs an untracked f32 value on `flex`; `None` for any other.
    #[must_use]
    pub fn of(value: &Value, to_8_bits: bool) -> Option<Self> {
        let plain = Plain::of(value)?;
        let (shape, width) = (plain.shape(), plain.width());
        let (codes, scales) = if to_8_bits {
            let (codes, scales) = encode::<i8>(plain.data(), width);
            (Codes::Bits8(codes), scales)
        } else {
            let (codes, scales) = encode::<i16>(plain.data(), width);
            (Codes::Bits16(codes), scales)
        };
        Some(Self { codes, scales, shape, width })
    }

    /// The value again.
    #[must_use]
    pub fn value(&self) -> Value {
        let data = match &self.codes {
            Codes::Bits16(codes) => decode(codes, &self.scales, self.width),
            Codes::Bits8(codes) => decode(codes, &self.scales, self.width),
        };
        value(data, &self.shape)
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let codes = match &self.codes {
            Codes::Bits16(codes) => 2 * codes.len(),
            Codes::Bits8(codes) => codes.len(),
        };
        codes + 4 * self.scales.len()
    }
}

fn encode<C: Code>(data: &[f32], width: usize) -> (Vec<C>, Vec<f32>) {
    let rows = rows_per_task(width);
    let mut codes = vec![C::default(); data.len()];
    let mut scales = vec![0.0; data.len() / width];
    let tasks = codes.par_chunks_mut(rows * width).zip(scales.par_chunks_mut(rows));
    tasks.zip(data.par_chunks(rows * width)).for_each(|((codes, scales), data)| {
        run(Encode { data, codes, scales, width });
    });
    (codes, scales)
}

fn decode<C: Code>(codes: &[C], scales: &[f32], width: usize) -> Vec<f32> {
    let rows = rows_per_task(width);
    build_elements(codes.len(), rows * width, |index, output| {
        let codes = &codes[index * rows * width..][..output.len()];
        let scales = &scales[index * rows..];
        run(Decode { codes, scales, output, width });
    })
}

struct Encode<'a, C> {
    data: &'a [f32],
    codes: &'a mut [C],
    scales: &'a mut [f32],
    width: usize,
}

impl<C: Code> Kernel for Encode<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let rows = self.data.chunks_exact(self.width).zip(self.codes.chunks_exact_mut(self.width));
        for ((row, codes), scale) in rows.zip(self.scales) {
            let mut lanes = [0.0f32; 16];
            let (blocks, rest) = row.as_chunks::<16>();
            for block in blocks {
                for (lane, element) in lanes.iter_mut().zip(block) {
                    let size = element.abs();
                    *lane = if size > *lane { size } else { *lane };
                }
            }
            let largest = lanes.iter().chain(rest).fold(0.0f32, |most, element| most.max(element.abs()));
            *scale = largest / C::MOST;
            let inverse = if largest > 0.0 { C::MOST / largest } else { 0.0 };
            for (code, &element) in codes.iter_mut().zip(row) {
                // Adding and taking away 1.5 · 2²³ rounds to a whole number.
                const ROUND: f32 = 12_582_912.0;
                *code = C::of((element * inverse + ROUND) - ROUND);
            }
        }
    }
}

struct Decode<'a, C> {
    codes: &'a [C],
    scales: &'a [f32],
    output: &'a mut [f32],
    width: usize,
}

impl<C: Code> Kernel for Decode<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let rows = self.codes.chunks_exact(self.width).zip(self.output.chunks_exact_mut(self.width));
        for ((codes, row), &scale) in rows.zip(self.scales) {
            for (element, code) in row.iter_mut().zip(codes) {
                *element = code.wide() * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ODD_SIZES, assert_refuses, same_bits, sample, sample_of};
    use super::Packed;
    use crate::tensor::Value;

    #[test]
    fn every_element_is_within_half_a_step_of_its_row() {
        for width in ODD_SIZES {
            let x = sample_of(&[3, 5, width], 1, 4.0);
            for (to_8_bits, steps) in [(false, 65_534.0), (true, 254.0)] {
                let packed = Packed::of(&x, to_8_bits).unwrap();
                let back = packed.value();
                assert_eq!(back.shape(), x.shape());
                assert_eq!(packed.bytes(), 15 * width * if to_8_bits { 1 } else { 2 } + 60);
                for (row, back) in x.to_f32().chunks(width).zip(back.to_f32().chunks(width)) {
                    let largest = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                    for (x, back) in row.iter().zip(back) {
                        assert!((x - back).abs() <= largest / steps * 1.02, "{x} became {back}");
                    }
                }
            }
        }
    }

    #[test]
    fn zeros_stay_zeros_and_bits_do_not_depend_on_threads() {
        let zeros = Value::full(&[4, 9], 0.0, burn::backend::FloatDType::F32, &burn::tensor::Device::flex());
        assert_eq!(Packed::of(&zeros, false).unwrap().value().to_f32(), [0.0; 36]);
        let x = sample_of(&[999, 301], 2, 3.0);
        same_bits(|| vec![Packed::of(&x, false).unwrap().value(), Packed::of(&x, true).unwrap().value()]);
    }

    #[test]
    fn refuses_what_is_not_plain_f32() {
        assert_refuses(&[2, 8], |x| Packed::of(x, true).is_none());
        assert!(Packed::of(&sample(8, 1, 1.0), false).is_some());
    }
}
