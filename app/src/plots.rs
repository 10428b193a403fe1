//! Live curves on one shared axis of steps: loss, accuracy, step time by phase, memory.

use egui::{
    Align2, Color32, Id, Rangef, Rect, Role, Sense, Stroke, Ui, UiBuilder, Vec2b, WidgetInfo, pos2, vec2,
};
use egui_plot::{
    AxisHints, FilledArea, HoverPosition, Line, LineStyle, MarkerShape, Plot, PlotPoint, PlotPoints, PlotUi,
    Points, Text, VLine,
};

use crate::format;
use crate::session::{Series, StageMark, State, StepPoint};
use crate::theme::{Theme, bold, mono, regular};

/// Names of the phases of a step, in the order in which they are stacked.
pub const PHASES: [&str; 5] = ["data", "frozen fwd", "trainable fwd", "backward", "optimizer"];

/// Height of a plot's title and legend.
const HEAD: f32 = 44.0;
/// Room that the word beside a predicted line needs.
const LABEL: f32 = 84.0;

/// Shows the plots, in a row where the dock is low and two by two where it is tall.
pub fn ui(ui: &mut Ui, series: &Series, state: &State) {
    let theme = Theme::of(ui);
    let all = ui.available_rect_before_wrap();
    if series.steps.is_empty() && series.evals.is_empty() {
        let text = match state {
            State::Starting => "Reading model and data…",
            State::Failed(_) => "The run failed before its first step",
            State::Running => "Waiting for the first step…",
            _ => "No run yet. Train draws loss, accuracy, step time and memory here",
        };
        ui.painter().text(all.center(), Align2::CENTER_CENTER, text, regular(12.0), theme.label);
        return;
    }
    let columns: usize = if all.height() < 320.0 && all.width() > 700.0 { 4 } else { 2 };
    let rows = 4 / columns;
    #[expect(clippy::cast_precision_loss, reason = "at most four")]
    let cell = vec2(all.width() / columns as f32, all.height() / rows as f32);
    for (i, kind) in [Kind::Loss, Kind::Accuracy, Kind::Time, Kind::Memory].into_iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "at most four")]
        let corner = all.min + vec2((i % columns) as f32 * cell.x, (i / columns) as f32 * cell.y);
        let rect = Rect::from_min_size(corner, cell);
        let stroke = Stroke::new(1.0, theme.line);
        if i % columns > 0 {
            ui.painter().vline(rect.left(), rect.y_range(), stroke);
        }
        if i / columns > 0 {
            ui.painter().hline(rect.x_range(), rect.top(), stroke);
        }
        let mut inner =
            ui.new_child(UiBuilder::new().id_salt(kind.title()).max_rect(rect.shrink2(vec2(10.0, 6.0))));
        inner.set_clip_rect(rect.intersect(ui.clip_rect()));
        one(&mut inner, kind, series);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Loss,
    Accuracy,
    Time,
    Memory,
}

impl Kind {
    const fn title(self) -> &'static str {
        match self {
            Self::Loss => "Loss",
            Self::Accuracy => "Accuracy",
            Self::Time => "Step time",
            Self::Memory => "Memory",
        }
    }

    const fn remark(self) -> &'static str {
        match self {
            Self::Loss => "cross-entropy",
            Self::Accuracy => "top-1, %",
            Self::Time => "ms by phase",
            Self::Memory => "MiB",
        }
    }
}

