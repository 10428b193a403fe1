//! The gradients of a random stage to the bit, with whatever regions are computed again.

use std::collections::BTreeMap;

use super::draw::{draw, subjects};
use super::models;
use crate::data::{Batch, Split};
use crate::exec::{Walk, upload};
use crate::tensor::{Stream, Value, elements};
use crate::train::{StepGraph, StepSpec, TrainError, TrainSpec};
use crate::weights::load;

/// Gradients by parameter of stage `number` of a seed, as bits. `recompute` are rules over regions.
///
/// # Errors
/// When the step cannot be made or walked.
pub fn gradient_bits(
    seed: u64,
    number: usize,
    recompute: &[&str],
) -> Result<BTreeMap<String, Vec<u32>>, TrainError> {
    models::make_known();
    let device = burn::tensor::Device::flex();
    let subjects = subjects();
    let subject = &subjects[number % subjects.len()];
    let mut draws = Stream::new(seed, subject.name).at(number as u64);
    let stage = draw(subject, &mut draws);
    let spec = TrainSpec {
        recompute: recompute.iter().map(|rule| (*rule).to_owned()).collect(),
        batch: 4,
        accumulate: 1,
        ..stage.spec.clone()
    };
    let columns = stage.source.columns();
    let step =
        StepGraph::new(&stage.built.graph, &StepSpec::of(&spec, &stage.built.selection.nodes, &columns))?;
    let Ok((mut params, _)) = load(&step.graph, None, seed, &device) else {
        unreachable!("nothing is read from files")
    };
    // Zeros, as a head begins with, would leave gradients of nought behind them.
    let paths: Vec<String> = params.iter().map(|(path, _)| path.to_owned()).collect();
    for path in paths {
        let Some(value) = params.get(&path) else { continue };
        if value.to_f32().iter().all(|x| *x == 0.0) {
            let shape = value.shape();
            let mut noise = Stream::new(seed, &path).at(0);
            let data = (0..elements(&shape)).map(|_| 0.1 * noise.normal()).collect();
            params.set(&path, Value::from_f32(data, &shape, &device));
        }
    }
    let batch = Batch::read(stage.source.as_ref(), Split::Train, &[0, 1, 2, 3])?;
    let inputs = upload(batch, &step.graph, &device);
    let walk = Walk { graph: &step.graph, schedule: &step.schedule, seed, step: 1 };
    let mut found = BTreeMap::new();
    walk.run(&mut params, &inputs, &mut |_, path, gradient, _| {
        found.insert(path.to_owned(), gradient.to_f32().into_iter().map(f32::to_bits).collect());
    })?;
    Ok(found)
}
