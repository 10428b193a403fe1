//! Curves of the chosen runs over one another.

use egui::{Role, Ui, Vec2b, WidgetInfo, vec2};
use egui_plot::{Line, Plot, Points};

use super::compare::{Compared, compared, legend, metric, title_of};
use super::marks;
use crate::library::Library;
use crate::plots::{axes, axis, shares};
use crate::pyramid::Channel;
use crate::session::{EvalPoint, Series};
use crate::theme::{Theme, bold, mono, regular};
use crate::view::{CurveKind, RunsView};

pub(super) fn ui(ui: &mut Ui, library: &mut Library, view: &mut RunsView) {
    let runs = compared(library);
    let score = format!("{} %", title_of(metric(&runs)));
    choice(
        ui,
        "Curves",
        &mut view.curves,
        &[
            (CurveKind::Accuracy, score.as_str()),
            (CurveKind::Validation, "Validation loss"),
            (CurveKind::Training, "Training loss"),
        ],
    );
    legend(ui, &runs);
    let size = ui.available_size();
    if size.y < 40.0 {
        return;
    }
    let theme = Theme::of(ui);
    ui.style_mut().text_styles.insert(egui::TextStyle::Body, mono(10.0));
    ui.visuals_mut().override_text_color = Some(theme.label);
    let kind = view.curves;
    let tick = |value: f64| if value < 0.0 { String::new() } else { axis(value) };
    let plot = Plot::new("compared curves")
        .width(size.x)
        .height(size.y)
        .set_margin_fraction(vec2(0.02, 0.08))
        .show_background(false)
        .grid_color(theme.line)
        .allow_scroll(Vec2b::FALSE)
        .allow_zoom(Vec2b::new(true, false))
        .allow_drag(Vec2b::new(true, false));
    let plot = axes(plot, tick);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width in points")]
    let buckets = (size.x.max(16.0) as usize).min(4096);
    let read = |run: &Compared| run.curve.as_ref().map(|curve| points(&curve.series, kind, buckets));
    let curves: Vec<Option<Vec<[f64; 2]>>> = runs.iter().map(read).collect();
    let mut drawn = 0;
    let response = plot.show(ui, |plot| {
        if kind == CurveKind::Accuracy {
            plot.set_plot_bounds_y(shares(curves.iter().flatten().flatten().map(|point| point[1]), 0.08));
        }
        for ((place, run), points) in runs.iter().enumerate().zip(curves) {
            let Some(points) = points else { continue };
            drawn += usize::from(!points.is_empty());
            let mark = marks::mark(theme, place);
            let name = run.entry.id.clone();
            if kind != CurveKind::Training {
                let dots = Points::new(name.clone(), points.clone()).color(mark.color).radius(3.5);
                plot.points(dots.shape(mark.shape));
            }
            plot.line(Line::new(name, points).color(mark.color).width(1.75).style(mark.line));
        }
        drawn
    });
    let label = format!("Plot of compared runs, {} curves", response.inner);
    response.response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, &label));
}

/// What a run's series gives for one kind of curve.
fn points(series: &Series, kind: CurveKind, buckets: usize) -> Vec<[f64; 2]> {
    let of = |value: fn(&EvalPoint) -> f64| -> Vec<[f64; 2]> {
        let points = series.evals.iter().filter(|point| !point.test);
        points.map(|point| [point.x, value(point)]).filter(|point| point[1].is_finite()).collect()
    };
    match kind {
        CurveKind::Accuracy => of(|point| point.score),
        CurveKind::Validation => of(|point| point.loss),
        CurveKind::Training => series.thin(0..series.steps.len(), buckets, Channel::Smooth),
    }
}

/// A title with a choice beside it.
pub(super) fn choice<T: Clone + PartialEq>(ui: &mut Ui, title: &str, value: &mut T, among: &[(T, &str)]) {
    let theme = Theme::of(ui);
    ui.horizontal(|ui| {
        ui.label(egui::RichText::new(title).font(bold(13.0)).color(theme.text));
        let shown = among.iter().find(|(one, _)| one == value).map_or("", |(_, name)| *name);
        let list = egui::ComboBox::from_id_salt(title).width(130.0);
        let text = egui::RichText::new(shown).font(regular(11.0));
        let response = list.selected_text(text).show_ui(ui, |ui| {
            for (one, name) in among {
                ui.selectable_value(value, one.clone(), *name);
            }
        });
        let label = format!("{title}: {shown}");
        response.response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, &label));
    });
}

/// Numbers of settings that differ, by path: what runs may be drawn against.
pub(super) fn swept(runs: &[Compared]) -> Vec<String> {
    let projects: Vec<_> = runs.iter().filter_map(Compared::project).collect();
    let all: Vec<_> = projects.iter().map(|project| graft_engine::runs::settings(project)).collect();
    let Some(first) = all.first() else { return Vec::new() };
    let number = |settings: &std::collections::BTreeMap<String, String>, path: &String| {
        settings.get(path).and_then(|text| text.parse::<f64>().ok())
    };
    let differs = |path: &&String| {
        let values: Vec<Option<f64>> = all.iter().map(|settings| number(settings, path)).collect();
        *path != "seed"
            && values.iter().all(Option::is_some)
            && values.windows(2).any(|pair| pair[0] != pair[1])
    };
    first.keys().filter(differs).cloned().collect()
}
