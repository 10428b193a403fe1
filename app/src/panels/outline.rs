//! The model as a tree, the placements as a short list of rules, and the kinds to place.

use std::collections::BTreeMap;

use egui::{Align2, Id, Rect, Response, Role, Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2};
use graft_engine::adapters::{AdapterSpec, PRESETS};
use graft_engine::graph::RegionKind;

use super::Desk;
use crate::actions::Action;
use crate::attach;
use crate::canvas::freeze_icon;
use crate::format;
use crate::icons::{self, Icon};
use crate::model::{Freeze, Model};
use crate::theme::{Theme, bold, medium, mono, regular};
use crate::view::{Selected, View};
use crate::widgets::{focus_ring, rule, section, shorten, shorten_front};

/// Shows the panel.
pub fn ui(ui: &mut Ui, desk: Desk<'_>, view: &mut View, actions: &mut Vec<Action>) {
    ui.spacing_mut().item_spacing.y = 0.0;
    let title = desk.model.map_or("", |model| model.title.as_str());
    section(ui, "Model", title);
    // The lists below keep their room; the tree scrolls in what is left.
    let rules = desk.document.map_or(0, |document| document.project().adapters.len());
    #[expect(clippy::cast_precision_loss, reason = "a few rules")]
    let below = 32.0 + 24.0 * rules.clamp(1, 6) as f32 + 6.0 + 34.0 + 2.0 * 50.0 + 26.0;
    let height = (ui.available_height() - below).max(120.0);
    egui::ScrollArea::vertical().id_salt("tree").max_height(height).auto_shrink([false, true]).show(
        ui,
        |ui| {
            if let Some(model) = desk.model {
                tree(ui, model, desk, view, actions);
            }
        },
    );
    ui.add_space(6.0);
    rule(ui);
    placements(ui, desk, view, actions);
    ui.add_space(6.0);
    rule(ui);
    palette(ui, desk, view, actions);
}

fn tree(ui: &mut Ui, model: &Model, desk: Desk<'_>, view: &mut View, actions: &mut Vec<Action>) {
    let roots: Vec<usize> = (0..model.parts.len()).filter(|&i| model.parts[i].parent.is_none()).collect();
    for root in roots {
        for &child in &model.parts[root].children {
            branch(ui, model, child, 0, desk, view, actions);
        }
    }
}

fn branch(
    ui: &mut Ui,
    model: &Model,
    index: usize,
    depth: usize,
    desk: Desk<'_>,
    view: &mut View,
    actions: &mut Vec<Action>,
) {
    let part = &model.parts[index];
    if matches!(part.kind, RegionKind::Adapter(_)) {
        return;
    }
    let has_inside =
        part.children.iter().any(|&child| !matches!(model.parts[child].kind, RegionKind::Adapter(_)));
    let expanded = view.expanded.contains(&part.path);
    let blocks = part.children.iter().filter(|&&c| model.parts[c].kind == RegionKind::Block).count();
    let row = Row {
        path: &part.path,
        title: &part.title,
        note: if blocks > 1 { format!("×{blocks}") } else { String::new() },
        depth,
        expanded: has_inside.then_some(expanded),
        adapters: &part.adapters,
        weights: part.weights,
        freeze: part.freeze,
    };
    row_ui(ui, &row, desk, view, actions);
    if has_inside && expanded {
        for &child in &part.children {
            branch(ui, model, child, depth + 1, desk, view, actions);
        }
    }
}

struct Row<'a> {
    path: &'a str,
    title: &'a str,
    note: String,
    depth: usize,
    expanded: Option<bool>,
    adapters: &'a BTreeMap<usize, usize>,
    weights: u64,
    freeze: Freeze,
}

fn row_ui(ui: &mut Ui, row: &Row<'_>, desk: Desk<'_>, view: &mut View, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 24.0), Sense::click());
    let selected = view.selected.is_part(row.path);
    response
        .widget_info(|| WidgetInfo::selected(Role::TreeItem, true, selected, format!("Row {}", row.path)));
    if response.hovered() {
        view.hovering = Some(row.path.to_owned());
    }
    paint_row(ui, rect, selected, view.hovered.as_deref() == Some(row.path));
    focus_ring(ui, &response, rect.shrink(2.0));
    #[expect(clippy::cast_precision_loss, reason = "a few levels")]
    let mut x = rect.left() + 8.0 + 14.0 * row.depth as f32;
    let y = rect.center().y;
    if let Some(expanded) = row.expanded {
        let target = Rect::from_center_size(pos2(x + 7.0, y), vec2(18.0, 22.0));
        let fold = ui.interact(target, Id::unique(("expand", row.path)), Sense::click());
        let verb = if expanded { "Collapse" } else { "Expand" };
        fold.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("{verb} {}", row.path)));
        if (fold.clicked() || response.double_clicked()) && !view.expanded.remove(row.path) {
            view.expanded.insert(row.path.to_owned());
        }
        let icon = if expanded { Icon::ChevronDown } else { Icon::ChevronRight };
        icons::paint(ui.painter(), icon, target.center(), 12.0, theme.label);
    }
    x += 18.0;
    let mut right = rect.right() - 12.0;
    if row.freeze != Freeze::Nothing {
        let target = Rect::from_center_size(pos2(right - 7.0, y), Vec2::splat(22.0));
        freeze_toggle(ui, row, target, desk, actions);
    }
    right -= 22.0;
    let count = ui.painter().text(
        pos2(right, y),
        Align2::RIGHT_CENTER,
        format::short(row.weights),
        mono(10.5),
        if selected { theme.body } else { theme.label },
    );
    right = count.left() - 8.0;
    right = adapters(ui, row.adapters, desk, right, y);
    let (font, color) = if row.depth == 0 { (medium(12.0), theme.text) } else { (regular(12.0), theme.body) };
    let title = shorten(ui, row.title, &font, right - x);
    let title = ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, title, font, color);
    ui.painter().text(
        pos2(title.right() + 6.0, y),
        Align2::LEFT_CENTER,
        &row.note,
        regular(11.0),
        theme.label,
    );
    if response.clicked() {
        actions.push(Action::Select(Selected::Part(row.path.to_owned())));
    }
}

