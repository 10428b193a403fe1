//! Samples' pictures on the graphics device.

use egui::{Color32, ColorImage, Context, Rect, TextureHandle, TextureOptions, Ui, pos2};

use crate::previews::Page;

/// Frames a second at which clips play.
const RATE: f64 = 8.0;

/// The pictures of a page of samples.
#[derive(Default)]
pub struct Textures {
    page: u64,
    frames: Vec<Vec<TextureHandle>>,
}

impl std::fmt::Debug for Textures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Textures").field("samples", &self.frames.len()).finish_non_exhaustive()
    }
}

impl Textures {
    /// The frames of each sample of a page, none where nothing can be drawn.
    pub fn of(&mut self, ctx: &Context, page: &Page) -> &[Vec<TextureHandle>] {
        if self.page != page.number {
            self.page = page.number;
            self.frames = page.samples.iter().map(|sample| upload(ctx, sample.as_ref().ok())).collect();
        }
        &self.frames
    }
}

fn upload(ctx: &Context, sample: Option<&crate::previews::Preview>) -> Vec<TextureHandle> {
    let Some(sample) = sample else { return Vec::new() };
    let drawable = sample.frames.iter().filter(|picture| picture.size[0] * picture.size[1] > 0);
    drawable
        .map(|picture| {
            let image = ColorImage::from_rgb(picture.size, &picture.rgb);
            ctx.load_texture(format!("sample {}", sample.index), image, TextureOptions::LINEAR)
        })
        .collect()
}

/// The number of the frame that clips show now; asks for the next one where something moves and is not held.
#[must_use]
pub fn beat(ui: &Ui, frames: &[Vec<TextureHandle>], held: bool) -> usize {
    if held || frames.iter().all(|frames| frames.len() < 2) {
        return 0;
    }
    ui.ctx().request_repaint_after(std::time::Duration::from_secs_f64(1.0 / RATE));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since the start")]
    let beat = (ui.input(|input| input.time) * RATE) as usize;
    beat
}

/// Draws a frame as large as it can be inside a rectangle; whether there was one.
pub fn paint(ui: &Ui, frames: &[TextureHandle], beat: usize, place: Rect) -> bool {
    let Some(texture) = frames.get(beat % frames.len().max(1)) else { return false };
    let size = texture.size_vec2();
    let scale = (place.width() / size.x).min(place.height() / size.y);
    let inner = Rect::from_center_size(place.center(), scale * size);
    let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
    ui.painter().image(texture.id(), inner, whole, Color32::WHITE);
    true
}
