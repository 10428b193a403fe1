//! The window's main states as pictures, drawn by software and held against those in `tests/pictures`. After a change
//! that is meant to be seen: `UPDATE_SNAPSHOTS=1 cargo test --workspace --test window_pictures`, then look at them. With `GRAFT_PICTURES=1`
//! a machine without a renderer fails.

use egui_kittest::{OsThreshold, SnapshotOptions, try_image_snapshot_options};
use graft_engine::memory::Counting;
use graft_tests::shots::{Look, Scene, picture, renderer};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Pixels that may differ: edges of letters fall differently on other processors.
const PIXELS: usize = 60;

fn holds(scene: Scene) {
    let Some(renderer) = renderer() else {
        assert!(
            std::env::var_os("GRAFT_PICTURES").is_none(),
            "GRAFT_PICTURES is set, and there is no renderer"
        );
        println!("skipped: there is no renderer here; install a Vulkan driver such as Mesa's lavapipe");
        return;
    };
    // Comparing needs its room.
    let size = if scene == Scene::Compare { [1280.0, 800.0] } else { [960.0, 640.0] };
    let look = Look { size, ..Look::default() };
    let drawn = picture(scene, look, renderer).expect("the renderer draws");
    let options = SnapshotOptions::new()
        .output_path(concat!(env!("CARGO_MANIFEST_DIR"), "/pictures"))
        .threshold(0.8)
        .max_failed_pixels(OsThreshold::new(PIXELS));
    if let Err(error) = try_image_snapshot_options(&drawn, scene.name(), &options) {
        panic!("{error}");
    }
}

#[test]
fn the_first_page() {
    holds(Scene::Welcome);
}

#[test]
fn a_project_being_edited() {
    holds(Scene::Edit);
}

#[test]
fn the_light_theme() {
    holds(Scene::Light);
}

#[test]
fn a_runs_plots() {
    holds(Scene::Train);
}

#[test]
fn two_runs_compared() {
    holds(Scene::Compare);
}
