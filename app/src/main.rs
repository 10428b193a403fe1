//! `graft-studio`: the window.

use std::path::PathBuf;

use graft_app::journal::{self, Journal};
use graft_app::planner::Clock;
use graft_app::state::state_folder;
use graft_app::{App, Options, sample_folder};
use graft_engine::memory::Counting;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> eframe::Result {
    let level = std::env::var("GRAFT_LOG").unwrap_or_else(|_| "warn".to_owned());
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(EnvFilter::new(level)),
        )
        .with(Journal::default().with_filter(journal::filter()))
        .init();
    let options = Options {
        project: std::env::args_os().nth(1).map(PathBuf::from),
        runs: PathBuf::from("runs"),
        clock: Clock::default(),
        state: state_folder(),
        process_bytes: None,
        samples: sample_folder(),
    };
    let viewport = egui::ViewportBuilder::default()
        .with_title("Graft")
        .with_app_id("graft")
        .with_inner_size([1600.0, 1000.0])
        .with_min_inner_size([960.0, 640.0]);
    let native = eframe::NativeOptions { viewport, renderer: eframe::Renderer::Glow, ..Default::default() };
    eframe::run_native(
        "Graft",
        native,
        Box::new(|creation| Ok(Box::new(App::new(&creation.egui_ctx, options)?))),
    )
}
