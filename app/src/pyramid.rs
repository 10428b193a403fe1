//! Lowest and highest values of a series over runs of 4, 8, 16, … points, kept up as points arrive.
//!
//! A bucket begins at a multiple of its size whatever is in view and however long the series is, so that a curve that
//! grows keeps its shape where it has been drawn before, and a frame looks at as many buckets as it draws.

use std::ops::Range;

/// One optimiser step. The unit of `x` is steps over all stages.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepPoint {
    /// Steps over all stages.
    pub x: f64,
    /// Mean loss before the update.
    pub loss: f64,
    /// The same, smoothed.
    pub smooth: f64,
    /// Milliseconds: data, frozen forward, trainable forward, backward, optimizer.
    pub phases: [f64; 5],
    /// Live MiB at the step's end.
    pub live: f64,
    /// Largest live MiB of the stage so far.
    pub peak: f64,
    /// Learning rate.
    pub rate: f64,
    /// Norm of the gradient before clipping.
    pub norm: f64,
    /// Samples a second.
    pub pace: f64,
}

/// What is kept of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The loss.
    Loss,
    /// The same, smoothed.
    Smooth,
    /// Live MiB.
    Live,
    /// Largest live MiB of the stage so far.
    Peak,
    /// Learning rate.
    Rate,
    /// Norm of the gradient.
    Norm,
}

impl Channel {
    const ALL: [Self; 6] = [Self::Loss, Self::Smooth, Self::Live, Self::Peak, Self::Rate, Self::Norm];

    /// Its value at a step.
    #[must_use]
    pub const fn of(self, point: &StepPoint) -> f64 {
        match self {
            Self::Loss => point.loss,
            Self::Smooth => point.smooth,
            Self::Live => point.live,
            Self::Peak => point.peak,
            Self::Rate => point.rate,
            Self::Norm => point.norm,
        }
    }
}

/// Points of the smallest buckets, as a power of two.
const BASE: u32 = 2;

/// Where the extremes of a bucket are, by channel, and the sums of its phases.
#[derive(Clone, Debug)]
struct Bucket {
    low: [u32; 6],
    high: [u32; 6],
    phases: [f64; 5],
}

impl Bucket {
    const fn of(place: u32, point: &StepPoint) -> Self {
        Self { low: [place; 6], high: [place; 6], phases: point.phases }
    }

    fn take(&mut self, other: &Self, steps: &[StepPoint]) {
        for channel in Channel::ALL {
            self.take_one(other, steps, channel);
        }
        for (sum, more) in self.phases.iter_mut().zip(other.phases) {
            *sum += more;
        }
    }

    fn take_one(&mut self, other: &Self, steps: &[StepPoint], channel: Channel) {
        let own = channel as usize;
        let value = |place: u32| channel.of(&steps[place as usize]);
        if value(other.low[own]).total_cmp(&value(self.low[own])).is_lt() {
            self.low[own] = other.low[own];
        }
        if value(other.high[own]).total_cmp(&value(self.high[own])).is_gt() {
            self.high[own] = other.high[own];
        }
    }
}

/// A stretch of a staircase: mean phases from one step to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stair {
    /// Where it begins: before its first step.
    pub from: f64,
    /// Its last step.
    pub to: f64,
    /// Mean milliseconds by phase.
    pub phases: [f64; 5],
}

/// The buckets of a series, by size.
#[derive(Clone, Debug, Default)]
pub struct Pyramid {
    /// Those of 4 points first; each level's are twice as large. Only the last of a level may be incomplete.
    levels: Vec<Vec<Bucket>>,
}

impl Pyramid {
    /// Takes in the last of the points. Costs the same whatever there was before, but for a level more each time that
    /// the series doubles.
    pub fn push(&mut self, steps: &[StepPoint]) {
        let Some(point) = steps.last() else { return };
        let place = steps.len() - 1;
        let Ok(number) = u32::try_from(place) else { return };
        let own = Bucket::of(number, point);
        if self.levels.is_empty() {
            self.levels.push(Vec::new());
        }
        for (level, buckets) in self.levels.iter_mut().enumerate() {
            match buckets.get_mut(place >> (BASE as usize + level)) {
                Some(bucket) => bucket.take(&own, steps),
                None => buckets.push(own.clone()),
            }
        }
        if let Some([first, second]) = self.levels.last().map(Vec::as_slice) {
            let mut both = first.clone();
            both.take(second, steps);
            self.levels.push(vec![both]);
        }
    }

