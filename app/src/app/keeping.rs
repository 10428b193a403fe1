//! What outlives the window: recent projects, the theme, and unsaved edits, kept for the case that the window ends
//! without asking.

use std::path::Path;
use std::time::{Duration, Instant};

use egui::{Context, ThemePreference};
use graft_engine::project;

use super::App;
use crate::document::Document;
use crate::overlays::Banner;
use crate::state::ThemeChoice;

/// Time without an edit after which unsaved edits are kept.
const REST: Duration = Duration::from_secs(2);

/// Which revision is kept, and since when a newer one waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    revision: Option<u64>,
    seen: Option<(u64, Instant)>,
}

impl App {
    /// Keeps unsaved edits once the hands rest. Called in each frame.
    pub(super) fn keep(&mut self, ctx: &Context) {
        let Some(document) = &self.document else { return };
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
        if since.elapsed() < REST {
            ctx.request_repaint_after(REST.saturating_sub(since.elapsed()));
            return;
        }
        self.keep_now();
    }

    /// Keeps unsaved edits now.
    fn keep_now(&mut self) {
        let Some(document) = &self.document else { return };
        self.kept.revision = Some(document.revision());
        let written = project::to_text(document.project())
            .map_err(std::io::Error::other)
            .and_then(|text| self.store.keep_unsaved(document.path(), &text));
        if let Err(error) = written {
            tracing::warn!("unsaved edits could not be kept: {error}: {}", document.path().display());
        }
    }

    /// What a document just opened has left from an earlier window.
    pub(super) fn look_for_unsaved(&mut self) {
        self.kept = Kept::default();
        let Some(document) = &self.document else { return };
        let Some(unsaved) = self.store.unsaved(document.path()) else { return };
        let differs = project::to_text(document.project()).is_ok_and(|text| text != unsaved.text);
        if differs {
            self.banner = Some(Banner::Unsaved);
        } else {
            self.store.forget_unsaved(document.path());
        }
    }

    /// Takes those edits as one step.
    pub(super) fn restore(&mut self) {
        self.banner = None;
        let Some(document) = &mut self.document else { return };
        let Some(unsaved) = self.store.unsaved(document.path()) else { return };
        let result = project::parse(&unsaved.text, document.path())
            .map(|project| document.edit("Take unsaved edits", None, |own| *own = project))
            .map_err(|error| error.to_string());
        self.fail(result);
    }

    /// Nobody wants them.
    pub(super) fn forget_unsaved(&mut self, path: &Path) {
        self.kept = Kept::default();
        self.store.forget_unsaved(path);
        if self.banner == Some(Banner::Unsaved) {
            self.banner = None;
        }
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
        if self.document.as_ref().is_some_and(Document::is_dirty) {
            let message =
                "Save the changes first (Ctrl S), or undo them: closing the project would lose them";
            self.banner = Some(Banner::Error(message.to_owned()));
            return;
        }
        self.document = None;
        self.refusal = None;
        self.banner = None;
        self.told = None;
        self.files.forget();
        self.builder.clear();
        self.held.clear();
        self.planner.clear();
        self.timelines.clear();
    }
}
