//! What a click on a free site would cost: now, then, and what no longer fits.

use egui::{RichText, Ui};

use super::Scene;
use crate::format;
use crate::theme::{Theme, mono, regular};
use crate::whatif::{Change, Sums};

/// Shows the rows of the card beside a site.
pub(super) fn ui(ui: &mut Ui, scene: Scene<'_>, site: &str, kind: usize) {
    let theme = Theme::of(ui);
    let Some(outlook) = scene.outlook else { return };
    let now = Sums::of(outlook);
    let change = Change::With { site: site.to_owned(), kind };
    ui.separator();
    let small = |text: String, color| RichText::new(text).font(regular(11.0)).color(color);
    match scene.what_if.answer(&change) {
        None => {
            ui.label(small("Working out what it would cost…".to_owned(), theme.label));
        }
        Some(Err(error)) => {
            ui.label(small(format!("The stage would not run: {error}"), theme.error));
        }
        Some(Ok(then)) => rows(ui, &now, &then, scene.budget_bytes),
    }
}

fn rows(ui: &mut Ui, now: &Sums, then: &Sums, budget: Option<u64>) {
    let theme = Theme::of(ui);
    let number = |text: String, color| RichText::new(text).font(mono(11.0)).color(color);
    egui::Grid::new("what if").num_columns(3).spacing([14.0, 2.0]).show(ui, |ui| {
        let mut row = |name: &str, now: String, then: String, remark: Option<String>| {
            ui.label(RichText::new(name).font(regular(11.0)).color(theme.label));
            ui.label(number(format!("{now} → {then}"), theme.text));
            if let Some(remark) = remark {
                ui.label(number(remark, theme.error));
            }
            ui.end_row();
        };
        row("Trainable", format::short(now.trainable), format::short(then.trainable), None);
        if let (Some(now), Some(then)) = (now.peak_bytes, then.peak_bytes) {
            let over = budget.filter(|budget| then > *budget);
            let over = over.map(|budget| format!("{} over", format::bytes(then - budget)));
            row("Peak memory", format::bytes(now), format::bytes(then), over);
        }
        if let (Some(now), Some(then)) = (now.step_secs, then.step_secs) {
            row("Step", format::step_time(now), format::step_time(then), None);
        }
        if now.cut_bytes != then.cut_bytes {
            let word = |bytes: Option<u64>| bytes.map_or_else(|| "none".to_owned(), format::bytes);
            row("Cut, a sample", word(now.cut_bytes), word(then.cut_bytes), None);
        }
    });
}
