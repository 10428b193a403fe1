//! `graft-studio`: the window.

use std::path::PathBuf;

use graft_app::planner::Clock;
use graft_app::{App, Options, sample_project};
use graft_engine::memory::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> eframe::Result {
    let level = std::env::var("GRAFT_LOG").unwrap_or_else(|_| "warn".to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(std::io::stderr)
        .init();
    let project = std::env::args_os().nth(1).map(PathBuf::from).or_else(sample_project);
    let options = Options { project, runs: PathBuf::from("runs"), clock: Clock::default() };
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
