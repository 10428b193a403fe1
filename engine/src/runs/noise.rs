//! Noise on what adapters brought: how much of it a model bears.

use burn::tensor::Device;

use crate::graph::Graph;
use crate::tensor::{Stream, Value};
use crate::weights::Params;

/// Parameters with noise on those that adapters brought. Strength 0 changes no bit.
pub(super) fn with_noise(
    graph: &Graph,
    params: &Params,
    strength: f64,
    seed: u64,
    device: &Device,
) -> Params {
    let mut noisy = params.clone();
    if strength == 0.0 {
        return noisy;
    }
    for (_, path, leaf) in graph.params().filter(|(_, _, leaf)| leaf.placement.is_some()) {
        let Some(value) = params.get(path) else { continue };
        let mut values = value.to_f32();
        let deviation = deviation(&values) * strength;
        let mut draws = Stream::new(seed, path).at(1);
        #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
        for value in &mut values {
            *value += (f64::from(draws.normal()) * deviation) as f32;
        }
        noisy.set(path, Value::from_f32(values, &leaf.shape, device));
    }
    noisy
}

/// Standard deviation of some values.
#[expect(clippy::cast_precision_loss, reason = "counts of elements in memory fit an f64")]
fn deviation(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    (values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count).sqrt()
}
