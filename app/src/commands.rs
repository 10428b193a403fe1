//! The one list of what can be done by name. Shortcuts, the menu, the command palette, the help sheet and the keys at
//! the bottom of the window are all made from it.

use std::borrow::Cow;
use std::sync::LazyLock;

use egui::{Key, KeyboardShortcut, ModifierNames, Modifiers};
use graft_engine::adapters::PRESETS;

use crate::actions::Action;
use crate::graph_actions::{GraphAction, Step};
use crate::panels::Desk;
use crate::view::{DockTab, Heat, Origin, Selected};

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Files.
    Project,
    /// The project's contents.
    Edit,
    /// Adapters.
    Adapters,
    /// Runs.
    Run,
    /// What is shown.
    View,
    /// Guidance.
    Help,
}

impl Group {
    /// All of them, in the menu's order.
    pub const ALL: [Self; 6] = [Self::Project, Self::Edit, Self::Adapters, Self::Run, Self::View, Self::Help];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Project => "Project",
            Self::Edit => "Edit",
            Self::Adapters => "Adapters",
            Self::Run => "Run",
            Self::View => "View",
            Self::Help => "Help",
        }
    }
}

/// When a command can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Always.
    Always,
    /// A project is open.
    Open,
    /// A project is open and no run of it goes on.
    Editing,
    /// No run goes on.
    Idle,
    /// A run goes on.
    Running,
}

/// Something that can be done by name.
#[derive(Clone, Debug)]
pub struct Command {
    /// What it is about.
    pub group: Group,
    /// What it does, beginning with a verb.
    pub title: Cow<'static, str>,
    /// Its key.
    pub keys: Option<KeyboardShortcut>,
    /// Whether the window's bottom line shows its key.
    pub hinted: bool,
    /// What it does.
    pub action: Action,
    when: When,
}

impl Command {
    fn new(group: Group, title: impl Into<Cow<'static, str>>, when: When, action: Action) -> Self {
        Self { group, title: title.into(), keys: None, hinted: false, action, when }
    }

    const fn key(mut self, modifiers: Modifiers, key: Key) -> Self {
        self.keys = Some(KeyboardShortcut::new(modifiers, key));
        self
    }

    const fn hinted(mut self) -> Self {
        self.hinted = true;
        self
    }

    /// How its key is written, as `Ctrl Shift Z`.
    #[must_use]
    pub fn keys_text(&self) -> Option<String> {
        self.keys.map(|keys| keys_text(&keys))
    }

