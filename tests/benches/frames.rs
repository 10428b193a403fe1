//! The window's frames over an unfolded graph of ViT-L's size: `cargo bench --workspace --bench frames`.
//!
//! One sample is one frame's work on the processor through the real program: what other threads have told, layout,
//! drawing, and the triangles that a graphics card gets. 4 ms are the limit.

use divan::{Bencher, black_box};
use egui::{Event, PointerButton, Pos2, pos2};
use graft_engine::memory::Counting;
use graft_tests::large::{Frames, project_text};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    divan::main();
}

/// A point of the canvas.
const MIDDLE: Pos2 = pos2(760.0, 400.0);

fn unfolded() -> Frames {
    let mut frames = Frames::open(&project_text());
    frames.unfold_all();
    frames
}

#[divan::bench(sample_count = 200, sample_size = 1)]
fn idle(bencher: Bencher<'_, '_>) {
    let mut frames = unfolded();
    bencher.bench_local(|| black_box(frames.frame().1));
}

#[divan::bench(sample_count = 200, sample_size = 1)]
fn panning(bencher: Bencher<'_, '_>) {
    let mut frames = unfolded();
    let button = |pressed| Event::PointerButton {
        pos: MIDDLE,
        button: PointerButton::Middle,
        pressed,
        modifiers: egui::Modifiers::NONE,
    };
    frames.event(Event::PointerMoved(MIDDLE));
    frames.event(button(true));
    let mut number = 0u8;
    bencher.bench_local(|| {
        number = (number + 1) % 200;
        let along = f32::from(number.min(200 - number));
        frames.event(Event::PointerMoved(MIDDLE - egui::vec2(along, 4.0 * along)));
        black_box(frames.frame().1)
    });
}

#[divan::bench(sample_count = 200, sample_size = 1)]
fn zooming(bencher: Bencher<'_, '_>) {
    let mut frames = unfolded();
    let mut number = 0u32;
    bencher.bench_local(|| {
        number += 1;
        // In and out over all levels of detail.
        let points = if (number / 50).is_multiple_of(2) { 12.0 } else { -12.0 };
        frames.wheel(MIDDLE, points);
        black_box(frames.frame().1)
    });
}

/// Everything in view at once.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn far_away(bencher: Bencher<'_, '_>) {
    let mut frames = unfolded();
    frames.key(egui::Modifiers::NONE, egui::Key::Num1);
    frames.rest();
    bencher.bench_local(|| black_box(frames.frame().1));
}

/// Frames with a new layout: all blocks fold and unfold in turn.
#[divan::bench(sample_count = 100, sample_size = 1)]
fn unfolding(bencher: Bencher<'_, '_>) {
    let mut frames = unfolded();
    bencher.bench_local(|| {
        frames.key(egui::Modifiers::SHIFT, egui::Key::E);
        black_box(frames.frame().1 + frames.frame().1)
    });
}
