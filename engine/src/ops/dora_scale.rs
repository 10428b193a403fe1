use super::{Context, Keeps, Kept, Op, Reads, ShapeError, count, require};
use crate::tensor::{Shape, Value, elements};

/// Row by row, how much a weight with a low-rank delta is stretched to have the length that was learned (DoRA, Liu et
/// al., 2024): `(‖W‖ + d)/‖W + f·B·A‖`. The dense sum is not formed: `‖W + f·B·A‖² = ‖W‖² + 2f·Σ B∘(W·Aᵀ) +
/// f²·Σ B∘(B·A·Aᵀ)`. As in the paper (section 4.3) the lengths count as constant, so only `d` gets a gradient.
///
/// Inputs: `W [out, …]`, `A [rank, …]` (its further axes as many elements as `W`'s), `B [out, rank, …]` and `d [out]`;
/// output `[out]`. With `B` zero and `d` zero it is exactly 1.
#[derive(Debug)]
pub struct DoraScale {
    /// Factor of the low-rank product.
    pub factor: f64,
}

/// Added to both lengths, so that a row of zeros is stretched by 1 at the start and not by 0/0, also in f32.
const LEAST: f64 = 1e-12;

/// A weight as the matrix of its rows.
fn matrix(value: &Value) -> Value {
    let shape = value.shape();
    value.clone().reshape(&[shape[0], elements(&shape[1..])])
}

impl DoraScale {
    /// `‖W‖` and `‖W + f·B·A‖`, both `[out, 1]` and above zero.
    fn lengths(&self, w: &Value, a: &Value, b: &Value) -> [Value; 2] {
        let (w, a, b) = (matrix(w), matrix(a), matrix(b));
        let square = w.clone().square().sum_axis(1);
        let at = a.clone().swap_axes(0, 1);
        let mixed = b.clone().mul(w.matmul(at.clone())).sum_axis(1).mul_scalar(2.0 * self.factor);
        let own = b.clone().mul(b.matmul(a.matmul(at))).sum_axis(1).mul_scalar(self.factor * self.factor);
        [square.clone(), square.add(mixed).add(own)].map(|square| square.sqrt().add_scalar(LEAST))
    }
}

impl Op for DoraScale {
    fn name(&self) -> &'static str {
        "stretch"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 4
                && inputs[..3].iter().all(|shape| shape.len() >= 2)
                && elements(&inputs[0][1..]) == elements(&inputs[1][1..])
                && inputs[2][0] == inputs[0][0]
                && elements(&inputs[2][1..]) == inputs[1][0]
                && inputs[3][..] == inputs[0][..1],
            self.name(),
            inputs,
            || "needs W [out, in], A [rank, in], B [out, rank] and d [out]".to_owned(),
        )?;
        Ok(inputs[3].clone())
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        let (out, rank) = (inputs[0][0], inputs[1][0]);
        let features = elements(&inputs[0][1..]);
        count(&[out, rank, features]) + count(&[rank, rank, features]) + count(&[out, rank, rank])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let [before, after] = self.lengths(&inputs[0], &inputs[1], &inputs[2]);
        let out = inputs[3].shape()[0];
        before.add(inputs[3].clone().reshape(&[out, 1])).div(after).reshape(&[out])
    }

    fn reads(&self, _input: usize, _training: bool) -> Reads {
        Reads::Value
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[3], wanted[3], wanted[3], false])
    }

    fn workspace(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        // The square of W, beside A transposed.
        4 * elements(&inputs[0]) as u64
    }

    fn vjp_workspace(&self, inputs: &[Shape], output: &Shape, _wanted: &[bool]) -> u64 {
        self.workspace(inputs, output)
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let d = wanted[3].then(|| {
            let [_, after] = self.lengths(&kept.input(0), &kept.input(1), &kept.input(2));
            let out = dy.shape()[0];
            dy.div(after.reshape(&[out]))
        });
        vec![None, None, None, d]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{Given, check_op_given, close, random};
    use super::*;

    #[test]
    fn is_the_ratio_of_the_dense_lengths() {
        let weight = random("w", &[4, 6]);
        let (a, b) = (random("a", &[2, 6]), random("b", &[4, 2]));
        let d = random("d", &[4]).mul_scalar(0.1);
        let op = DoraScale { factor: 0.5 };
        let given = [Given::Fixed(weight.clone()), Given::Fixed(a.clone()), Given::Fixed(b.clone())];
        check_op_given(&op, &[&given[..], &[Given::Float(d.clone())]].concat());
        let y = op.forward(&[weight.clone(), a.clone(), b.clone(), d.clone()], &Context::inference());
        let dense = weight.clone().add(b.matmul(a).mul_scalar(0.5));
        let length = |m: Value| m.square().sum_axis(1).sqrt().reshape(&[4]);
        close(&y.to_f64(), &length(weight).add(d).div(length(dense)).to_f64(), 1e-12, "stretch");
    }

    #[test]
    fn is_one_at_the_start() {
        let single = |name: &str, shape: &[usize]| random(name, shape).cast(burn::backend::FloatDType::F32);
        let w = Value::concat(vec![single("w", &[4, 7]), single("w", &[1, 7]).mul_scalar(0.0)], 0);
        let a = single("a", &[3, 7]);
        let zeros = |shape: &[usize]| Value::from_f32(vec![0.0; elements(shape)], shape, &w.device());
        let inputs = [w.clone(), a, zeros(&[5, 3]), zeros(&[5])];
        let y = DoraScale { factor: 2.0 }.forward(&inputs, &Context::inference());
        assert!(y.to_f32().iter().all(|&y| y.to_bits() == 1.0f32.to_bits()), "{:?}", y.to_f32());
    }
}
