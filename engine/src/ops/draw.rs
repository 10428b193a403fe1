use super::{Context, Element, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// A branch drawn for each step: an integer `[1]` from 0 to below `branches`, the same for every node that reads
/// it; 0 in inference mode. Its input says only on which device.
#[derive(Debug)]
pub struct Draw {
    /// Number of branches.
    pub branches: usize,
}

impl Op for Draw {
    fn name(&self) -> &'static str {
        "draw"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && self.branches > 0, self.name(), inputs, || {
            "needs one input and one branch or more".to_owned()
        })?;
        Ok(vec![1])
    }

    fn forward(&self, inputs: &[Value], context: &Context) -> Value {
        let drawn = if context.training { context.stream.at(context.step).below(self.branches) } else { 0 };
        Value::from_i64(vec![i64::try_from(drawn).unwrap_or(0)], &[1], &inputs[0].device())
    }

    fn element(&self) -> Element {
        Element::Integer
    }

    fn reads(&self, _input: usize, _training: bool) -> Reads {
        Reads::Shape
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn vjp(&self, _kept: &Kept, _dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![None; wanted.len()]
    }

    fn draws(&self) -> bool {
        true
    }

    fn passes_gradient(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Stream;
    use burn::tensor::Device;

    #[test]
    fn every_branch_comes_and_inference_takes_the_first() {
        let x = Value::from_f32(vec![0.0], &[1], &Device::flex());
        let op = Draw { branches: 3 };
        let mut seen = [0; 3];
        for step in 0..300 {
            let context = Context { stream: Stream::new(1, "draw"), step, training: true };
            let drawn = op.forward(std::slice::from_ref(&x), &context).to_i64()[0];
            assert_eq!(drawn, op.forward(std::slice::from_ref(&x), &context).to_i64()[0]);
            seen[drawn as usize] += 1;
        }
        assert!(seen.iter().all(|count| (60..140).contains(count)), "{seen:?}");
        assert_eq!(op.forward(&[x], &Context::inference()).to_i64(), [0]);
    }
}
