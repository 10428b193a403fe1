//! Live curves on one shared axis of steps: loss, accuracy, step time by phase, memory, learning rate, gradient norm.

mod bar;
mod classes;
mod export;
mod thin;

use egui::{
    Align2, Color32, Id, Rangef, Rect, Role, Sense, Stroke, Ui, UiBuilder, Vec2b, WidgetInfo, pos2, vec2,
};
use egui_plot::{
    AxisHints, FilledArea, HoverPosition, Line, LineStyle, MarkerShape, Plot, PlotPoint, PlotPoints, PlotUi,
    Points, Text, VLine,
};

use crate::actions::Action;
use crate::format;
use crate::icons::Icon;
use crate::pyramid::Channel;
use crate::session::{EvalPoint, Series, Session, StageMark, State, StepPoint};
use crate::theme::{Theme, bold, mono, regular};
use crate::view::{PlotsPage, PlotsView};
use crate::widgets::rule;
use thin::Window;
pub use thin::axis;

/// Names of the phases of a step, in the order in which they are stacked.
pub const PHASES: [&str; 5] = ["data", "frozen fwd", "trainable fwd", "backward", "optimizer"];

/// Height of a plot's title and legend.
const HEAD: f32 = 44.0;
/// Height of a further line of a legend.
const LEGEND: f32 = 15.0;
/// Height from which on there is room for a bar above the plots.
const TALL: f32 = 300.0;
/// Room that the word beside a predicted line needs.
const LABEL: f32 = 84.0;

/// Shows the plots, those of another project under its name, in a row where the dock is low and in several where it is tall.
pub fn ui(
    ui: &mut Ui,
    session: &Session,
    whose: Option<&str>,
    view: &mut PlotsView,
    budget: Option<u64>,
    actions: &mut Vec<Action>,
) {
    let (series, state) = (session.series(), session.state());
    let theme = Theme::of(ui);
    if ui.available_height() > TALL {
        bar::ui(ui, session, view, actions);
        rule(ui);
        if view.page == PlotsPage::Classes {
            return classes::ui(ui, series);
        }
    }
    if let Some(name) = whose {
        ui.add_space(4.0);
        ui.horizontal(|ui| {
            ui.add_space(12.0);
            let text = format!("A run of {name}, not of the project that is open");
            ui.label(egui::RichText::new(text).font(regular(11.0)).color(theme.warning));
        });
    }
    let all = ui.available_rect_before_wrap();
    if series.steps.is_empty() && series.evals.is_empty() {
        let text = match state {
            State::Starting => "Reading model and data…",
            State::Failed(_) => "The run failed before its first step",
            State::Running | State::Following => "Waiting for the first step…",
            _ => "No run yet. Train draws loss, accuracy, step time and memory here",
        };
        ui.painter().text(all.center(), Align2::CENTER_CENTER, text, regular(12.0), theme.label);
        return;
    }
    // A low dock has room for one row of those that tell most.
    let low = all.height() < 320.0;
    let columns: usize = match (low, all.width()) {
        (true, 700.0..) => 4,
        (false, 900.0..) => 3,
        _ => 2,
    };
    let kinds = if low { &Kind::ALL[..4] } else { &Kind::ALL[..] };
    let rows = kinds.len().div_ceil(columns);
    let pointed: Option<f64> = ui.data(|data| data.get_temp(pointed_id()));
    let mut pointing = None;
    #[expect(clippy::cast_precision_loss, reason = "at most six")]
    let cell = vec2(all.width() / columns as f32, all.height() / rows as f32);
    for (i, &kind) in kinds.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "at most six")]
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
        let shown = Shown { kind, series, budget, pointed };
        pointing = pointing.or(one(&mut inner, shown, view));
    }
    if pointing != pointed {
        ui.data_mut(|data| match pointing {
            Some(x) => {
                data.insert_temp(pointed_id(), x);
            }
            None => {
                data.remove_temp::<f64>(pointed_id());
            }
        });
        ui.ctx().request_repaint();
    }
}

/// Where the step is kept at which the pointer stands in any of the plots.
fn pointed_id() -> Id {
    Id::unique("step under the pointer")
}

