//! What is done with runs, and what follows from their ends.

use std::path::Path;

use graft_engine::project;
use graft_engine::runs::{Event, RunFolder};

use super::App;
use crate::actions::RunAction;
use crate::document::Document;
use crate::session::State;
use crate::view::DockTab;

impl App {
    pub(super) fn perform_run(&mut self, action: RunAction) {
        let result = match action {
            RunAction::Choose { path, add } => {
                self.library.choose(&path, add);
                // One run shows its facts, several their differences; both need room.
                self.view.dock_tall |= self.library.chosen().len() > 1;
                Ok(())
            }
            RunAction::ChooseAll(paths) => {
                self.library.choose_all(paths);
                self.view.dock_tall = true;
                Ok(())
            }
            RunAction::Open(path) => self.open_run(&path),
            RunAction::Show(path) => self.show_run(&path),
            RunAction::Resume(path) => {
                let result = self.session.resume(&path).map_err(|error| error.to_string());
                if result.is_ok() {
                    self.begun();
                }
                result
            }
            RunAction::DeleteChosen => self.library.delete_chosen(),
            RunAction::Restore => self.library.restore(),
            RunAction::Note(path, notes) => self.library.note(&path, &notes),
            RunAction::Ask(ask) => {
                self.session.ask(ask);
                Ok(())
            }
            RunAction::Cancel(path) => self.library.cancel(&path),
            RunAction::Earlier(path) => self.library.earlier(&path),
            RunAction::StartQueue => {
                if self.start_next() {
                    self.begun();
                }
                Ok(())
            }
        };
        self.fail(result);
    }

    /// Opens the project that a run froze. It is saved beside the project that the run came from, under the run's
    /// name: what the run itself keeps stays as it ran.
    fn open_run(&mut self, folder: &Path) -> Result<(), String> {
        if self.is_busy() {
            return Ok(());
        }
        if self.document.as_ref().is_some_and(Document::is_dirty) {
            return Err("Save the changes first (Ctrl S): opening a run's project would lose them".to_owned());
        }
        let project = project::load(&folder.join("project.ron")).map_err(|error| error.to_string())?;
        let base = RunFolder::origin(folder).map_err(|error| error.to_string())?;
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.adopt(Document::new(project, &base.join(format!("{name}.ron"))));
        self.refusal = None;
        if !matches!(self.session.state(), State::Following) {
            self.session.follow(folder).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn show_run(&mut self, folder: &Path) -> Result<(), String> {
        if self.is_busy() {
            return Ok(());
        }
        self.session.follow(folder).map_err(|error| error.to_string())?;
        self.view.tab = DockTab::Plots;
        self.view.dock_tall = true;
        Ok(())
    }

    /// Takes in what the library's thread has read. A window that is opened while a run goes on shows it.
    pub(super) fn read_runs(&mut self) {
        let first = self.library.poll();
        if first && *self.session.state() == State::Idle {
            let open = self.library.rows().iter().find(|row| row.entry.state.is_open());
            if let Some(path) = open.map(|row| row.entry.path.clone()) {
                let result = self.show_run(&path);
                self.fail(result);
            }
        }
    }

    /// When a run has ended by itself, the next one that waits begins. A stop is a stop.
    pub(super) fn ended(&mut self) {
        self.library.look();
        if matches!(self.session.state(), State::Finished | State::Failed(_)) && !self.is_closing() {
            self.start_next_by_itself();
        }
    }

    pub(super) fn start_next_by_itself(&mut self) {
        if self.start_next() {
            self.begun_by_itself();
        }
    }

    /// Lets the first of the queue begin; whether it does.
    fn start_next(&mut self) -> bool {
        if self.is_busy() {
            return false;
        }
        let runs = self.library.folder().to_path_buf();
        let session = &mut self.session;
        let mut started = false;
        let result = self.library.next(|next| {
            started = session.train(&next.project, next.base.clone(), runs).is_ok();
            started
        });
        self.fail(result);
        started
    }

    /// Takes in an event as though a run of this window had told it.
    pub fn hear(&mut self, event: &Event) {
        let busy = self.is_busy();
        self.session.hear(event);
        if self.is_busy() && !busy {
            self.begun();
        }
    }

    /// Puts the project at the queue's end.
    pub(super) fn enqueue(&mut self) {
        let Some(document) = &self.document else { return };
        let result = self.library.enqueue(document.project(), &document.base());
        self.fail(result);
    }
}
