//! Closing the window: nothing is lost unasked.

use egui::{Context, ViewportCommand};

use super::{App, Stage};
use crate::actions::Closing;
use crate::document::Document;

impl App {
    /// Whether the window is about to close.
    pub(super) fn is_closing(&self) -> bool {
        self.closing != Stage::Open
    }

    pub(super) fn answer(&mut self, ctx: &Context, answer: Closing) {
        if let Some(action) = self.pending.take() {
            let goes_on = match answer {
                Closing::Save => self.save(),
                Closing::Discard => {
                    if let Some(path) = self.document.take().map(|document| document.path().to_path_buf()) {
                        self.forget_unsaved(&path);
                    }
                    self.close_project();
                    true
                }
                Closing::Cancel => false,
            };
            if goes_on {
                self.unguarded(ctx, action);
            }
            ctx.request_repaint();
            return;
        }
        self.closing = match answer {
            Closing::Discard => {
                if let Some(path) = self.document.as_ref().map(|document| document.path().to_path_buf()) {
                    self.forget_unsaved(&path);
                }
                Stage::Waiting
            }
            Closing::Save if self.save() => Stage::Waiting,
            Closing::Save | Closing::Cancel => Stage::Open,
        };
        ctx.request_repaint();
    }

    /// Closing asks about unsaved changes, then lets the run save itself, then closes.
    pub(super) fn close(&mut self, ctx: &Context) {
        let asked = ctx.input(|input| input.viewport().close_requested());
        if asked && self.closing != Stage::Ready {
            let dirty = self.document.as_ref().is_some_and(Document::is_dirty);
            if self.closing == Stage::Open {
                self.closing = if dirty { Stage::Asking } else { Stage::Waiting };
            }
            if self.closing == Stage::Asking || self.is_busy() {
                ctx.send_viewport_cmd(ViewportCommand::CancelClose);
            }
        }
        if self.closing == Stage::Waiting {
            self.session.stop();
            if !self.is_busy() {
                self.closing = Stage::Ready;
                ctx.send_viewport_cmd(ViewportCommand::Close);
            }
        }
    }
}
