//! Few points for many: what a plot of some width can show at all of what is in view; and numbers on axes.

use std::ops::Range;

use egui::Rangef;
use egui_plot::{AxisHints, Plot};

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

/// A plot whose axes name their ticks by `tick`, with as much room for them everywhere.
#[must_use]
pub fn axes<'a>(plot: Plot<'a>, tick: impl Fn(f64) -> String + Copy + 'a) -> Plot<'a> {
    let x = AxisHints::new_x().label_spacing(Rangef::new(28.0, 56.0));
    let y = AxisHints::new_y().min_thickness(34.0).label_spacing(Rangef::new(14.0, 26.0));
    plot.custom_x_axes(vec![x.formatter(move |mark, _| tick(mark.value))])
        .custom_y_axes(vec![y.formatter(move |mark, _| tick(mark.value))])
        .grid_spacing(Rangef::new(10.0, 150.0))
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
    fn ticks_have_no_needless_digits() {
        assert_eq!([axis(0.25), axis(100.0), axis(12_500.0), axis(-3.0)], ["0.25", "100", "12.5 k", "−3"]);
        assert_eq!([axis(0.0), axis(0.0005)], ["0", "5.0e−4"]);
    }
}
