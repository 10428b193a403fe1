//! The totals in the top bar: what the stage is predicted to cost, and beside it what a run has measured.

use egui::{Align2, Role, Sense, Stroke, Ui, WidgetInfo, pos2, vec2};
use graft_engine::project::Predicted;

use super::Desk;
use crate::format;
use crate::outlook::{causes, peak_place};
use crate::planner::Times;
use crate::session::State;
use crate::theme::{Theme, mono, regular};

/// A name over a value with a remark.
struct Chip {
    name: String,
    value: String,
    more: String,
    /// Whether the value is of an edit ago.
    stale: bool,
    hover: Option<String>,
}

impl Chip {
    fn new(name: &str, value: impl Into<String>, more: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: value.into(), more: more.into(), stale: false, hover: None }
    }
}

/// Room that the progress of a run needs.
const PROGRESS: f32 = 170.0;

/// Shows the totals from the right to the left, as far as there is room.
pub fn ui(ui: &mut Ui, desk: Desk<'_>) {
    let mut chips = Vec::new();
    // Another project's run has nothing to stand beside what is predicted for this one.
    let busy = desk.session.state().is_live() && desk.foreign_run().is_none();
    // While a run goes on, what it measures counts more.
    if busy {
        measured(desk, &mut chips);
    }
    // What is measured stands beside what the run itself was predicted to cost.
    let of_run = desk.session.series().stage().filter(|_| busy).and_then(|stage| stage.predicted.as_ref());
    let mut foretold = of_run.map_or_else(|| predicted(desk), |found| of_the_run(found).into());
    foretold.push(trainable(desk));
    if busy {
        // The run's progress needs its room.
        foretold.truncate(2);
    }
    chips.extend(foretold);
    if !busy {
        measured(desk, &mut chips);
    }
    let keep = if desk.session.state().is_live() { PROGRESS } else { 0.0 };
    for chip in chips {
        let (wide, narrow) = (width(ui, &chip, true), width(ui, &chip, false));
        let room = ui.available_width() - keep - ui.spacing().item_spacing.x;
        if narrow > room {
            return;
        }
        // The remark goes first, so that the next total still has a place.
        show(ui, chip, wide + 110.0 <= room);
    }
}

fn measured(desk: Desk<'_>, chips: &mut Vec<Chip>) {
    let series = desk.session.series();
    if series.steps.is_empty() || desk.foreign_run().is_some() {
        return;
    }
    if let Some(left) = series.stage_left().filter(|_| *desk.session.state() == State::Running) {
        chips.push(Chip::new("Stage ends in", format!("≈ {}", format::duration(left)), ""));
    }
    let step = series.step_secs().map_or_else(|| format::UNKNOWN.to_owned(), format::step_time);
    let pace = format!("{:.0} samples/s", series.position.samples_per_sec);
    // Where there is no room beside the time, a tooltip tells the pace.
    let hover = Some(pace.clone());
    chips.push(Chip { hover, ..Chip::new("Measured step", step, pace) });
    chips.push(Chip::new("Measured peak", format::bytes(series.peak_bytes), ""));
}

fn trainable(desk: Desk<'_>) -> Chip {
    desk.model.map_or_else(
        || Chip::new("Trainable", format::UNKNOWN, ""),
        |model| {
            let share = format::share(model.trained, model.weights);
            let more = format!("{share} of {}", format::short(model.weights));
            Chip::new("Trainable", format::whole(model.trained), more)
        },
    )
}

/// What was predicted of the stage that a run is at.
fn of_the_run(found: &Predicted) -> [Chip; 2] {
    let pace = format!("{:.0} samples/s", found.samples_per_sec);
    let step = if found.step_secs > 0.0 {
        Chip::new("Predicted step", format::step_time(found.step_secs), pace)
    } else {
        Chip::new("Predicted step", format::UNKNOWN, "")
    };
    [step, Chip::new("Predicted peak", format::bytes(found.peak_bytes), "")]
}

