//! What was measured, and what lies between the measurements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ops::{Add, Effort, Op};
use crate::tensor::Shape;

/// One measurement of an op.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The extents that its speed depends on (see [`Effort`]).
    pub extents: Vec<usize>,
    /// Seconds of a unit of work.
    pub secs: f64,
}

/// What ops take on one device with one build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What it holds for: another build, device or number of threads measures anew.
    pub fingerprint: String,
    /// Seconds of a move that does next to nothing.
    pub overhead: f64,
    /// What an op takes within a walk, as a multiple of what it takes alone.
    pub factor: f64,
    /// Seconds of a move beside its op.
    pub move_secs: f64,
    /// By op and direction.
    pub rates: BTreeMap<String, Vec<Rate>>,
    /// Seconds that measuring took.
    pub secs: f64,
}

impl Default for Calibration {
    fn default() -> Self {
        Self {
            fingerprint: String::new(),
            overhead: 0.0,
            factor: 1.0,
            move_secs: 0.0,
            rates: BTreeMap::new(),
            secs: 0.0,
        }
    }
}

/// Measurements that a value is taken from.
const NEAREST: usize = 4;

/// Keys of [`Calibration::rates`].
pub(super) fn forward_key(op: &dyn Op, extras: bool) -> String {
    format!("{} {}", op.name(), if extras { "keeping" } else { "forward" })
}

pub(super) fn vjp_key(op: &dyn Op, wanted: &[bool]) -> String {
    let mask: String = wanted.iter().map(|wanted| if *wanted { '1' } else { '0' }).collect();
    format!("{} backward {mask}", op.name())
}

/// AdamW's step, squares for the norm, and sums of gradients, each by elements.
pub(super) const ADAMW: &str = "adamw";
pub(super) const SQUARE: &str = "square";
pub(super) const SUM: &str = "sum";
/// Half of packing and unpacking.
pub(super) const PACK: &str = "pack";

impl Calibration {
    /// Seconds of an op's forward.
    #[must_use]
    pub fn forward(&self, op: &dyn Op, inputs: &[Shape], output: &Shape, extras: bool) -> f64 {
        let effort = op.effort(inputs, output);
        let keys = [forward_key(op, extras), forward_key(op, !extras)];
        let found = keys.iter().find_map(|key| self.between(key, &effort));
        self.within_walk(self.overhead + found.unwrap_or_else(|| self.unknown(inputs, output, 1.0)))
    }

    /// Seconds of an op's vjp.
    #[must_use]
    pub fn vjp(&self, op: &dyn Op, inputs: &[Shape], output: &Shape, wanted: &[bool]) -> f64 {
        let effort = op.effort(inputs, output);
        let key = vjp_key(op, wanted);
        let found = self.between(&key, &effort).or_else(|| self.near_mask(op, wanted, &effort));
        self.within_walk(self.overhead + found.unwrap_or_else(|| self.unknown(inputs, output, 2.0)))
    }

    fn within_walk(&self, secs: f64) -> f64 {
        self.factor * secs + self.move_secs
    }

    /// Seconds of AdamW's step on a parameter.
    #[must_use]
    pub fn adamw(&self, elements: usize) -> f64 {
        self.plain(ADAMW, elements)
    }

    /// Seconds of a gradient's squares and their sum.
    #[must_use]
    pub fn square(&self, elements: usize) -> f64 {
        self.plain(SQUARE, elements)
    }

    /// Seconds of adding one gradient to another.
    #[must_use]
    pub fn sum(&self, elements: usize) -> f64 {
        self.plain(SUM, elements)
    }

    /// Seconds of packing a value, or of unpacking it.
    #[must_use]
    pub fn packing(&self, elements: usize) -> f64 {
        self.plain(PACK, elements)
    }

    fn plain(&self, key: &str, elements: usize) -> f64 {
        let effort = Effort { work: elements as u64, extents: vec![elements] };
        self.overhead + self.between(key, &effort).unwrap_or(0.0)
    }

