//! The panels around the canvas. They read the state and push actions.

pub mod dock;
pub mod inspector;
pub mod outline;
pub mod status;
pub mod top_bar;

use std::sync::Arc;

use crate::document::Document;
use crate::model::Model;
use crate::session::Session;

/// What every panel reads.
#[derive(Clone, Copy, Debug)]
pub struct Desk<'a> {
    /// The project being edited, if one is open.
    pub document: Option<&'a Document>,
    /// The selected stage's model, if it could be built.
    pub model: Option<&'a Arc<Model>>,
    /// The run.
    pub session: &'a Session,
    /// Whether editing is locked because a run goes on.
    pub locked: bool,
}
