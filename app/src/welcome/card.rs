//! A sample project: its model as a small graph, and what trains in it.

use egui::{Align2, Painter, Rect, Role, Sense, Stroke, StrokeKind, Ui, WidgetInfo, pos2, vec2};

use crate::actions::Action;
use crate::format;
use crate::icons::{self, Icon};
use crate::model::Freeze;
use crate::samples::{Details, Piece, Sample};
use crate::theme::{Theme, bold, medium, mono, regular};
use crate::widgets::{focus_ring, shorten};

/// Height of a card and of the picture in it.
const SIZE: f32 = 186.0;
const PICTURE: f32 = 76.0;

pub(super) fn ui(ui: &mut Ui, sample: &Sample, width: f32, first: bool, actions: &mut Vec<Action>) {
    let theme = Theme::of(ui);
    let (rect, response) = ui.allocate_exact_size(vec2(width, SIZE), Sense::click());
    let usable = !matches!(sample.details, Some(Err(_)));
    response
        .widget_info(|| WidgetInfo::labeled(Role::Button, usable, format!("Open sample {}", sample.name)));
    let fill = if response.hovered() { theme.raised } else { theme.card };
    ui.painter().rect(rect, 7, fill, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
    focus_ring(ui, &response, rect);
    let picture = Rect::from_min_size(rect.min, vec2(rect.width(), PICTURE)).shrink(1.0);
    ui.painter().rect_filled(picture, 6, theme.well);
    match &sample.details {
        Some(Ok(details)) => miniature(&ui.painter().with_clip_rect(picture), picture, details, theme),
        Some(Err(_)) => icons::paint(ui.painter(), Icon::Warning, picture.center(), 20.0, theme.warning),
        None => {
            let text = "Building the model…";
            ui.painter().text(picture.center(), Align2::CENTER_CENTER, text, regular(11.0), theme.label);
        }
    }
    words(ui, rect, sample, first);
    if response.clicked() {
        actions.push(Action::OpenPath(sample.path.clone()));
    }
    if let Some(Err(error)) = &sample.details {
        response.on_hover_text(error);
    } else {
        response.on_hover_text(format!("{}\n{}", sample.description, sample.path.display()));
    }
}

fn words(ui: &Ui, rect: Rect, sample: &Sample, first: bool) {
    let theme = Theme::of(ui);
    let (left, right) = (rect.left() + 14.0, rect.right() - 14.0);
    let room = right - left;
    let y = rect.top() + PICTURE + 20.0;
    let mut edge = right;
    if first {
        let text = "start here";
        let galley = ui.painter().layout_no_wrap(text.to_owned(), medium(11.0), theme.brand);
        let tag = Rect::from_min_size(
            pos2(right - galley.size().x - 12.0, y - 9.0),
            galley.size() + vec2(12.0, 4.0),
        );
        ui.painter().rect_filled(tag, 7, theme.brand_tint);
        ui.painter().galley(tag.min + vec2(6.0, 2.0), galley, theme.brand);
        edge = tag.left() - 8.0;
    }
    let name = shorten(ui, &sample.name, &bold(13.0), edge - left);
    ui.painter().text(pos2(left, y), Align2::LEFT_CENTER, name, bold(13.0), theme.text);
    let galley = {
        let mut job =
            egui::text::LayoutJob::simple(sample.description.clone(), regular(12.0), theme.label, room);
        job.wrap.max_rows = 2;
        ui.painter().layout_job(job)
    };
    ui.painter().galley(pos2(left, y + 12.0), galley, theme.label);
    let y = rect.bottom() - 18.0;
    match &sample.details {
        Some(Ok(details)) => {
            let mut x = left + 8.0;
            for (letter, sites) in &details.adapters {
                icons::badge(ui.painter(), theme.kind(*letter), pos2(x, y), 16.0, theme.ink);
                let count = ui.painter().text(
                    pos2(x + 12.0, y),
                    Align2::LEFT_CENTER,
                    sites.to_string(),
                    mono(11.0),
                    theme.body,
                );
                x = count.right() + 16.0;
            }
            let text =
                format!("{} of {} train", format::short(details.trained), format::short(details.weights));
            let text = shorten(ui, &text, &mono(11.0), right - x);
            ui.painter().text(pos2(right, y), Align2::RIGHT_CENTER, text, mono(11.0), theme.body);
        }
        Some(Err(error)) => {
            let text = shorten(ui, error, &regular(11.0), room);
            ui.painter().text(pos2(left, y), Align2::LEFT_CENTER, text, regular(11.0), theme.warning);
        }
        None => {}
    }
}

/// The parts from left to right; what carries a gradient is joined in its colour, and the line stands before it.
fn miniature(painter: &Painter, rect: Rect, details: &Details, theme: &Theme) {
    const GAP: f32 = 12.0;
    let all: f32 = details.pieces.iter().map(|piece| width(piece) + GAP).sum::<f32>() - GAP;
    let scale = (0.9 * rect.width() / all.max(1.0)).min(1.0);
    let mut x = rect.center().x - scale * all / 2.0;
    let y = rect.center().y;
    let cut = details.pieces.iter().position(|piece| {
        piece.tracked
            || piece.freeze != Freeze::Frozen && piece.freeze != Freeze::Nothing
            || !piece.kinds.is_empty()
    });
    for (number, piece) in details.pieces.iter().enumerate() {
        let size = vec2(scale * width(piece), 28.0);
        let frame = Rect::from_min_size(pos2(x, y - size.y / 2.0), size);
        if number > 0 {
            let tracked = details.pieces[number - 1].tracked;
            let color = if tracked { theme.trainable } else { theme.edge };
            painter.hline(x - scale * GAP..=x, y, Stroke::new(1.5, color));
        }
        if cut == Some(number) && number > 0 {
            let at = x - scale * GAP / 2.0;
            let line = [pos2(at, rect.top() + 6.0), pos2(at, rect.bottom() - 6.0)];
            painter.extend(egui::Shape::dashed_line(&line, Stroke::new(1.5, theme.frozen), 4.0, 3.0));
        }
        self::piece(painter, frame, piece, theme);
        x += scale * (width(piece) + GAP);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few blocks")]
fn width(piece: &Piece) -> f32 {
    match piece.blocks {
        0 => 20.0,
        blocks => 8.0 + 11.0 * blocks.min(24) as f32,
    }
}

fn piece(painter: &Painter, frame: Rect, piece: &Piece, theme: &Theme) {
    let trains = matches!(piece.freeze, Freeze::Trainable | Freeze::Mixed);
    let outline = if trains { theme.trainable } else { theme.outline };
    painter.rect(frame, 5, theme.card, Stroke::new(1.25, outline), StrokeKind::Inside);
    if piece.blocks == 0 {
        if let Some(letter) = piece.kinds.first() {
            icons::badge(painter, theme.kind(*letter), frame.center(), 12.0, theme.ink);
        } else if trains {
            icons::paint(painter, Icon::Flame, frame.center(), 12.0, theme.trainable);
        }
        return;
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 24 blocks")]
    let count = piece.blocks.min(24) as f32;
    let each = (frame.width() - 6.0) / count;
    for block in 0..piece.blocks.min(24) {
        #[expect(clippy::cast_precision_loss, reason = "at most 24 blocks")]
        let left = frame.left() + 3.0 + each * block as f32;
        let inner =
            Rect::from_min_size(pos2(left + 1.0, frame.top() + 5.0), vec2(each - 2.0, frame.height() - 10.0));
        painter.rect_filled(inner, 2, if trains { theme.trainable_tint } else { theme.active });
        if let Some(letter) = piece.kinds.get(block % piece.kinds.len().max(1)) {
            icons::badge(painter, theme.kind(*letter), inner.center(), (each - 1.0).min(9.0), theme.ink);
        }
    }
}
