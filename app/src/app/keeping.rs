//! What outlives the window: recent projects, the theme, and unsaved edits, kept for the case that the window ends
//! without asking.

use std::path::Path;
use std::time::{Duration, Instant};

use egui::{Context, ThemePreference};
use graft_engine::project;

use super::App;
use crate::actions::Action;
use crate::difference::{Between, Difference};
use crate::document::Document;
use crate::state::ThemeChoice;

/// Time without an edit after which unsaved edits are kept.
const REST: Duration = Duration::from_secs(2);
/// Time after which they are kept though the hands do not rest.
const MOST: Duration = Duration::from_secs(10);

/// Which revision is kept, and since when a newer one waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    revision: Option<u64>,
    seen: Option<(u64, Instant)>,
    /// Since when edits wait.
    waiting: Option<Instant>,
}

impl App {
    /// Keeps unsaved edits once the hands rest. Called in each frame.
    pub(super) fn keep(&mut self, ctx: &Context) {
        let Some(document) = &self.document else { return };
        // What was discarded on closing is not kept again.
        if self.is_closing() {
            return;
        }
        let revision = document.revision();
        if !document.is_dirty() {
            // Undone to what the file holds: there is nothing to lose.
            if self.kept.revision.take().is_some() {
                self.store.forget_unsaved(document.path());
            }
            return;
        }
        if self.kept.revision == Some(revision) {
            return;
        }
        let since = match self.kept.seen {
            Some((seen, since)) if seen == revision => since,
            _ => Instant::now(),
        };
        self.kept.seen = Some((revision, since));
        let waiting = *self.kept.waiting.get_or_insert(since);
        if since.elapsed() < REST && waiting.elapsed() < MOST {
            ctx.request_repaint_after(REST.saturating_sub(since.elapsed()));
            return;
        }
        self.keep_now();
    }

    /// Keeps unsaved edits now; what fails is tried again after the next rest.
    fn keep_now(&mut self) {
        let Some(document) = &self.document else { return };
        let written = project::to_text(document.project())
            .map_err(std::io::Error::other)
            .and_then(|text| self.store.keep_unsaved(document.path(), &text));
        self.kept.waiting = None;
        match written {
            Ok(()) => self.kept.revision = Some(document.revision()),
            Err(error) => {
                self.kept.seen = Some((document.revision(), Instant::now()));
                tracing::warn!("unsaved edits could not be kept: {error}: {}", document.path().display());
            }
        }
    }

    /// What a document just opened has left from an earlier window.
    pub(super) fn look_for_unsaved(&mut self) {
        self.kept = Kept::default();
        self.recovered = None;
        let Some(document) = &self.document else { return };
        let Some(unsaved) = self.store.recover(document.path()) else { return };
        if project::to_text(document.project()).is_ok_and(|text| text != unsaved.text) {
            self.recovered = Some(unsaved);
        } else {
            self.store.forget_recovered(document.path());
        }
    }

    /// Takes those edits as one step.
    pub(super) fn restore(&mut self) {
        let Some(unsaved) = self.recovered.take() else { return };
        let Some(document) = &mut self.document else { return };
        let result = project::parse(&unsaved.text, document.path())
            .map(|project| document.edit("Take unsaved edits", None, |own| *own = project))
            .map_err(|error| error.to_string());
        self.store.forget_recovered(document.path());
        self.fail(result);
    }

    /// Shows what taking them would change.
    pub(super) fn show_recovered(&mut self) {
        let (Some(unsaved), Some(document)) = (&self.recovered, &self.document) else { return };
        let new = unsaved.text.clone();
        let shown = project::to_text(document.project())
            .map(|old| self.difference = Some(Difference { between: Between::WindowAndLeft, old, new }))
            .map_err(|error| error.to_string());
        self.fail(shown);
    }

    /// Nobody wants them.
    pub(super) fn forget_recovered(&mut self) {
        self.recovered = None;
        if let Some(document) = &self.document {
            self.store.forget_recovered(document.path());
        }
    }

    /// The document's own edits are saved or discarded.
    pub(super) fn forget_unsaved(&mut self, path: &Path) {
        self.kept = Kept::default();
        self.store.forget_unsaved(path);
    }

    /// Opens a new project that its window left behind unsaved.
    pub(super) fn open_orphan(&mut self, path: &Path) {
        let Some(unsaved) = self.store.recover(path) else { return };
        let result = project::parse(&unsaved.text, path).map_err(|error| error.to_string());
        let result = result.map(|project| {
            self.adopt(Document::unwritten(project, path));
            self.kept = Kept::default();
            self.store.forget_recovered(path);
        });
        self.fail(result);
    }

    /// Shows the theme that is remembered.
    pub(super) fn apply_theme(&self, ctx: &Context) {
        ctx.set_theme(match self.store.settings().theme {
            ThemeChoice::System => ThemePreference::System,
            ThemeChoice::Dark => ThemePreference::Dark,
            ThemeChoice::Light => ThemePreference::Light,
        });
    }

    /// Remembers a theme and shows it.
    pub(super) fn choose_theme(&mut self, ctx: &Context, theme: ThemeChoice) {
        self.store.change(|settings| settings.theme = theme);
        self.apply_theme(ctx);
    }

    /// Closes the project; the first page is shown.
    pub(super) fn close_project(&mut self) {
        self.document = None;
        self.recovered = None;
        self.refusal = None;
        self.banner = None;
        self.told = None;
        self.files.forget();
        self.builder.clear();
        self.held.clear();
        self.planner.clear();
        self.timelines.clear();
        self.what_if.clear();
    }

    /// Does an action that would lose unsaved changes, after asking what becomes of them.
    pub(super) fn guarded(&mut self, ctx: &Context, action: Action) {
        if self.is_busy() {
            self.fail(Err("A run is going on; stop it first, or let it end".to_owned()));
        } else if self.document.as_ref().is_some_and(Document::is_dirty) {
            self.pending = Some(action);
        } else {
            self.unguarded(ctx, action);
        }
    }

    /// Does it.
    pub(super) fn unguarded(&mut self, ctx: &Context, action: Action) {
        match action {
            Action::OpenPath(path) => self.open(&path),
            Action::OpenUnsaved(path) => self.open_orphan(&path),
            Action::BeginAround(folder) => self.begin_around(&folder),
            Action::CloseProject => self.close_project(),
            other => self.perform(ctx, other),
        }
    }
}
