//! What happened: the run's own words and the program's, by level and by search.

use std::sync::Arc;

use egui::{Align, Align2, Id, Layout, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use super::Desk;
use crate::format;
use crate::icons::{self, Icon};
use crate::journal::{self, Level, Line};
use crate::session::Series;
use crate::theme::{Theme, mono, regular};
use crate::view::View;
use crate::widgets::{centre, segment, shorten};

/// Height of a line, in points.
const LINE: f32 = 20.0;

/// Shows the panel.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, view: &mut View) {
    let lines = chosen(ui, desk, view);
    ui.add_space(4.0);
    ui.allocate_ui_with_layout(
        vec2(ui.available_width(), 28.0),
        Layout::left_to_right(Align::Center),
        |ui| {
            ui.spacing_mut().item_spacing.x = 6.0;
            ui.add_space(12.0);
            let words = Level::ALL.map(|level| (level, level.word()));
            if let Some(level) = segment(ui, "Least level of the log", view.log.least, &words) {
                view.log.least = level;
            }
            let field = egui::TextEdit::singleline(&mut view.log.search)
                .hint_text("Search the log")
                .font(regular(12.0))
                .desired_width(220.0);
            ui.add(field).accessible_name("Search the log");
            let text = format!("{} lines", format::whole(lines.len() as u64));
            ui.label(egui::RichText::new(text).font(regular(11.0)).color(Theme::of(ui).label));
        },
    );
    if lines.is_empty() {
        let nothing = view.log.search.is_empty() && view.log.least == Level::Info;
        centre(ui, if nothing { "Nothing has happened yet" } else { "No line is like that" });
        return;
    }
    let scroll =
        egui::ScrollArea::vertical().id_salt("log").auto_shrink([false, false]).stick_to_bottom(true);
    scroll.show_rows(ui, LINE, lines.len(), |ui, range| {
        for one in &lines[range] {
            line(ui, one);
        }
    });
}

/// What the chosen lines depend on.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    /// Lines that the program and the run ever told.
    told: [u64; 2],
    run: String,
    /// When the run began, to the second: it is known better and better.
    began: String,
    least: Level,
    search: String,
}

/// The lines to show, chosen anew only when there are others or others are asked for.
fn chosen(ui: &Ui, desk: Desk<'_>, view: &View) -> Arc<[Line]> {
    let series = desk.session.series();
    let asked = Asked {
        told: [journal::count(), series.told()],
        run: series.run.clone(),
        began: format!("{:.0}", series.began()),
        least: view.log.least,
        search: view.log.search.to_lowercase(),
    };
    let id = Id::unique("chosen lines of the log");
    let known: Option<(Asked, Arc<[Line]>)> = ui.data(|data| data.get_temp(id));
    if let Some((_, lines)) = known.filter(|(of, _)| *of == asked) {
        return lines;
    }
    let lines: Arc<[Line]> = merged(journal::lines(), series, asked.least, &asked.search).into();
    ui.data_mut(|data| data.insert_temp(id, (asked, Arc::clone(&lines))));
    lines
}

/// The program's lines and the run's that matter as much and hold the text, all by the program's clock.
fn merged(mut lines: Vec<Line>, series: &Series, least: Level, search: &str) -> Vec<Line> {
    lines.extend(series.log.iter().map(|line| Line {
        secs: series.began() + line.secs,
        level: if line.bad { Level::Error } else { Level::Info },
        text: line.text.clone(),
    }));
    lines.retain(|line| {
        line.level >= least && (search.is_empty() || line.text.to_lowercase().contains(search))
    });
    lines.sort_by(|a, b| a.secs.total_cmp(&b.secs));
    lines
}

/// Seconds since the program began; a run that is followed may have begun before it.
fn clock(secs: f64) -> String {
    if secs <= -0.5 { format!("−{}", format::duration(-secs)) } else { format::duration(secs.max(0.0)) }
}

fn line(ui: &mut Ui, line: &Line) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &line.text));
    let y = rect.center().y;
    let time = clock(line.secs);
    ui.painter().text(pos2(rect.left() + 76.0, y), Align2::RIGHT_CENTER, time, mono(10.0), theme.label);
    let (icon, color) = match line.level {
        Level::Error => (Some(Icon::Cross), theme.error),
        Level::Warning => (Some(Icon::Warning), theme.warning),
        Level::Info => (None, theme.body),
        Level::Detail => (None, theme.label),
    };
    if let Some(icon) = icon {
        icons::paint(ui.painter(), icon, pos2(rect.left() + 88.0, y), 11.0, color);
    }
    let x = rect.left() + 98.0;
    let text = shorten(ui, &line.text, &regular(12.0), rect.right() - 12.0 - x);
    let cut = text != line.text;
    ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, text, regular(12.0), color);
    if cut {
        response.on_hover_text(&line.text);
    }
}

#[cfg(test)]
mod tests {
    use graft_engine::runs::{Event, EventBody};

    use super::*;
    use crate::session::Session;

    #[test]
    fn lines_of_the_program_and_of_a_run_stand_in_the_order_of_one_clock() {
        let mut session = Session::start(|| {}).unwrap();
        let started = EventBody::Started {
            project: "p".to_owned(),
            device: "flex".to_owned(),
            seed: 0,
            params_total: 1,
            params_trainable: 1,
            stages: 1,
            folder: "f".to_owned(),
            predicted: None,
            classes: Vec::new(),
            resumed_at: None,
        };
        // Told at 10 s of a run that was resumed, and 5 s later by the run's clock.
        for (time, body) in [(10.0, started), (15.0, EventBody::Paused {})] {
            session.hear(&Event { run: "r".to_owned(), time, body });
        }
        let began = session.series().began();
        assert!(began <= journal::now() - 15.0, "{began}");
        let of = |secs: f64, level, text: &str| Line { secs: began + secs, level, text: text.to_owned() };
        let own = vec![of(12.0, Level::Warning, "between"), of(20.0, Level::Detail, "a detail")];
        let texts = |least, search: &str| -> Vec<String> {
            let lines = merged(own.clone(), session.series(), least, search);
            assert!(lines.windows(2).all(|pair| pair[0].secs <= pair[1].secs));
            lines.into_iter().map(|line| line.text.chars().take(7).collect()).collect()
        };
        assert_eq!(texts(Level::Detail, ""), ["p on fl", "between", "paused", "a detai"]);
        assert_eq!(texts(Level::Warning, ""), ["between"]);
        assert_eq!(texts(Level::Detail, "paus"), ["paused"]);
        assert_eq!([clock(-61.0), clock(-0.2), clock(3.0)], ["−1 m 01 s", "0 s", "3 s"]);
    }
}