    /// Why it cannot be given now.
    #[must_use]
    pub fn blocked(&self, desk: Desk<'_>) -> Option<&'static str> {
        let open = desk.document.is_some();
        let of_edit = match &self.action {
            Action::Undo if desk.undoes_runs => return None,
            Action::Undo if desk.document.is_some_and(|it| it.undo_label().is_none()) => {
                Some("Nothing to undo")
            }
            Action::Redo if desk.document.is_some_and(|it| it.redo_label().is_none()) => {
                Some("Nothing to redo")
            }
            Action::FreezeSelected => desk.cannot_freeze(),
            Action::Save if desk.document.is_some_and(|it| !it.is_dirty()) => Some("Nothing has changed"),
            _ => None,
        };
        match self.when {
            When::Open | When::Editing if !open => Some("No project is open"),
            When::Editing if desk.locked => Some("Locked while training"),
            When::Idle if desk.busy() => Some("A run is going on"),
            When::Running if !desk.busy() => Some("No run is going on"),
            _ => of_edit,
        }
    }
}

/// A key as it is written in the window.
#[must_use]
pub fn keys_text(keys: &KeyboardShortcut) -> String {
    let short = match keys.logical_key {
        Key::Delete => Some("Del"),
        Key::Escape => Some("Esc"),
        _ => None,
    };
    let text = keys.format(&ModifierNames::NAMES, cfg!(target_os = "macos")).replace('+', " ");
    match short {
        Some(short) => text.replace(keys.logical_key.name(), short),
        None => ["Period", "Slash", "OpenBracket", "CloseBracket"]
            .into_iter()
            .zip([".", "/", "[", "]"])
            .fold(text, |text, (name, sign)| text.replace(name, sign)),
    }
}

/// The commands that are always the same. Keys with more modifiers come first, since egui takes the first that fits.
#[must_use]
pub fn fixed() -> Vec<Command> {
    use Group::{Adapters, Edit, Help, Project, Run, View};
    use When::{Always, Editing, Idle, Open, Running};
    let command = Modifiers::COMMAND;
    let shifted = Modifiers::COMMAND.plus(Modifiers::SHIFT);
    let none = Modifiers::NONE;
    let of = Command::new;
    vec![
        of(Edit, "Redo", Editing, Action::Redo).key(shifted, Key::Z),
        of(Edit, "Undo", Editing, Action::Undo).key(command, Key::Z).hinted(),
        of(Project, "Save as…", Open, Action::SaveAs).key(shifted, Key::S),
        of(Project, "Save", Open, Action::Save).key(command, Key::S).hinted(),
        of(Project, "Open…", Idle, Action::Open).key(command, Key::O),
        of(Project, "New from a model folder…", Idle, Action::New).key(command, Key::N),
        of(Project, "Choose a folder of data…", Editing, Action::ChooseData),
        of(Project, "Close the project", Idle, Action::CloseProject).key(command, Key::W),
        of(Project, "Show what differs from the file", Open, Action::ShowDifference),
        of(Run, "Train", Open, Action::Train).key(command, Key::Enter).hinted(),
        of(Run, "Stop and save", Running, Action::Stop).key(command, Key::Period).hinted(),
        of(Run, "Pause or go on", Running, Action::TogglePause).key(none, Key::P).hinted(),
        of(Edit, "Freeze or thaw", Editing, Action::FreezeSelected).key(none, Key::F).hinted(),
        of(Adapters, "Remove the selected adapter", Editing, Action::RemoveSelected)
            .key(none, Key::Delete)
            .hinted(),
        of(Adapters, "Make the selected adapter smaller", Editing, Action::Resize { larger: false })
            .key(none, Key::OpenBracket),
        of(Adapters, "Make the selected adapter larger", Editing, Action::Resize { larger: true })
            .key(none, Key::CloseBracket),
        of(View, "Show all commands", Always, Action::ShowPalette).key(shifted, Key::P),
        of(View, "Show all commands", Always, Action::ShowPalette).key(command, Key::K).hinted(),
        of(View, "Next heat", Open, Action::NextHeat).key(none, Key::H).hinted(),
        of(View, "Show or hide the cut", Open, Action::ToggleCut).key(none, Key::C).hinted(),
        of(View, "Fit everything", Open, Action::Fit).key(none, Key::Num1).hinted(),
        of(View, "Select nothing", Open, Action::Select(Selected::Nothing)).key(none, Key::Escape),
        of(View, "Go to the next part of the window", Open, Action::NextRegion).key(none, Key::F6),
        of(View, "Dark or light", Always, Action::ToggleTheme),
        of(View, "Follow the system's theme", Always, Action::FollowTheme),
        of(Help, "Show all keys", Always, Action::ShowHelp).key(none, Key::F1),
        of(Help, "Check devices again", Always, Action::CheckDevices),
    ]
}

/// What is done on the graph. Copying and pasting have no keys here: the window system tells of them itself.
#[must_use]
pub fn graph() -> Vec<Command> {
    use Group::{Adapters, View};
    use When::{Editing, Open};
    let of =
        |group, title: &'static str, when, action| Command::new(group, title, when, Action::Graph(action));
    let (shift, none) = (Modifiers::SHIFT, Modifiers::NONE);
    let walk = |title, key, step| of(View, title, Open, GraphAction::Walk(step)).key(none, key);
    vec![
        of(View, "Unfold or fold all blocks", Open, GraphAction::FoldAll).key(shift, Key::E),
        of(View, "Unfold or fold", Open, GraphAction::FoldSelected).key(none, Key::E).hinted(),
        of(View, "Unfold or fold", Open, GraphAction::FoldSelected).key(none, Key::Enter),
        of(Adapters, "Add an adapter", Editing, GraphAction::AddHere).key(none, Key::A).hinted(),
        of(Adapters, "Copy the selected adapter", Editing, GraphAction::Copy),
        of(Adapters, "Place the copied adapter", Editing, GraphAction::Paste),
        of(Adapters, "Copy the selected adapter to like sites", Editing, GraphAction::CopyToLike),
        of(View, "Find", Open, GraphAction::Find).key(none, Key::Slash).hinted(),
        of(View, "Zoom to the selection", Open, GraphAction::FitSelection).key(none, Key::Num2).hinted(),
        walk("Go to the next part", Key::ArrowRight, Step::Next),
        walk("Go to the part before", Key::ArrowLeft, Step::Previous),
        walk("Go to the next part beside", Key::ArrowDown, Step::NextBeside),
        walk("Go to the part before beside", Key::ArrowUp, Step::PreviousBeside),
    ]
}

/// All commands that have keys, in the order in which keys are taken.
#[must_use]
pub fn keyed() -> &'static [Command] {
    static KEYED: LazyLock<Vec<Command>> = LazyLock::new(|| {
        let all = fixed().into_iter().chain(graph()).chain(tabs());
        all.filter(|command| command.keys.is_some()).collect()
    });
    &KEYED
}

