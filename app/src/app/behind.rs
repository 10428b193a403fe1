//! Training behind a run that another program performs in the same folder: the project waits in the queue.

use std::time::{Duration, Instant};

use egui::Context;
use graft_engine::runs::is_running;

use super::App;
use crate::library::Row;
use crate::session::State;

/// Time in which nothing must go on before the queue is begun: a window that performs a run begins the next one itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether this window has put something behind a run of another program, and since when none goes on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Behind {
    waits: bool,
    quiet: Option<Instant>,
}

impl App {
    /// Whether another program trains in the same folder, as far as its runs are read.
    pub(super) fn trains_elsewhere(&self) -> bool {
        self.others().next().is_some()
    }

    /// The same by what holds at this moment.
    pub(super) fn waits_for_others(&self) -> bool {
        self.others().any(|row| is_running(&row.entry.path))
    }

    /// Runs that other programs perform.
    fn others(&self) -> impl Iterator<Item = &Row> {
        let state = self.session.state();
        // What is told of the run that is shown is newer than its row.
        let over = (*state != State::Following).then(|| self.session.series().run.as_str());
        let rows = if state.is_busy() { &[][..] } else { self.library.rows() };
        rows.iter().filter(move |row| row.entry.state.is_open() && Some(row.entry.id.as_str()) != over)
    }

    /// Puts the project at the queue's end; it begins once nothing goes on any more.
    pub(super) fn enqueue_behind(&mut self) {
        self.behind = Behind { waits: true, quiet: None };
        self.enqueue();
    }

    /// Begins the queue where nobody else does. A stop is a stop.
    pub(super) fn wait_behind(&mut self, ctx: &Context) {
        if !self.behind.waits {
            return;
        }
        let ends = self.library.queue().is_empty() || matches!(self.session.state(), State::Stopped);
        if self.is_busy() || self.is_closing() || ends {
            self.behind = Behind::default();
            return;
        }
        if self.trains_elsewhere() {
            self.behind.quiet = None;
            return;
        }
        let since = *self.behind.quiet.get_or_insert_with(Instant::now);
        if since.elapsed() < PATIENCE {
            ctx.request_repaint_after(PATIENCE.saturating_sub(since.elapsed()));
            return;
        }
        self.behind = Behind::default();
        self.start_next_by_itself();
    }
}