fn freeze_toggle(ui: &Ui, row: &Row<'_>, target: Rect, desk: Desk<'_>, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let blocked = desk.cannot_freeze();
    let toggle = ui.interact(target, Id::unique(("outline freeze", row.path)), Sense::click());
    let verb = if row.freeze.is_frozen() { "Thaw" } else { "Freeze" };
    let name = format!("{verb} {} in the outline", row.path);
    toggle.widget_info(|| WidgetInfo::labeled(Role::Button, blocked.is_none(), &name));
    if toggle.hovered() && blocked.is_none() {
        ui.painter().rect_filled(target, 5, theme.active);
    }
    freeze_icon(ui.painter(), theme, row.freeze, target.center(), 14.0);
    if toggle.clicked() && blocked.is_none() {
        actions.push(Action::ToggleFreeze(row.path.to_owned()));
    }
    let hint = blocked.map_or_else(
        || format!("This part is {}; click to {}", row.freeze.word(), verb.to_lowercase()),
        str::to_owned,
    );
    toggle.on_hover_text(hint);
}

/// Badges of the adapters inside, from the right; returns where they begin.
fn adapters(ui: &Ui, adapters: &BTreeMap<usize, usize>, desk: Desk<'_>, right: f32, y: f32) -> f32 {
    let theme = Theme::of(ui);
    let mut x = right;
    for (&index, &sites) in adapters.iter().rev().take(4) {
        let Some(placement) = desk.document.and_then(|d| d.project().adapters.get(index)) else { continue };
        let kind = theme.kind(placement.kind.kind().letter());
        if sites > 1 {
            let at = pos2(x, y);
            let text = ui.painter().text(at, Align2::RIGHT_CENTER, sites, mono(10.0), kind.color);
            x = text.left() - 2.0;
        }
        icons::badge(ui.painter(), kind, pos2(x - 7.5, y), 15.0, theme.ink);
        x -= 20.0;
    }
    x
}

fn paint_row(ui: &Ui, rect: Rect, selected: bool, hovered: bool) {
    let theme = Theme::of(ui);
    if selected {
        ui.painter().rect_filled(rect, 0, theme.active);
        let marker = Rect::from_min_size(rect.min, vec2(2.0, rect.height()));
        ui.painter().rect_filled(marker, 0, theme.selection);
    } else if hovered {
        ui.painter().rect_filled(rect, 0, theme.raised);
    }
}

fn placements(ui: &mut Ui, desk: Desk<'_>, view: &mut View, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let Some(document) = desk.document else {
        section(ui, "Placements", "");
        return;
    };
    let rules = &document.project().adapters;
    let coverage = desk.model.map_or(&[][..], |model| &model.coverage);
    let sites: usize = coverage.iter().flatten().map(|covered| covered.matched.len()).sum();
    let unused = desk.model.is_some_and(|model| !model.uses_adapters) && !rules.is_empty();
    let remark = match (rules.len(), unused) {
        (0, _) => "none yet".to_owned(),
        (_, true) => "not used in this stage".to_owned(),
        (count, _) => {
            let plural = |count: usize| if count == 1 { "" } else { "s" };
            format!("{count} rule{} · {sites} site{}", plural(count), plural(sites))
        }
    };
    section(ui, "Placements", &remark);
    if rules.is_empty() {
        crate::widgets::note(ui, "Hover a free site and click its plus.", theme.label);
    }
    egui::ScrollArea::vertical().id_salt("rules").max_height(6.0 * 24.0).show(ui, |ui| {
        for (index, placement) in rules.iter().enumerate() {
            let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 24.0), Sense::click());
            let selected = matches!(&view.selected, Selected::Adapter { index: own, .. } if *own == index);
            let name = placement.kind.kind().name();
            response.widget_info(|| {
                WidgetInfo::selected(Role::ListItem, true, selected, format!("Rule {name} {}", placement.at))
            });
            paint_row(ui, rect, selected, response.hovered());
            focus_ring(ui, &response, rect.shrink(2.0));
            let y = rect.center().y;
            let kind = theme.kind(placement.kind.kind().letter());
            icons::badge(ui.painter(), kind, pos2(rect.left() + 20.0, y), 16.0, theme.ink);
            let (count, color) = match coverage.get(index) {
                Some(Ok(covered)) => (covered.matched.len().to_string(), theme.label),
                Some(Err(_)) => ("none".to_owned(), theme.error),
                None => (format::UNKNOWN.to_owned(), theme.label),
            };
            let right = pos2(rect.right() - 12.0, y);
            let count = ui.painter().text(right, Align2::RIGHT_CENTER, count, mono(10.5), color);
            let x = rect.left() + 34.0;
            let text = shorten_front(ui, &placement.at, &mono(10.0), count.left() - 8.0 - x);
            let color = if selected { theme.text } else { theme.body };
            ui.painter().text(pos2(x, y), Align2::LEFT_CENTER, text, mono(10.0), color);
            if response.clicked() {
                actions.push(Action::Select(Selected::Adapter { index, site: None }));
            }
            if let Some(Err(error)) = coverage.get(index) {
                response.on_hover_text(error);
            } else {
                response.on_hover_text(&placement.at);
            }
        }
    });
}

