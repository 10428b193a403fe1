//! Accuracy of the chosen runs against what they cost, or against a setting that was swept.

use egui::{Align2, Color32, RichText, Role, Ui, Vec2b, WidgetInfo, vec2};
use egui_plot::{Line, LineStyle, Plot, PlotPoint, Points, Text};
use graft_engine::runs::settings;

use super::compare::{Compared, compared, metric, short_name, title_of};
use super::curves::{choice, swept};
use super::marks;
use crate::library::Library;
use crate::plots::{axes, axis, shares};
use crate::theme::{Theme, mono, regular};
use crate::view::{Against, RunsView};

/// A run in the plot.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Dot {
    /// Which of the chosen runs.
    place: usize,
    /// Its cost and its score.
    at: [f64; 2],
    /// Whether the score is that on the test split rather than the best on the validation split.
    tested: bool,
}

/// All chosen runs that have a score; those that were not tested, by their validation.
fn dots(runs: &[Compared], against: &Against) -> Vec<Dot> {
    let dot = |(place, run): (usize, &Compared)| {
        let (score, tested) = match run.entry.score {
            Some(score) => (score, true),
            None => (run.entry.validation?, false),
        };
        Some(Dot { place, at: [cost(run, against)?, 100.0 * score], tested })
    };
    runs.iter().enumerate().filter_map(dot).collect()
}

/// What is said of runs that were not tested.
fn untested(count: usize, all: usize) -> Option<String> {
    match count {
        0 => None,
        _ if count == all => Some("Best validation score; none was tested".to_owned()),
        1 => Some("Hollow: validation, 1 run has no test score".to_owned()),
        _ => Some(format!("Hollow: validation, {count} runs have no test score")),
    }
}

pub(super) fn ui(ui: &mut Ui, library: &mut Library, view: &mut RunsView) {
    let runs = compared(library);
    let paths = swept(&runs);
    if let Against::Setting(path) = &view.against
        && !paths.contains(path)
    {
        view.against = Against::Bytes;
    }
    let mut among =
        vec![(Against::Bytes, "peak, MiB"), (Against::Time, "time, s"), (Against::Trainable, "trainable, k")];
    among.extend(paths.iter().map(|path| (Against::Setting(path.clone()), path.as_str())));
    let title = format!("{} % against", title_of(metric(&runs)));
    choice(ui, &title, &mut view.against, &among);
    let theme = Theme::of(ui);
    let points = dots(&runs, &view.against);
    let count = points.iter().filter(|dot| !dot.tested).count();
    let said = untested(count, points.len());
    if let Some(text) = &said {
        ui.label(RichText::new(text).font(regular(10.5)).color(theme.label));
    }
    let size = ui.available_size();
    if size.y < 40.0 {
        return;
    }
    ui.style_mut().text_styles.insert(egui::TextStyle::Body, mono(10.0));
    ui.visuals_mut().override_text_color = Some(theme.label);
    // The line and the ground have one measure: validation only where no compared run was tested yet.
    let tested = points.iter().any(|dot| dot.tested);
    // Runs that are not compared give the ground, where their rows tell what is needed.
    let others: Vec<[f64; 2]> = if matches!(view.against, Against::Setting(_)) {
        Vec::new()
    } else {
        let rows = library.rows().iter().filter(|row| !library.chosen().contains(&row.entry.path));
        let rows: Vec<Compared> =
            rows.map(|row| Compared { entry: row.entry.clone(), curve: None }).collect();
        dots(&rows, &view.against).iter().filter(|dot| dot.tested == tested).map(|dot| dot.at).collect()
    };
    let swept = matches!(view.against, Against::Setting(_));
    let mut line: Vec<[f64; 2]> =
        points.iter().filter(|dot| dot.tested == tested).map(|dot| dot.at).collect();
    line.extend(&others);
    let scores = points.iter().map(|dot| dot.at[1]).chain(others.iter().map(|point| point[1]));
    // Names above points need their height.
    let margin = match size.y {
        ..80.0 => 0.45,
        80.0..140.0 => 0.3,
        _ => 0.12,
    };
    let range = shares(scores, margin);
    let line = if swept { means(&line) } else { front(&line) };
    // What something costs is not negative; only the margin below zero is.
    let tick = move |value: f64| if value < 0.0 && !swept { String::new() } else { axis(value) };
    let plot = Plot::new("scatter")
        .width(size.x)
        .height(size.y)
        .set_margin_fraction(vec2(0.08, 0.0))
        .show_background(false)
        .grid_color(theme.line)
        .allow_scroll(Vec2b::FALSE)
        .allow_zoom(Vec2b::FALSE)
        .allow_drag(Vec2b::FALSE);
    let plot = axes(plot, tick);
    // What something costs is seen from nothing on; a swept setting has a range of its own.
    let plot = if swept { plot } else { plot.include_x(0.0) };
    let few = points.len() <= 8;
    let response = plot.show(ui, |plot| {
        plot.set_plot_bounds_y(range);
        if !others.is_empty() {
            plot.points(Points::new("other runs", others).color(theme.faint).radius(2.5));
        }
        let name = if swept { "mean" } else { "Pareto front" };
        let dashes = Line::new(name, line).color(theme.label).width(1.0);
        plot.line(dashes.style(LineStyle::Dashed { length: 4.0 }).allow_hover(false));
        let mut written: Vec<egui::Pos2> = Vec::new();
        for Dot { place, at: point, tested } in &points {
            let mark = marks::mark(theme, *place);
            let entry = &runs[*place].entry;
            let name = if *tested { entry.id.clone() } else { format!("{}, validation", entry.id) };
            let dot = Points::new(name, vec![*point]).color(mark.color).radius(5.0).filled(*tested);
            plot.points(dot.shape(mark.shape));
            // Where points lie close together the table tells which is which.
            let at = plot.screen_from_plot(PlotPoint::new(point[0], point[1]));
            let free = |other: &egui::Pos2| (other.y - at.y).abs() > 13.0 || (other.x - at.x).abs() > 260.0;
            if few && written.iter().all(free) {
                written.push(at);
                word(plot, &short_name(entry), *point, theme.body);
            }
        }
    });
    let name = match count {
        0 => format!("Scatter of {} runs", points.len()),
        count => format!("Scatter of {} runs, {count} by validation", points.len()),
    };
    response.response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, &name));
}

