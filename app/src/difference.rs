//! How the project in the window differs from its file, or from edits that were left unsaved, line by line.

use egui::{Align, Layout, ScrollArea, Ui};
use similar::{ChangeTag, TextDiff};

use crate::actions::Action;
use crate::theme::{Theme, mono};
use crate::widgets::{Weight, wide_button};

/// Unchanged lines around each change.
const AROUND: usize = 2;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    /// The file, and the project in the window.
    FileAndWindow,
    /// The project in the window, and the edits that an earlier window left unsaved.
    WindowAndLeft,
}

/// The two texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What they are of.
    pub between: Between,
    /// What stood there before.
    pub old: String,
    /// What stands there then.
    pub new: String,
}

/// A line and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Old,
    New,
    Both,
    Gap,
}

impl Difference {
    /// The lines that differ, with a few around them.
    fn lines(&self) -> Vec<(Side, String)> {
        let diff = TextDiff::from_lines(&self.old, &self.new);
        let mut lines = Vec::new();
        for (number, group) in diff.grouped_ops(AROUND).iter().enumerate() {
            if number > 0 {
                lines.push((Side::Gap, "…".to_owned()));
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let side = match change.tag() {
                    ChangeTag::Delete => Side::Old,
                    ChangeTag::Insert => Side::New,
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
        let (heading, legend, refuse, take) = match difference.between {
            Between::FileAndWindow => (
                "What differs from the file",
                "− stands in the file, + in the window",
                ("Keep mine", Action::KeepMine),
                ("Reload", Action::Reload),
            ),
            Between::WindowAndLeft => (
                "What the unsaved edits change",
                "− stands in the project, + in the edits that were not saved",
                ("Forget them", Action::ForgetUnsaved),
                ("Take them", Action::Restore),
            ),
        };
        ui.heading(heading);
        ui.add_space(2.0);
        ui.label(legend);
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
            for (word, action) in [refuse, take] {
                if wide_button(ui, None, word, Weight::Plain, true).clicked() {
                    actions.push(action);
                    open = false;
                }
            }
        });
    });
    open && !response.should_close()
}

fn line(ui: &mut Ui, side: Side, text: &str) {
    let theme = Theme::of(ui);
    let (sign, color, fill) = match side {
        Side::Old => ("−", theme.error, Some(theme.error_tint)),
        Side::New => ("+", theme.brand, Some(theme.brand_tint)),
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
        let lines = |old: usize, new: usize| {
            let between = Between::FileAndWindow;
            Difference { between, old: text(old), new: text(new) }.lines()
        };
        assert!(lines(1, 1).is_empty());
        let lines = lines(1, 2);
        assert_eq!(lines.len(), 2 + 2 + 2);
        assert!(lines.contains(&(Side::Old, "epochs: 1".to_owned())));
        assert!(lines.contains(&(Side::New, "epochs: 2".to_owned())));
    }
}
