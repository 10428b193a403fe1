use super::{Context, Effort, Keeps, Kept, Op, ShapeError, count, require};
use crate::tensor::{ConvStep, Shape, Value, elements};

/// Two-dimensional convolution: `x [batch, channels, height, width]` and `weight
/// [out, channels/groups, rows, columns]`, perhaps with a `bias [out]`, give `[batch, out, height', width']` with
/// `height' = (height + 2·padding − rows)/stride + 1`, rounded down, and `width'` likewise.
///
/// Backward keeps `x` only when the weight wants a gradient: a frozen convolution keeps its weight only.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    /// Rows and columns from one position of the kernel to the next.
    pub stride: [usize; 2],
    /// Zeros before and after the rows and the columns.
    pub padding: [usize; 2],
    /// Groups of channels that do not see each other; as many as channels is a depthwise convolution.
    pub groups: usize,
}

impl Conv2d {
    fn step(&self) -> ConvStep {
        ConvStep { stride: self.stride, padding: self.padding, groups: self.groups }
    }
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            (inputs.len() == 2 || inputs.len() == 3) && inputs[0].len() == 4 && inputs[1].len() == 4,
            self.name(),
            inputs,
            || {
                "needs x [batch, channels, height, width], weight [out, channels/groups, rows, columns] and \
                 perhaps bias [out]"
                    .to_owned()
            },
        )?;
        let (x, weight) = (&inputs[0], &inputs[1]);
        require(self.groups > 0 && !self.stride.contains(&0), self.name(), inputs, || {
            "groups and strides should be 1 or more".to_owned()
        })?;
        require(x[1] == weight[1] * self.groups, self.name(), inputs, || {
            let (each, groups) = (weight[1], self.groups);
            format!("the weight takes {each} channels in each of {groups} groups, the input has {}", x[1])
        })?;
        require(weight[0] % self.groups == 0, self.name(), inputs, || {
            format!("{} output channels do not divide into {} groups", weight[0], self.groups)
        })?;
        if let Some(bias) = inputs.get(2) {
            require(bias[..] == weight[..1], self.name(), inputs, || {
                format!("the bias should be [{}]", weight[0])
            })?;
        }
        let mut shape = vec![x[0], weight[0]];
        for i in 0..2 {
            let (padded, kernel) = (x[2 + i] + 2 * self.padding[i], weight[2 + i]);
            require(kernel > 0 && kernel <= padded, self.name(), inputs, || {
                format!("a kernel of {kernel} does not fit {padded} padded pixels")
            })?;
            shape.push((padded - kernel) / self.stride[i] + 1);
        }
        Ok(shape)
    }

    fn multiply_adds(&self, inputs: &[Shape], output: &Shape) -> u64 {
        count(&[elements(output), elements(&inputs[1][1..])])
    }

    fn effort(&self, inputs: &[Shape], output: &Shape) -> Effort {
        let positions = output[0] * output[2] * output[3];
        let extents = vec![positions, elements(&inputs[1][1..]), output[1] / self.groups, self.groups];
        Effort { work: self.multiply_adds(inputs, output), extents }
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        inputs[0].clone().conv2d(inputs[1].clone(), inputs.get(2).cloned(), self.step())
    }

    fn workspace(&self, inputs: &[Shape], output: &Shape) -> u64 {
        self.step().workspace(&inputs[0], &inputs[1], output)
    }

    fn vjp_workspace(&self, inputs: &[Shape], output: &Shape, wanted: &[bool]) -> u64 {
        let of_input = if wanted[0] { self.step().input_vjp_workspace(&inputs[1], output) } else { 0 };
        let of_weight =
            if wanted[1] { self.step().weight_vjp_workspace(&inputs[0], &inputs[1], output) } else { 0 };
        of_input.max(of_weight)
    }

    fn as_conv2d(&self) -> Option<Self> {
        Some(*self)
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[1], wanted[0], false])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shapes = &kept.input_shapes;
        let mut gradients = vec![
            wanted[0].then(|| dy.clone().conv2d_input_vjp(&shapes[0], kept.input(1), self.step())),
            wanted[1].then(|| dy.clone().conv2d_weight_vjp(kept.input(0), &shapes[1], self.step())),
        ];
        if shapes.len() == 3 {
            gradients.push(wanted[2].then(|| super::channel_mean::sum_channels(dy)));
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, kept, random};
    use super::*;

    fn conv(stride: usize, padding: usize, groups: usize) -> Conv2d {
        Conv2d { stride: [stride; 2], padding: [padding; 2], groups }
    }

    #[test]
    fn gradients() {
        check_op(&conv(1, 1, 1), &[&[2, 3, 4, 5], &[4, 3, 3, 3], &[4]]);
        check_op(&conv(1, 0, 1), &[&[2, 3, 4, 5], &[4, 3, 1, 1]]);
        check_op(&conv(1, 1, 2), &[&[2, 4, 4, 3], &[6, 2, 3, 3], &[6]]);
        // Depthwise.
        check_op(&conv(1, 1, 4), &[&[2, 4, 5, 4], &[4, 1, 3, 3], &[4]]);
        let uneven = Conv2d { stride: [2, 1], padding: [0, 2], groups: 1 };
        check_op(&uneven, &[&[2, 2, 5, 3], &[3, 2, 2, 3]]);
    }

    #[test]
    fn odd_sizes_with_stride() {
        for (height, width) in [(7, 5), (6, 7), (8, 6), (5, 8)] {
            check_op(&conv(2, 1, 1), &[&[1, 2, height, width], &[3, 2, 3, 3], &[3]]);
            check_op(&conv(2, 0, 1), &[&[1, 2, height, width], &[3, 2, 1, 1]]);
        }
        check_op(&conv(2, 3, 1), &[&[1, 3, 9, 10], &[2, 3, 7, 7]]);
        check_op(&conv(2, 1, 3), &[&[1, 3, 7, 6], &[3, 1, 3, 3]]);
        // Pixels after the last position of the kernel.
        check_op(&conv(3, 0, 1), &[&[1, 1, 7, 8], &[1, 1, 2, 2]]);
    }

    #[test]
    fn is_the_plain_sum() {
        let (x, weight, bias) = (random("x", &[2, 4, 5, 6]), random("w", &[6, 2, 3, 2]), random("b", &[6]));
        let op = Conv2d { stride: [2, 1], padding: [1, 0], groups: 2 };
        let inputs = [x.clone(), weight.clone(), bias.clone()];
        let y = op.forward(&inputs, &Context::inference());
        assert_eq!(y.shape(), [2, 6, 3, 5]);
        let (y, x, weight, bias) = (y.to_f64(), x.to_f64(), weight.to_f64(), bias.to_f64());
        let mut at = 0;
        for b in 0..2 {
            for o in 0..6 {
                for row in 0..3 {
                    for column in 0..5 {
                        let mut sum = bias[o];
                        for (c, i, j) in
                            (0..2).flat_map(|c| (0..3).flat_map(move |i| (0..2).map(move |j| (c, i, j))))
                        {
                            let (r, channel) = (row * 2 + i, o / 3 * 2 + c);
                            if (1..6).contains(&r) {
                                sum += x[((b * 4 + channel) * 5 + r - 1) * 6 + column + j]
                                    * weight[((o * 2 + c) * 3 + i) * 2 + j];
                            }
                        }
                        assert!((y[at] - sum).abs() < 1e-12);
                        at += 1;
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_have_the_same_bits_on_any_number_of_threads() {
        let single = |name: &str, shape: &[usize]| random(name, shape).cast(burn::backend::FloatDType::F32);
        for (x, w, op) in [
            ([4, 24, 15, 17], [32, 24, 3, 3], conv(2, 1, 1)),
            ([3, 32, 13, 12], [32, 1, 3, 3], conv(1, 1, 32)),
        ] {
            let (input, weight) = (single("x", &x), single("w", &w));
            let run = || {
                let inputs = [input.clone(), weight.clone()];
                let y = op.forward(&inputs, &Context::inference());
                let wanted = [true, true];
                let kept = kept(&op, &inputs.map(Some), &wanted, &Context::inference());
                let mut results = vec![Some(y.clone())];
                results.extend(op.vjp(&kept, y, &wanted, &Context::inference()));
                let bits = |v: Value| v.to_f32().into_iter().map(f32::to_bits).collect::<Vec<_>>();
                results.into_iter().flatten().map(bits).collect::<Vec<_>>()
            };
            let expected = run();
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                assert!(pool.install(run) == expected, "{threads} threads differ");
            }
        }
    }

    #[test]
    fn keeps_and_counts() {
        let op = conv(1, 1, 1);
        assert_eq!(op.keeps(&[true, false, false], true), Keeps::inputs(&[false, true, false]));
        assert_eq!(op.keeps(&[false, true, false], true), Keeps::inputs(&[true, false, false]));
        let shapes = [vec![2, 3, 4, 5], vec![4, 3, 3, 3]];
        let output = op.shape(&shapes).unwrap();
        assert_eq!(op.multiply_adds(&shapes, &output), 2 * 4 * 20 * 27);
        let error = op.shape(&[vec![2, 5, 4, 4], vec![4, 3, 3, 3]]).unwrap_err();
        assert!(error.to_string().contains("3 channels in each of 1 groups, the input has 5"), "{error}");
        let error = op.shape(&[vec![2, 3, 4, 4], vec![4, 3, 9, 3]]).unwrap_err();
        assert!(error.to_string().contains("a kernel of 9 does not fit 6 padded pixels"), "{error}");
    }
}
