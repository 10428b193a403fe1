//! The window while a model trains, and how it begins: `cargo bench --workspace --bench training`.
//!
//! Frames are of the real program over an unfolded graph of ViT-L's size, with what other threads have told, layout,
//! drawing and the triangles that a graphics card gets. A run tells 200 steps a second, of which 100,000 are done; a
//! frame comes 60 times a second. The time of a frame is the processor time of the window's thread where the system
//! tells it (Unix), elsewhere what passes on the clock; starting and opening are what passes on the clock, since other
//! threads take part.

use std::time::Instant;

use egui::{Key, Modifiers};
use graft_engine::memory::Counting;
use graft_tests::large::{Frames, project_text, sample, told};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Steps a frame, as a share: 200 a second, 60 frames a second.
const STEPS: u64 = 200;
const FRAMES: u64 = 60;

/// Milliseconds of processor time that this thread has taken.
#[cfg(unix)]
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn now_ms() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

/// Milliseconds on the clock.
#[cfg(not(unix))]
fn now_ms() -> f64 {
    static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    BEGIN.elapsed().as_secs_f64() * 1e3
}

const CLOCK: &str = if cfg!(unix) { "processor" } else { "clock" };

fn main() {
    // `cargo test --benches` looks whether it works; `cargo bench` measures.
    let measures = std::env::args().any(|arg| arg == "--bench");
    let (steps, frames, starts) = if measures { (100_000, 600, 20) } else { (300, 3, 1) };
    begin(starts);
    train(steps, frames);
}

/// A line of median, 95th per cent and largest.
fn tell(what: &str, clock: &str, mut taken: Vec<f64>) {
    taken.sort_by(f64::total_cmp);
    let at = |share: usize| taken[(taken.len() * share / 100).min(taken.len() - 1)];
    println!("{what:<56} {:>9.3} {:>9.3} {:>9.3}  {} of {clock} time", at(50), at(95), at(100), taken.len());
}

fn begin(starts: usize) {
    println!("{:<56} {:>9} {:>9} {:>9}", "milliseconds", "median", "95 %", "largest");
    let (mut first, mut drawn) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        let begin = Instant::now();
        let mut frames = Frames::first(sample());
        first.push(begin.elapsed().as_secs_f64() * 1e3);
        while !frames.is_drawn() {
            assert!(begin.elapsed().as_secs() < 60, "no model: {:?}", frames.app.builder().error());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        drawn.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    tell("first frame after the start", "clock", first);
    tell("the sample project's model drawn after the start", "clock", drawn);
}

fn train(steps: u64, count: u64) {
    let mut frames = Frames::open(&project_text());
    frames.unfold_all();
    // The plots' tab and that of the log run on over the same steps.
    let rest = (2 * count + 120) * STEPS / FRAMES;
    let mut events = told(steps + rest + 10);
    let mut done = 0;
    let mut step = |frames: &mut Frames, upto: u64| {
        while done < upto {
            let Some(event) = events.next() else { return };
            done += u64::from(matches!(event.body, graft_engine::runs::EventBody::Step { .. }));
            frames.app.hear(&event);
        }
    };
    step(&mut frames, steps);
    // A run shows its plots in a tall dock: all six.
    frames.rest();
    let view = frames.app.view();
    assert!(view.dock_tall && view.tab == graft_app::view::DockTab::Plots, "six plots are visible");
    let mut frame = 0;
    let mut measure = |frames: &mut Frames, what: &str| {
        let mut taken = Vec::new();
        for _ in 0..count {
            frame += 1;
            let begin = now_ms();
            step(frames, steps + frame * STEPS / FRAMES);
            let _ = frames.frame();
            taken.push(now_ms() - begin);
        }
        tell(what, CLOCK, taken);
    };
    measure(&mut frames, &format!("a frame of training, six plots, {steps} steps"));
    frames.key(Modifiers::COMMAND, Key::Num8);
    frames.rest();
    measure(&mut frames, "a frame of training, the log");
}