/// An entry of a legend: colour, name, present value.
type Entry = (Color32, &'static str, String);

fn one(ui: &mut Ui, kind: Kind, series: &Series) {
    let theme = Theme::of(ui);
    head(ui, kind, &legend(theme, kind, series));
    let size = ui.available_size();
    if size.y < 24.0 {
        return;
    }
    let last = series.steps.last().map_or(1.0, |point| point.x).max(2.0);
    // Nothing that is drawn here is negative; only the margin below zero is.
    let tick = |value: f64| if value < 0.0 { String::new() } else { axis(value) };
    let mut plot = Plot::new(("plot", kind.title()))
        .width(size.x)
        .height(size.y)
        .link_axis(Id::unique("plots"), Vec2b::new(true, false))
        .link_cursor(Id::unique("plots"), Vec2b::new(true, false))
        .include_x(0.0)
        .include_x(last)
        .set_margin_fraction(vec2(0.02, 0.08))
        .show_background(false)
        .grid_color(theme.line)
        .cursor_color(theme.edge)
        .allow_scroll(Vec2b::FALSE)
        .allow_zoom(Vec2b::new(true, false))
        .allow_drag(Vec2b::new(true, false))
        .custom_x_axes(vec![
            AxisHints::new_x()
                .label_spacing(Rangef::new(28.0, 56.0))
                .formatter(move |mark, _| tick(mark.value)),
        ])
        .custom_y_axes(vec![
            AxisHints::new_y()
                .min_thickness(34.0)
                .label_spacing(Rangef::new(14.0, 26.0))
                .formatter(move |mark, _| tick(mark.value)),
        ])
        .grid_spacing(Rangef::new(10.0, 150.0))
        .label_formatter(|position| match position {
            HoverPosition::NearDataPoint { plot_name, position, .. } if !plot_name.is_empty() => {
                Some(format!("step {:.0}\n{plot_name} {}", position.x, axis(position.y)))
            }
            _ => None,
        });
    if matches!(kind, Kind::Time | Kind::Memory) {
        plot = plot.include_y(0.0);
    }
    if kind == Kind::Accuracy {
        plot = plot.include_y(0.0).include_y(100.0);
    }
    ui.style_mut().text_styles.insert(egui::TextStyle::Body, mono(10.0));
    ui.visuals_mut().override_text_color = Some(theme.label);
    let width = f64::from(size.x);
    // Of stages that begin at one step, as those do that take none, the last is named.
    let marks = series.stages.iter().skip(1);
    let named = |(place, stage): &(usize, &StageMark)| {
        series.stages.get(place + 2).is_none_or(|next| next.x > stage.x)
    };
    let stages = marks.enumerate().filter(named).map(|(_, stage)| (stage.x, stage.index));
    let stages: Vec<(f64, usize)> = stages.collect();
    let lines = stages.clone();
    let response = plot.show(ui, |plot| {
        let (points, buckets) = visible(plot, &series.steps, width);
        for (x, index) in lines {
            let line = VLine::new(format!("stage {}", index + 1), x + 0.5).color(theme.faint);
            plot.vline(line.width(1.0).style(LineStyle::dashed_dense()).allow_hover(false));
        }
        match kind {
            Kind::Loss => loss(plot, theme, series, points, buckets),
            Kind::Accuracy => accuracy(plot, theme, series),
            Kind::Time => {
                time(plot, theme, points, buckets);
                foretold(plot, theme, series, last, kind);
            }
            Kind::Memory => {
                memory(plot, theme, points, buckets);
                foretold(plot, theme, series, last, kind);
            }
        }
    });
    for (x, index) in stages {
        let frame = response.transform.frame();
        let at = response.transform.position_from_point_x(x + 0.5) + 4.0;
        let text = format!("stage {}", index + 1);
        let width = 44.0;
        if frame.x_range().contains(at) && at + width < frame.right() {
            let at = pos2(at, frame.top() + 8.0);
            ui.painter().text(at, Align2::LEFT_CENTER, text, regular(10.0), theme.label);
        }
    }
    let count = match kind {
        Kind::Accuracy => series.evals.len(),
        _ => series.steps.len(),
    };
    let name = format!("Plot of {}, {count} points", kind.title());
    response.response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, &name));
}

/// A tick's number, with no more digits than it needs.
fn axis(value: f64) -> String {
    let text = if value.abs() >= 10_000.0 {
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

fn head(ui: &mut Ui, kind: Kind, legend: &[Entry]) {
    let theme = Theme::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), HEAD - 4.0), Sense::hover());
    let painter = ui.painter();
    let y = rect.top() + 10.0;
    let title =
        painter.text(pos2(rect.left() + 2.0, y), Align2::LEFT_CENTER, kind.title(), bold(13.0), theme.text);
    painter.text(
        pos2(title.right() + 8.0, y),
        Align2::LEFT_CENTER,
        kind.remark(),
        regular(11.0),
        theme.label,
    );
    let y = rect.top() + 29.0;
    let mut x = rect.left() + 2.0;
    for (color, name, value) in legend {
        let words = painter.layout_no_wrap((*name).to_owned(), regular(10.5), theme.label);
        let digits = painter.layout_no_wrap(value.clone(), mono(10.5), theme.text);
        let width = 13.0 + words.size().x + 4.0 + digits.size().x;
        if x + width > rect.right() {
            return;
        }
        let mark =
            Rect::from_center_size(pos2(x + 4.0, y), vec2(8.0, if kind == Kind::Time { 8.0 } else { 3.0 }));
        painter.rect_filled(mark, 1, *color);
        x += 13.0;
        let at = pos2(x, y - words.size().y / 2.0);
        x += words.size().x + 4.0;
        painter.galley(at, words, theme.label);
        let at = pos2(x, y - digits.size().y / 2.0);
        x += digits.size().x + 10.0;
        painter.galley(at, digits, theme.text);
    }
}