fn palette(ui: &mut Ui, desk: Desk<'_>, view: &mut View, actions: &mut Vec<Action>) {
    let remark = if desk.locked { "locked while training" } else { "drag one onto the graph" };
    section(ui, "Adapters", remark);
    presets(ui, desk, actions);
    let width = (ui.available_width() - 24.0 - 6.0) / 2.0;
    // In a low window the tiles scroll in what is left.
    egui::ScrollArea::vertical().id_salt("palette").auto_shrink([false, false]).show(ui, |ui| {
        for (row, pair) in crate::kinds::palette().chunks(2).enumerate() {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 6.0;
                ui.add_space(12.0);
                for (column, spec) in pair.iter().enumerate() {
                    let place = 2 * row + column;
                    let response = tile(ui, spec, width, view.kind == place, desk.locked);
                    if response.clicked() || response.drag_started() {
                        actions.push(Action::ChooseKind(place));
                    }
                    if response.drag_started() && !desk.locked {
                        view.graph.carried = Some(place);
                    }
                }
            });
            ui.add_space(6.0);
        }
    });
}

/// The list of presets: choosing one places it.
fn presets(ui: &mut Ui, desk: Desk<'_>, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        ui.add_space(12.0);
        let able = !desk.locked && desk.document.is_some();
        ui.add_enabled_ui(able, |ui| {
            let width = ui.available_width() - 12.0;
            let list = egui::ComboBox::from_id_salt("presets").width(width);
            let response = list.selected_text("Place a preset…").show_ui(ui, |ui| {
                for (number, preset) in PRESETS.iter().enumerate() {
                    if ui.selectable_label(false, preset.name).on_hover_text(preset.description).clicked() {
                        actions.push(Action::PlacePreset(number));
                    }
                }
            });
            response.response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, able, "Place a preset"));
        });
    });
    ui.add_space(6.0);
}

fn tile(ui: &mut Ui, spec: &AdapterSpec, width: f32, chosen: bool, locked: bool) -> Response {
    let theme = Theme::of(ui);
    let kind = spec.kind();
    let (rect, response) = ui.allocate_exact_size(vec2(width, 44.0), Sense::click_and_drag());
    let name = format!("Kind {}", kind.name());
    response.widget_info(|| WidgetInfo::selected(Role::RadioButton, !locked, chosen, &name));
    let style = theme.kind(kind.letter());
    let (fill, stroke) = if chosen {
        (style.tint, Stroke::new(1.25, style.color))
    } else if response.hovered() {
        (theme.raised, Stroke::new(1.0, theme.outline))
    } else {
        (theme.card, Stroke::new(1.0, theme.outline))
    };
    let mut painter = ui.painter().clone();
    if locked {
        painter.multiply_opacity(0.45);
    }
    painter.rect(rect, 6, fill, stroke, StrokeKind::Inside);
    // A narrow tile has room for its name alone.
    let narrow = width < 110.0;
    let (middle, x) = if narrow { (15.0, 28.0) } else { (19.0, 36.0) };
    icons::badge(&painter, style, pos2(rect.left() + middle, rect.center().y), 20.0, theme.ink);
    let x = rect.left() + x;
    let room = rect.right() - 6.0 - x;
    let title = shorten(ui, kind.name(), &bold(11.5), room);
    let y = if narrow { rect.center().y } else { rect.top() + 15.0 };
    painter.text(pos2(x, y), Align2::LEFT_CENTER, title, bold(11.5), theme.text);
    if !narrow {
        let picture = Rect::from_min_size(pos2(x, rect.top() + 24.0), attach::SIZE);
        attach::paint(&painter, picture, kind.place(), style.color, theme);
    }
    focus_ring(ui, &response, rect);
    let first = if locked { "Locked while training. " } else { "" };
    response.on_hover_text(format!("{first}{}, {}: {}", kind.name(), kind.place(), kind.description()))
}
