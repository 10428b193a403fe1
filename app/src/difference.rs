//! How the project in the window differs from its file, line by line.

use egui::{Align, Layout, ScrollArea, Ui};
use similar::{ChangeTag, TextDiff};

use crate::actions::Action;
use crate::theme::{Theme, mono};
use crate::widgets::{Weight, wide_button};

/// Unchanged lines around each change.
const AROUND: usize = 2;

/// The two texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What the file holds.
    pub file: String,
    /// What the window holds.
    pub window: String,
}

/// A line and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    File,
    Window,
    Both,
    Gap,
}

impl Difference {
    /// The lines that differ, with a few around them.
    fn lines(&self) -> Vec<(Side, String)> {
        let diff = TextDiff::from_lines(&self.file, &self.window);
        let mut lines = Vec::new();
        for (number, group) in diff.grouped_ops(AROUND).iter().enumerate() {
            if number > 0 {
                lines.push((Side::Gap, "…".to_owned()));
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let side = match change.tag() {
                    ChangeTag::Delete => Side::File,
                    ChangeTag::Insert => Side::Window,
                    ChangeTag::Equal => Side::Both,
                };
                lines.push((side, change.value().trim_end().to_owned()));
            }
        }
        lines
    }
}

/// Shows the difference; `false` when it is to be closed.
pub(crate) fn ui(ctx: &egui::Context, difference: &Difference, actions: &mut Vec<Action>) -> bool {
    let mut open = true;
    let response = egui::Modal::new(egui::Id::unique("difference")).show(ctx, |ui| {
        ui.set_width(720.0);
        ui.heading("What differs from the file");
        ui.add_space(2.0);
        ui.label("− stands in the file, + in the window");
        ui.add_space(6.0);
        let lines = difference.lines();
        if lines.is_empty() {
            ui.label("Nothing: both say the same.");
        }
        ScrollArea::both().max_height(420.0).auto_shrink([false, true]).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            for (side, text) in &lines {
                line(ui, *side, text);
            }
        });
        ui.add_space(10.0);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if wide_button(ui, None, "Close", Weight::Primary, true).clicked() {
                open = false;
            }
            if wide_button(ui, None, "Keep mine", Weight::Plain, true).clicked() {
                actions.push(Action::KeepMine);
                open = false;
            }
            if wide_button(ui, None, "Reload", Weight::Plain, true).clicked() {
                actions.push(Action::Reload);
                open = false;
            }
        });
    });
    open && !response.should_close()
}

fn line(ui: &mut Ui, side: Side, text: &str) {
    let theme = Theme::of(ui);
    let (sign, color, fill) = match side {
        Side::File => ("−", theme.error, Some(theme.error_tint)),
        Side::Window => ("+", theme.brand, Some(theme.brand_tint)),
        Side::Both => (" ", theme.body, None),
        Side::Gap => (" ", theme.label, None),
    };
    let label = egui::RichText::new(format!("{sign} {text}")).font(mono(11.0)).color(color);
    let label = fill.map_or(label.clone(), |fill| label.background_color(fill));
    ui.add(egui::Label::new(label).extend());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown_with_a_little_around_it() {
        let text = |epochs: usize| {
            (0..20)
                .map(|i| if i == 10 { format!("epochs: {epochs}\n") } else { format!("line {i}\n") })
                .collect()
        };
        let lines = Difference { file: text(1), window: text(2) }.lines();
        assert_eq!(lines.len(), 2 + 2 + 2);
        assert!(lines.contains(&(Side::File, "epochs: 1".to_owned())));
        assert!(lines.contains(&(Side::Window, "epochs: 2".to_owned())));
        assert!(Difference { file: text(1), window: text(1) }.lines().is_empty());
    }
}
