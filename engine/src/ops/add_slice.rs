use super::slice::{axis, known_axis};
use super::{Context, Keeps, Kept, Op, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Adds to a part of one axis: `y` with `delta` added from index `start` of the axis on, over `delta`'s extent
/// there. All other elements keep their bits. Inputs: `y`, and `delta`, which has `y`'s shape but for that axis.
#[derive(Debug)]
pub struct AddSlice {
    /// The axis, counted from the end: 1 is the last one, the rank is the first.
    pub axis_from_end: usize,
    /// First index.
    pub start: usize,
}

impl Op for AddSlice {
    fn name(&self) -> &'static str {
        "add slice"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2, self.name(), inputs, || "needs y and delta".to_owned())?;
        let (y, delta) = (&inputs[0], &inputs[1]);
        let axis = axis(y, self.axis_from_end).filter(|_| y.len() == delta.len());
        require(
            axis.is_some_and(|axis| {
                self.start + delta[axis] <= y[axis] && (0..y.len()).all(|i| i == axis || y[i] == delta[i])
            }),
            self.name(),
            inputs,
            || {
                let (from_end, start) = (self.axis_from_end, self.start);
                format!(
                    "delta should fit y from {start} of axis {from_end} from the end, and agree elsewhere"
                )
            },
        )?;
        Ok(y.clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let (y, delta) = (inputs[0].clone(), inputs[1].clone());
        let shape = delta.shape();
        let axis = known_axis(&shape, self.axis_from_end);
        let part = y.clone().narrow(axis, self.start, shape[axis]).add(delta);
        y.assign(axis, self.start, part)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let delta = &kept.input_shapes[1];
        let axis = known_axis(delta, self.axis_from_end);
        let part = wanted[1].then(|| dy.clone().narrow(axis, self.start, delta[axis]));
        vec![wanted[0].then_some(dy), part]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::check_op;
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&AddSlice { axis_from_end: 1, start: 1 }, &[&[2, 3, 5], &[2, 3, 2]]);
        check_op(&AddSlice { axis_from_end: 2, start: 0 }, &[&[2, 3, 5], &[2, 3, 5]]);
        // Rows of a weight.
        check_op(&AddSlice { axis_from_end: 2, start: 2 }, &[&[6, 3], &[2, 3]]);
    }

    #[test]
    fn the_rest_keeps_its_bits() {
        let device = Device::flex();
        let y = Value::from_f32(vec![-0.0, 1.0, f32::NAN, -0.0, 2.0, 3.0], &[2, 3], &device);
        let delta = Value::from_f32(vec![0.5, 0.25], &[2, 1], &device);
        let bits = |v: &Value| v.to_f32().into_iter().map(f32::to_bits).collect::<Vec<_>>();
        let before = bits(&y);
        let op = AddSlice { axis_from_end: 1, start: 1 };
        let after = bits(&op.forward(&[y.clone(), delta], &Context::inference()));
        assert_eq!(bits(&y), before, "y itself stays as it was");
        for i in [0, 2, 3, 5] {
            assert_eq!(after[i], before[i]);
        }
        assert_eq!([after[1], after[4]].map(f32::from_bits), [1.5, 2.25]);
        let error = op.shape(&[vec![2, 3], vec![2, 3]]).unwrap_err();
        assert!(error.to_string().contains("fit y from 1 of axis 1 from the end"), "{error}");
    }
}