fn word(plot: &mut egui_plot::PlotUi<'_>, text: &str, [x, y]: [f64; 2], color: Color32) {
    let bounds = plot.plot_bounds();
    // At the right of its point, or at the left where the plot ends.
    let right = x < f64::midpoint(bounds.min()[0], bounds.max()[0]);
    let (align, space) = if right { (Align2::LEFT_BOTTOM, "  ") } else { (Align2::RIGHT_BOTTOM, "") };
    let text: String = text.chars().take(22).collect();
    let text = if right { format!("{space}{text}") } else { format!("{text}  ") };
    let text = RichText::new(text).font(regular(10.0)).color(color);
    plot.text(Text::new("", PlotPoint::new(x, y), text).anchor(align).allow_hover(false));
}

#[expect(clippy::cast_precision_loss, reason = "counts fit a plot's axis")]
fn cost(run: &Compared, against: &Against) -> Option<f64> {
    match against {
        Against::Bytes => run.entry.peak_bytes.map(|bytes| bytes as f64 / 1_048_576.0),
        Against::Time => Some(run.entry.secs),
        Against::Trainable => run.entry.trainable.map(|count| count as f64 / 1e3),
        Against::Setting(path) => settings(run.project()?).get(path)?.parse().ok(),
    }
}

/// Points that no other one beats: none costs less and is at least as good. By cost.
#[must_use]
pub fn front(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut sorted: Vec<[f64; 2]> =
        points.iter().copied().filter(|point| point.iter().all(|value| value.is_finite())).collect();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(b[1].total_cmp(&a[1])));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|point| {
        let better = point[1] > best;
        best = best.max(point[1]);
        better
    });
    sorted
}

/// The mean at each swept value.
fn means(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]));
    #[expect(clippy::cast_precision_loss, reason = "few runs")]
    let mean =
        |same: &[[f64; 2]]| [same[0][0], same.iter().map(|point| point[1]).sum::<f64>() / same.len() as f64];
    sorted.chunk_by(|a, b| a[0].total_cmp(&b[0]).is_eq()).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_nothing_beats() {
        let points = [[3.0, 70.0], [1.0, 50.0], [2.0, 49.0], [2.0, 60.0], [4.0, 70.0], [f64::NAN, 99.0]];
        assert_eq!(front(&points), [[1.0, 50.0], [2.0, 60.0], [3.0, 70.0]]);
        assert!(front(&[]).is_empty());
    }

    #[test]
    fn runs_that_were_not_tested_stay_beside_those_that_were() {
        let run = |score: Option<f64>, validation: Option<f64>| {
            let mut run = Compared { entry: graft_engine::runs::RunEntry::default(), curve: None };
            (run.entry.score, run.entry.validation, run.entry.secs) = (score, validation, 2.0);
            run
        };
        let runs = [run(Some(0.5), Some(0.6)), run(None, Some(0.25)), run(None, None)];
        let found = dots(&runs, &Against::Time);
        assert_eq!(
            found,
            [
                Dot { place: 0, at: [2.0, 50.0], tested: true },
                Dot { place: 1, at: [2.0, 25.0], tested: false }
            ]
        );
        assert!(untested(1, 2).unwrap().contains("1 run has no test score"));
        assert_eq!(untested(0, 2), None);
    }

    #[test]
    fn means_over_seeds() {
        assert_eq!(means(&[[8.0, 3.0], [4.0, 1.0], [8.0, 5.0]]), [[4.0, 1.0], [8.0, 4.0]]);
    }
}
