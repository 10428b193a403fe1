//! Live curves on one shared axis of steps: loss, accuracy, step time by phase, memory, learning rate, gradient norm.

mod bar;
mod classes;
mod draw;
mod export;
mod legend;
mod shown;
mod thin;
mod write;

use egui::{Align2, Id, Rect, Role, Stroke, Ui, UiBuilder, Vec2b, WidgetInfo, pos2, vec2};
use egui_plot::{HoverPosition, Line, LineStyle, Plot, VLine};

use crate::actions::Action;
use crate::pyramid::Channel;
use crate::session::{Session, StageMark, State};
use crate::theme::{Theme, mono, regular};
use crate::view::{PlotsPage, PlotsView};
use crate::widgets::rule;
pub use classes::Judged;
use draw::{accuracy, budget_line, foretold, loss, memory, time, visible};
use legend::{head, legend};
use shown::{Kind, Shown};
pub use thin::{axes, axis, shares};
use write::{Form, write};

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
    judged: &mut Judged<'_>,
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
            return classes::ui(ui, series, judged);
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

/// The step at which the pointer stands in this plot.
fn one(ui: &mut Ui, shown: Shown<'_>, view: &mut PlotsView) -> Option<f64> {
    let Shown { kind, series, .. } = shown;
    let theme = Theme::of(ui);
    let begin = ui.cursor().min;
    let menu = head(ui, kind, &kind.remark(series), &legend(theme, shown));
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
        .label_formatter(|position| match position {
            HoverPosition::NearDataPoint { plot_name, position, .. } if !plot_name.is_empty() => {
                Some(format!("step {:.0}\n{plot_name} {}", position.x, axis(position.y)))
            }
            _ => None,
        });
    plot = axes(plot, tick);
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
