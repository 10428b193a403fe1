//! Graft's window. It reads the engine's graph, sends it commands and draws its events; it touches no tensor.
//!
//! The rooms, each using only those above it: `format`, `theme`, `icons`, `view`, `actions` and `widgets` know no
//! project; `document`, `freeze`, `newest`, `sources`, `model`, `outlook`, `measured`, `planner`, `session`, `library` and `files`
//! know no window;
//! `canvas`, `plots`, `runs` and `panels` read them and push actions; `app` performs the actions between frames.

pub mod format;
pub mod icons;
pub mod theme;

pub mod view;

pub mod actions;

pub mod widgets;

pub mod document;
pub mod files;
pub mod freeze;
pub mod newest;
pub mod sources;

pub mod measured;
pub mod model;
pub mod outlook;
pub mod planner;
pub mod session;

mod follow;
pub mod library;

pub mod canvas;
pub mod plots;
pub mod runs;

pub mod panels;

mod app;
mod edits;
mod overlays;

pub use app::{App, Options, sample_project};
