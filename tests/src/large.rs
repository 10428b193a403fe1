//! A graph of ViT-L's size behind the window, frame by frame and without a screen.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test may end at whatever is wrong")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use egui::{
    Context, Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, Pos2, RawInput, Rect, TouchPhase,
    ViewportId, vec2,
};
use graft_app::planner::Clock;
use graft_app::{App, Options};
use tempfile::TempDir;

use crate::repository;

/// The window's size in points.
pub const SIZE: egui::Vec2 = vec2(1600.0, 1000.0);

/// A project of an image transformer of ViT-L's shape: 24 blocks, with adapters in each, over 1,000 nodes.
#[must_use]
pub fn project_text() -> String {
    let digits = std::path::absolute(repository("assets/digits")).unwrap();
    format!(
        "(version: 1, name: \"large\", model: Vit(width: 1024, blocks: 24, heads: 16, mlp: 4096, patch: 16), \
          data: Digits(folder: {:?}), \
          adapters: [(at: \"model.**.attention.{{query,value}}\", kind: Lora(rank: 8)), \
                     (at: \"model.**.{{P1,P4}}\", kind: Bottleneck(width: 48))], \
          stages: [Train(freeze: [\"model\"], train: [\"**.adapter_*\"], epochs: 1)])",
        digits.display().to_string()
    )
}

/// The window's program on a context of its own.
pub struct Frames {
    /// The context.
    pub ctx: Context,
    /// The program.
    pub app: App,
    events: Vec<Event>,
    secs: f64,
    _folder: TempDir,
}

impl Frames {
    /// Opens a project and waits until its model and its prediction are there.
    #[must_use]
    pub fn open(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.ron");
        std::fs::write(&path, text).unwrap();
        let mut frames = Self::start(folder, Some(path));
        let begin = Instant::now();
        while !(frames.is_drawn() && frames.app.planner().is_current()) {
            assert!(begin.elapsed() < Duration::from_mins(1), "no model: {:?}", frames.app.builder().error());
            std::thread::sleep(Duration::from_millis(5));
        }
        frames.rest();
        frames
    }

    /// Opens a project file where it lies and shows the first frame; other threads have not told of its model yet.
    #[must_use]
    pub fn first(project: PathBuf) -> Self {
        let mut frames = Self::start(tempfile::tempdir().unwrap(), Some(project));
        let _ = frames.frame();
        frames
    }

    /// One frame more; whether it drew the newest model.
    pub fn is_drawn(&mut self) -> bool {
        let _ = self.frame();
        self.app.builder().model().is_some() && self.app.builder().is_settled()
    }

    fn start(folder: TempDir, project: Option<PathBuf>) -> Self {
        let ctx = Context::default();
        let options = Options {
            project,
            runs: folder.path().join("runs"),
            clock: Clock::Given(None),
            ..Options::default()
        };
        let app = App::new(&ctx, options).unwrap();
        Self { ctx, app, events: Vec::new(), secs: 0.0, _folder: folder }
    }

    /// Unfolds all blocks.
    pub fn unfold_all(&mut self) {
        self.key(Modifiers::SHIFT, Key::E);
        self.rest();
    }

    /// Frames until nothing moves any more.
    pub fn rest(&mut self) {
        for _ in 0..60 {
            let _ = self.frame();
        }
    }

    /// Presses a key in the next frame.
    pub fn key(&mut self, modifiers: Modifiers, key: Key) {
        for pressed in [true, false] {
            self.events.push(Event::Key { key, physical_key: None, pressed, repeat: false, modifiers });
        }
    }

    /// Something that happens in the next frame.
    pub fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Turns the wheel over a point in the next frame.
    pub fn wheel(&mut self, at: Pos2, points: f32) {
        self.events.push(Event::PointerMoved(at));
        self.events.push(Event::MouseWheel {
            unit: MouseWheelUnit::Point,
            delta: vec2(0.0, points),
            phase: TouchPhase::Move,
            source: MouseWheelSource::Unknown,
            modifiers: Modifiers::NONE,
        });
    }