/// Tabs of the dock, in order; `Ctrl 1` shows the first.
#[must_use]
pub fn tabs() -> Vec<Command> {
    let keys = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8];
    let with = |(tab, key): (DockTab, Key)| {
        Command::new(Group::View, format!("Show {}", tab.word()), When::Always, Action::ShowTab(tab))
            .key(Modifiers::COMMAND, key)
    };
    DockTab::ALL.into_iter().zip(keys).map(with).collect()
}

/// All commands that can be given where the window stands now, whether or not they are blocked.
#[must_use]
pub fn all(desk: Desk<'_>) -> Vec<Command> {
    let mut all: Vec<Command> = fixed().into_iter().chain(graph()).collect();
    // The palette shows each once, whatever keys it has.
    all.dedup_by(|later, first| later.action == first.action);
    all.extend(tabs());
    let of = Command::new;
    for heat in Heat::ALL {
        all.push(of(Group::View, format!("Heat: {}", heat.word()), When::Open, Action::ShowHeat(heat)));
    }
    for origin in Origin::ALL {
        let title = format!("Heat as {}", origin.word());
        all.push(of(Group::View, title, When::Open, Action::ShowOrigin(origin)));
    }
    let Some(document) = desk.document else { return all };
    for (number, stage) in document.project().stages.iter().enumerate() {
        let title = format!("Show stage {}: {}", number + 1, stage.name());
        all.push(of(Group::View, title, When::Open, Action::ShowStage(number)));
    }
    for (number, spec) in crate::kinds::palette().iter().enumerate() {
        let title = format!("Choose {} as the kind to place", spec.kind().name());
        all.push(of(Group::Adapters, title, When::Editing, Action::ChooseKind(number)));
    }
    for (number, preset) in PRESETS.iter().enumerate() {
        let title = format!("Place preset {}", preset.name);
        all.push(of(Group::Adapters, title, When::Editing, Action::PlacePreset(number)));
    }
    for (index, placement) in document.project().adapters.iter().enumerate() {
        let title = format!("Select rule {} {}", placement.kind.kind().name(), placement.at);
        let selected = Selected::Adapter { index, site: None };
        all.push(of(Group::Adapters, title, When::Open, Action::Select(selected)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_commands_share_a_key_and_more_modifiers_come_first() {
        let all = keyed();
        for (i, a) in all.iter().enumerate() {
            for b in all.iter().skip(i + 1) {
                let (Some(first), Some(second)) = (a.keys, b.keys) else { continue };
                assert_ne!(first, second, "{} and {}", a.title, b.title);
                let hides = first.logical_key == second.logical_key
                    && second.modifiers.contains(first.modifiers)
                    && first.modifiers != second.modifiers;
                // Ctrl 1 stands after 1: a shortcut without modifiers takes no key that has some.
                assert!(!hides || first.modifiers.is_none(), "{} hides {}", a.title, b.title);
            }
        }
    }

    #[test]
    fn keys_are_written_as_on_keyboards() {
        let of = |modifiers, key| keys_text(&KeyboardShortcut::new(modifiers, key));
        if !cfg!(target_os = "macos") {
            assert_eq!(of(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z), "Ctrl Shift Z");
            assert_eq!(of(Modifiers::COMMAND, Key::Period), "Ctrl .");
        }
        assert_eq!(of(Modifiers::NONE, Key::Delete), "Del");
        assert_eq!(of(Modifiers::NONE, Key::Num1), "1");
    }
}
