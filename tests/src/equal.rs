//! The three words of equality (`ARCHITECTURE.md`): same bits, same to rounding, same to a tolerance.

/// Same bits: rerun, resume, recompute, frozen weights, identity at the start.
///
/// # Panics
/// When a bit differs.
pub fn same_bits(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let apart = got.iter().zip(want).position(|(a, b)| a.to_bits() != b.to_bits());
    if let Some(place) = apart {
        panic!("{what}: {} is not the same bits as {}, at {place}", got[place], want[place]);
    }
}

/// Same to rounding: 1e-6 of the largest value. Another composition of the batch, a cache, a merge in f32.
///
/// # Panics
/// When they are further apart.
pub fn same_to_rounding(got: &[f32], want: &[f32], what: &str) {
    same_to(1e-6, got, want, what);
}

/// Same to a tolerance, as a share of the largest wanted value: another device or library.
///
/// # Panics
/// When they are further apart.
pub fn same_to(tolerance: f32, got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    let scale = want.iter().fold(1e-12f32, |m, x| m.max(x.abs()));
    // What is no number stays, and no comparison with it is true.
    let apart = got.iter().zip(want).map(|(a, b)| (a - b).abs());
    let worst = apart.fold(0f32, |most, apart| if apart <= most || most.is_nan() { most } else { apart });
    assert!(worst <= tolerance * scale, "{what}: off by {worst:e} on a scale of {scale:e}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_is_not_the_same_bits() {
        same_bits(&[1.0, -0.0], &[1.0, -0.0], "equal");
        same_to_rounding(&[1.0, 0.5], &[1.0 + 1e-7, 0.5], "rounded");
        assert!(std::panic::catch_unwind(|| same_bits(&[0.0], &[-0.0], "signs")).is_err());
        assert!(std::panic::catch_unwind(|| same_to_rounding(&[1.0], &[1.0 + 1e-5], "far")).is_err());
        assert!(std::panic::catch_unwind(|| same_to(0.1, &[f32::NAN], &[1.0], "no number")).is_err());
    }
}
