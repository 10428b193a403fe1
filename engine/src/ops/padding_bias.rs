use super::{Context, Keeps, Kept, Op, Reads, ShapeError, require};
use crate::tensor::{Shape, Value};

/// What is added to the scores of keys that must not be seen: behind a softmax nothing is left of them, and sums of
/// several masks stay finite.
pub(super) const HIDDEN: f32 = -1e9;

/// From a mask `[batch, tokens]` of integers, 1 for tokens and 0 for padding, to what [`super::Attention`] adds to its
/// scores, `[batch, 1, 1, tokens]`: 0 for tokens, −10⁹ for padding.
#[derive(Debug)]
pub struct PaddingBias;

impl Op for PaddingBias {
    fn name(&self) -> &'static str {
        "padding bias"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && inputs[0].len() == 2, self.name(), inputs, || {
            "needs a mask [batch, tokens]".to_owned()
        })?;
        Ok(vec![inputs[0][0], 1, 1, inputs[0][1]])
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let mask = &inputs[0];
        let bias = mask.to_i64().into_iter().map(|seen| if seen == 0 { HIDDEN } else { 0.0 }).collect();
        let shape = mask.shape();
        Value::from_f32(bias, &[shape[0], 1, 1, shape[1]], &mask.device())
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn passes_gradient(&self) -> bool {
        false
    }

    fn vjp(&self, _kept: &Kept, _dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![None; wanted.len()]
    }
}

/// What [`super::Attention`] adds to its scores so that no token sees a later one: of anything `[batch, tokens, ..]`, of
/// which the extents are read only, `[1, 1, tokens, tokens]` with −10⁹ where the key comes after the query.
#[derive(Debug)]
pub struct CausalBias;

impl Op for CausalBias {
    fn name(&self) -> &'static str {
        "causal bias"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(inputs.len() == 1 && inputs[0].len() >= 2, self.name(), inputs, || {
            "needs [batch, tokens, ..]".to_owned()
        })?;
        let tokens = inputs[0][1];
        Ok(vec![1, 1, tokens, tokens])
    }

    fn reads(&self, _input: usize, _training: bool) -> Reads {
        Reads::Shape
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let tokens = inputs[0].shape()[1];
        let seen = |query: usize, key: usize| if key > query { HIDDEN } else { 0.0 };
        let bias = (0..tokens).flat_map(|query| (0..tokens).map(move |key| seen(query, key))).collect();
        Value::from_f32(bias, &[1, 1, tokens, tokens], &inputs[0].device())
    }

    fn keeps(&self, _wanted: &[bool], _training: bool) -> Keeps {
        Keeps::nothing()
    }

    fn passes_gradient(&self) -> bool {
        false
    }

    fn vjp(&self, _kept: &Kept, _dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        vec![None; wanted.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op_on, random};
    use super::super::{Attention, check::check_op};
    use super::*;
    use burn::tensor::Device;

    fn mask() -> Value {
        Value::from_i64(vec![1, 1, 0, 1, 1, 1], &[2, 3], &Device::flex())
    }

    #[test]
    fn shapes_and_values() {
        check_op_on(&PaddingBias, &[], &[mask()]);
        check_op(&CausalBias, &[&[2, 4]]);
        check_op(&CausalBias, &[&[2, 3, 5]]);
        let padding = PaddingBias.forward(&[mask()], &Context::inference());
        assert_eq!(padding.to_f32(), [0.0, 0.0, HIDDEN, 0.0, 0.0, 0.0]);
        let causal = CausalBias.forward(&[mask()], &Context::inference()).to_f32();
        assert_eq!(causal, [0.0, HIDDEN, HIDDEN, 0.0, 0.0, HIDDEN, 0.0, 0.0, 0.0]);
    }

    /// What is hidden changes nothing, to the bit: neither behind the mask nor in what is to come.
    #[test]
    fn what_is_hidden_is_not_seen() {
        let op = Attention { heads: 2, scale: None };
        let x = random("x", &[2, 3, 4]).cast(burn::backend::FloatDType::F32);
        let noise = Value::from_f32(vec![7.0; 4], &[1, 1, 4], &Device::flex());
        let other = x.clone().assign(1, 2, noise.expand(&[2, 1, 4]));
        let run = |x: &Value, bias: Value| {
            op.forward(&[x.clone(), x.clone(), x.clone(), bias], &Context::inference()).to_f32()
        };
        let causal = || CausalBias.forward(&[mask()], &Context::inference());
        let (a, b) = (run(&x, causal()), run(&other, causal()));
        assert_eq!((&a[..8], &a[12..20]), (&b[..8], &b[12..20]), "queries before the last");
        assert_ne!(a[8..12], b[8..12]);
        let padding = || PaddingBias.forward(&[mask()], &Context::inference());
        let (a, b) = (run(&x, padding()), run(&other, padding()));
        assert_eq!(a[..8], b[..8], "the third token of the first sequence is padding");
        assert_ne!(a[12..20], b[12..20]);
    }
}
