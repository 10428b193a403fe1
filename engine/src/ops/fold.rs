use super::{Context, Keeps, Kept, Lies, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// Merges the two leading axes: `[batch, frames, …] → [batch·frames, …]`, so that one image transformer
/// runs over every frame of every clip. A view.
#[derive(Debug)]
pub struct Fold;

impl Op for Fold {
    fn name(&self) -> &'static str {
        "fold"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && inputs[0].len() >= 2, self.name(), inputs, || {
            "needs one input of two axes or more".to_owned()
        })?;
        let mut shape = vec![inputs[0][0] * inputs[0][1]];
        shape.extend(&inputs[0][2..]);
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let from = inputs[0].shape();
        let mut shape = vec![from[0] * from[1]];
        shape.extend(&from[2..]);
        inputs[0].clone().reshape(&shape)
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Same
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![Some(dy.reshape(&kept.input_shapes[0]))]
    }

    fn view(&self, _inputs: &[Shape], _training: bool) -> Option<usize> {
        Some(0)
    }
}

/// Splits the leading axis again: `[batch·frames, …] → [batch, frames, …]`. The second input is read for
/// its two leading extents only and never gets a gradient.
#[derive(Debug)]
pub struct Unfold;

impl Op for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 2 && inputs[1].len() >= 2, self.name(), inputs, || {
            "needs x and a tensor that gives [batch, frames]".to_owned()
        })?;
        let (batch, frames) = (inputs[1][0], inputs[1][1]);
        require(inputs[0].first() == Some(&(batch * frames)), self.name(), inputs, || {
            format!("the leading axis should be {batch} × {frames}")
        })?;
        let mut shape = vec![batch, frames];
        shape.extend(&inputs[0][1..]);
        Ok(shape)
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let like = inputs[1].shape();
        let mut shape = vec![like[0], like[1]];
        shape.extend(&inputs[0].shape()[1..]);
        inputs[0].clone().reshape(&shape)
    }

    fn reads(&self, input: usize, _training: bool) -> Reads {
        if input == 0 { Reads::Value } else { Reads::Shape }
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn gradient_lies(&self, _input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        Lies::Same
    }

    fn vjp(&self, kept: &Kept, dy: Value, _wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![Some(dy.reshape(&kept.input_shapes[0])), None]
    }

    fn view(&self, _inputs: &[Shape], _training: bool) -> Option<usize> {
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op, check_op_on};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn gradients() {
        check_op(&Fold, &[&[2, 3, 4]]);
        let like = Value::from_f32(vec![0.0; 6], &[2, 3], &Device::flex());
        check_op_on(&Unfold, &[&[6, 4]], &[like]);
    }
}
