//! From a picture file to normalised values: decode, cut or stretch, scale.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::codecs::gif::GifDecoder;
use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{AnimationDecoder as _, DynamicImage, ImageDecoder as _, ImageError, ImageReader};
use serde::{Deserialize, Serialize};

use super::{DataError, SampleError, check_normalisation, positive};
use crate::device::panic_message;

/// Endings of picture files that can be read.
pub(super) const EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "gif"];
/// Means of red, green and blue over `ImageNet`, as most published models expect.
pub(super) const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviations to go with [`IMAGENET_MEAN`].
pub(super) const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// How a picture that is not square becomes square.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fit {
    /// The shorter side fills the square; what sticks out of the longer one is cut off at both ends.
    #[default]
    Crop,
    /// Both sides are scaled to the square, proportions change.
    Stretch,
}

/// How pictures become values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Preparation {
    pub(super) size: usize,
    pub(super) channels: usize,
    pub(super) fit: Fit,
    pub(super) mean: Vec<f32>,
    pub(super) std: Vec<f32>,
}

impl Preparation {
    pub(super) fn check(&self) -> Result<(), DataError> {
        positive("size", self.size)?;
        if self.size > 1 << 14 {
            return Err(DataError::setting("size", self.size, "it must be at most 16384 pixels"));
        }
        if ![1, 3].contains(&self.channels) {
            return Err(DataError::setting(
                "channels",
                self.channels,
                "it must be 1 (grey) or 3 (red, green, blue)",
            ));
        }
        for (field, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != self.channels {
                let rule = format!("it needs one value for each of the {} channels", self.channels);
                return Err(DataError::setting(field, format!("{values:?}"), rule));
            }
        }
        check_normalisation(&self.mean, &self.std)
    }

    /// Appends the picture as `[channels, size, size]`.
    pub(super) fn append(&self, picture: &DynamicImage, pixels: &mut Vec<f32>) {
        let (width, height) = (picture.width(), picture.height());
        // Cutting before scaling gives the same picture as after it, for less work.
        let cut = match self.fit {
            Fit::Crop if width != height => {
                let side = width.min(height);
                &picture.crop_imm((width - side) / 2, (height - side) / 2, side, side)
            }
            Fit::Crop | Fit::Stretch => picture,
        };
        let side = u32::try_from(self.size).unwrap_or(u32::MAX);
        let bytes = if self.channels == 1 {
            let grey = cut.to_luma8();
            if grey.dimensions() == (side, side) {
                grey.into_raw()
            } else {
                imageops::resize(&grey, side, side, FilterType::Triangle).into_raw()
            }
        } else {
            let colour = cut.to_rgb8();
            if colour.dimensions() == (side, side) {
                colour.into_raw()
            } else {
                imageops::resize(&colour, side, side, FilterType::Triangle).into_raw()
            }
        };
        for (channel, (mean, std)) in self.mean.iter().zip(&self.std).enumerate() {
            let values = bytes[channel..].iter().step_by(self.channels);
            pixels.extend(values.map(|byte| (f32::from(*byte) / 255.0 - mean) / std));
        }
    }
}

/// Decodes a picture file, of an animation the first frame, turned upright as its metadata says.
pub(super) fn decode(path: &Path) -> Result<DynamicImage, SampleError> {
    guarded(path, || {
        // By content: endings are often wrong.
        let mut decoder = ImageReader::open(path)?.with_guessed_format()?.into_decoder()?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut picture = DynamicImage::from_decoder(decoder)?;
        picture.apply_orientation(orientation);
        Ok(picture)
    })
}

/// Calls `take` with the number and picture of each frame of a GIF file until it returns false.
pub(super) fn for_each_frame(
    path: &Path,
    mut take: impl FnMut(usize, DynamicImage) -> bool,
) -> Result<(), SampleError> {
    guarded(path, || {
        let decoder = GifDecoder::new(BufReader::new(File::open(path)?))?;
        for (number, frame) in decoder.into_frames().enumerate() {
            if !take(number, DynamicImage::ImageRgba8(frame?.into_buffer())) {
                break;
            }
        }
        Ok(())
    })
}

/// Runs a decoder so that a damaged file is an error even where the decoder panics over it.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, ImageError>) -> Result<T, SampleError> {
    let reason = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(ImageError::IoError(error))) => error.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panic_message(&*panic),
    };
    Err(SampleError::Unreadable { reason, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn preparation(size: usize, fit: Fit) -> Preparation {
        Preparation { size, channels: 3, fit, mean: vec![0.0; 3], std: vec![1.0; 3] }
    }

    /// 8 × 4: left quarter red, middle green, right quarter blue.
    fn flag() -> DynamicImage {
        RgbImage::from_fn(8, 4, |x, _| match x {
            0 | 1 => Rgb([255, 0, 0]),
            6 | 7 => Rgb([0, 0, 255]),
            _ => Rgb([0, 255, 0]),
        })
        .into()
    }

    #[test]
    fn pictures_are_cut_in_the_middle_or_stretched() {
        let mut cut = Vec::new();
        preparation(4, Fit::Crop).append(&flag(), &mut cut);
        assert_eq!(cut, [[0.0; 16], [1.0; 16], [0.0; 16]].concat());
        let mut stretched = Vec::new();
        preparation(4, Fit::Stretch).append(&flag(), &mut stretched);
        assert_eq!(stretched.len(), 48);
        assert!(stretched[0] > 0.5 && stretched[3] < 0.1, "red at the left: {stretched:?}");
        assert!(stretched[35] > 0.5 && stretched[32] < 0.1, "blue at the right: {stretched:?}");
    }

    #[test]
    fn channels_are_normalised_one_by_one() {
        let mut pixels = Vec::new();
        Preparation { mean: vec![0.0, 0.5, 1.0], std: vec![1.0, 0.5, 2.0], ..preparation(2, Fit::Crop) }
            .append(&flag(), &mut pixels);
        assert_eq!(pixels, [[0.0; 4], [1.0; 4], [-0.5; 4]].concat());
        let grey = Preparation { channels: 1, mean: vec![0.0], std: vec![1.0], ..preparation(2, Fit::Crop) };
        let mut pixels = Vec::new();
        grey.append(&RgbImage::from_pixel(3, 3, Rgb([51, 51, 51])).into(), &mut pixels);
        assert_eq!(pixels, [0.2; 4]);
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let message = |preparation: Preparation| preparation.check().unwrap_err().to_string();
        let good = preparation(4, Fit::Crop);
        assert!(good.check().is_ok());
        assert!(message(Preparation { size: 0, ..good.clone() }).contains("`size` is 0"));
        assert!(message(Preparation { channels: 1, ..good.clone() }).contains("each of the 1 channels"));
        assert!(message(Preparation { std: vec![1.0, 0.0, 1.0], ..good }).contains("`std` is 0"));
    }
}
