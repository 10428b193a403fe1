//! Few points for many: what a plot of some width can show at all, kept as long as it is the same.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use egui::{Context, Id};

use crate::session::StepPoint;

/// At most two points a bucket, its smallest and its largest, so that no peak is lost.
#[must_use]
pub fn decimate(points: &[StepPoint], buckets: usize, value: impl Fn(&StepPoint) -> f64) -> Vec<[f64; 2]> {
    let buckets = buckets.max(1);
    if points.len() <= 2 * buckets {
        return points.iter().map(|point| [point.x, value(point)]).collect();
    }
    let size = points.len().div_ceil(buckets);
    let mut result = Vec::with_capacity(2 * buckets);
    for bucket in points.chunks(size) {
        let by = |a: &&StepPoint, b: &&StepPoint| value(a).total_cmp(&value(b));
        let (Some(low), Some(high)) = (bucket.iter().min_by(by), bucket.iter().max_by(by)) else { continue };
        let (first, second) = if low.x <= high.x { (low, high) } else { (high, low) };
        result.push([first.x, value(first)]);
        if first.x < second.x {
            result.push([second.x, value(second)]);
        }
    }
    result
}

/// The points that a plot shows, of a run at a length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    /// Those in view.
    pub(super) points: &'a [StepPoint],
    /// How many buckets they are thinned into.
    pub(super) buckets: usize,
    /// What tells the run and its smoothing from others.
    pub(super) of: u64,
}

impl Window<'_> {
    /// Thinned values, made anew only when the points in view are others.
    pub(super) fn thin(
        self,
        ctx: &Context,
        name: &'static str,
        value: impl Fn(&StepPoint) -> f64,
    ) -> Vec<[f64; 2]> {
        let mut hasher = DefaultHasher::new();
        let ends =
            [self.points.first(), self.points.last()].map(|point| point.map(|point| point.x.to_bits()));
        (self.of, ends, self.points.len(), self.buckets).hash(&mut hasher);
        let key = hasher.finish();
        let id = Id::unique(("thinned", name));
        let kept: Option<(u64, Arc<Vec<[f64; 2]>>)> = ctx.data(|data| data.get_temp(id));
        if let Some((of, points)) = kept
            && of == key
        {
            return points.to_vec();
        }
        let points = Arc::new(decimate(self.points, self.buckets, value));
        ctx.data_mut(|data| data.insert_temp(id, (key, Arc::clone(&points))));
        points.to_vec()
    }
}

/// A tick's number, with no more digits than it needs.
#[must_use]
pub fn axis(value: f64) -> String {
    let text = if value != 0.0 && value.abs() < 1e-3 {
        format!("{value:.1e}")
    } else if value.abs() >= 10_000.0 {
        format!("{} k", trimmed(value / 1e3, 1))
    } else if value.abs() >= 100.0 {
        trimmed(value, 0)
    } else if value.abs() >= 1.0 {
        trimmed(value, 2)
    } else {
        trimmed(value, 4)
    };
    text.replace('-', "−")
}

fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: usize) -> Vec<StepPoint> {
        (0..count)
            .map(|i| {
                let loss = if i == 7777 { 99.0 } else { f64::from(u32::try_from(i % 10).unwrap()) };
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let x = i as f64;
                StepPoint { x, loss, smooth: loss, ..StepPoint::default() }
            })
            .collect()
    }

    #[test]
    fn a_hundred_thousand_points_become_two_a_bucket_and_keep_the_peak() {
        let all = points(100_000);
        let few = decimate(&all, 500, |point| point.loss);
        assert!(few.len() <= 1000, "{}", few.len());
        assert!(few.iter().any(|[x, y]| (x - 7777.0).abs() < 0.5 && *y > 98.0));
        assert!(few.windows(2).all(|pair| pair[0][0] < pair[1][0]), "in order");
        assert_eq!(decimate(&all[..20], 500, |point| point.loss).len(), 20, "few points are left alone");
    }

    #[test]
    fn thinned_points_are_kept_until_others_are_in_view() {
        let (ctx, all) = (Context::default(), points(100_000));
        let looked = std::cell::Cell::new(0u32);
        let thin = |points, buckets, of| {
            let value = |point: &StepPoint| {
                looked.set(looked.get() + 1);
                point.loss
            };
            let found = Window { points, buckets, of }.thin(&ctx, "loss", value);
            (found.len(), looked.replace(0))
        };
        let (drawn, work) = thin(&all, 640, 1);
        assert!(drawn <= 2 * 640 && work >= 100_000, "{drawn} drawn, {work} looked at");
        assert_eq!(thin(&all, 640, 1), (drawn, 0), "the same again costs nothing");
        assert!(thin(&all, 320, 1).1 > 0, "another width");
        assert!(thin(&all[..5000], 320, 1).1 > 0, "another range");
        assert!(thin(&all[..5000], 320, 2).1 > 0, "another run");
    }

    #[test]
    fn ticks_have_no_needless_digits() {
        assert_eq!([axis(0.25), axis(100.0), axis(12_500.0), axis(-3.0)], ["0.25", "100", "12.5 k", "−3"]);
        assert_eq!([axis(0.0), axis(0.0005)], ["0", "5.0e−4"]);
    }
}
