use super::{Context, Effort, Keeps, Kept, Op, ShapeError, count, require};
use crate::tensor::kernels::Reading;
use crate::tensor::{Shape, Value, elements, kernels};

/// `y = x·Wᵀ + b` over the last axis. `x` is `[…, in]`, `W` is `[out, in]` as files store it (further axes
/// of a stored patch kernel count as `in`), `b`, if there, is `[out]`.
///
/// Backward keeps `x` only when the weight wants a gradient: a frozen linear keeps nothing.
#[derive(Debug)]
pub struct Linear;

/// `[…, in] → [rows, in]`.
fn rows(x: Value) -> Value {
    let shape = x.shape();
    let width = shape.last().copied().unwrap_or(1);
    x.reshape(&[elements(&shape) / width.max(1), width])
}

/// `[out, …] → [out, in]`.
fn matrix(weight: Value) -> Value {
    let shape = weight.shape();
    if shape.len() == 2 { weight } else { weight.reshape(&[shape[0], elements(&shape[1..])]) }
}

/// Rows, features in, features out.
fn extents(inputs: &[Shape]) -> [usize; 3] {
    let (out, inner) = (inputs[1][0], elements(&inputs[1][1..]));
    [elements(&inputs[0]) / inner.max(1), inner, out]
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2 || inputs.len() == 3, self.name(), inputs, || {
            "needs x, weight and perhaps bias".to_owned()
        })?;
        let (x, weight) = (&inputs[0], &inputs[1]);
        let width = x.last().copied().unwrap_or(0);
        let wanted = elements(&weight[1..]);
        require(width == wanted, self.name(), inputs, || {
            format!("the weight takes {wanted} features, the input has {width}")
        })?;
        if let Some(bias) = inputs.get(2) {
            require(bias[..] == [weight[0]], self.name(), inputs, || {
                format!("the bias should be [{}]", weight[0])
            })?;
        }
        let mut shape = x.clone();
        if let Some(last) = shape.last_mut() {
            *last = weight[0];
        }
        Ok(shape)
    }

    fn multiply_adds(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        count(&[elements(&inputs[0]), inputs[1][0]])
    }

    fn effort(&self, inputs: &[Shape], output: &Shape) -> Effort {
        Effort { work: self.multiply_adds(inputs, output), extents: extents(inputs).to_vec() }
    }

    fn workspace(&self, inputs: &[Shape], _output: &Shape) -> u64 {
        let [rows, inner, out] = extents(inputs);
        kernels::matmul_workspace(Reading::Rows, Reading::WeightTransposed, [rows, inner, out])
    }

    fn vjp_workspace(&self, inputs: &[Shape], _output: &Shape, wanted: &[bool]) -> u64 {
        let [rows, inner, out] = extents(inputs);
        let of_input = || kernels::matmul_workspace(Reading::Rows, Reading::Weight, [rows, out, inner]);
        let of_weight = || kernels::matmul_workspace(Reading::Columns, Reading::Rows, [out, rows, inner]);
        let needed = [wanted[0].then(of_input), wanted[1].then(of_weight)];
        needed.into_iter().flatten().max().unwrap_or(0)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let mut shape = inputs[0].shape();
        let width = inputs[1].shape()[0];
        let flat = [elements(&shape) / shape.last().copied().unwrap_or(1).max(1), width];
        let (x, weight) = (&inputs[0], &inputs[1]);
        let y =
            kernels::matmul((x, Reading::Rows), (weight, Reading::WeightTransposed), inputs.get(2), &flat)
                .unwrap_or_else(|| {
                    let y = rows(x.clone()).matmul(matrix(weight.clone()).swap_axes(0, 1));
                    match inputs.get(2) {
                        Some(bias) => y.add(bias.clone().reshape(&[1, width])),
                        None => y,
                    }
                });
        if let Some(last) = shape.last_mut() {
            *last = width;
        }
        y.reshape(&shape)
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[wanted[1], wanted[0], false])
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let shapes = &kept.input_shapes;
        let dy = rows(dy);
        let of_input = || {
            let weight = kept.input(1);
            kernels::matmul((&dy, Reading::Rows), (&weight, Reading::Weight), None, &shapes[0])
                .unwrap_or_else(|| dy.clone().matmul(matrix(weight)).reshape(&shapes[0]))
        };
        let of_weight = || {
            let x = kept.input(0);
            kernels::matmul((&dy, Reading::Columns), (&x, Reading::Rows), None, &shapes[1])
                .unwrap_or_else(|| dy.clone().swap_axes(0, 1).matmul(rows(x)).reshape(&shapes[1]))
        };
        let mut gradients = vec![wanted[0].then(of_input), wanted[1].then(of_weight)];
        if shapes.len() == 3 {
            let of_bias =
                || kernels::sum_rows(&dy).unwrap_or_else(|| dy.clone().sum_axis(0).reshape(&shapes[2]));
            gradients.push(wanted[2].then(of_bias));
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;

    #[test]
    fn gradients() {
        check_op(&Linear, &[&[2, 3, 4], &[5, 4], &[5]]);
        check_op(&Linear, &[&[6, 4], &[3, 4]]);
        check_op(&Linear, &[&[2, 3, 12], &[5, 3, 2, 2], &[5]]);
    }

    #[test]
    fn a_frozen_linear_keeps_only_its_weight() {
        assert_eq!(Linear.keeps(&[true, false, false], true), Keeps::inputs(&[false, true, false]));
        assert_eq!(Linear.keeps(&[false, false, true], true), Keeps::inputs(&[false, false, false]));
    }

    #[test]
    fn wrong_width_says_so() {
        let error = Linear.shape(&[vec![2, 3], vec![5, 4]]).unwrap_err();
        assert!(error.to_string().contains("takes 4 features, the input has 3"));
    }
}
