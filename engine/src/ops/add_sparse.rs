use super::{Context, Keeps, Kept, Lies, Op, ShapeError, require};
use crate::tensor::{Shape, Value, elements};

/// A weight with values added at some of its places: `base [out, …]`, `values [k]` and `places [2, k]`, each a row
/// (of the first axis) and a column (of all others, flattened). Two axes, because a place in a large weight is too
/// large a number for the 24 bits that a float holds exactly. Entries that no place names keep their bits.
#[derive(Debug)]
pub struct AddSparse;

/// The places as indices into the flattened weight.
fn flat(places: &Value, weight: &[usize]) -> Value {
    places.flat_places(elements(&weight[1..]))
}

/// Flat places of a matrix as floats `[2, k]`: the rows, then the columns.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "rows and columns are below 2²⁴")]
pub fn rows_and_columns(flat: &[usize], columns: usize) -> Vec<f32> {
    let columns = columns.max(1);
    let rows = flat.iter().map(|place| (place / columns) as f32);
    rows.chain(flat.iter().map(|place| (place % columns) as f32)).collect()
}

/// The places of the `count` largest magnitudes, ascending; of equals the earlier one counts as larger.
#[must_use]
pub fn largest_places(values: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let count = count.min(order.len());
    let larger = |a: &usize, b: &usize| values[*b].abs().total_cmp(&values[*a].abs()).then(a.cmp(b));
    if count < order.len() {
        order.select_nth_unstable_by(count, larger);
    }
    order.truncate(count);
    order.sort_unstable();
    order
}

impl Op for AddSparse {
    fn name(&self) -> &'static str {
        "add sparse"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, ShapeError> {
        require(
            inputs.len() == 3
                && !inputs[0].is_empty()
                && inputs[1].len() == 1
                && inputs[2][..] == [2, inputs[1][0]],
            self.name(),
            inputs,
            || "needs a weight, values [k] and their places [2, k]".to_owned(),
        )?;
        Ok(inputs[0].clone())
    }

    fn forward(&self, inputs: &[Value], _context: &Context) -> Value {
        let shape = inputs[0].shape();
        let places = flat(&inputs[2], &shape);
        let sum = inputs[0].clone().reshape(&[elements(&shape)]).select_add(0, &places, inputs[1].clone());
        sum.reshape(&shape)
    }

    fn adds_at_places(&self) -> bool {
        true
    }

    fn keeps(&self, wanted: &[bool], _training: bool) -> Keeps {
        Keeps::inputs(&[false, false, wanted[1]])
    }

    fn gradient_lies(&self, input: usize, _inputs: &[Shape], _output: &Shape, _training: bool) -> Lies {
        if input == 0 { Lies::Same } else { Lies::New }
    }

    fn vjp(&self, kept: &Kept, dy: Value, wanted: &[bool], _context: &Context) -> Vec<Option<Value>> {
        let values = wanted[1].then(|| {
            let shape = dy.shape();
            let places = flat(&kept.input(2), &shape);
            dy.clone().reshape(&[elements(&shape)]).select(0, &places)
        });
        vec![wanted[0].then_some(dy), values, None]
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{check_op_on, random};
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_largest_are_found_and_equals_go_to_the_earlier() {
        assert_eq!(largest_places(&[0.1, -3.0, 2.0, 0.0], 2), [1, 2]);
        assert_eq!(largest_places(&[1.0, 1.0, 1.0], 1), [0]);
        assert_eq!(largest_places(&[0.0, 0.0], 5), [0, 1]);
        assert_eq!(rows_and_columns(&[1, 5, 6], 4), [0., 1., 1., 1., 1., 2.]);
    }

    #[test]
    fn adds_at_its_places_only() {
        let places = Value::from_f32(vec![0., 2., 1., 3., 0., 2.], &[2, 3], &Device::flex());
        check_op_on(&AddSparse, &[&[3, 4], &[3]], std::slice::from_ref(&places));
        // The columns of a kernel are all its axes but the first.
        check_op_on(&AddSparse, &[&[3, 2, 2], &[3]], std::slice::from_ref(&places));
        let (base, values) = (random("base", &[3, 4]), random("values", &[3]));
        let y = AddSparse.forward(&[base.clone(), values.clone(), places], &Context::inference()).to_f64();
        let (base, values) = (base.to_f64(), values.to_f64());
        for (i, (y, base)) in y.iter().zip(base).enumerate() {
            let added = [3, 8, 6].iter().position(|&place| place == i).map_or(0.0, |k| values[k]);
            assert_eq!(*y, base + added, "entry {i}");
        }
    }
}
