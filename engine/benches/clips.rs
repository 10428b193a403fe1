//! Moving-digit clips made a second on one thread: what a training step may cost before it waits for data.
//!
//! `cargo bench --workspace --bench clips`

use std::path::{Path, PathBuf};
use std::time::Instant;

use graft_engine::data::{DataSpec, MovingDigitsSpec, Split, View};

const CLIPS: u32 = 2000;

fn main() -> anyhow::Result<()> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets");
    let plain = MovingDigitsSpec { folder: PathBuf::from("digits"), ..Default::default() };
    for (name, spec) in [
        ("16 × 1 × 32 × 32", plain.clone()),
        ("16 × 1 × 32 × 32, noise", MovingDigitsSpec { noise: 0.1, ..plain.clone() }),
        ("8 × 3 × 98 × 98", MovingDigitsSpec { frames: 8, size: 98, digit: 42, channels: 3, ..plain }),
    ] {
        let source = DataSpec::MovingDigits(spec).open(&base, &View::default())?;
        let start = Instant::now();
        for index in 0..CLIPS as usize {
            std::hint::black_box(source.sample(Split::Train, index)?);
        }
        println!("{name}: {:.0} clips/s", f64::from(CLIPS) / start.elapsed().as_secs_f64());
    }
    Ok(())
}
