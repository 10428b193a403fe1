//! `graft-screenshots [folder] [width height scale] [light]`: pictures of the window in its main states.

use std::path::PathBuf;

use anyhow::Context as _;
use egui::Theme;
use graft_engine::memory::Counting;
use graft_tests::repository;
use graft_tests::shots::{Look, Scene, picture, renderer};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(|| repository("assets/screenshots"), PathBuf::from);
    let (words, numbers): (Vec<String>, Vec<String>) = arguments.partition(|word| word == "light");
    let numbers: Vec<f32> = numbers
        .into_iter()
        .map(|text| text.parse().with_context(|| format!("`{text}` is no number")))
        .collect::<Result<_, _>>()?;
    let theme = if words.is_empty() { Theme::Dark } else { Theme::Light };
    let look = match numbers[..] {
        [width, height, scale] => Look { size: [width, height], scale, timed: true, theme },
        _ => Look { timed: true, theme, ..Look::default() },
    };
    std::fs::create_dir_all(&folder)?;
    for scene in Scene::ALL {
        let renderer = renderer().context("no renderer: install a Vulkan driver, as Mesa's lavapipe")?;
        let picture = picture(scene, look, renderer).map_err(anyhow::Error::msg)?;
        let path = folder.join(format!("{}.png", scene.name()));
        picture.save(&path).with_context(|| format!("could not be written: {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