/// What one plot shows.
#[derive(Clone, Copy)]
struct Shown<'a> {
    kind: Kind,
    series: &'a Series,
    budget: Option<u64>,
    /// The step at which the legends read their values; the last one where there is none.
    pointed: Option<f64>,
}

impl Shown<'_> {
    fn step(&self) -> Option<&StepPoint> {
        let steps = &self.series.steps;
        match self.pointed {
            None => steps.last(),
            Some(x) => {
                let place = steps.partition_point(|point| point.x < x.round());
                steps.get(place).or(steps.last())
            }
        }
    }

    /// The latest evaluation, or the one before the pointer.
    fn eval(&self, test: bool) -> Option<&EvalPoint> {
        let reached = |point: &&EvalPoint| self.pointed.is_none_or(|x| point.x <= x.round());
        self.series.evals.iter().rev().filter(reached).find(|point| point.test == test)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Loss,
    Accuracy,
    Time,
    Memory,
    Rate,
    Norm,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Loss, Self::Accuracy, Self::Time, Self::Memory, Self::Rate, Self::Norm];

    const fn title(self) -> &'static str {
        match self {
            Self::Loss => "Loss",
            Self::Accuracy => "Accuracy",
            Self::Time => "Step time",
            Self::Memory => "Memory",
            Self::Rate => "Learning rate",
            Self::Norm => "Gradient norm",
        }
    }

    const fn remark(self) -> &'static str {
        match self {
            Self::Loss => "cross-entropy",
            Self::Accuracy => "top-1, %",
            Self::Time => "ms by phase",
            Self::Memory => "MiB",
            Self::Rate => "",
            Self::Norm => "before clipping",
        }
    }
}

