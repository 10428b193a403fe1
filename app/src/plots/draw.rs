//! The curves of each kind of plot.

use egui::Align2;
use egui_plot::{FilledArea, Line, LineStyle, MarkerShape, PlotPoint, PlotPoints, PlotUi, Points, Text};

use super::shown::{Kind, Shown};
use super::thin::{Window, axis};
use super::{LABEL, PHASES};
use crate::pyramid::Channel;
use crate::session::{EvalPoint, Series, StageMark};
use crate::theme::{Theme, mono};

/// The memory budget that was typed last, where it lies near what is used.
#[expect(clippy::cast_precision_loss, reason = "bytes fit a plot's axis")]
pub(super) fn budget_line(plot: &mut PlotUi<'_>, theme: &Theme, shown: Shown<'_>, last: f64) {
    let Some(budget) = shown.budget.map(|bytes| bytes as f64 / 1_048_576.0) else { return };
    let peak = shown.series.highest(Channel::Peak).unwrap_or(0.0);
    if budget < 3.0 * peak {
        let line = Line::new("budget", vec![[0.0, budget], [last, budget]]).color(theme.warning);
        plot.line(line.width(1.5).style(LineStyle::dashed_dense()));
    }
}

/// What is in view, and how many buckets there are for it: one a screen point.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width in points")]
pub(super) fn visible<'a>(plot: &PlotUi<'_>, series: &'a Series, width: f64) -> Window<'a> {
    let points = &series.steps[..];
    let buckets = (width.max(16.0) as usize).min(4096);
    if plot.auto_bounds().x {
        return Window { series, range: 0..points.len(), buckets };
    }
    let bounds = plot.plot_bounds();
    let begin = points.partition_point(|point| point.x < bounds.min()[0]).saturating_sub(1);
    let end = (points.partition_point(|point| point.x <= bounds.max()[0]) + 1).min(points.len());
    Window { series, range: begin.min(end)..end, buckets }
}

pub(super) fn loss<'a>(plot: &mut PlotUi<'a>, theme: &Theme, series: &Series, window: &Window<'_>) {
    let raw: PlotPoints<'a> = window.thin(Channel::Loss).into();
    let faint = theme.label.gamma_multiply(0.55);
    plot.line(Line::new("loss", raw).color(faint).width(1.0).allow_hover(false));
    let smooth: PlotPoints<'a> = window.thin(Channel::Smooth).into();
    plot.line(Line::new("train", smooth).color(theme.text).width(1.75));
    evals(plot, theme, series, |point| point.loss);
}

pub(super) fn accuracy(plot: &mut PlotUi<'_>, theme: &Theme, series: &Series) {
    evals(plot, theme, series, |point| point.score);
}

pub(super) fn evals(
    plot: &mut PlotUi<'_>,
    theme: &Theme,
    series: &Series,
    value: impl Fn(&EvalPoint) -> f64,
) {
    let of = |test: bool| -> Vec<[f64; 2]> {
        series.evals.iter().filter(|point| point.test == test).map(|point| [point.x, value(point)]).collect()
    };
    let validation = of(false);
    let line = Line::new("validation", validation.clone()).color(theme.brand).width(1.75);
    plot.line(line.allow_hover(false));
    plot.points(
        Points::new("validation", validation).color(theme.brand).radius(3.0).shape(MarkerShape::Circle),
    );
    plot.points(Points::new("test", of(true)).color(theme.warning).radius(4.0).shape(MarkerShape::Diamond));
}

/// Means of the phases in buckets, stacked.
pub(super) fn time(plot: &mut PlotUi<'_>, theme: &Theme, window: &Window<'_>) {
    let mut xs = Vec::new();
    let mut tops: [Vec<f64>; 6] = std::array::from_fn(|_| Vec::new());
    for stair in window.stairs() {
        // Its left and its right edge.
        for x in [stair.from, stair.to] {
            xs.push(x);
            let mut top = 0.0;
            tops[0].push(top);
            for phase in 0..5 {
                top += stair.phases[phase];
                tops[phase + 1].push(top);
            }
        }
    }
    for phase in 0..5 {
        let area = FilledArea::new(PHASES[phase], &xs, &tops[phase], &tops[phase + 1]);
        plot.add(area.fill_color(theme.phases[phase]).allow_hover(false));
    }
    // A thin line on top answers the pointer with the whole step.
    let total: Vec<[f64; 2]> = xs.iter().zip(&tops[5]).map(|(&x, &y)| [x, y]).collect();
    plot.line(Line::new("ms", total).color(theme.phases[4]).width(0.5).allow_band(false));
}

pub(super) fn memory(plot: &mut PlotUi<'_>, theme: &Theme, window: &Window<'_>) {
    let live = window.thin(Channel::Live);
    plot.line(Line::new("live", live).color(theme.brand).width(1.75).fill(0.0).fill_alpha(0.15));
    let peak = window.thin(Channel::Peak);
    plot.line(Line::new("peak", peak).color(theme.body).width(1.5));
}

/// What each stage was predicted to cost, as a dashed line over its steps.
pub(super) fn foretold(plot: &mut PlotUi<'_>, theme: &Theme, series: &Series, last: f64, kind: Kind) {
    for (place, stage) in series.stages.iter().enumerate() {
        let Some(value) = forecast(stage, kind) else { continue };
        let end = series.stages.get(place + 1).map_or(last, |next| next.x);
        if end <= stage.x {
            continue;
        }
        // A label below where the line begins, on a ground of its own: what is measured runs close by.
        let text = egui::RichText::new(format!("predicted {}", axis((value * 10.0).round() / 10.0)))
            .font(mono(9.5))
            .color(theme.text)
            .background_color(theme.panel);
        let ends = [stage.x, end].map(|x| plot.screen_from_plot(PlotPoint::new(x, value)).x);
        if ends[1] - ends[0] > LABEL {
            let label = Text::new("", PlotPoint::new(stage.x, value), text).anchor(Align2::LEFT_TOP);
            plot.text(label.allow_hover(false));
        }
        let line = Line::new("predicted", vec![[stage.x, value], [end, value]]).color(theme.text);
        plot.line(line.width(1.5).style(LineStyle::Dashed { length: 6.0 }));
    }
}

/// A stage's predicted MiB or milliseconds. Predicted steps wait for no data.
#[expect(clippy::cast_precision_loss, reason = "bytes fit a plot's axis")]
pub(super) fn forecast(stage: &StageMark, kind: Kind) -> Option<f64> {
    let predicted = stage.predicted.as_ref()?;
    match kind {
        Kind::Memory => Some(predicted.peak_bytes as f64 / 1_048_576.0),
        Kind::Time => Some(1e3 * predicted.step_secs).filter(|ms| *ms > 0.0),
        Kind::Loss | Kind::Accuracy | Kind::Rate | Kind::Norm => None,
    }
}
