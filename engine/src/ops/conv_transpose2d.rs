use super::{Context, Effort, Keeps, Kept, Op, ShapeError, count, require};
use crate::tensor::{ConvStep, Shape, Value, elements};

/// Two-dimensional transposed convolution: `x [batch, channels, height, width]` and `weight
/// [channels, out, rows, columns]`, perhaps with a `bias [out]`, give `[batch, out, height', width']` with
/// `height' = (height − 1)·stride + rows − 2·padding`, and `width'` likewise: from tokens back to pixels.
///
/// Backward keeps `x` only when the weight wants a gradient, and the weight only when `x` does.
#[derive(Clone, Copy, Debug)]
pub struct ConvTranspose2d {
    /// Rows and columns from one position of the kernel to the next.
    pub stride: [usize; 2],
    /// Rows and columns taken away at each edge.
    pub padding: [usize; 2],
}

impl ConvTranspose2d {
    const fn step(self) -> ConvStep {
        ConvStep { stride: self.stride, padding: self.padding, groups: 1 }
    }
}

impl Op for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "transposed conv"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = (inputs.len() == 2 || inputs.len() == 3)
            && inputs[0].len() == 4
            && inputs[1].len() == 4
            && inputs[0][1] == inputs[1][0];
        require(fits, self.name(), inputs, || {
            "needs x [batch, channels, height, width], weight [channels, out, rows, columns] and perhaps bias [out]"
                .to_owned()
        })?;
        let (x, weight) = (&inputs[0], &inputs[1]);
        require(!self.stride.contains(&0), self.name(), inputs, || "strides should be 1 or more".to_owned())?;
        if let Some(bias) = inputs.get(2) {
            let out = weight[1];
            require(bias[..] == [out], self.name(), inputs, || format!("the bias should be [{out}]"))?;
        }
        let mut shape = vec![x[0], weight[1]];
        for i in 0..2 {
            let whole = (x[2 + i].max(1) - 1) * self.stride[i] + weight[2 + i];
            require(whole > 2 * self.padding[i] && x[2 + i] > 0, self.name(), inputs, || {
                format!("a padding of {} leaves nothing of {whole} pixels", self.padding[i])
            })?;
            shape.push(whole - 2 * self.padding[i]);
        }
        Ok(shape)
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        count(&[elements(&inputs[0]), elements(&inputs[1][1..])])
    }

    fn effort(&self, inputs: &[Shape], output: &Shape) -> Effort {
        let positions = inputs[0][0] * inputs[0][2] * inputs[0][3];
        let extents = vec![positions, elements(&inputs[1][1..]), inputs[0][1], 1];
        Effort { work: self.multiply_adds(inputs, output), extents }
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().conv_transpose2d(inputs[1].clone(), inputs.get(2).cloned(), self.step())
    }

    fn workspace(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        self.step().input_vjp_workspace(&inputs[1], &inputs[0])
    }

    fn vjp_workspace(&self, inputs: &[Shape], output: &Shape, wanted: &[bool]) -> u64 {
        // The plain convolution of the output's gradient, and that convolution's gradient by its weight.
        let of_input = if wanted[0] { self.step().workspace(output, &inputs[1], &inputs[0]) } else { 0 };
        let of_weight =
            if wanted[1] { self.step().weight_vjp_workspace(output, &inputs[1], &inputs[0]) } else { 0 };
        of_input.max(of_weight)
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[1], wanted[0], false])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shapes = &kept.input_shapes;
        let mut gradients = vec![
            wanted[0].then(|| dy.clone().conv2d(kept.input(1), None, self.step())),
            wanted[1].then(|| kept.input(0).conv2d_weight_vjp(dy.clone(), &shapes[1], self.step())),
        ];
        if shapes.len() == 3 {
            gradients.push(wanted[2].then(|| super::channel_mean::sum_channels(dy)));
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, random};
    use super::*;

    #[test]
    fn gradients() {
        let patches = ConvTranspose2d { stride: [3, 2], padding: [0, 0] };
        check_op(&patches, &[&[2, 3, 2, 4], &[3, 2, 3, 2], &[2]]);
        check_op(&patches, &[&[2, 3, 2, 4], &[3, 1, 3, 2]]);
        let overlapping = ConvTranspose2d { stride: [2, 1], padding: [1, 0] };
        check_op(&overlapping, &[&[1, 2, 3, 4], &[2, 3, 3, 3], &[3]]);
    }

    #[test]
    fn is_the_plain_sum() {
        let (x, weight) = (random("x", &[2, 3, 2, 4]), random("w", &[3, 2, 3, 2]));
        let op = ConvTranspose2d { stride: [2, 1], padding: [1, 0] };
        let y = op.forward(&[x.clone(), weight.clone()], &Context::inference());
        assert_eq!(y.shape(), [2, 2, 3, 5]);
        let (x, weight, got) = (x.to_f64(), weight.to_f64(), y.to_f64());
        let mut want = vec![0.0; got.len()];
        for (b, c, o) in (0..2).flat_map(|b| (0..3).flat_map(move |c| (0..2).map(move |o| (b, c, o)))) {
            for (row, column) in (0..2usize).flat_map(|r| (0..4).map(move |c| (r, c))) {
                for (i, j) in (0..3).flat_map(|i| (0..2).map(move |j| (i, j))) {
                    let Some(at) = (2 * row + i).checked_sub(1).filter(|at| *at < 3) else { continue };
                    want[((b * 2 + o) * 3 + at) * 5 + column + j] +=
                        x[((b * 3 + c) * 2 + row) * 4 + column] * weight[((c * 2 + o) * 3 + i) * 2 + j];
                }
            }
        }
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-12);
        }
    }

    #[test]
    fn keeps_and_refusals() {
        let op = ConvTranspose2d { stride: [2, 2], padding: [0, 0] };
        assert_eq!(op.keeps(&[true, false, false], true), Keeps::inputs(&[false, true, false]));
        assert_eq!(op.keeps(&[false, true, false], true), Keeps::inputs(&[true, false, false]));
        let error = op.shape(&[vec![1, 2, 3, 3], vec![3, 1, 2, 2]]).unwrap_err();
        assert!(error.to_string().contains("weight [channels, out, rows, columns]"), "{error}");
    }
}
