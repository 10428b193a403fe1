//! Accuracy of the chosen runs against what they cost, or against a setting that was swept.

use egui::{Align2, Color32, Role, Ui, Vec2b, WidgetInfo, vec2};
use egui_plot::{Line, LineStyle, Plot, PlotPoint, Points, Text};
use graft_engine::runs::settings;

use super::compare::{Compared, compared, metric, short_name, title_of};
use super::curves::{choice, swept};
use super::marks;
use crate::library::Library;
use crate::plots::{axes, axis};
use crate::theme::{Theme, mono};
use crate::view::{Against, RunsView};

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
    let size = ui.available_size();
    if size.y < 40.0 {
        return;
    }
    let theme = Theme::of(ui);
    ui.style_mut().text_styles.insert(egui::TextStyle::Body, mono(10.0));
    ui.visuals_mut().override_text_color = Some(theme.label);
    // One measure for all: validation only where no compared run was tested yet.
    let tested = runs.iter().any(|run| run.entry.score.is_some());
    let value = |run: &Compared| -> Option<[f64; 2]> {
        let score = if tested { run.entry.score } else { run.entry.validation }?;
        Some([cost(run, &view.against)?, 100.0 * score])
    };
    let points: Vec<(usize, [f64; 2])> =
        runs.iter().enumerate().filter_map(|(place, run)| Some((place, value(run)?))).collect();
    // Runs that are not compared give the ground, where their rows tell what is needed.
    let others: Vec<[f64; 2]> = if matches!(view.against, Against::Setting(_)) {
        Vec::new()
    } else {
        let rows = library.rows().iter().filter(|row| !library.chosen().contains(&row.entry.path));
        rows.map(|row| Compared { entry: row.entry.clone(), curve: None })
            .filter_map(|run| value(&run))
            .collect()
    };
    let swept = matches!(view.against, Against::Setting(_));
    let mut line: Vec<[f64; 2]> = points.iter().map(|(_, point)| *point).collect();
    line.extend(&others);
    let line = if swept { means(&line) } else { front(&line) };
    // What something costs is not negative; only the margin below zero is.
    let tick = move |value: f64| if value < 0.0 && !swept { String::new() } else { axis(value) };
    let plot = Plot::new("scatter")
        .width(size.x)
        .height(size.y)
        .set_margin_fraction(vec2(0.08, if size.y < 140.0 { 0.3 } else { 0.12 }))
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
        if !others.is_empty() {
            plot.points(Points::new("other runs", others).color(theme.faint).radius(2.5));
        }
        let name = if swept { "mean" } else { "Pareto front" };
        let dashes = Line::new(name, line).color(theme.label).width(1.0);
        plot.line(dashes.style(LineStyle::Dashed { length: 4.0 }).allow_hover(false));
        let mut written: Vec<egui::Pos2> = Vec::new();
        for (place, point) in &points {
            let mark = marks::mark(theme, *place);
            let entry = &runs[*place].entry;
            let dot = Points::new(entry.id.clone(), vec![*point]).color(mark.color).radius(5.0);
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
    let name = format!("Scatter of {} runs", points.len());
    response.response.widget_info(|| WidgetInfo::labeled(Role::Figure, true, &name));
}

fn word(plot: &mut egui_plot::PlotUi<'_>, text: &str, [x, y]: [f64; 2], color: Color32) {
    let bounds = plot.plot_bounds();
    // At the right of its point, or at the left where the plot ends.
    let right = x < f64::midpoint(bounds.min()[0], bounds.max()[0]);
    let (align, space) = if right { (Align2::LEFT_BOTTOM, "  ") } else { (Align2::RIGHT_BOTTOM, "") };
    let text: String = text.chars().take(22).collect();
    let text = if right { format!("{space}{text}") } else { format!("{text}  ") };
    let text = egui::RichText::new(text).font(crate::theme::regular(10.0)).color(color);
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
    fn means_over_seeds() {
        assert_eq!(means(&[[8.0, 3.0], [4.0, 1.0], [8.0, 5.0]]), [[4.0, 1.0], [8.0, 4.0]]);
    }
}
