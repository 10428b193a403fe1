use super::{Context, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Resizes the last two axes by nearest neighbour: `x [batch, channels, height, width]` takes the last two extents
/// of a second input `[…, height', width']`, read for its shape only. Row `i` is row `⌊i·height/height'⌋`, as
/// PyTorch's `nearest` has it. Equal extents give the same bits.
#[derive(Debug)]
pub struct ResizeNearest;

/// Extents before and after of the axes to resize, the last two of `x`.
fn resized(x: &[usize], like: &[usize]) -> Vec<(usize, usize, usize)> {
    (1..=2)
        .map(|back| (x.len() - back, x[x.len() - back], like[like.len() - back]))
        .filter(|(_, from, to)| from != to)
        .collect()
}

/// The index that each of `to` indices is taken from.
fn sources(from: usize, to: usize, like: &Value) -> Value {
    let rows = (0..to).map(|i| i64::try_from(i * from / to).unwrap_or(i64::MAX)).collect();
    Value::from_i64(rows, &[to], &like.device())
}

impl Op for ResizeNearest {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 2 && inputs[0].len() == 4 && inputs[1].len() >= 2,
            self.name(),
            inputs,
            || "needs x [batch, channels, height, width] and a tensor […, height, width]".to_owned(),
        )?;
        let last = &inputs[1][inputs[1].len() - 2..];
        require(!inputs[0][2..].contains(&0) && !last.contains(&0), self.name(), inputs, || {
            "the last two axes should not be empty".to_owned()
        })?;
        Ok(vec![inputs[0][0], inputs[0][1], last[0], last[1]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let mut x = inputs[0].clone();
        for (axis, from, to) in resized(&x.shape(), &inputs[1].shape()) {
            let rows = sources(from, to, &x);
            x = x.select(axis, &rows);
        }
        x
    }

    fn reads(&self, input: usize, _training: bool) -> Reads {
        if input == 1 { Reads::Shape } else { Reads::Value }
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let mut dx = dy;
        for (axis, from, to) in resized(&kept.input_shapes[0], &kept.input_shapes[1]).into_iter().rev() {
            let mut shape = dx.shape();
            shape[axis] = from;
            let rows = sources(from, to, &dx);
            dx = Value::full(&shape, 0.0, dx.dtype().into(), &dx.device()).select_add(axis, &rows, dx);
        }
        vec![wanted[0].then_some(dx), None]
    }

    fn view(&self, inputs: &[Shape], _training: bool) -> Option<usize> {
        resized(&inputs[0], &inputs[1]).is_empty().then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op_on, random};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        for like in [[6, 8], [3, 4], [5, 7], [2, 4], [7, 1]] {
            let like = random("like", &[1, like[0], like[1]]);
            check_op_on(&ResizeNearest, &[&[2, 2, 3, 4]], &[like]);
        }
    }

    #[test]
    fn takes_the_pixels_that_pytorch_takes() {
        // torch.nn.functional.interpolate(torch.arange(6.).view(1, 1, 2, 3), size=(3, 5), mode="nearest")
        let x = Value::from_f64((0..6).map(f64::from).collect(), &[1, 1, 2, 3], &Device::flex());
        let y = ResizeNearest.forward(&[x.clone(), random("like", &[3, 5])], &Context::inference());
        let rows = [[0.0, 0.0, 1.0, 1.0, 2.0], [0.0, 0.0, 1.0, 1.0, 2.0], [3.0, 3.0, 4.0, 4.0, 5.0]];
        assert_eq!(y.to_f64(), rows.concat());
        let same = ResizeNearest.forward(&[x.clone(), random("like", &[2, 3])], &Context::inference());
        assert_eq!(same.to_f64(), x.to_f64());
        assert_eq!(ResizeNearest.view(&[vec![1, 1, 2, 3], vec![2, 3]], true), Some(0));
        assert_eq!(ResizeNearest.view(&[vec![1, 1, 2, 3], vec![3, 3]], true), None);
    }
}
