//! What happened: the run's own words and the program's, by level and by search.

use egui::{Align, Align2, Layout, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use super::Desk;
use crate::format;
use crate::icons::{self, Icon};
use crate::journal::{self, Level, Line};
use crate::theme::{Theme, mono, regular};
use crate::view::View;
use crate::widgets::{centre, segment, shorten};

/// Height of a line, in points.
const LINE: f32 = 20.0;

/// Shows the panel.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, view: &mut View) {
    let lines = chosen(desk, view);
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

/// The lines to show: those of the run, then those of the program that are of its time or after.
fn chosen(desk: Desk<'_>, view: &View) -> Vec<Line> {
    let of_run = desk.session.series().log.iter().map(|line| Line {
        secs: line.secs,
        level: if line.bad { Level::Error } else { Level::Info },
        text: line.text.clone(),
    });
    let search = view.log.search.to_lowercase();
    let fits = |line: &Line| line.level >= view.log.least && line.text.to_lowercase().contains(&search);
    journal::lines().into_iter().chain(of_run).filter(fits).collect()
}

fn line(ui: &mut Ui, line: &Line) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), LINE), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &line.text));
    let y = rect.center().y;
    let time = format::duration(line.secs);
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
