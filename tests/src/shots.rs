//! The window in the states that people look at first, drawn by software: for pictures, and for comparing pictures.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a picture that cannot be taken ends the program"
)]

use std::cell::Cell;
use std::path::{Path, PathBuf};

use egui::{Key, Modifiers, Theme};
use egui_kittest::Harness;
use egui_kittest::wgpu::WgpuTestRenderer;
use graft_app::planner::Clock;
use graft_app::{App, Options, theme};
use graft_engine::project::{self, Project};
use graft_engine::runs::{RunOptions, train};
use graft_engine::train::Control;
use image::{RgbaImage, imageops};

use crate::canned;
use crate::repository;
use crate::window::Window;

/// A software renderer, or none where the machine has no driver for it.
#[must_use]
pub fn renderer() -> Option<WgpuTestRenderer> {
    // It panics where there is no adapter, which is an answer here and no failure.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let renderer = std::panic::catch_unwind(WgpuTestRenderer::new).ok();
    std::panic::set_hook(hook);
    renderer
}

/// Points around the window that the test's own panel takes.
const EDGE: f32 = 8.0;

/// The picture of a window in this state.
///
/// # Errors
/// When the renderer fails.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand pixels")]
pub fn picture(scene: Scene, look: Look, renderer: WgpuTestRenderer) -> Result<RgbaImage, String> {
    let mut window = scene.window(look, renderer);
    let mut picture = window.harness.render()?;
    let edge = (EDGE * look.scale) as u32;
    let [width, height] = look.size.map(|points| (points * look.scale) as u32);
    Ok(imageops::crop(&mut picture, edge, edge, width, height).to_image())
}

/// How large a window is, how many pixels a point has, and which theme it shows.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Points.
    pub size: [f32; 2],
    /// Pixels of a point.
    pub scale: f32,
    /// The theme.
    pub theme: Theme,
    /// Whether the device's times are shown, which differ from machine to machine.
    pub timed: bool,
}

impl Look {
    fn clock(self) -> Clock {
        if self.timed { Clock::Device } else { Clock::Given(None) }
    }
}

impl Default for Look {
    fn default() -> Self {
        Self { size: [1600.0, 1000.0], scale: 1.0, theme: Theme::Dark, timed: false }
    }
}

/// What a picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    /// The first page.
    Welcome,
    /// A project being edited.
    Edit,
    /// The same in the light theme.
    Light,
    /// A run and its plots.
    Train,
    /// Two runs compared.
    Compare,
    /// All commands.
    Palette,
    /// What would stop a run.
    Problems,
    /// Samples of the data.
    Data,
    /// Which parts train in which stages.
    Timeline,
}

