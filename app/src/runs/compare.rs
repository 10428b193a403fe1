//! Several runs side by side: curves, what they cost, what is placed and what is set differently. All differences are
//! judged against the run that was chosen first.

use std::path::PathBuf;
use std::sync::Arc;

use egui::{Align2, Role, Sense, Ui, WidgetInfo, pos2, vec2};
use graft_engine::graph::Rule;
use graft_engine::project::Project;
use graft_engine::runs::{RunEntry, placement_difference};

use super::{curves, difference, marks, part, scatter, variants};
use crate::library::{Curve, Library};
use crate::theme::{Theme, medium};
use crate::view::RunsView;
use crate::widgets::shorten;

/// A compared run.
pub(super) struct Compared {
    pub(super) entry: RunEntry,
    pub(super) curve: Option<Arc<Curve>>,
}

impl Compared {
    pub(super) fn project(&self) -> Option<&Project> {
        self.curve.as_ref()?.project.as_ref()
    }
}

/// The chosen runs, as far as they are read.
pub(super) fn compared(library: &mut Library) -> Vec<Compared> {
    let chosen: Vec<PathBuf> = library.chosen().to_vec();
    let one = |path: &PathBuf| {
        let entry = library.row(path)?.entry.clone();
        Some(Compared { entry, curve: library.curve(path) })
    };
    chosen.iter().filter_map(one).collect()
}

pub(super) fn ui(ui: &mut Ui, library: &mut Library, view: &mut RunsView) {
    let all = ui.available_rect_before_wrap();
    let curves_width = (all.width() * 0.36).max(260.0);
    let (left, rest) = all.split_left_right_at_x(all.left() + curves_width);
    let (middle, right) = rest.split_left_right_at_x(rest.center().x);
    let (upper, lower) = left.split_top_bottom_at_y(left.top() + left.height() * 0.55);
    part(ui, upper, "curves", true, |ui| curves::ui(ui, library, view));
    let stroke = egui::Stroke::new(1.0, Theme::of(ui).line);
    ui.painter().hline(lower.x_range(), lower.top(), stroke);
    part(ui, lower, "scatter", true, |ui| scatter::ui(ui, library, view));
    let runs = compared(library);
    let (middle, right) = if variants::are_sweep(&runs) {
        // What the runs were made for stands above what sets them apart.
        let table = rest.with_max_y(rest.top() + variants::height(&runs).min(0.6 * rest.height()));
        part(ui, table, "variants", false, |ui| variants::ui(ui, &runs));
        ui.painter().hline(table.x_range(), table.bottom(), stroke);
        (middle.with_min_y(table.bottom()), right.with_min_y(table.bottom()))
    } else {
        (middle, right)
    };
    part(ui, middle, "placement", false, |ui| difference::placements(ui, &runs));
    part(ui, right, "settings", false, |ui| difference::settings(ui, &runs));
}

/// Sites, among these, at which the compared runs do not place the same.
#[must_use]
pub fn differing_sites(library: &mut Library, sites: &[&str]) -> Vec<String> {
    if library.chosen().len() < 2 {
        return Vec::new();
    }
    let runs = compared(library);
    let projects: Vec<&Project> = runs.iter().filter_map(Compared::project).collect();
    if projects.len() < 2 {
        return Vec::new();
    }
    let (rows, _) = placement_difference(&projects);
    let rules: Vec<Rule> = rows.iter().filter_map(|row| Rule::parse(&row.at).ok()).collect();
    let differs = |site: &&&str| rules.iter().any(|rule| rule.matches(site));
    sites.iter().filter(differs).map(|site| (*site).to_owned()).collect()
}

/// What all of these runs are compared by; none where they differ or nothing is known yet.
pub(super) fn metric(runs: &[Compared]) -> Option<&'static str> {
    let mut known = runs.iter().map(|run| run.entry.metric).filter(|metric| !metric.is_empty());
    let first = known.next()?;
    known.all(|other| other == first).then_some(first)
}

/// A metric's name where a title begins with it.
pub(super) fn title_of(metric: Option<&str>) -> &'static str {
    match metric {
        Some("top-1") => "Top-1",
        Some("Dice") => "Dice",
        _ => "Score",
    }
}

/// A legend of the runs: mark and name, as many as there is room for.
pub(super) fn legend(ui: &mut Ui, runs: &[Compared]) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 18.0), Sense::hover());
    let names: Vec<&str> = runs.iter().map(|run| run.entry.id.as_str()).collect();
    let label = format!("Compared: {}", names.join(", "));
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
    #[expect(clippy::cast_precision_loss, reason = "few runs")]
    let each = (rect.width() / runs.len().max(1) as f32).max(74.0);
    let mut x = rect.left() + 6.0;
    for (place, run) in runs.iter().enumerate() {
        if x + 40.0 > rect.right() {
            return;
        }
        let mark = marks::mark(theme, place);
        marks::paint(ui.painter(), mark, pos2(x, rect.center().y), 4.0);
        let text = shorten(ui, &short_name(&run.entry), &medium(11.0), each - 24.0);
        let at = pos2(x + 10.0, rect.center().y);
        ui.painter().text(at, Align2::LEFT_CENTER, text, medium(11.0), theme.text);
        x += each;
    }
}

/// A run's name without its time; of a sweep, variant and seed.
pub(super) fn short_name(entry: &RunEntry) -> String {
    if let Some(mark) = &entry.sweep {
        return format!("{} {}", mark.variant, entry.seed);
    }
    if entry.project.is_empty() { entry.id.clone() } else { entry.project.clone() }
}
