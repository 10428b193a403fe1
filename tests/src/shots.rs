//! The window in the states that people look at first, drawn by software: for pictures, and for comparing pictures.
#![expect(clippy::unwrap_used, reason = "a picture that cannot be taken ends the program")]

use std::path::{Path, PathBuf};

use egui::{Key, Modifiers, Theme};
use egui_kittest::Harness;
use egui_kittest::wgpu::WgpuTestRenderer;
use graft_app::planner::Clock;
use graft_app::{App, Options, theme};
use image::{RgbaImage, imageops};

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
    pub const ALL: [Self; 7] =
        [Self::Welcome, Self::Edit, Self::Light, Self::Palette, Self::Problems, Self::Data, Self::Timeline];

    /// The picture's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::Edit => "edit",
            Self::Light => "light",
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
            Self::Welcome => {
                window.until("the samples are built", |window| window.app().samples().is_settled());
                window.until("the devices are known", |window| window.app().devices().secs().is_some());
            }
            Self::Edit | Self::Light => {
                settle(&mut window);
                window.click("Block model.temporal.blocks.0");
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
                window.until("the stages are there", |window| window.app().timelines().is_current());
                window.click("Rule Bridge model.bridge");
            }
            Self::Data => {
                settle(&mut window);
                window.click("Data");
                window.until("the samples are read", |window| window.app().previews().page().is_some());
            }
        }
        settle(&mut window);
        window.harness.run_steps(4);
        window
    }
}

/// Waits until model and prediction are there.
fn settle(window: &mut Window) {
    window.until("nothing is being worked out", |window| {
        let app = window.app();
        app.document().is_none() || app.builder().is_settled() && app.planner().is_current()
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
