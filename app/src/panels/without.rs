//! What one adapter costs: the stage with it against the stage without it.

use egui::Ui;

use super::Desk;
use crate::format;
use crate::theme::Theme;
use crate::whatif::{Change, Sums};
use crate::widgets::{key_value, note, section};

/// Shows the section; nothing while no prediction is there to compare with.
pub(super) fn ui(ui: &mut Ui, index: usize, desk: Desk<'_>) {
    let Some(outlook) = desk.outlook() else { return };
    let now = Sums::of(outlook);
    section(ui, "Without it", "predicted");
    match desk.what_if.answer(&Change::Without(index)) {
        None if desk.locked => note(ui, "Not worked out while training.", Theme::of(ui).label),
        None => note(ui, "Working it out…", Theme::of(ui).label),
        Some(Err(error)) => note(ui, &format!("The stage would not run: {error}"), Theme::of(ui).warning),
        Some(Ok(then)) => rows(ui, &now, &then),
    }
    ui.add_space(6.0);
}

fn rows(ui: &mut Ui, now: &Sums, then: &Sums) {
    key_value(ui, "Trainable", &difference(now.trainable, then.trainable, format::short));
    if let (Some(now), Some(then)) = (now.peak_bytes, then.peak_bytes) {
        key_value(ui, "Peak memory", &difference(now, then, format::bytes));
    }
    if let (Some(now), Some(then)) = (now.step_secs, then.step_secs) {
        let sign = if then < now { "−" } else { "+" };
        key_value(ui, "Step", &format!("{sign}{}", format::step_time((then - now).abs())));
    }
    if now.cut_bytes != then.cut_bytes {
        let word = |bytes: Option<u64>| bytes.map_or_else(|| "none".to_owned(), format::bytes);
        let text = format!("{} → {}", word(now.cut_bytes), word(then.cut_bytes));
        key_value(ui, "Cut, a sample", &text);
    }
}

/// `−310 MiB`, `+1.2 k`, `the same`.
#[must_use]
fn difference(now: u64, then: u64, word: impl Fn(u64) -> String) -> String {
    match then.cmp(&now) {
        std::cmp::Ordering::Less => format!("−{}", word(now - then)),
        std::cmp::Ordering::Equal => "the same".to_owned(),
        std::cmp::Ordering::Greater => format!("+{}", word(then - now)),
    }
}
