//! Graft's window. It reads the engine's graph, sends it commands and draws its events; it touches no tensor.
//!
//! The rooms: `format`, `kinds`, `theme`, `icons`, `journal` and `state` stand alone; `document`, `shown`, `freeze`, `newest`, `sources`,
//! `devices`, `model`, `reach`, `resize`, `outlook`, `measured`, `planner`, `previews`, `samples`, `pyramid`, `session`, `library`, `files` and `fresh` know no
//! window; `view` is what the user looks at, `actions` and `graph_actions` what they want, `widgets` small controls, `textures` samples' pictures; `canvas`, `plots`, `runs`, `panels`
//! and `welcome` read them and push actions; `commands` is the one list of what can be done by name, `problems` of what
//! would stop a run; `app` performs the actions between frames.

pub mod format;
pub mod icons;
pub mod kinds;
pub mod theme;

pub mod journal;
pub mod state;

pub mod document;
mod edits;
pub mod files;
pub mod freeze;
pub mod fresh;
pub mod newest;
pub mod shown;
pub mod sources;

pub mod devices;

pub mod measured;
pub mod model;
pub mod outlook;
pub mod planner;
pub mod previews;
pub mod pyramid;
pub mod reach;
mod resize;
pub mod samples;
pub mod session;
pub mod timeline;
pub mod whatif;

pub mod view;

pub mod actions;
pub mod graph_actions;

mod attach;
pub mod textures;
pub mod widgets;

mod follow;
pub mod library;

pub mod canvas;
pub mod plots;
pub mod runs;

pub mod panels;

pub mod commands;
pub mod problems;

mod app;
mod difference;
mod overlays;
mod palette;
mod welcome;

pub use app::{App, Options, sample_folder};
