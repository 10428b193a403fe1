//! In place of Train where the stage will not fit into memory: by how much, and what helps.

use egui::Ui;

use super::Desk;
use crate::actions::Action;
use crate::format;
use crate::icons::Icon;
use crate::outlook::Outlook;
use crate::problems::{Remedy, Severity};
use crate::resize;
use crate::widgets::{Weight, wide_button};

/// What a stage takes at its peak, and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch {
    /// Predicted peak.
    pub peak_bytes: u64,
    /// The budget, or else what the machine has.
    pub limit_bytes: u64,
    /// Whether the limit is the machine's rather than a budget that was typed.
    pub of_machine: bool,
}

impl TooMuch {
    /// Of the stage that is shown, where it does not fit.
    #[must_use]
    pub fn of(desk: Desk<'_>) -> Option<Self> {
        let peak_bytes = desk.outlook()?.predicted()?.peak_bytes;
        let (budget, machine) = (desk.budget_bytes, desk.machine_bytes);
        let limit_bytes = budget.into_iter().chain(machine).min()?;
        let of_machine = machine == Some(limit_bytes);
        (peak_bytes > limit_bytes).then_some(Self { peak_bytes, limit_bytes, of_machine })
    }

    /// By how much.
    #[must_use]
    pub fn over(&self) -> u64 {
        self.peak_bytes - self.limit_bytes
    }

    /// In words.
    #[must_use]
    pub fn text(&self, stage: usize) -> String {
        let limit = if self.of_machine { "this machine's memory" } else { "the budget" };
        format!(
            "stage {} needs {} at its peak, {} over {limit}",
            stage + 1,
            format::bytes(self.peak_bytes),
            format::bytes(self.over())
        )
    }

    /// An error where the machine itself has too little.
    #[must_use]
    pub fn severity(&self) -> Severity {
        if self.of_machine { Severity::Error } else { Severity::Warning }
    }
}

/// What makes a stage smaller, the most harmless first.
#[must_use]
pub fn remedies(desk: Desk<'_>, too_much: TooMuch) -> Vec<Remedy> {
    let mut found = vec![("See what fits…".to_owned(), Action::FitInto(too_much.limit_bytes))];
    let (Some(document), Some(model)) = (desk.document, desk.model) else { return found };
    let (project, stage) = (document.project(), model.stage);
    let Some(spec) = project.stages.get(stage).and_then(|spec| spec.as_train()) else { return found };
    let smaller = |outlook: &Outlook| {
        let (cut, predicted) = (outlook.plan.cut.as_ref()?, outlook.predicted()?);
        Some(cut.peak_bytes + predicted.process_bytes < predicted.peak_bytes)
    };
    if spec.cache.is_none() && desk.outlook().and_then(smaller) == Some(true) {
        let action = Action::SetStage { stage, path: "cache", value: "Some(())".to_owned() };
        found.push(("Compute the frozen side once and keep it".to_owned(), action));
    }
    if spec.accumulate <= spec.batch / 2 {
        let batch = spec.batch / 2;
        let action = Action::SetStage { stage, path: "batch", value: batch.to_string() };
        found.push((format!("Batch of {batch} rather than {}", spec.batch), action));
    }
    let used =
        |adapter: &usize| model.uses_adapters && model.coverage.get(*adapter).is_some_and(Result::is_ok);
    for (adapter, placement) in project.adapters.iter().enumerate().filter(|(adapter, _)| used(adapter)) {
        if let Some(half) = resize::resized(placement, Some(model), adapter, false) {
            let (label, name) = (half.label, placement.kind.kind().name());
            let word = format!(
                "{label} of {} rather than {} in {name}",
                format::number(half.to),
                format::number(half.from)
            );
            found.push((word, Action::Set { adapter, name: half.name, value: half.to }));
            break;
        }
    }
    found
}

/// The button with its menu.
pub(super) fn ui(ui: &mut Ui, desk: Desk<'_>, too_much: TooMuch, actions: &mut Vec<Action>) {
    let word = format!("Does not fit, over by {}", format::bytes(too_much.over()));
    let response = wide_button(ui, Some(Icon::Warning), &word, Weight::Plain, true);
    let stage = desk.model.map_or(0, |model| model.stage);
    egui::Popup::menu(&response).show(|ui| {
        ui.set_min_width(280.0);
        for (word, action) in remedies(desk, too_much) {
            if ui.button(word).clicked() {
                actions.push(action);
                ui.close();
            }
        }
        ui.separator();
        if ui.button("Train all the same").clicked() {
            actions.push(Action::Train);
            ui.close();
        }
    });
    response.on_hover_text(format!("{} (predicted)", too_much.text(stage)));
}
