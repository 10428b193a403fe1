use super::{Context, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// `x [batch, channels, height, width]` at the last two extents of `like`, which is read for them alone, by
/// nearest neighbour: entry `i` of `n` is entry `⌊i·m/n⌋` of `m`, as PyTorch has it. Backward keeps nothing.
#[derive(Debug)]
pub struct ResizeNearest;

fn sources(from: usize, to: usize, device: &burn::tensor::Device) -> Value {
    let rows = (0..to).map(|i| i64::try_from(i * from / to).unwrap_or(0)).collect();
    Value::from_i64(rows, &[to], device)
}

/// The last two axes first, one of them leading.
fn turned(x: Value, axis: usize) -> Value {
    x.swap_axes(0, axis)
}

impl Op for ResizeNearest {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = inputs.len() == 2 && inputs[0].len() == 4 && inputs[1].len() >= 2;
        require(fits, self.name(), inputs, || {
            "needs x [batch, channels, height, width] and a like".to_owned()
        })?;
        let like = &inputs[1][inputs[1].len() - 2..];
        Ok(vec![inputs[0][0], inputs[0][1], like[0], like[1]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (mut x, like) = (inputs[0].clone(), inputs[1].shape());
        for (axis, &to) in [2, 3].into_iter().zip(&like[like.len() - 2..]) {
            let from = x.shape()[axis];
            if from != to {
                let rows = sources(from, to, &x.device());
                x = turned(turned(x, axis).select_rows(&rows), axis);
            }
        }
        x
    }

    fn reads(&self, input: usize, _training: bool) -> Reads {
        if input == 0 { Reads::Value } else { Reads::Shape }
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shape = &kept.input_shapes[0];
        let mut gradient = dy;
        for axis in [3, 2] {
            let (from, to) = (shape[axis], gradient.shape()[axis]);
            if from != to {
                let rows = sources(from, to, &gradient.device());
                let values = turned(gradient, axis);
                let mut target = values.shape();
                target[0] = from;
                let zeros = Value::full(&target, 0.0, values.dtype().into(), &values.device());
                gradient = turned(zeros.add_rows(&rows, values), axis);
            }
        }
        vec![Some(gradient), None]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op_on;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        for like in [[5, 3], [2, 7], [3, 4]] {
            let like = Value::from_f32(vec![0.0; like[0] * like[1]], &like, &Device::flex());
            check_op_on(&ResizeNearest, &[&[2, 2, 3, 4]], &[like]);
        }
    }

    #[test]
    fn golden() {
        let x = Value::from_f32(vec![1.0, 2.0], &[1, 1, 1, 2], &Device::flex());
        let like = Value::from_f32(vec![0.0; 5], &[1, 5], &Device::flex());
        let y = ResizeNearest.forward(&[x, like], &Context::inference());
        assert_eq!(y.to_f32(), [1.0, 1.0, 1.0, 2.0, 2.0]);
    }
}