impl Scene {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Welcome,
        Self::Edit,
        Self::Light,
        Self::Train,
        Self::Compare,
        Self::Palette,
        Self::Problems,
        Self::Data,
        Self::Timeline,
    ];

    /// The picture's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::Edit => "edit",
            Self::Light => "light",
            Self::Train => "train",
            Self::Compare => "compare",
            Self::Palette => "palette",
            Self::Problems => "problems",
            Self::Data => "data",
            Self::Timeline => "timeline",
        }
    }

    /// The window in this state.
    #[must_use]
    pub fn window(self, look: Look, renderer: WgpuTestRenderer) -> Window {
        let sample = repository("projects/vivit_frozen_spatial.ron");
        let look = if self == Self::Light { Look { theme: Theme::Light, ..look } } else { look };
        let project = (self != Self::Welcome).then_some(sample);
        let mut window = open(project.as_deref(), look, renderer);
        match self {
            Self::Welcome => {}
            Self::Edit | Self::Light => {
                settle(&mut window);
                window.click("Block model.temporal.blocks.0");
            }
            Self::Train if look.timed => {
                settle(&mut window);
                window.click("Train");
                let steps = |window: &Window| window.app().session().series().steps.len();
                window.until("some steps are done", |window| steps(window) > 60);
            }
            Self::Train => {
                let first = two_runs(&window, look)[0].clone();
                settle(&mut window);
                window.click("Runs");
                window.click("Taller dock");
                let name = first.file_name().unwrap().to_string_lossy().into_owned();
                window.click(&format!("Run {name}, finished"));
                window.click("Show plots");
            }
            Self::Compare => {
                let both = two_runs(&window, look);
                // They are written while the window watches the folder.
                window.until("the runs are found", |window| {
                    both.iter().all(|path| {
                        window.app().library().row(path).is_some_and(|row| row.entry.score.is_some())
                    })
                });
                settle(&mut window);
                window.click("Runs");
                window.click("Taller dock");
                for path in &both {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    window.click(&format!("Compare {name}"));
                }
            }
            Self::Palette => {
                settle(&mut window);
                window.keys(Modifiers::COMMAND, Key::K);
                window.harness.event(egui::Event::Text("heat".to_owned()));
            }
            Self::Problems => {
                settle(&mut window);
                window.click("Rule Bridge model.bridge");
                window.type_into("Rule text", "model.brigde");
                window.keys(Modifiers::NONE, Key::Enter);
                window.click("Problems");
            }
            Self::Timeline => {
                settle(&mut window);
                window.click("Timeline");
                settle(&mut window);
                window.click("Rule Bridge model.bridge");
            }
            Self::Data => {
                settle(&mut window);
                window.click("Data");
            }
        }
        settle(&mut window);
        window.harness.run_steps(4);
        window
    }
}

/// Two runs to look at, with an adapter and without it: made up for pictures that are compared, real ones for
/// pictures that are shown.
fn two_runs(window: &Window, look: Look) -> Vec<PathBuf> {
    let runs = window.folder.path().join("runs");
    let base = repository("projects");
    let with = project::load(&repository("projects/vivit_frozen_spatial.ron")).unwrap();
    let mut with = project::set(&with, "data.train", "512").unwrap();
    "with_bridge".clone_into(&mut with.name);
    let mut without = project::set(&with, "stages.1.optimiser", "AdamW(learning_rate: 0.0005)").unwrap();
    without.adapters.clear();
    "without".clone_into(&mut without.name);
    if !look.timed {
        let name = |name: &str| format!("{name}-20260131-101500");
        return vec![
            canned::run(&runs, &name("with_bridge"), &with, &base, 1.0, 232_840),
            canned::run(&runs, &name("without"), &without, &base, 0.8, 226_376),
        ];
    }
    let options = RunOptions { runs };
    let run =
        |project: &Project| train(project, &base, &options, &Control::new(), &mut |_| {}).unwrap().folder;
    vec![run(&with), run(&without)]
}

/// Waits until nothing is being read or worked out.
fn settle(window: &mut Window) {
    // What one answer shows may ask the next question a frame later.
    let calm = Cell::new(0);
    window.until("nothing is being worked out", |window| {
        calm.set(if window.app().is_settled() { calm.get() + 1 } else { 0 });
        calm.get() == 3
    });
}

fn open(project: Option<&Path>, look: Look, renderer: WgpuTestRenderer) -> Window {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("settings.ron"), format!("(theme: {:?})", look.theme)).unwrap();
    let options = Options {
        project: project.map(Path::to_path_buf),
        runs: folder.path().join("runs"),
        clock: look.clock(),
        state: Some(state),
        process_bytes: (!look.timed).then_some(0),
        samples: Some(repository("projects")),
    };
    let harness = Harness::builder()
        .with_size([look.size[0] + 2.0 * EDGE, look.size[1] + 2.0 * EDGE])
        .with_pixels_per_point(look.scale)
        .with_theme(look.theme)
        .with_context_setup(theme::install)
        .renderer(renderer)
        .build_ui_state(
            move |ui, app: &mut Option<App>| {
                let app = app.get_or_insert_with(|| App::new(ui.ctx(), options.clone()).unwrap());
                app.logic(ui.ctx());
                app.ui(ui);
            },
            None,
        );
    let path = project.map_or_else(PathBuf::new, Path::to_path_buf);
    Window { harness, path, folder }
}
