//! What the values of a checkpoint's tensors are like: which are no numbers, and how far the others reach.

use super::{Checkpoint, Tensor, WeightsError};

/// What one tensor's values are like.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Scan {
    /// The tensor's name.
    pub name: String,
    /// Number of values.
    pub values: usize,
    /// How many of them are NaN.
    pub nan: usize,
    /// How many of them are infinite.
    pub infinite: usize,
    /// The smallest of the finite ones; 0 where there is none.
    pub least: f32,
    /// The largest of the finite ones; 0 where there is none.
    pub most: f32,
}

impl Scan {
    fn of(name: &str, tensor: &Tensor) -> Self {
        let (mut nan, mut infinite) = (0, 0);
        let mut range: Option<(f32, f32)> = None;
        for &value in &tensor.data {
            if value.is_nan() {
                nan += 1;
            } else if value.is_infinite() {
                infinite += 1;
            } else {
                let (least, most) = range.unwrap_or((value, value));
                range = Some((least.min(value), most.max(value)));
            }
        }
        let (least, most) = range.unwrap_or_default();
        Self { name: name.to_owned(), values: tensor.data.len(), nan, infinite, least, most }
    }

    /// Whether every value is a finite number.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.nan + self.infinite == 0
    }
}

impl Checkpoint {
    /// Reads all tensors of floats, one at a time, and tells what their values are like, in order of names. Values that are no
    /// numbers are counted, not refused.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn scan(&self) -> Result<Vec<Scan>, WeightsError> {
        self.names()
            .filter(|name| self.is_float(name))
            .map(|name| Ok(Scan::of(name, &self.read(name)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_no_number_and_ranges_over_the_rest() {
        let data = vec![1.5, f32::NAN, -2.0, f32::INFINITY, f32::NEG_INFINITY, 0.25];
        let scan = Scan::of("w", &Tensor { shape: vec![6], data });
        let range = [scan.least.to_bits(), scan.most.to_bits()];
        assert_eq!(
            (scan.values, scan.nan, scan.infinite, range),
            (6, 1, 2, [(-2f32).to_bits(), 1.5f32.to_bits()])
        );
        assert!(!scan.is_sound());
        let none = Scan::of("w", &Tensor { shape: vec![1], data: vec![f32::NAN] });
        assert_eq!((none.nan, none.least.to_bits()), (1, 0));
        assert!(Scan::of("w", &Tensor { shape: vec![0], data: Vec::new() }).is_sound());
    }
}