    /// A channel's values are others.
    pub fn refresh(&mut self, steps: &[StepPoint], channel: Channel) {
        let own = channel as usize;
        let Some((first, above)) = self.levels.split_first_mut() else { return };
        for (bucket, points) in first.iter_mut().zip(steps.chunks(1 << BASE)) {
            // All other places of the bucket stay.
            let begin = bucket.low[own] >> BASE << BASE;
            (bucket.low[own], bucket.high[own]) = (begin, begin);
            for (place, point) in (begin..).zip(points) {
                bucket.take_one(&Bucket::of(place, point), steps, channel);
            }
        }
        let mut below = first;
        for level in above {
            for (bucket, pair) in level.iter_mut().zip(below.chunks(2)) {
                (bucket.low[own], bucket.high[own]) = (pair[0].low[own], pair[0].high[own]);
                if let Some(second) = pair.get(1) {
                    bucket.take_one(second, steps, channel);
                }
            }
            below = level;
        }
    }

    /// The least power of two of points a bucket with which a range has at most so many buckets.
    fn shift(count: usize, buckets: usize) -> u32 {
        count.div_ceil(buckets.max(1)).max(1).next_power_of_two().trailing_zeros()
    }

    /// The buckets of a size that a range touches.
    fn touched(&self, range: &Range<usize>, shift: u32) -> &[Bucket] {
        let level = shift.saturating_sub(BASE) as usize;
        let Some(buckets) = self.levels.get(level).or(self.levels.last()) else { return &[] };
        let level = level.min(self.levels.len() - 1);
        let size = BASE as usize + level;
        let end = ((range.end.max(1) - 1) >> size) + 1;
        buckets.get(range.start >> size..end.min(buckets.len())).unwrap_or_default()
    }

    /// At most two points a bucket, its lowest and its highest, so that no peak is lost; all points where these are no
    /// more. Buckets that lie in the range in part are whole.
    #[must_use]
    pub fn thin(
        &self,
        steps: &[StepPoint],
        range: Range<usize>,
        buckets: usize,
        channel: Channel,
    ) -> Vec<[f64; 2]> {
        let at = |place: usize| [steps[place].x, channel.of(&steps[place])];
        if range.len() <= 2 * buckets.max(1) {
            return range.map(at).collect();
        }
        // More than two points a bucket: its size is four or more.
        let own = channel as usize;
        let touched = self.touched(&range, Self::shift(range.len(), buckets));
        let mut result = Vec::with_capacity(2 * touched.len());
        for bucket in touched {
            let (low, high) = (bucket.low[own] as usize, bucket.high[own] as usize);
            result.push(at(low.min(high)));
            if low != high {
                result.push(at(low.max(high)));
            }
        }
        result
    }

    /// Mean phases, at most so many stretches and one more.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "points of a bucket")]
    pub fn stairs(&self, steps: &[StepPoint], range: Range<usize>, buckets: usize) -> Vec<Stair> {
        let shift = Self::shift(range.len(), buckets);
        let size = 1 << shift;
        let begin = range.start >> shift << shift;
        let chunks = steps[begin..range.end.next_multiple_of(size).min(steps.len())].chunks(size);
        let stair = |points: &[StepPoint], sums: [f64; 5]| {
            let (first, last) = (points.first()?, points.last()?);
            let phases = sums.map(|sum| sum / points.len() as f64);
            Some(Stair { from: first.x - 1.0, to: last.x, phases })
        };
        if shift >= BASE {
            let sums = self.touched(&range, shift).iter().map(|bucket| bucket.phases);
            return chunks.zip(sums).filter_map(|(points, sums)| stair(points, sums)).collect();
        }
        let sum = |points: &[StepPoint]| {
            std::array::from_fn(|phase| points.iter().map(|point| point.phases[phase]).sum())
        };
        chunks.filter_map(|points| stair(points, sum(points))).collect()
    }