/// Peak and step of the stage that is looked at.
fn predicted(desk: Desk<'_>) -> Vec<Chip> {
    if desk.document.is_none() {
        return Vec::new();
    }
    let planner = desk.planner;
    let stale = !planner.is_current();
    let unknown = |name: &str| Chip {
        hover: planner.error().map(|error| format!("Nothing is predicted: {error}")),
        ..Chip::new(name, format::UNKNOWN, "")
    };
    let Some((outlook, found)) = planner.outlook().and_then(|outlook| Some((outlook, outlook.predicted()?)))
    else {
        return vec![unknown("Predicted step"), unknown("Predicted peak")];
    };
    let mut step = if outlook.timed {
        let pace = format!("{:.0} samples/s", found.samples_per_sec);
        Chip::new("Predicted step", format::step_time(found.step_secs), pace)
    } else {
        Chip::new("Predicted step", times_word(planner.times()), "")
    };
    step.stale = stale;
    step.hover = Some(step_story(desk).unwrap_or_default());
    let mut peak = Chip::new("Predicted peak", format::bytes(found.peak_bytes), "");
    peak.stale = stale;
    let mut story = vec![format!("Predicted for stage {} ({})", outlook.stage + 1, outlook.plan.name)];
    story.extend(peak_place(&outlook.plan).map(|place| format!("peak {place}")));
    story.extend(
        causes(&outlook.plan, found)
            .iter()
            .map(|(cause, bytes)| format!("{cause} {}", format::bytes(*bytes))),
    );
    peak.hover = Some(story.join("\n"));
    vec![step, peak]
}

/// What stands where a time is not known.
#[must_use]
pub fn times_word(times: &Times) -> &'static str {
    match times {
        Times::Measuring => "measuring this device…",
        _ => format::UNKNOWN,
    }
}

fn step_story(desk: Desk<'_>) -> Option<String> {
    let outlook = desk.planner.outlook()?;
    let found = outlook.predicted()?;
    Some(match desk.planner.times() {
        _ if outlook.timed => {
            let rows = [
                ("frozen forward", found.frozen_forward_secs),
                ("trainable forward", found.forward_secs - found.frozen_forward_secs),
                ("backward", found.backward_secs),
                ("of it, computed again", found.again_secs),
                ("optimizer", found.optimizer_secs),
            ];
            let rows = rows.map(|(name, secs)| format!("{name} {}", format::step_time(secs)));
            format!(
                "Predicted for {} samples a step, without waiting for data\n{}",
                outlook.batch,
                rows.join("\n")
            )
        }
        Times::Measuring => "What operations take here is measured once, in a few seconds".to_owned(),
        Times::Failed(error) => format!("This device could not be measured: {error}"),
        _ => "This device is not measured yet".to_owned(),
    })
}

fn width(ui: &Ui, chip: &Chip, with_more: bool) -> f32 {
    let wide =
        |text: &str, font| ui.painter().layout_no_wrap(text.to_owned(), font, egui::Color32::WHITE).size().x;
    let more = if with_more && !chip.more.is_empty() { 6.0 + wide(&chip.more, regular(11.0)) } else { 0.0 };
    wide(&chip.name, regular(11.0)).max(wide(&chip.value, mono(12.0)) + more) + 24.0
}

fn show(ui: &mut Ui, chip: Chip, with_more: bool) {
    let theme = Theme::of(ui);
    let size = vec2(width(ui, &chip, with_more), 36.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let told = if chip.stale { format!("{}, updating", chip.name) } else { chip.name.clone() };
    let told = format!("{told}: {} {}", chip.value, chip.more);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, told.trim_end()));
    let painter = ui.painter();
    painter.vline(rect.left(), rect.shrink2(vec2(0.0, 3.0)).y_range(), Stroke::new(1.0, theme.line));
    let x = rect.left() + 12.0;
    painter.text(pos2(x, rect.top() + 9.0), Align2::LEFT_CENTER, &chip.name, regular(11.0), theme.label);
    let y = rect.top() + 26.0;
    let color = if chip.stale { theme.faint } else { theme.text };
    let value = painter.text(pos2(x, y), Align2::LEFT_CENTER, &chip.value, mono(12.0), color);
    if with_more {
        let after = pos2(value.right() + 6.0, y);
        painter.text(after, Align2::LEFT_CENTER, &chip.more, regular(11.0), theme.label);
    }
    if let Some(hover) = chip.hover.filter(|hover| !hover.is_empty()) {
        response.on_hover_text(hover);
    }
}