fn legend(theme: &Theme, kind: Kind, series: &Series) -> Vec<Entry> {
    let last = series.steps.last();
    let number = |value: Option<f64>, decimals: usize| {
        value.map_or_else(|| format::UNKNOWN.to_owned(), |value| format!("{value:.decimals$}"))
    };
    let eval = |test: bool| series.evals.iter().rev().find(|point| point.test == test);
    match kind {
        Kind::Loss => {
            let mut entries = vec![
                (theme.text, "train", number(last.map(|point| point.smooth), 3)),
                (theme.brand, "validation", number(eval(false).map(|point| point.loss), 3)),
            ];
            if let Some(test) = eval(true) {
                entries.push((theme.warning, "test", number(Some(test.loss), 3)));
            }
            entries
        }
        Kind::Accuracy => {
            let mut entries =
                vec![(theme.brand, "validation", number(eval(false).map(|point| point.top1), 1))];
            if let Some(test) = eval(true) {
                entries.push((theme.warning, "test", number(Some(test.top1), 1)));
            }
            entries
        }
        Kind::Time => (0..5)
            .map(|i| (theme.phases[i], PHASES[i], number(last.map(|point| point.phases[i]), 1)))
            .collect(),
        Kind::Memory => {
            let mut entries = vec![
                (theme.brand, "live", number(last.map(|point| point.live), 1)),
                (theme.body, "stage peak", number(last.map(|point| point.peak), 1)),
            ];
            if let Some(forecast) = series.stage().and_then(|stage| forecast(stage, kind)) {
                entries.push((theme.text, "predicted", number(Some(forecast), 1)));
            }
            entries
        }
    }
}

/// The points in view and the number of buckets for them, one a screen point.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width in points")]
fn visible<'a>(plot: &PlotUi<'_>, points: &'a [StepPoint], width: f64) -> (&'a [StepPoint], usize) {
    let buckets = (width.max(16.0) as usize).min(4096);
    if plot.auto_bounds().x {
        return (points, buckets);
    }
    let bounds = plot.plot_bounds();
    let begin = points.partition_point(|point| point.x < bounds.min()[0]).saturating_sub(1);
    let end = (points.partition_point(|point| point.x <= bounds.max()[0]) + 1).min(points.len());
    (&points[begin.min(end)..end], buckets)
}

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

fn loss<'a>(plot: &mut PlotUi<'a>, theme: &Theme, series: &Series, points: &[StepPoint], buckets: usize) {
    let raw: PlotPoints<'a> = decimate(points, buckets, |point| point.loss).into();
    let faint = theme.label.gamma_multiply(0.55);
    plot.line(Line::new("loss", raw).color(faint).width(1.0).allow_hover(false));
    let smooth: PlotPoints<'a> = decimate(points, buckets, |point| point.smooth).into();
    plot.line(Line::new("train", smooth).color(theme.text).width(1.75));
    evals(plot, theme, series, |point| point.loss);
}

fn accuracy(plot: &mut PlotUi<'_>, theme: &Theme, series: &Series) {
    evals(plot, theme, series, |point| point.top1);
}

fn evals(
    plot: &mut PlotUi<'_>,
    theme: &Theme,
    series: &Series,
    value: impl Fn(&crate::session::EvalPoint) -> f64,
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
fn time(plot: &mut PlotUi<'_>, theme: &Theme, points: &[StepPoint], buckets: usize) {
    let size = points.len().div_ceil((buckets / 2).max(1)).max(1);
    let mut xs = Vec::new();
    let mut tops: [Vec<f64>; 6] = std::array::from_fn(|_| Vec::new());
    for bucket in points.chunks(size) {
        #[expect(clippy::cast_precision_loss, reason = "a bucket is small")]
        let count = bucket.len() as f64;
        let Some(last) = bucket.last() else { continue };
        // Each bucket is a step of the staircase: its left and its right edge.
        for x in [bucket[0].x - 1.0, last.x] {
            xs.push(x);
            let mut top = 0.0;
            tops[0].push(top);
            for phase in 0..5 {
                top += bucket.iter().map(|point| point.phases[phase]).sum::<f64>() / count;
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

fn memory(plot: &mut PlotUi<'_>, theme: &Theme, points: &[StepPoint], buckets: usize) {
    let live = decimate(points, buckets, |point| point.live);
    plot.line(Line::new("live", live).color(theme.brand).width(1.75).fill(0.0).fill_alpha(0.15));
    let peak = decimate(points, buckets, |point| point.peak);
    plot.line(Line::new("peak", peak).color(theme.body).width(1.5));
}

/// What each stage was predicted to cost, as a dashed line over its steps.
fn foretold(plot: &mut PlotUi<'_>, theme: &Theme, series: &Series, last: f64, kind: Kind) {
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
fn forecast(stage: &StageMark, kind: Kind) -> Option<f64> {
    let predicted = stage.predicted.as_ref()?;
    match kind {
        Kind::Memory => Some(predicted.peak_bytes as f64 / 1_048_576.0),
        Kind::Time => Some(1e3 * predicted.step_secs).filter(|ms| *ms > 0.0),
        Kind::Loss | Kind::Accuracy => None,
    }
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
                StepPoint { x, loss, smooth: loss, phases: [1.0; 5], live: 1.0, peak: 1.0 }
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
    fn ticks_have_no_needless_digits() {
        assert_eq!([axis(0.25), axis(100.0), axis(12_500.0), axis(-3.0)], ["0.25", "100", "12.5 k", "−3"]);
    }
}
