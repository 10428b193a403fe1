//! Few points for many: what a plot of some width can show at all of what is in view; and numbers on axes.

use std::ops::{Range, RangeInclusive};

use egui::Rangef;
use egui_plot::{AxisHints, GridInput, GridMark, Plot};

use crate::pyramid::{Channel, Stair};
use crate::session::Series;

/// The steps that a plot shows.
#[derive(Clone, Debug)]
pub(super) struct Window<'a> {
    /// The series.
    pub(super) series: &'a Series,
    /// Those in view.
    pub(super) range: Range<usize>,
    /// How many buckets they are thinned into.
    pub(super) buckets: usize,
}

impl Window<'_> {
    /// Thinned values.
    pub(super) fn thin(&self, channel: Channel) -> Vec<[f64; 2]> {
        self.series.thin(self.range.clone(), self.buckets, channel)
    }

    /// Mean phases.
    pub(super) fn stairs(&self) -> Vec<Stair> {
        self.series.stairs(self.range.clone(), self.buckets / 2)
    }
}

/// Points between ticks of the horizontal and of the vertical axis, at least.
const APART: [f64; 2] = [54.0, 20.0];
/// Points of the finest grid, in which a plot tells how much a point is worth.
const GRID: f32 = 10.0;

/// A plot whose axes name their ticks by `tick`, with as much room for them everywhere. All ticks are alike: names of
/// minor ones would be faint.
#[must_use]
pub fn axes<'a>(plot: Plot<'a>, tick: impl Fn(f64) -> String + Copy + 'a) -> Plot<'a> {
    let x = AxisHints::new_x().label_spacing(Rangef::new(28.0, 50.0));
    let y = AxisHints::new_y().min_thickness(34.0).label_spacing(Rangef::new(14.0, 19.0));
    plot.custom_x_axes(vec![x.formatter(move |mark, _| tick(mark.value))])
        .custom_y_axes(vec![y.formatter(move |mark, _| tick(mark.value))])
        .grid_spacing(Rangef::new(GRID, 150.0))
        .x_grid_spacer(|input| ticks(&input, APART[0]))
        .y_grid_spacer(|input| ticks(&input, APART[1]))
}

/// Ticks at least so many points apart.
fn ticks(input: &GridInput, apart: f64) -> Vec<GridMark> {
    let wanted = input.base_step_size.abs() * apart / f64::from(GRID);
    let (from, to) = input.bounds;
    if !(wanted.is_normal() && from.is_finite() && to.is_finite()) {
        return Vec::new();
    }
    let step_size = round_up(wanted);
    let (first, last) = ((from / step_size).ceil(), (to / step_size).floor());
    // A plot of a few thousand points has no more.
    let count = (last - first).clamp(-1.0, 1000.0);
    #[expect(clippy::cast_possible_truncation, reason = "at most a thousand")]
    let steps = 0..=count as i32;
    steps.map(|place| GridMark { value: (first + f64::from(place)) * step_size, step_size }).collect()
}

/// The next number of one, two or five times a power of ten.
fn round_up(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let times = [1.0, 2.0, 5.0].into_iter().find(|times| times * power >= value * (1.0 - 1e-9));
    times.unwrap_or(10.0) * power
}

/// What an axis of shares in per cent shows of these: some margin around them, and hardly anything that no share can be.
#[must_use]
pub fn shares(values: impl Iterator<Item = f64>, margin: f64) -> RangeInclusive<f64> {
    /// Shares closer together than this are not drawn further apart.
    const LEAST: f64 = 5.0;
    let ends = |(low, high): (f64, f64), value: f64| (low.min(value), high.max(value));
    let (low, high) = values.filter(|value| value.is_finite()).fold((f64::INFINITY, f64::NEG_INFINITY), ends);
    if low > high {
        return 0.0..=100.0;
    }
    let missing = (LEAST - (high - low)).max(0.0);
    let span = high - low + missing;
    let (around, edge) = (missing / 2.0 + margin * span, 0.08 * span);
    (low - around).max(-edge)..=(high + around).min(100.0 + edge)
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

    #[test]
    fn ticks_are_round_and_never_closer_than_their_names_need() {
        for points in [60.0, 83.0, 150.0, 400.0] {
            for (from, to) in [(15.28, 15.44), (0.0, 100.0), (-3.0, 1250.0), (0.0, 1e-3)] {
                let worth = (to - from) / points;
                let input = GridInput { bounds: (from, to), base_step_size: worth * f64::from(GRID) };
                let found = ticks(&input, 24.0);
                assert!(!found.is_empty(), "{points} points of {from} to {to}");
                assert!(found.iter().all(|mark| mark.step_size / worth >= 24.0 * (1.0 - 1e-6)));
                assert!(
                    found.iter().all(|mark| mark.step_size / worth <= 60.0 * (1.0 + 1e-6)),
                    "not too few"
                );
                assert!(found.iter().all(|mark| mark.value >= from && mark.value <= to));
            }
        }
        assert!(ticks(&GridInput { bounds: (0.0, 0.0), base_step_size: 0.0 }, 24.0).is_empty());
    }

    #[test]
    fn axes_of_shares_hardly_leave_what_a_share_can_be() {
        let one = shares([3.1].into_iter(), 0.3);
        assert!(*one.start() >= -0.5 && *one.end() < 10.0, "{one:?}");
        let wide = shares([0.0, 100.0].into_iter(), 0.3);
        assert!(*wide.start() >= -8.0 && *wide.end() <= 108.0, "{wide:?}");
        let close = shares([60.0, 62.0].into_iter(), 0.1);
        assert!(
            *close.start() < 60.0 && *close.end() > 62.0 && close.end() - close.start() < 8.0,
            "{close:?}"
        );
        assert_eq!(shares(std::iter::empty(), 0.1), 0.0..=100.0);
    }

    #[test]
    fn ticks_have_no_needless_digits() {
        assert_eq!([axis(0.25), axis(100.0), axis(12_500.0), axis(-3.0)], ["0.25", "100", "12.5 k", "−3"]);
        assert_eq!([axis(0.0), axis(0.0005)], ["0", "5.0e−4"]);
    }
}