/// An entry of a legend: colour, name, present value.
type Entry = (Color32, &'static str, String);

/// The step at which the pointer stands in this plot.
fn one(ui: &mut Ui, shown: Shown<'_>, view: &mut PlotsView) -> Option<f64> {
    let Shown { kind, series, .. } = shown;
    let theme = Theme::of(ui);
    let begin = ui.cursor().min;
    let menu = head(ui, kind, &legend(theme, shown));
    let size = ui.available_size();
    if size.y < 24.0 {
        return None;
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
    if matches!(kind, Kind::Time | Kind::Memory | Kind::Rate | Kind::Norm) {
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
        let window = visible(plot, series, width);
        for (x, index) in lines {
            let line = VLine::new(format!("stage {}", index + 1), x + 0.5).color(theme.faint);
            plot.vline(line.width(1.0).style(LineStyle::dashed_dense()).allow_hover(false));
        }
        match kind {
            Kind::Loss => loss(plot, theme, series, &window),
            Kind::Accuracy => accuracy(plot, theme, series),
            Kind::Time => {
                time(plot, theme, &window);
                foretold(plot, theme, series, last, kind);
            }
            Kind::Memory => {
                memory(plot, theme, &window);
                foretold(plot, theme, series, last, kind);
                budget_line(plot, theme, shown, last);
            }
            Kind::Rate => {
                let points = window.thin(Channel::Rate);
                plot.line(Line::new("rate", points).color(theme.brand).width(1.75));
            }
            Kind::Norm => {
                let points = window.thin(Channel::Norm);
                plot.line(Line::new("norm", points).color(theme.body).width(1.25));
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
    let whole = Rect::from_min_max(begin, response.response.rect.max);
    let mut chosen = None;
    let items = |ui: &mut Ui, chosen: &mut Option<Form>| {
        ui.visuals_mut().override_text_color = None;
        for form in Form::ALL {
            if ui.button(form.word()).clicked() {
                *chosen = Some(form);
                ui.close();
            }
        }
    };
    response.response.context_menu(|ui| items(ui, &mut chosen));
    egui::Popup::menu(&menu).show(|ui| items(ui, &mut chosen));
    if let Some(form) = chosen {
        view.told = Some(match write(ui, shown, form, whole) {
            Ok(path) => format!("Wrote {}", path.display()),
            Err(error) => format!("The plot was not written: {error}"),
        });
    }
    let at = response.response.hover_pos()?;
    Some(response.transform.value_from_position(at).x).filter(|x| *x >= 0.0)
}

/// What a plot can be written as.
#[derive(Clone, Copy, Debug)]
enum Form {
    Csv,
    Svg,
    Png,
}

impl Form {
    const ALL: [Self; 3] = [Self::Csv, Self::Svg, Self::Png];

    const fn word(self) -> &'static str {
        match self {
            Self::Csv => "Numbers as CSV",
            Self::Svg => "Curves as SVG",
            Self::Png => "Picture as PNG",
        }
    }
}

/// Writes a plot into the run's folder; a picture follows with the next frame.
fn write(ui: &Ui, shown: Shown<'_>, form: Form, rect: Rect) -> std::io::Result<std::path::PathBuf> {
    let title = shown.kind.title();
    let folder = &shown.series.folder;
    let curves = || whole(Theme::of(ui), shown);
    match form {
        Form::Csv => {
            let path = export::place(folder, title, "csv")?;
            std::fs::write(&path, export::csv(&curves()))?;
            Ok(path)
        }
        Form::Svg => {
            let path = export::place(folder, title, "svg")?;
            // As many points as a page can show.
            std::fs::write(&path, export::svg(title, shown.kind.remark(), &curves()))?;
            Ok(path)
        }
        Form::Png => {
            let path = export::place(folder, title, "png")?;
            let (scale, file) = (ui.ctx().pixels_per_point(), path.clone());
            let written = move |picture: std::sync::Arc<egui::ColorImage>| {
                if let Err(error) = export::png(&picture, rect, scale, &file) {
                    tracing::warn!("the picture was not written: {error}: {}", file.display());
                }
            };
            ui.ctx()
                .send_viewport_cmd(egui::ViewportCommand::Screenshot(egui::ScreenshotCallback::new(written)));
            Ok(path)
        }
    }
}

/// All points of a plot's curves.
fn whole(theme: &Theme, shown: Shown<'_>) -> Vec<export::Curve> {
    let Shown { kind, series, .. } = shown;
    let steps = |name: &str, color: Color32, value: &dyn Fn(&StepPoint) -> f64| export::Curve {
        name: name.to_owned(),
        color,
        points: series.steps.iter().map(|point| [point.x, value(point)]).collect(),
    };
    let evals = |name: &str, color: Color32, test: bool, value: fn(&EvalPoint) -> f64| export::Curve {
        name: name.to_owned(),
        color,
        points: series
            .evals
            .iter()
            .filter(|point| point.test == test)
            .map(|point| [point.x, value(point)])
            .collect(),
    };
    match kind {
        Kind::Loss => vec![
            steps("step", theme.label, &|point| point.loss),
            steps("train", theme.text, &|point| point.smooth),
            evals("validation", theme.brand, false, |point| point.loss),
            evals("test", theme.warning, true, |point| point.loss),
        ],
        Kind::Accuracy => vec![
            evals("validation", theme.brand, false, |point| point.top1),
            evals("test", theme.warning, true, |point| point.top1),
        ],
        Kind::Time => (0..PHASES.len())
            .map(|i| steps(PHASES[i], theme.phases[i], &move |point| point.phases[i]))
            .collect(),
        Kind::Memory => vec![
            steps("live", theme.brand, &|point| point.live),
            steps("stage peak", theme.body, &|point| point.peak),
        ],
        Kind::Rate => vec![steps("rate", theme.brand, &|point| point.rate)],
        Kind::Norm => vec![steps("norm", theme.body, &|point| point.norm)],
    }
}

/// The memory budget that was typed last, where it lies near what is used.
#[expect(clippy::cast_precision_loss, reason = "bytes fit a plot's axis")]
fn budget_line(plot: &mut PlotUi<'_>, theme: &Theme, shown: Shown<'_>, last: f64) {
    let Some(budget) = shown.budget.map(|bytes| bytes as f64 / 1_048_576.0) else { return };
    let peak = shown.series.highest(Channel::Peak).unwrap_or(0.0);
    if budget < 3.0 * peak {
        let line = Line::new("budget", vec![[0.0, budget], [last, budget]]).color(theme.warning);
        plot.line(line.width(1.5).style(LineStyle::dashed_dense()));
    }
}

/// Title and legend; the answer of the button at the right opens the plot's menu.
fn head(ui: &mut Ui, kind: Kind, legend: &[Entry]) -> egui::Response {
    let theme = Theme::of(ui);
    // The phases' names need a second line where the plot is narrow.
    let more = if legend.len() > 3 && ui.available_width() < 430.0 { LEGEND } else { 0.0 };
    let size = vec2(ui.available_width(), HEAD - 4.0 + more);
    let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
    let corner = Rect::from_min_size(pos2(rect.right() - 22.0, rect.top() - 1.0), vec2(22.0, 22.0));
    let name = format!("Export plot of {}", kind.title());
    let menu = ui.interact(corner, Id::unique(&name), Sense::click());
    menu.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
    let color = if menu.hovered() || menu.has_focus() { theme.text } else { theme.label };
    crate::icons::paint(ui.painter(), Icon::Save, corner.center(), 13.0, color);
    let menu = menu.on_hover_text("Export this plot");
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
    let mut y = rect.top() + 29.0;
    let mut x = rect.left() + 2.0;
    for (color, name, value) in legend {
        let words = painter.layout_no_wrap((*name).to_owned(), regular(10.5), theme.label);
        let digits = painter.layout_no_wrap(value.clone(), mono(10.5), theme.text);
        let width = 13.0 + words.size().x + 4.0 + digits.size().x;
        if x + width > rect.right() {
            if y + LEGEND > rect.bottom() {
                break;
            }
            x = rect.left() + 2.0;
            y += LEGEND;
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
    menu
}

fn legend(theme: &Theme, shown: Shown<'_>) -> Vec<Entry> {
    let Shown { kind, series, .. } = shown;
    let last = shown.step();
    let number = |value: Option<f64>, decimals: usize| {
        value.map_or_else(|| format::UNKNOWN.to_owned(), |value| format!("{value:.decimals$}"))
    };
    let eval = |test: bool| shown.eval(test);
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
        Kind::Rate => {
            let value = last.map_or_else(|| format::UNKNOWN.to_owned(), |point| axis(point.rate));
            vec![(theme.brand, "rate", value)]
        }
        Kind::Norm => vec![(theme.body, "norm", number(last.map(|point| point.norm), 3))],
    }
}

/// What is in view, and how many buckets there are for it: one a screen point.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width in points")]
fn visible<'a>(plot: &PlotUi<'_>, series: &'a Series, width: f64) -> Window<'a> {
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

fn loss<'a>(plot: &mut PlotUi<'a>, theme: &Theme, series: &Series, window: &Window<'_>) {
    let raw: PlotPoints<'a> = window.thin(Channel::Loss).into();
    let faint = theme.label.gamma_multiply(0.55);
    plot.line(Line::new("loss", raw).color(faint).width(1.0).allow_hover(false));
    let smooth: PlotPoints<'a> = window.thin(Channel::Smooth).into();
    plot.line(Line::new("train", smooth).color(theme.text).width(1.75));
    evals(plot, theme, series, |point| point.loss);
}

fn accuracy(plot: &mut PlotUi<'_>, theme: &Theme, series: &Series) {
    evals(plot, theme, series, |point| point.top1);
}

fn evals(plot: &mut PlotUi<'_>, theme: &Theme, series: &Series, value: impl Fn(&EvalPoint) -> f64) {
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
fn time(plot: &mut PlotUi<'_>, theme: &Theme, window: &Window<'_>) {
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

fn memory(plot: &mut PlotUi<'_>, theme: &Theme, window: &Window<'_>) {
    let live = window.thin(Channel::Live);
    plot.line(Line::new("live", live).color(theme.brand).width(1.75).fill(0.0).fill_alpha(0.15));
    let peak = window.thin(Channel::Peak);
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
        Kind::Loss | Kind::Accuracy | Kind::Rate | Kind::Norm => None,
    }
}
