//! The left of the first page: what Graft is, open, new, and recent projects.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use egui::{
    Align2, Id, Rect, RichText, Role, ScrollArea, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};

use super::Page;
use crate::actions::Action;
use crate::icons::{self, Icon};
use crate::state::{Recent, Store};
use crate::theme::{Theme, bold, medium, mono, regular};
use crate::widgets::{Weight, focus_ring, shorten, shorten_front, wide_button};

/// What is said of a project whose window ended without asking.
const LEFT: &str = "unsaved changes kept";

pub(super) fn ui(ui: &mut Ui, page: Page<'_>, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    ui.add_space(8.0);
    ui.horizontal(|ui| {
        let (mark, _) = ui.allocate_exact_size(Vec2::splat(36.0), Sense::hover());
        icons::mark(ui.painter(), mark, theme.brand, theme.brand_ink);
        ui.add_space(4.0);
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            ui.label(RichText::new("Graft").font(bold(22.0)).color(theme.text));
            ui.label(RichText::new(env!("CARGO_PKG_VERSION")).font(regular(11.0)).color(theme.label));
        });
    });
    ui.add_space(12.0);
    let text = "Put small trained parts on a large frozen model, and see what they cost before you train.";
    ui.add(egui::Label::new(RichText::new(text).font(regular(13.0)).color(theme.body)).wrap());
    ui.add_space(16.0);
    if big_button(ui, Icon::Folder, "Open a project", "Ctrl O", true) {
        actions.push(Action::Open);
    }
    if big_button(ui, Icon::Plus, "New from a model folder", "Ctrl N", false) {
        actions.push(Action::New);
    }
    if let Some(refusal) = page.refusal {
        ui.add_space(8.0);
        let text = RichText::new(refusal).font(regular(12.0)).color(theme.error);
        let response = ui.add(egui::Label::new(text).wrap());
        response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, format!("Message: {refusal}")));
    }
    for unsaved in page.store.orphans() {
        ui.add_space(8.0);
        let name =
            unsaved.path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let word = format!("Go on with {name}, not saved yet");
        let short = shorten(ui, &word, &medium(12.0), ui.available_width() - 48.0);
        if wide_button(ui, Some(Icon::Warning), &short, Weight::Plain, true).on_hover_text(word).clicked() {
            actions.push(Action::OpenUnsaved(unsaved.path.clone()));
        }
    }
    ui.add_space(20.0);
    recent(ui, page, actions);
}

fn big_button(ui: &mut Ui, icon: Icon, word: &str, keys: &str, primary: bool) -> bool {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 36.0), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, word));
    let (fill, ink, stroke) = if primary {
        (theme.brand, theme.brand_ink, Stroke::NONE)
    } else {
        (theme.raised, theme.text, Stroke::new(1.0, theme.outline))
    };
    let fill = if response.hovered() { fill.gamma_multiply(0.9) } else { fill };
    ui.painter().rect(rect, 6, fill, stroke, StrokeKind::Inside);
    focus_ring(ui, &response, rect);
    let y = rect.center().y;
    icons::paint(ui.painter(), icon, pos2(rect.left() + 18.0, y), 14.0, ink);
    let keys = ui.painter().text(pos2(rect.right() - 12.0, y), Align2::RIGHT_CENTER, keys, mono(10.0), ink);
    let short = shorten(ui, word, &medium(13.0), keys.left() - 8.0 - rect.left() - 36.0);
    ui.painter().text(pos2(rect.left() + 36.0, y), Align2::LEFT_CENTER, short, medium(13.0), ink);
    response.clicked()
}

fn recent(ui: &mut Ui, page: Page<'_>, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let list = &page.store.settings().recent;
    ui.horizontal(|ui| {
        ui.label(RichText::new("Recent").font(bold(12.0)).color(theme.text));
        if !list.is_empty() {
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                let text = RichText::new("Clear").font(regular(11.0)).color(theme.label);
                let clear = ui.add(egui::Button::new(text).frame(false));
                clear.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Clear recent projects"));
                if clear.clicked() {
                    actions.push(Action::ClearRecent);
                }
            });
        }
    });
    if list.is_empty() {
        let text = "Projects that you open will stand here.";
        ui.label(RichText::new(text).font(regular(12.0)).color(theme.label));
        return;
    }
    ScrollArea::vertical().id_salt("recent").auto_shrink([false, true]).show(ui, |ui| {
        for recent in list {
            row(ui, recent, page.store, actions);
        }
    });
}