    /// The vjp for other inputs, by their number.
    #[expect(clippy::cast_precision_loss, reason = "an op has few inputs")]
    fn near_mask(&self, op: &dyn Op, wanted: &[bool], effort: &Effort) -> Option<f64> {
        let prefix = format!("{} backward ", op.name());
        let mut parts = 0.0;
        let mut every = true;
        // Inputs that were measured one by one add up.
        for (place, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
            let single: Vec<bool> = (0..wanted.len()).map(|other| other == place).collect();
            match self.between(&vjp_key(op, &single), effort) {
                Some(secs) => parts += secs,
                None => every = false,
            }
        }
        if every && parts > 0.0 {
            return Some(parts);
        }
        let distance = |mask: &str| {
            let given = mask.chars().map(|c| c == '1');
            wanted.iter().zip(given).filter(|(a, b)| **a != *b).count()
        };
        let keys = self.rates.keys().filter_map(|key| key.strip_prefix(&prefix).map(|mask| (key, mask)));
        let (key, mask) = keys.min_by_key(|(_, mask)| distance(mask))?;
        let count = |own: usize| own.max(1) as f64;
        let share = count(wanted.iter().filter(|wanted| **wanted).count())
            / count(mask.chars().filter(|c| *c == '1').count());
        Some(self.between(key, effort)? * share.max(0.5))
    }

    /// An op that was not measured: as long as an addition takes for the elements that it moves.
    fn unknown(&self, inputs: &[Shape], output: &Shape, factor: f64) -> f64 {
        let moved = Add.effort(inputs, output);
        factor * self.between(&forward_key(&Add, false), &moved).unwrap_or(0.0)
    }

    /// Seconds for this effort, from the nearest measurements in logarithmic extents.
    #[expect(clippy::cast_precision_loss, reason = "extents are far below 2^52")]
    fn between(&self, key: &str, effort: &Effort) -> Option<f64> {
        let rates = self.rates.get(key)?;
        let log = |extent: usize| (extent.max(1) as f64).log2();
        let mut near: Vec<(f64, f64)> = rates
            .iter()
            .map(|rate| {
                let squares =
                    rate.extents.iter().zip(&effort.extents).map(|(a, b)| (log(*a) - log(*b)).powi(2));
                (squares.sum::<f64>(), rate.secs)
            })
            .collect();
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near.truncate(NEAREST);
        let (mut sum, mut weights) = (0.0, 0.0);
        for (distance, secs) in near {
            let weight = 1.0 / (distance + 0.01);
            sum += weight * secs.ln();
            weights += weight;
        }
        (weights > 0.0).then(|| (sum / weights).exp() * effort.work as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Linear;

    fn with(key: String, rates: &[(usize, f64)]) -> Calibration {
        let rates = rates.iter().map(|&(extent, secs)| Rate { extents: vec![extent; 3], secs }).collect();
        Calibration { rates: BTreeMap::from([(key, rates)]), ..Calibration::default() }
    }

    #[test]
    fn a_measured_size_takes_what_was_measured_and_others_lie_between() {
        let found = with(forward_key(&Linear, false), &[(16, 4e-9), (256, 1e-9)]);
        let secs = |n: usize| {
            found.forward(&Linear, &[vec![n, n], vec![n, n]], &vec![n, n], false) / (n * n * n) as f64
        };
        assert!((secs(16) / 4e-9 - 1.0).abs() < 0.01 && (secs(256) / 1e-9 - 1.0).abs() < 0.01);
        assert!((1e-9..4e-9).contains(&secs(64)));
        assert!((secs(64) / 2e-9 - 1.0).abs() < 0.05, "half way in logarithms");
    }

    #[test]
    fn gradients_of_several_inputs_add_up() {
        let mut found = with(vjp_key(&Linear, &[true, false]), &[(16, 1e-9)]);
        found.rates.extend(with(vjp_key(&Linear, &[false, true]), &[(16, 2e-9)]).rates);
        let shapes = [vec![16, 16], vec![16, 16]];
        let both = found.vjp(&Linear, &shapes, &vec![16, 16], &[true, true]);
        assert!((both / (3e-9 * 4096.0) - 1.0).abs() < 1e-6, "{both}");
    }
}
