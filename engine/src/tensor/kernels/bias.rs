//! Adding a bias to every row.
#![expect(clippy::inline_always, reason = "a function left out of line loses the instruction set")]
#![expect(clippy::result_large_err, reason = "a refusal gives the value back, and is not rare")]

use rayon::prelude::*;

use super::flex::{Owned, Plain, rows_per_task};
use super::simd::{Kernel, run};
use crate::tensor::Value;

/// Elements up to which one thread is done before a second has woken up: the op only streams
/// through memory.
const ONE_THREAD: usize = 1024 * 1024;

/// `x + bias` over the last axis: `x` `[.., width]`, `bias` `[width]`. Changes `x` in place unless
/// somebody shares its storage. `Err` gives `x` back untouched.
///
/// # Errors
/// When the values are not untracked f32 on `flex`, or `bias` is not one row of `x`.
pub fn add_bias(x: Value, bias: &Value) -> Result<Value, Value> {
    let Some(bias) = Plain::of(bias) else {
        return Err(x);
    };
    let width = bias.width();
    if bias.shape() != [width] || x.shape().last() != Some(&width) {
        return Err(x);
    }
    let mut x = Owned::of(x)?;
    let bias = bias.data();
    let rows = x.make_unique();
    let chunk = rows_per_task(width) * width;
    if rows.len() <= ONE_THREAD {
        run(AddRow { rows, row: bias });
    } else {
        rows.par_chunks_mut(chunk).for_each(|rows| run(AddRow { rows, row: bias }));
    }
    Ok(x.into_value())
}

struct AddRow<'a> {
    rows: &'a mut [f32],
    row: &'a [f32],
}

impl Kernel for AddRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for row in self.rows.chunks_exact_mut(self.row.len()) {
            for (element, &addend) in row.iter_mut().zip(self.row) {
                *element += addend;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_refuses, same_bits, sample, sample_of};
    use super::add_bias;

    #[test]
    fn equals_burns_broadcast_add() {
        for (rows, width) in [(5, 1), (3, 7), (9, 33), (701, 97)] {
            let (x, bias) = (sample_of(&[rows, 1, width], 1, 3.0), sample(width, 2, 3.0));
            let expected = x.clone().add(bias.clone().reshape(&[1, 1, width]));
            let before = x.to_f32();
            // Shared at first, so that it has to copy; unique after that.
            let copied = add_bias(x.clone(), &bias).unwrap();
            assert_eq!(copied.to_f32(), expected.to_f32());
            assert_eq!(x.to_f32(), before, "a shared input must stay as it is");
            assert_eq!(add_bias(x, &bias).unwrap().to_f32(), expected.to_f32());
        }
    }

    #[test]
    fn takes_views() {
        let (x, bias) = (sample_of(&[6, 8], 1, 3.0), sample(4, 2, 3.0));
        let view = x.clone().narrow(1, 2, 4);
        let expected = view.clone().add(bias.clone().reshape(&[1, 4]));
        assert_eq!(add_bias(view, &bias).unwrap().to_f32(), expected.to_f32());
        let rows = sample_of(&[6, 4], 3, 3.0).narrow(0, 2, 3);
        let expected = rows.clone().add(bias.clone().reshape(&[1, 4]));
        assert_eq!(add_bias(rows, &bias).unwrap().to_f32(), expected.to_f32());
    }

    #[test]
    fn same_bits_over_many_chunks() {
        let (x, bias) = (sample_of(&[1501, 701], 1, 4.0), sample(701, 2, 1.0));
        same_bits(|| vec![add_bias(x.clone(), &bias).unwrap()]);
    }

    #[test]
    fn refuses_what_is_not_plain_f32() {
        let bias = sample(8, 1, 1.0);
        assert_refuses(&[2, 8], |x| add_bias(x.clone(), &bias).is_err());
        assert_refuses(&[8], |bias| add_bias(sample_of(&[2, 8], 1, 1.0), bias).is_err());
    }
}
