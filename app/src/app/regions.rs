//! The parts of the window that the keyboard goes through with F6.

use egui::{Context, Id, Rect};

/// Where the parts lay in the newest frame, in the order in which they are gone through.
#[derive(Debug, Default)]
pub(super) struct Regions(Vec<Rect>);

impl Regions {
    /// A new frame begins.
    pub(super) fn begin(&mut self) {
        self.0.clear();
    }

    /// A part of it.
    pub(super) fn add(&mut self, rect: Rect) {
        self.0.push(rect);
    }

    /// Gives the keyboard to the first control of the part after the one that has it.
    pub(super) fn next(&self, ctx: &Context) {
        let focused = ctx.memory(egui::Memory::focused);
        let controls = controls(ctx);
        let rect_of = |id: Id| controls.iter().find(|(other, _)| *other == id).map(|(_, rect)| *rect);
        let part_of = |rect: Rect| self.0.iter().position(|part| part.contains(rect.center()));
        let current = focused.and_then(rect_of).and_then(part_of);
        let count = self.0.len();
        let order = (1..=count).map(|step| (current.map_or(count - 1, |part| part) + step) % count);
        for part in order {
            let inside = controls.iter().filter(|(_, rect)| part_of(*rect) == Some(part));
            // In reading order; controls of one line do not stand at the very same height.
            let line = |rect: &Rect| (rect.min.y / 8.0).round();
            let first = inside.min_by(|(_, a), (_, b)| {
                (line(a), a.min.x).partial_cmp(&(line(b), b.min.x)).unwrap_or(std::cmp::Ordering::Equal)
            });
            if let Some((id, _)) = first {
                ctx.memory_mut(|memory| memory.request_focus(*id));
                ctx.request_repaint();
                return;
            }
        }
    }
}

/// All controls of the last frame that can have the keyboard.
fn controls(ctx: &Context) -> Vec<(Id, Rect)> {
    ctx.viewport(|viewport| {
        let all = viewport.prev_pass.widgets.layers().flat_map(|(_, widgets)| widgets);
        let able = all.filter(|widget| widget.enabled && widget.sense.is_focusable());
        let placed = able.map(|widget| (widget.id, widget.interact_rect));
        // The edges by which panels are resized are thin.
        placed.filter(|(_, rect)| rect.width().min(rect.height()) >= 10.0).collect()
    })
}