fn row(ui: &mut Ui, recent: &Recent, store: &Store, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 42.0), Sense::click());
    let Found { exists, left } = look(ui, &recent.path, store);
    let name = recent.path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    response.widget_info(|| {
        let remark = if left { format!(", {LEFT}") } else { String::new() };
        WidgetInfo::labeled(Role::Button, exists, format!("Open recent {name}{remark}"))
    });
    if response.hovered() {
        ui.painter().rect_filled(rect, 6, theme.raised);
    }
    focus_ring(ui, &response, rect);
    let (icon, color) = if exists { (Icon::Folder, theme.body) } else { (Icon::Warning, theme.warning) };
    icons::paint(ui.painter(), icon, pos2(rect.left() + 14.0, rect.center().y), 14.0, color);
    let margin = rect.left() + 32.0;
    let right = if exists {
        let at = pos2(rect.right() - 8.0, rect.top() + 13.0);
        ui.painter()
            .text(at, Align2::RIGHT_CENTER, ago(recent.opened_secs), regular(11.0), theme.label)
            .left()
    } else {
        locate(ui, rect, &name, recent, actions)
    };
    let title = shorten(ui, &name, &medium(12.0), right - 8.0 - margin);
    let color = if exists { theme.text } else { theme.label };
    ui.painter().text(pos2(margin, rect.top() + 13.0), Align2::LEFT_CENTER, title, medium(12.0), color);
    let folder = recent.path.parent().unwrap_or(Path::new("")).display().to_string();
    let about = if exists { folder } else { "the file is not there any more".to_owned() };
    let mut at = pos2(margin, rect.top() + 29.0);
    if left {
        let word = ui.painter().text(at, Align2::LEFT_CENTER, LEFT, regular(11.0), theme.warning);
        at.x = word.right() + 8.0;
    }
    let end = if exists { rect.right() } else { right };
    let short = shorten_front(ui, &about, &regular(11.0), end - 8.0 - at.x);
    ui.painter().text(at, Align2::LEFT_CENTER, short, regular(11.0), theme.label);
    if response.clicked() {
        actions.push(Action::OpenPath(recent.path.clone()));
    }
    let path = recent.path.display();
    response.on_hover_text(if left { format!("{path}\nOpening it offers them") } else { path.to_string() });
}

/// A button that looks for a file which is not there any more; where it begins.
fn locate(ui: &mut Ui, row: Rect, name: &str, recent: &Recent, actions: &mut Vec<Action>) -> f32 {
    let theme = Theme::of(ui);
    let text = ui.painter().layout_no_wrap("Locate…".to_owned(), medium(11.0), theme.text);
    let size = text.size() + vec2(14.0, 8.0);
    let rect = Rect::from_min_size(pos2(row.right() - 6.0 - size.x, row.center().y - size.y / 2.0), size);
    let response = ui.interact(rect, Id::unique(("locate", &recent.path)), Sense::click());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("Locate {name}")));
    let fill = if response.hovered() { theme.active } else { theme.raised };
    ui.painter().rect(rect, 5, fill, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    focus_ring(ui, &response, rect);
    ui.painter().galley(rect.min + vec2(7.0, 4.0), text, theme.text);
    if response.on_hover_text("Say where the file has gone").clicked() {
        actions.push(Action::Locate(recent.path.clone()));
    }
    rect.left()
}

/// What there is of a recent project.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// Its file.
    exists: bool,
    /// Edits that a window left behind unsaved.
    left: bool,
}

/// Looks for a project's file and what is left of it, at most once a second: they may lie on a disk that is slow to
/// answer.
fn look(ui: &Ui, path: &Path, store: &Store) -> Found {
    let (id, now) = (Id::unique(("recent file", path)), ui.input(|input| input.time));
    let known: Option<(f64, Found)> = ui.data(|data| data.get_temp(id));
    if let Some((_, found)) = known.filter(|(at, _)| (0.0..1.0).contains(&(now - at))) {
        return found;
    }
    let exists = path.is_file();
    let found = Found { exists, left: exists && store.has_left(path) };
    ui.data_mut(|data| data.insert_temp(id, (now, found)));
    found
}

/// How long ago, in the largest whole unit.
fn ago(opened_secs: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let secs = now.saturating_sub(opened_secs);
    match secs {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", secs / 60),
        3600..86_400 => format!("{} h ago", secs / 3600),
        86_400..172_800 => "yesterday".to_owned(),
        _ => format!("{} days ago", secs / 86_400),
    }
}