    /// The highest value of a channel.
    #[must_use]
    pub fn highest(&self, steps: &[StepPoint], channel: Channel) -> Option<f64> {
        let top = self.levels.last()?.iter();
        top.map(|bucket| channel.of(&steps[bucket.high[channel as usize] as usize])).reduce(f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A saw with one peak.
    fn points(count: u32) -> Vec<StepPoint> {
        let point = |i: u32| {
            let loss = if i == 7777 { 99.0 } else { f64::from(i.wrapping_mul(2_654_435_761) >> 8) / 1e6 };
            let x = f64::from(i + 1);
            StepPoint { x, loss, smooth: -loss, phases: [loss; 5], ..StepPoint::default() }
        };
        (0..count).map(point).collect()
    }

    fn pyramid(all: &[StepPoint]) -> Pyramid {
        let mut pyramid = Pyramid::default();
        for count in 1..=all.len() {
            pyramid.push(&all[..count]);
        }
        pyramid
    }

    #[test]
    fn a_hundred_thousand_points_become_two_a_bucket_and_keep_the_peak() {
        let all = points(100_000);
        let pyramid = pyramid(&all);
        let few = pyramid.thin(&all, 0..all.len(), 500, Channel::Loss);
        assert!(few.len() <= 1000 && few.len() > 500, "{}", few.len());
        assert!(few.iter().any(|[x, y]| (x - 7778.0).abs() < 0.5 && *y > 98.0));
        assert!(few.windows(2).all(|pair| pair[0][0] < pair[1][0]), "in order");
        assert_eq!(pyramid.thin(&all, 0..20, 500, Channel::Loss).len(), 20, "few points are left alone");
        assert_eq!(pyramid.highest(&all, Channel::Loss), Some(99.0));
    }

    #[test]
    fn buckets_hold_the_extremes_of_their_points_at_every_size_and_place() {
        let all = points(1_003);
        let pyramid = pyramid(&all);
        for (range, buckets) in [(0..1_003, 16), (0..1_003, 100), (137..901, 30), (990..1_003, 2)] {
            let size = 1usize << Pyramid::shift(range.len(), buckets);
            let begin = range.start / size * size;
            let end = range.end.next_multiple_of(size).min(all.len());
            let mut expected = Vec::new();
            for points in all[begin..end].chunks(size) {
                let by = |a: &&StepPoint, b: &&StepPoint| a.loss.total_cmp(&b.loss);
                let mut pair = [points.iter().min_by(by).unwrap(), points.iter().max_by(by).unwrap()];
                pair.sort_by(|a, b| a.x.total_cmp(&b.x));
                expected.extend(pair.map(|point| [point.x, point.loss]));
            }
            expected.dedup();
            assert_eq!(pyramid.thin(&all, range, buckets, Channel::Loss), expected, "{buckets}");
        }
    }

    #[test]
    fn a_curve_that_grows_keeps_what_was_drawn() {
        let all = points(40_000);
        let mut pyramid = Pyramid::default();
        let mut before: Vec<[f64; 2]> = Vec::new();
        let mut cut_anew = 0;
        for count in 1..=all.len() {
            pyramid.push(&all[..count]);
            if count % 50 == 0 {
                let now = pyramid.thin(&all[..count], 0..count, 300, Channel::Loss);
                // All but the last bucket stay as they were.
                let kept = before.len().saturating_sub(2).min(now.len());
                cut_anew += usize::from(before[..kept] != now[..kept]);
                before = now;
            }
        }
        // Only where buckets double: from single points to 4, then to 8, 16, …, 256.
        assert_eq!(cut_anew, 7);
    }

    #[test]
    fn a_channel_that_is_made_anew_is_as_if_it_had_come_so() {
        let mut all = points(5_001);
        let mut kept = pyramid(&all);
        for point in &mut all {
            point.smooth = (point.x * 0.37).sin();
        }
        kept.refresh(&all, Channel::Smooth);
        let fresh = pyramid(&all);
        for channel in [Channel::Smooth, Channel::Loss] {
            let of = |pyramid: &Pyramid| pyramid.thin(&all, 3..4_900, 64, channel);
            assert_eq!(of(&kept), of(&fresh));
        }
    }

    #[test]
    fn stairs_are_means_of_fixed_stretches() {
        let all = points(1_000);
        let pyramid = pyramid(&all);
        for buckets in [1_000, 500, 60] {
            let stairs = pyramid.stairs(&all, 0..1_000, buckets);
            assert!(stairs.len() <= buckets + 1, "{} of {buckets}", stairs.len());
            for stair in &stairs {
                let inside = all.iter().filter(|point| point.x > stair.from && point.x <= stair.to);
                let values: Vec<f64> = inside.map(|point| point.phases[2]).collect();
                #[expect(clippy::cast_precision_loss, reason = "few")]
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                assert!((mean - stair.phases[2]).abs() < 1e-9 * mean.max(1.0));
            }
            let ends: Vec<f64> = stairs.windows(2).map(|pair| pair[1].from - pair[0].to).collect();
            assert!(ends.iter().all(|gap| gap.abs() < 1e-12), "no gap");
        }
        assert_eq!(pyramid.stairs(&all[..0], 0..0, 10), Vec::new());
    }
}
