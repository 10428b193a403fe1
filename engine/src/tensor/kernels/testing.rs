//! What the kernels' tests share.
#![expect(clippy::cast_precision_loss, reason = "24 bits fit into f32")]

use burn::backend::FloatDType;
use burn::tensor::Device;

use crate::tensor::{Value, elements};

/// Element counts around the vector width and around the limits of the parallel chunks.
pub(super) const ODD_SIZES: [usize; 7] = [1, 7, 33, 255, 16_384, 16_385, 50_001];

/// The device under test.
pub(super) fn device() -> Device {
    Device::flex()
}

/// `count` numbers between −range and range, the same for the same seed.
pub(super) fn numbers(count: usize, seed: u32, range: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / 8_388_608.0 - 1.0) * range
        })
        .collect()
}

/// A vector of such numbers.
pub(super) fn sample(count: usize, seed: u32, range: f32) -> Value {
    sample_of(&[count], seed, range)
}

/// A tensor of such numbers.
pub(super) fn sample_of(shape: &[usize], seed: u32, range: f32) -> Value {
    Value::from_f32(numbers(elements(shape), seed, range), shape, &device())
}

/// Fails when any pair is further apart than `tolerance` times the greater of 1 and its size.
#[track_caller]
pub(super) fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "lengths");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let error = (a - e).abs() / e.abs().max(1.0);
        assert!(error <= tolerance, "element {i}: {a} against {e}, off by {error:e}");
    }
}

/// Compares a gradient with central differences of `loss`, element by element, in f64.
#[track_caller]
pub(super) fn gradient_check(loss: impl Fn(&[f64]) -> f64, at: &Value, gradient: &Value, tolerance: f64) {
    const STEP: f64 = 1e-5;
    assert_eq!(at.shape(), gradient.shape());
    let mut point = at.to_f64();
    let mut expected = Vec::with_capacity(point.len());
    for i in 0..point.len() {
        let middle = point[i];
        point[i] = middle + STEP;
        let above = loss(&point);
        point[i] = middle - STEP;
        let below = loss(&point);
        point[i] = middle;
        expected.push((above - below) / (2.0 * STEP));
    }
    assert_close(&gradient.to_f64(), &expected, tolerance);
}

/// Fails unless several runs, also on one thread, on three and on sixteen, give the same bits.
#[track_caller]
pub(super) fn same_bits(run: impl Fn() -> Vec<Value> + Sync) {
    let bits = |values: Vec<Value>| -> Vec<Vec<u32>> {
        values.iter().map(|v| v.to_f32().into_iter().map(f32::to_bits).collect()).collect()
    };
    let first = bits(run());
    assert!(first == bits(run()), "a second run differs");
    for threads in [1, 3, 16] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert!(first == bits(pool.install(&run)), "a run on {threads} threads differs");
    }
}

/// Fails unless `refuses` says so for an f64 value and for a tracked one.
#[track_caller]
pub(super) fn assert_refuses(shape: &[usize], refuses: impl Fn(&Value) -> bool) {
    let plain = sample_of(shape, 9, 1.0);
    assert!(refuses(&plain.clone().cast(FloatDType::F64)), "took f64");
    assert!(refuses(&plain.tracked()), "took a tracked value");
}