    /// One frame up to the meshes that a graphics card draws. Gives after what time the program wants the next frame,
    /// and how many meshes there were.
    #[must_use]
    pub fn frame(&mut self) -> (Duration, usize) {
        self.secs += 1.0 / 60.0;
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, SIZE)),
            time: Some(self.secs),
            events: std::mem::take(&mut self.events),
            focused: true,
            ..RawInput::default()
        };
        let app = &mut self.app;
        let mut output = self.ctx.run_ui(input, |ui| {
            app.logic(ui.ctx());
            app.ui(ui);
        });
        let shapes = std::mem::take(&mut output.shapes);
        let meshes = self.ctx.tessellate(shapes, output.pixels_per_point);
        let root = output.viewport_output.get(&ViewportId::ROOT);
        let wanted = root.map_or(Duration::MAX, |root| root.repaint_delay);
        output.drop_without_applying_deltas();
        (wanted, meshes.len())
    }
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames").field("secs", &self.secs).finish_non_exhaustive()
    }
}

/// What a training run tells, one after the other: a stage of that many steps, made up, with an evaluation every 500.
pub fn told(steps: u64) -> impl Iterator<Item = graft_engine::runs::Event> {
    use graft_engine::runs::{Event, EventBody, Loaded};
    #[expect(clippy::cast_precision_loss, reason = "a made-up curve")]
    let at = |step: u64, body| Event { run: "made-up".to_owned(), time: step as f64 / 200.0, body };
    let begin = [
        EventBody::Started {
            project: "large".to_owned(),
            device: "flex".to_owned(),
            seed: 0,
            params_total: 1,
            params_trainable: 1,
            stages: 1,
            folder: "runs/made-up".to_owned(),
            predicted: None,
            classes: Vec::new(),
            resumed_at: None,
        },
        EventBody::Stage {
            stage: 0,
            repetition: 0,
            turn: 0,
            name: "one".to_owned(),
            kind: "train".to_owned(),
            trainable: 1,
            loaded: Loaded::default(),
            epochs: 1,
            steps,
            predicted: None,
        },
    ];
    let begin = begin.map(|body| at(0, body));
    let rest = (1..=steps).flat_map(move |step| {
        #[expect(clippy::cast_precision_loss, reason = "a made-up curve")]
        let along = step as f64;
        // Noise that is the same each time.
        let noise = (along * 12.9898).sin().abs();
        let loss = 2.0 * (-along / 3e4).exp() + 0.3 * noise;
        let body = EventBody::Step {
            stage: 0,
            repetition: 0,
            epoch: 0,
            step,
            loss,
            losses: std::collections::BTreeMap::new(),
            lr: 1e-3 * (1.0 + (along / 2e4).cos()),
            grad_norm: 1.0 + noise,
            samples_per_sec: 1600.0,
            data_secs: 1e-4 * noise,
            forward_secs: 2e-3,
            frozen_forward_secs: 1e-3,
            backward_secs: 2e-3 + 1e-3 * noise,
            optimizer_secs: 5e-4,
            live_bytes: (400 << 20) + ((step % 97) << 16),
            peak_bytes: 500 << 20,
            stage_peak_bytes: 500 << 20,
        };
        let eval = EventBody::Eval {
            stage: 0,
            repetition: 0,
            epoch: 0,
            step,
            split: "validation".to_owned(),
            closing: false,
            loss,
            metrics: [("top1".to_owned(), 1.0 - loss / 3.0)].into(),
            samples: 100,
            confusion: Vec::new(),
            predictions: Vec::new(),
        };
        [Some(at(step, body)), step.is_multiple_of(500).then(|| at(step, eval))].into_iter().flatten()
    });
    begin.into_iter().chain(rest)
}

/// Where the repository's sample project is.
#[must_use]
pub fn sample() -> PathBuf {
    repository("projects/vivit_frozen_spatial.ron")
}
