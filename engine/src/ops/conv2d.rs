use super::{Context, Keeps, Kept, Op, ShapeError, count, require};
use crate::tensor::{Convolution, Shape, Value, elements};

/// Convolution of `x [batch, channels, height, width]` with a kernel `[out, channels/groups, rows, columns]` and,
/// if there, a bias `[out]`. Backward keeps `x` only when the kernel wants a gradient: a frozen convolution keeps
/// nothing but its kernel.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    /// Steps down and across.
    pub stride: [usize; 2],
    /// Zero rows and columns added on each side.
    pub padding: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl Conv2d {
    const fn how(&self) -> Convolution {
        Convolution { stride: self.stride, padding: self.padding, groups: self.groups }
    }
}

/// A tensor of this shape that costs one element: for routines that ask for a tensor's extents only.
fn extents_of(shape: &[usize], like: &Value) -> Value {
    let one = Value::full(&vec![1; shape.len()], 0.0, like.dtype().into(), &like.device());
    one.expand(shape)
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let complete = (inputs.len() == 2 || inputs.len() == 3) && inputs[..2].iter().all(|s| s.len() == 4);
        require(complete, self.name(), inputs, || {
            "needs x [batch, channels, height, width], a kernel [out, channels, rows, columns], perhaps a bias".to_owned()
        })?;
        let (x, kernel) = (&inputs[0], &inputs[1]);
        let groups = self.groups;
        require(
            groups > 0 && x[1] == kernel[1] * groups && kernel[0].is_multiple_of(groups),
            self.name(),
            inputs,
            || format!("the kernel takes {} channels in {groups} groups, the input has {}", kernel[1], x[1]),
        )?;
        if let Some(bias) = inputs.get(2) {
            require(bias[..] == [kernel[0]], self.name(), inputs, || {
                format!("the bias should be [{}]", kernel[0])
            })?;
        }
        let mut shape = vec![x[0], kernel[0]];
        for axis in 0..2 {
            let (extent, size) = (x[axis + 2] + 2 * self.padding[axis], kernel[axis + 2]);
            require(extent >= size && self.stride[axis] > 0, self.name(), inputs, || {
                format!("a kernel of {size} does not fit into {extent}, and a stride is 1 or more")
            })?;
            shape.push((extent - size) / self.stride[axis] + 1);
        }
        Ok(shape)
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        count(&[elements(output), elements(&inputs[1][1..])])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().conv2d(inputs[1].clone(), inputs.get(2).cloned(), self.how())
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[1], wanted[0], false])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shapes = &kept.input_shapes;
        let mut gradients = vec![
            wanted[0].then(|| {
                let like = extents_of(&shapes[0], &dy);
                Value::conv2d_input_gradient(like, kept.input(1), dy.clone(), self.how())
            }),
            wanted[1].then(|| {
                let like = extents_of(&shapes[1], &dy);
                Value::conv2d_kernel_gradient(kept.input(0), like, dy.clone(), self.how())
            }),
        ];
        if shapes.len() == 3 {
            gradients.push(wanted[2].then(|| {
                let (out, all) = (shapes[2][0], elements(&dy.shape()));
                dy.swap_axes(0, 1).reshape(&[out, all / out]).sum_axis(1).reshape(&[out])
            }));
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients_at_odd_sizes() {
        let strided = Conv2d { stride: [2, 2], padding: [1, 1], groups: 1 };
        check_op(&strided, &[&[2, 3, 7, 6], &[4, 3, 3, 3], &[4]]);
        check_op(&strided, &[&[1, 2, 5, 4], &[3, 2, 3, 2]]);
        check_op(
            &Conv2d { stride: [1, 3], padding: [0, 2], groups: 2 },
            &[&[2, 4, 5, 6], &[6, 2, 2, 3], &[6]],
        );
    }

    #[test]
    fn a_frozen_convolution_keeps_only_its_kernel() {
        let conv = Conv2d { stride: [1, 1], padding: [0, 0], groups: 1 };
        assert_eq!(conv.keeps(&[true, false, false], true), Keeps::inputs(&[false, true, false]));
    }

    #[test]
    fn misfits_are_told() {
        let conv = Conv2d { stride: [1, 1], padding: [0, 0], groups: 1 };
        let error = conv.shape(&[vec![1, 2, 4, 4], vec![3, 3, 2, 2]]).unwrap_err().to_string();
        assert!(error.contains("takes 3 channels") && error.contains("has 2"), "{error}");
        assert!(conv.shape(&[vec![1, 2, 4, 1], vec![3, 2, 2, 2]]).is_err());
    }
}
